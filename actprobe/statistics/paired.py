"""Paired differences over recordings: is a change other than 0, for many units at once?

The null is that of a paired permutation test: with and without, in whichever order, a recording's difference
is as likely with one sign as with the other. The signs of whole recordings are flipped, for all units alike,
and the largest statistic of all units is kept (maxT; Westfall and Young 1993), so that `BestOfK` gives the
family-wise p and the false discovery rate. The statistic is the cosine of a unit's differences with a
constant, which rises with the t of the paired test: t = r sqrt(n - 1) / sqrt(1 - r^2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.statistics.permutation import BestOfK

Floats = NDArray[np.float64]

FEWEST = 5  # recordings below which no sign pattern is rare enough


def constancy(differences: Floats) -> Floats:
    """Say how far differences, [recordings, units], have one sign and size: [units], from -1 to 1.

    NaN for a unit whose differences are all 0, and for fewer than 5 recordings.
    """
    length = np.sqrt(np.square(differences).sum(axis=0) * max(len(differences), 1))
    known = (length > 0) & (len(differences) >= FEWEST)
    return np.divide(differences.sum(axis=0), length, out=np.full(differences.shape[1], np.nan), where=known)


def flipped(differences: Floats, *, permutations: int = 1000, seed: int = 0) -> BestOfK:
    """Flip the signs of whole recordings: what the largest `constancy` of all units is under the null.

    ``differences``: float64 [recordings, units].
    """
    count = len(differences)
    length = np.sqrt(np.square(differences).sum(axis=0) * max(count, 1))
    units = differences[:, length > 0] / length[length > 0]
    if count < FEWEST or not units.shape[1] or not permutations:
        return BestOfK.of(np.empty((0, 0)))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (permutations, count))
    return BestOfK.of(np.abs(signs @ units))
