"""What a map run found, in a few lines for the terminal and for run.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from actprobe.analyses.maps.table import rank_maps
from actprobe.statistics.criteria import CONTROL, Q_LIMIT, beats_null

SHOWN = 5


@dataclass(frozen=True)
class MapSummary:
    """What a map run found.

    Parameters
    ----------
    text : str
        For the terminal: the ranking of each feature, how many maps beat their null, and the failures.
    counts : dict
        For run.json: recordings, failures, and by feature and layer the maps that beat their null.
    """

    text: str
    counts: dict[str, Any]


def map_summary(record: Mapping[str, Any], table: pd.DataFrame, recordings: pd.DataFrame) -> MapSummary:
    """Sum up run.json, maps.csv and recordings.csv."""
    failed = recordings[recordings["status"] == "failed"]
    lines = [f"failed: {row.path}: {row.reason}" for row in failed.itertuples()]
    beating: dict[str, dict[str, int]] = {}
    for feature, of_feature in table.groupby("feature", sort=False):
        found = beating[str(feature)] = {}
        shares = []
        beats = beats_null(of_feature)
        for layer, of_layer in beats.groupby(of_feature["layer"], sort=False):
            found[str(layer)] = int(of_layer.sum())
            shares.append(f"{found[str(layer)]} of {len(of_layer)} in {layer}")
        if not of_feature["n"].any():
            lines.append(f"{feature}: no recording has it, see recordings.csv")
            continue
        told = f"{feature}: maps that beat other recordings' features at q <= {Q_LIMIT}: {', '.join(shares)}"
        ranked = rank_maps(table, str(feature), SHOWN).to_dict("records")
        lines += [told, *(_line(row) for row in ranked)]
    if record["weights"]["kind"] == "seeded random":
        lines.append(CONTROL)
    silent = table.groupby("layer", sort=False)["keypoints_map"].agg(lambda values: int((values == 0).sum()))
    known = max(1, table.loc[table["n"] > 0, "feature"].nunique())
    counts = {
        "recordings": len(recordings),
        "failed": len(failed),
        "beating_null": beating,
        "maps_without_keypoints": {str(layer): int(count) // known for layer, count in silent.items()},
    }
    return MapSummary("\n".join(lines), counts)


def _line(row: Mapping[Any, Any]) -> str:
    null = f"{row['score_null']:.4f}" if np.isfinite(row["score_null"]) else "unknown"
    q = f"{row['q']:.2g}" if np.isfinite(row["q"]) else "unknown"
    name = f"{row['layer']:>12} {row['channel']:>5}"
    return (
        f"  {name}  score {row['score']:.4f}  null {null}  q {q}  consistency "
        f"{row['consistency']:.2f}  matches {row['matches']:.1f}  n {row['n']}"
    )
