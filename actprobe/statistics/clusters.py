"""Excerpts of recordings are not independent units: which belong together, and what they are worth.

Formulas for independent units give p-values far too small for excerpts of one recording, which resemble each
other. Clustered units are therefore counted by their effective number: the number of independent units whose
r would stray from 0 by chance as far as this neuron's does when whole recordings are dealt out anew
(permutation of recordings, see `actprobe.statistics.permutation`). The mean square of r over all permutations
is known in closed form (Hoeffding, A combinatorial central limit theorem, Annals of Mathematical Statistics
22, 1951), and for independent units it is 1 / (n - 1), which gives n back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ENOUGH = 4  # units, or recordings of clustered units, below which there is no interval


class Clusters:
    """Which units belong to one recording.

    ``groups`` [units]: units of one recording have the same number, in the order of their time. Attributes:
    ``index``, int [units], the recording of each unit; ``sizes``, int [recordings], units of each recording;
    ``place``, int [units], 0 for the first unit of a recording, 1 for the second, and so on.
    """

    def __init__(self, groups: ArrayLike) -> None:
        _, self.index = np.unique(np.asarray(groups), return_inverse=True)
        self.sizes = np.bincount(self.index)
        self._order = np.argsort(self.index, kind="stable")
        self._firsts = np.cumsum(self.sizes) - self.sizes
        self.place = np.empty(len(self.index), np.int64)
        self.place[self._order] = np.arange(len(self.index)) - self._firsts[self.index[self._order]]

    def __len__(self) -> int:
        """Count the recordings."""
        return len(self.sizes)

    @classmethod
    def of(cls, groups: ArrayLike | None) -> Clusters | None:
        """Make clusters of groups [units]; None when every unit is a recording of its own."""
        if groups is None:
            return None
        clusters = cls(groups)
        return None if len(clusters) == len(clusters.index) else clusters

    def units(self, recordings: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the unit at each place of each recording; one that is too short for a place begins anew."""
        return np.asarray(self._order[self._firsts[recordings] + places % self.sizes[recordings]])


def effective_units(x: Floats, y: Floats, clusters: Clusters) -> Floats:
    """Count the independent units that clustered ones are worth, by neuron; x and y of mean 0 and length 1.

    With A[g, h] the product of recording g's values of the neuron with recording h's of the feature, brought
    to g's length, a permutation gives the sum of A[g, h] over its pairs. Mean and variance of that over all
    permutations are sums over A (Hoeffding, 1951), which are had without A itself.
    """
    recordings, units = len(clusters), len(x)
    if recordings < ENOUGH:
        return np.full(x.shape[1], np.nan)
    columns = np.column_stack([x, np.ones(units)])  # the last one: what becomes of the feature's own sum
    squares, by_row = (np.zeros(columns.shape[1]) for _ in range(2))
    by_column = np.zeros((recordings, columns.shape[1]))
    length = 0.0
    everyone = np.arange(recordings)
    for size in np.unique(clusters.sizes):
        alike = np.flatnonzero(clusters.sizes == size)
        places = np.arange(size)
        values = y[clusters.units(everyone[:, np.newaxis], places)]  # [recordings, size]
        mine = columns[clusters.units(alike[:, np.newaxis], places)]  # [alike, size, neurons]
        if size <= recordings:
            squares += np.einsum("gin,gin->n", mine, (values.T @ values) @ mine)
        else:
            squares += sum(np.square(values @ one).sum(axis=0) for one in mine)
        by_row += np.square(values.mean(axis=0) @ mine).sum(axis=0)
        by_column += values @ mine.sum(axis=0) / recordings
        length += len(alike) * np.square(values).sum() / recordings
    mean = by_column.sum(axis=0)
    spread = squares - recordings * (by_row + np.square(by_column).sum(axis=0)) + mean**2
    mean_square = np.maximum(spread, 0) / (recordings - 1) + mean**2
    length -= mean_square[-1] / units
    with np.errstate(divide="ignore"):
        return np.asarray(np.minimum(1 + length / mean_square[:-1], units))
