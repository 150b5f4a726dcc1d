"""How well an output agrees with its truth, over the excerpts of all recordings, and each recording's part.

A metric is written for weighted recordings. Its derivative by a recording's weight, the infinitesimal
jackknife (Jaeckel 1972; Efron: The Jackknife, the Bootstrap and Other Resampling Plans, 1982, ch. 6), gives
pseudo-values: one for each recording, with the metric as their mean. Intervals and tests of changes work on
differences of pseudo-values, so that excerpts of a recording are not taken for independent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.statistics.roc import weighted_auc

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

AUC, BALANCED_ACCURACY, AVERAGE_PRECISION = METRICS = ("auc", "balanced_accuracy", "average_precision")
STEP = 1e-5  # of a recording's weight


def weighted(metric: str, truth: Bools, scores: Floats, weights: Floats, threshold: float) -> Floats:
    """Compute a metric with weighted excerpts.

    ``truth``, ``scores``: [excerpts]; ``weights``: [weightings, excerpts]. ``auc``: area under the ROC curve,
    ties counting half. ``balanced_accuracy``: mean of the shares that are right at the ``threshold``, of both
    classes. ``average_precision``: precision averaged over the steps of recall. float64 [weightings]; NaN
    where a class has no weight.
    """
    if metric == AUC:
        return weighted_auc(truth, scores, weights)
    positive, negative = weights @ truth, weights @ ~truth
    known = (positive > 0) & (negative > 0)
    positive, negative = np.where(known, positive, 1), np.where(known, negative, 1)
    if metric == BALANCED_ACCURACY:
        above = scores >= threshold
        found = (weights @ (truth & above) / positive + weights @ (~truth & ~above) / negative) / 2
    elif metric == AVERAGE_PRECISION:
        found = _average_precision(truth, scores, weights, positive)
    else:
        raise ValueError(f"no metric {metric!r}")
    return np.asarray(np.where(known, found, np.nan))


def _average_precision(truth: Bools, scores: Floats, weights: Floats, positive: Floats) -> Floats:
    """Go through the excerpts from the highest score down; those of one score enter together."""
    order = np.argsort(-scores, kind="stable")
    first = np.flatnonzero(np.concatenate([[True], np.diff(scores[order]) != 0]))
    hits = np.add.reduceat(weights[:, order] * truth[order], first, axis=1)
    taken = np.cumsum(np.add.reduceat(weights[:, order], first, axis=1), axis=1)
    precision = np.divide(np.cumsum(hits, axis=1), taken, out=np.zeros_like(hits), where=taken > 0)
    return np.asarray((hits * precision).sum(axis=1) / positive)


def value(metric: str, truth: Bools, scores: Floats, threshold: float) -> float:
    """Compute a metric over all excerpts alike."""
    return float(weighted(metric, truth, scores, np.ones((1, len(scores))), threshold)[0])


def pseudo_values(
    metric: str, truth: Bools, scores: Floats, owners: NDArray[np.int64], recordings: int, threshold: float
) -> Floats:
    """Give each recording's pseudo-value, float64 [recordings]; their mean is the metric.

    ``owners`` [excerpts] is the number of each excerpt's recording.
    """
    weights = np.ones((recordings + 1, len(scores)))
    weights[owners, np.arange(len(scores))] += STEP  # the last row stays as it is
    found = weighted(metric, truth, scores, weights, threshold)
    slopes = (found[:-1] - found[-1]) / STEP
    return np.asarray(found[-1] + recordings * (slopes - slopes.mean()))
