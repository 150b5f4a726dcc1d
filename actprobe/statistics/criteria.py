"""What the texts of all analyses share: when something counts as found, what weights are called."""

from __future__ import annotations

from typing import Any

import pandas as pd

__all__ = ["CONTROL", "Q_LIMIT", "beats_null", "follows", "weights_named"]

Q_LIMIT = 0.05  # false discovery rate up to which something counts as found
CONTROL = "The weights are random: this is the control, not a finding about a trained network."


def follows(rows: pd.DataFrame) -> pd.Series[bool]:
    """Say which neurons, or pairs of neurons, count as correlated.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of neurons.csv or alignment.csv, with ``q``.

    Returns
    -------
    pandas.Series
        One truth value a row; false where q is unknown.
    """
    return rows["q"] <= Q_LIMIT


def beats_null(rows: pd.DataFrame) -> pd.Series[bool]:
    """Say which maps count as matching a feature better than that of other recordings.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of maps.csv, with ``q``, ``score`` and ``score_null``.

    Returns
    -------
    pandas.Series
        One truth value a row; false where q is unknown.
    """
    return follows(rows) & (rows["score"] > rows["score_null"])


def weights_named(provenance: dict[str, Any]) -> str:
    """Name the weights of a run in the title of a figure.

    Parameters
    ----------
    provenance : dict
        Of a run, with ``weights``.

    Returns
    -------
    str
        Such as ``open weights`` or ``random weights (seed 0)``.
    """
    weights = provenance["weights"]
    if weights["kind"] == "seeded random":
        return f"random weights (seed {weights['seed']})"
    return f"{weights['kind']} weights"
