"""The area under the ROC curve of weighted units: the one that all analyses use."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def weighted_auc(positive: NDArray[np.bool_], scores: ArrayLike, weights: Floats) -> Floats:
    """Give the chance that a positive unit scores higher than another, ties counting half.

    ``positive``, ``scores`` [units]; ``weights`` [weightings, units]. float64 [weightings]; NaN where one of
    the two classes has no weight.
    """
    values = np.asarray(scores)
    order = np.argsort(values, kind="stable")
    ranked, ones = values[order], positive[order]
    first = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]])[: len(ranked)])
    if not len(first):
        return np.full(len(weights), np.nan)
    each = weights[:, order]
    of_ones = np.add.reduceat(each * ones, first, axis=1)
    of_others = np.add.reduceat(each * ~ones, first, axis=1)
    below = np.cumsum(of_others, axis=1) - of_others / 2
    pairs = of_ones.sum(axis=1) * of_others.sum(axis=1)
    above = (of_ones * below).sum(axis=1)
    return np.asarray(np.divide(above, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))


def auc(positive: NDArray[np.bool_], scores: ArrayLike) -> float:
    """Give `weighted_auc` of units that all count alike."""
    return float(weighted_auc(positive, scores, np.ones((1, len(positive))))[0])
