"""From counts of pairs to the table of maps, with a null, p and q.

The null is the feature of other recordings: if a channel follows the feature, its map scores higher with the
feature of its own recording than with that of another. Under the null hypothesis a recording's own feature is
one of 1 + partners that are alike, and any of their scores could have been its own (an exact permutation test
within recordings: Fisher, The design of experiments, 1935; Edgington and Onghena, Randomization tests, 2007).
p is the share of all (1 + partners) ** recordings ways to pick one each whose scores sum up to as much as the
own ones. They are not sampled but counted: the sum's distribution is built recording by recording, on scores
rounded to a fine grid. The smallest p there can be is (1 + partners) ** -recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.maps.pairs import metrics
from actprobe.statistics.correlation import discovery_rates

Floats = NDArray[np.float64]

MAP_COLUMNS = (
    "model", "layer", "channel", "feature", "n", "keypoints_map", "keypoints_feature", "matches", "ratio",
    "distance", "consistency", "score", "score_null", "p", "q",
)  # fmt: skip

STEPS = 1 << 15  # of the sum over recordings, to which scores are rounded


def permutation_p(scores: Floats) -> float:
    """Give the exact p-value of the recordings' own scores being higher than those of their partners.

    ``scores`` are [recordings, 1 + partners], the own one first, NaN for a partner that has none. One-sided;
    NaN without recordings or partners.
    """
    known = ~np.isnan(scores)
    if not known[:, 1:].any():
        return float("nan")
    above = scores - np.nanmin(scores, axis=1, keepdims=True)
    differ = np.nanmax(above, axis=1) > 0
    above, known = above[differ], known[differ]
    total = np.nanmax(above, axis=1).sum() if len(above) else 0.0
    if total == 0:
        return 1.0
    steps = np.rint(np.where(known, above, 0) * (STEPS / total)).astype(np.int64)
    size = int(steps.max(axis=1).sum()) + 1
    distribution = np.zeros(size)
    distribution[0] = 1.0
    reach = 1
    for row, there in zip(steps, known, strict=True):
        longest = int(row.max())
        following = np.zeros(reach + longest)
        for step in row[there]:
            following[step : step + reach] += distribution[:reach]
        reach += longest
        distribution[:reach] = following / int(there.sum())
    # Sums that are equal are no longer so when their parts have been rounded: near ones count as equal.
    slack = int(min(len(steps), 8 + 2 * np.sqrt(len(steps))))
    least = max(0, int(steps[:, 0].sum()) - slack)
    return float(min(1.0, distribution[least:].sum()))


def map_table(model: str, counts: Mapping[str, NDArray[np.float64]], features: Sequence[str]) -> pd.DataFrame:
    """Make the table of maps.

    Parameters
    ----------
    model : str
        Name of the network.
    counts : mapping
        Layer name -> float64, shape [recordings, features, 1 + partners, channels, 6], the counts of
        `actprobe.analyses.maps.pairs`; the recording's own feature first, then those of its partners; NaN
        where a feature failed.
    features : sequence of str
        In the order of the counts.

    Returns
    -------
    pandas.DataFrame
        One row a layer, feature and channel, columns `MAP_COLUMNS`. Numbers are means over the ``n``
        recordings that have the feature, leaving out those in which one is not defined (the distance without
        a match). A channel without a keypoint in any recording has neither p nor q.
    """
    parts = []
    for layer, of_layer in counts.items():
        for number, feature in enumerate(features):
            parts.append(_rows(of_layer[:, number]).assign(model=model, layer=layer, feature=feature))
    return pd.concat(parts, ignore_index=True)[list(MAP_COLUMNS)]


def _rows(counts: Floats) -> pd.DataFrame:
    """Make the rows of one layer and feature from [recordings, 1 + partners, channels, 6]."""
    counts = counts[~np.isnan(counts[:, 0]).any(axis=(1, 2))]
    channels = counts.shape[2]
    found = metrics(counts)
    columns: dict[str, Any] = {"channel": np.arange(channels), "n": len(counts)}
    for name, values in found.items():
        columns[name] = _mean(values[:, 0])
    columns["score_null"] = _mean(found["score"][:, 1:].reshape(-1, channels))
    alive = counts[:, 0, :, 0].sum(axis=0) > 0
    p = np.full(channels, np.nan)
    for channel in np.flatnonzero(alive):
        p[channel] = permutation_p(found["score"][:, :, channel])
    columns["p"], columns["q"] = p, discovery_rates(p)
    return pd.DataFrame(columns)


def _mean(values: Floats) -> Floats:
    """Mean over recordings of what is defined; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def rank_maps(table: pd.DataFrame, feature: str, count: int | None = None) -> pd.DataFrame:
    """Rank the maps of a table for a feature: by score, the highest first, then by p, then as they stand.

    Maps of score 0 are left out; ``count`` are given at most, by default all.
    """
    rows = table[(table["feature"] == feature) & (table["score"] > 0)]
    ranked = rows.sort_values(["score", "p"], ascending=[False, True], kind="stable")
    return ranked if count is None else ranked.head(count)
