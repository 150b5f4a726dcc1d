"""How well an output agrees with its truth, over the excerpts of all recordings, and each recording's part.

A metric is written for weighted recordings. Its derivative by a recording's weight, the infinitesimal
jackknife (Jaeckel 1972; Efron: The Jackknife, the Bootstrap and Other Resampling Plans, 1982, ch. 6), gives
pseudo-values: one for each recording, with the metric as their mean. Intervals and tests of changes work on
differences of pseudo-values, so that excerpts of a recording are not taken for independent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    positive, negative = weights @ truth, weights @ ~truth
    known = (positive > 0) & (negative > 0)
    positive, negative = np.where(known, positive, 1), np.where(known, negative, 1)
    if metric == BALANCED_ACCURACY:
        above = scores >= threshold
        found = (weights @ (truth & above) / positive + weights @ (~truth & ~above) / negative) / 2
        return np.asarray(np.where(known, found, np.nan))
    levels, places = np.unique(scores, return_inverse=True)
    order = np.argsort(places, kind="stable")
    first = np.searchsorted(places[order], np.arange(len(levels)))
    sorted_weights = weights[:, order]
    of_truth = np.add.reduceat(sorted_weights * truth[order], first, axis=1)
    of_others = np.add.reduceat(sorted_weights * ~truth[order], first, axis=1)
    if metric == AUC:
        below = np.cumsum(of_others, axis=1) - of_others / 2
        found = (of_truth * below).sum(axis=1) / (positive * negative)
    elif metric == AVERAGE_PRECISION:
        hits = np.cumsum(of_truth[:, ::-1], axis=1)
        taken = hits + np.cumsum(of_others[:, ::-1], axis=1)
        precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
        found = (of_truth[:, ::-1] * precision).sum(axis=1) / positive
    else:
        raise ValueError(f"no metric {metric!r}")
    return np.asarray(np.where(known, found, np.nan))


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
