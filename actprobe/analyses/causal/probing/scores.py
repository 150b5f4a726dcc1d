"""R2 and the area under the ROC curve over units with weights, so that groups can be sampled again.

Weights say how often the group of a unit is there: once each for the value itself, and as in
`actprobe.statistics.intervals.resample` for its interval.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.statistics.roc import weighted_auc

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

CHANCE = {"r2": 0.0, "auc": 0.5}  # of a probe that knows nothing: the mean, any order
AT_ONCE = 1 << 22  # weights that are held together


def r2(y: Floats, predicted: Floats, groups: Indices, weights: Floats) -> Floats:
    """Coefficient of determination, 1 - (squared error) / (squared distance from the mean of these units).

    ``y``, ``predicted``, ``groups`` [units]; ``weights`` [resamples, groups]. Gives [resamples], NaN where
    the units of a resample are constant.
    """
    count = weights.shape[1]
    y, predicted = y - y.mean(), predicted - y.mean()
    units, total, square, error = (
        weights @ np.bincount(groups, each, count)
        for each in (np.ones(len(y)), y, np.square(y), np.square(y - predicted))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = square - total**2 / units
        return np.asarray(np.where(spread > 1e-12 * square, 1 - error / spread, np.nan), np.float64)


def auc(y: Floats, scores: Floats, groups: Indices, weights: Floats) -> Floats:
    """Area under the ROC curve: the share of pairs in which the unit with 1 scores higher; ties count half.

    ``y`` [units] of 0 and 1; the rest as for `r2`. NaN where a resample has only one of them.
    """
    step = max(1, AT_ONCE // len(y))
    return np.concatenate(
        [
            weighted_auc(y > 0.5, scores, weights[start : start + step, groups])
            for start in range(0, len(weights), step)
        ]
    )
