"""What a map run found, in a few lines for the terminal and for run.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from actprobe.analyses.maps.run import MapRun
from actprobe.analyses.maps.table import rank_maps
from actprobe.statistics.criteria import CONTROL, Q_LIMIT, beats_null

__all__ = ["MapSummary", "map_summary"]

SHOWN = 5


@dataclass(frozen=True)
class MapSummary:
    """What a map run found.

    Parameters
    ----------
    text : str
        For the terminal.
    counts : dict
        For run.json: recordings, failures, and by feature and layer the maps that beat their null.
    """

    text: str
    counts: dict[str, Any]


def map_summary(run: MapRun) -> MapSummary:
    """Sum a map run up.

    Parameters
    ----------
    run : MapRun
        What was found.

    Returns
    -------
    MapSummary
        The ranking of each feature, how many maps beat their null, and the failures.
    """
    table = run.table
    failed = run.recordings[run.recordings["status"] == "failed"]
    lines = [f"failed: {row.path}: {row.reason}" for row in failed.itertuples()]
    beating: dict[str, dict[str, int]] = {}
    for feature in run.settings.features:
        of_feature = table[table["feature"] == feature.name]
        beats = of_feature[beats_null(of_feature)]
        beating[feature.name] = {layer: int((beats["layer"] == layer).sum()) for layer in run.settings.grids}
        shares = ", ".join(
            f"{count} of {int((of_feature['layer'] == layer).sum())} in {layer}"
            for layer, count in beating[feature.name].items()
        )
        lines.append(f"{feature.name}: maps that beat other recordings' features at q <= {Q_LIMIT}: {shares}")
        ranked = rank_maps(table, feature.name, SHOWN).to_dict("records")
        lines.extend(_line({str(key): value for key, value in row.items()}) for row in ranked)
    if run.provenance["weights"]["kind"] == "seeded random":
        lines.append(CONTROL)
    silent = table.groupby("layer", sort=False)["keypoints_map"].agg(lambda values: int((values == 0).sum()))
    counts = {
        "recordings": len(run.recordings),
        "failed": len(failed),
        "beating_null": beating,
        "maps_without_keypoints": {
            str(layer): int(count) // len(run.settings.features) for layer, count in silent.items()
        },
    }
    return MapSummary("\n".join(lines), counts)


def _line(row: dict[str, Any]) -> str:
    null = f"{row['score_null']:.4f}" if np.isfinite(row["score_null"]) else "unknown"
    q = f"{row['q']:.2g}" if np.isfinite(row["q"]) else "unknown"
    name = f"{row['layer']:>12} {row['channel']:>5}"
    return (
        f"  {name}  score {row['score']:.4f}  null {null}  q {q}  consistency "
        f"{row['consistency']:.2f}  matches {row['matches']:.1f}  n {row['n']}"
    )
