"""The control of every finding: the same network with random weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["median_seed"]


def median_seed(by_seed: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Choose for every neuron the typical one of several random networks.

    A mean over seeds would cancel: the sign of a random neuron's r is a coin's. The largest would grow
    with the seeds.

    Parameters
    ----------
    by_seed : sequence of numpy.ndarray
        r by neuron, shape [neurons], for each seed; at least one.

    Returns
    -------
    numpy.ndarray
        For each neuron the r, with its sign, of the seed whose ``|r|`` is the median over the seeds that
        have one (the smaller of the two in the middle of an even number); NaN where none has.
    """
    r = np.stack(list(by_seed))
    order = np.argsort(np.abs(r), axis=0, kind="stable")  # NaN last
    known = (~np.isnan(r)).sum(axis=0)
    middle = np.maximum(known - 1, 0) // 2
    chosen = np.take_along_axis(order, middle[np.newaxis], axis=0)
    return np.asarray(np.take_along_axis(r, chosen, axis=0)[0])
