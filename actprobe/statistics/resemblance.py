"""Whether recordings of one singer, album or folder resemble each other, so that they are not independent.

A feature that is the same in all recordings of a singer correlates with whatever tells singers apart. Where
neurons do, n recordings are worth fewer independent ones: r strays from 0 by chance as far as that of fewer
units does. How many is told by permuting whole groups (`actprobe.statistics.clusters.effective_units`), and
whether that is out of the ordinary by groups that are dealt out anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.statistics.clusters import ENOUGH, Clusters, effective_units
from actprobe.statistics.correlation import constant_neurons, scaled

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

INFLATION = 1.5  # of the variance of r: p is 0.05 where it should be 0.11
NEURONS = 64  # of a layer that are looked at
PERMUTATIONS = (19, 199)  # of many units, which need fewer, and of few


def sampled_neurons(layers: Iterable[NDArray[Any]], rows: Indices) -> Floats:
    """Take some neurons of each layer [units, neurons], and average the units of one row: [rows, neurons]."""
    found = []
    for activity in layers:
        some = np.unique(np.linspace(0, activity.shape[1] - 1, NEURONS).astype(int))
        found.append(np.asarray(activity[:, some], np.float64))
    return row_means(np.concatenate(found, axis=1), rows)


def row_means(x: Floats, rows: Indices) -> Floats:
    """Average the values [units, ...] of each row, numbered from 0."""
    sums = np.zeros((int(rows.max()) + 1, *x.shape[1:]))
    np.add.at(sums, rows, x)
    return np.asarray(sums / np.bincount(rows).reshape(-1, *[1] * (x.ndim - 1)))


def units_worth(
    x: Floats, y: Floats, groups: Indices, classes: Indices | None = None, *, seed: int = 0
) -> float | None:
    """Count the independent units that units [units] are worth, if they resemble others of their group.

    ``x`` is [units, neurons], ``y`` the feature. ``groups`` number what may belong together. ``classes``: the
    feature is whether a unit is of a class, and these are the classes; what a neuron follows of the feature
    itself does not count as resemblance. None where groups are nothing out of the ordinary, or are too few.
    """
    count, units = int(groups.max()) + 1, len(y)
    use = ~constant_neurons(x)
    if count < ENOUGH or count > units / 2 or not use.any() or constant_neurons(y[:, np.newaxis])[0]:
        return None
    x, y = _standardised(x[:, use]), _standardised(y[:, np.newaxis])
    rest = x - y * (y * x).sum(axis=0) if classes is None else x - row_means(x, classes)[classes]
    length = np.linalg.norm(rest, axis=0)
    rest = rest[:, length > 1e-6] / length[length > 1e-6]
    if not rest.shape[1]:
        return None

    def inflation(which: Indices) -> float:
        worth = effective_units(rest, y[:, 0], Clusters(which))
        return float(np.mean((units - 1) / (worth - 1)))

    found = inflation(groups)
    if found < INFLATION:
        return None
    rng = np.random.default_rng(seed)
    permutations = int(np.clip(200_000 // units, *PERMUTATIONS))
    if any(inflation(rng.permutation(groups)) >= found for _ in range(permutations)):
        return None
    return 1 + (units - 1) / found


def _standardised(x: Floats) -> Floats:
    x = scaled(x)
    centred = x - x.mean(axis=0)
    return np.asarray(centred / np.linalg.norm(centred, axis=0))
