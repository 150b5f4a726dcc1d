"""What the texts of all analyses share: when something counts as found, what weights are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

Q_LIMIT = 0.05  # false discovery rate up to which something counts as found
CONTROL = "The weights are random: this is the control, not a finding about a trained network."


def follows(rows: pd.DataFrame) -> pd.Series[bool]:
    """Say which rows with a ``q`` count as correlated, neurons or pairs of them; not where q is unknown."""
    return rows["q"] <= Q_LIMIT


def beats_null(rows: pd.DataFrame) -> pd.Series[bool]:
    """Say which rows of maps.csv match a feature better than they match that of other recordings."""
    return follows(rows) & (rows["score"] > rows["score_null"])


def weights_named(provenance: Mapping[str, Any]) -> str:
    """Name the weights of a run: ``open weights``, ``random weights (seed 0)``."""
    weights = provenance["weights"]
    if weights["kind"] == "seeded random":
        return f"random weights (seed {weights['seed']})"
    return f"{weights['kind']} weights"
