"""Correlation of many neurons with one course, with what may be concluded from it.

Units are recordings or excerpts of recordings. Excerpts of one recording resemble each other, so that
formulas for independent units give p-values far too small for them. Clustered units are therefore counted
by what they are worth: their effective number is the number of independent units whose r would stray from
0 by chance as far as this neuron's does when whole recordings are dealt out anew (permutation of recordings,
see `actprobe.statistics.permutation`). The mean square of r over all permutations is known in closed form
(Hoeffding, A combinatorial central limit theorem, Annals of Mathematical Statistics 22, 1951), and for
independent units it is 1 / (n - 1), which gives n back. p and interval are the usual ones with the effective
number in place of n; so Clifford, Richardson and Hemon do for maps (Biometrics 45, 1989).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = [
    "Clusters",
    "Correlation",
    "constant_neurons",
    "discovery_rates",
    "neuron_blocks",
    "partial",
    "pearson",
    "spearman",
]

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
CONSTANT = 1e-6  # activations are float32: a relative spread below this is rounding, not response
ENOUGH = 4  # units, or recordings of clustered units, below which there is no interval
BLOCK_BYTES = 32 << 20
NOTHING_LEFT = 1e-12  # of the variance: what another feature leaves of a course is rounding


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient for each neuron of a layer.

    Parameters
    ----------
    r : numpy.ndarray
        Shape [neurons], as are the others; NaN where nothing varies.
    low, high : numpy.ndarray
        95 % interval by Fisher's z; NaN below 4 units (4 recordings when they are clustered).
    p : numpy.ndarray
        Two-sided p-value against no correlation.
    n_effective : numpy.ndarray
        Independent units that the neuron's units are worth: their count where they are independent.
    """

    r: Floats
    low: Floats
    high: Floats
    p: Floats
    n_effective: Floats

    @classmethod
    def unknown(cls, neurons: int) -> Correlation:
        """Make one that says nothing.

        Parameters
        ----------
        neurons : int
            How many.

        Returns
        -------
        Correlation
            NaN throughout.
        """
        return cls(*(np.full(neurons, np.nan) for _ in range(5)))


class Clusters:
    """Which units belong to one recording.

    Parameters
    ----------
    groups : array_like
        Shape [units]; units of one recording have the same number, in the order of their time.

    Attributes
    ----------
    index : numpy.ndarray
        int, shape [units]: the recording of each unit.
    sizes : numpy.ndarray
        int, shape [recordings]: units of each recording.
    place : numpy.ndarray
        int, shape [units]: 0 for the first unit of a recording, 1 for the second, and so on.
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
        """Make clusters where there are any.

        Parameters
        ----------
        groups : array_like or None
            Shape [units].

        Returns
        -------
        Clusters or None
            None when every unit is a recording of its own.
        """
        if groups is None:
            return None
        clusters = cls(groups)
        return None if len(clusters) == len(clusters.index) else clusters

    def units(self, recordings: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find units; a recording that is too short for a place begins anew.

        Parameters
        ----------
        recordings, places : numpy.ndarray
            int, of shapes that go together.

        Returns
        -------
        numpy.ndarray
            int, the unit at each place of each recording.
        """
        return np.asarray(self._order[self._firsts[recordings] + places % self.sizes[recordings]])


def neuron_blocks(units: int, neurons: int) -> Iterator[slice]:
    """Divide the neurons of a layer into blocks that fit into memory.

    Parameters
    ----------
    units, neurons : int
        Shape of the layer's activity.

    Yields
    ------
    slice
        Neurons; a block holds 32 MiB of float64, but never fewer than 16 neurons.
    """
    size = max(16, BLOCK_BYTES // (8 * max(units, 1)))
    for start in range(0, neurons, size):
        yield slice(start, min(start + size, neurons))


def constant_neurons(x: Floats) -> NDArray[np.bool_]:
    """Find the neurons that do not respond to any difference between the units.

    Parameters
    ----------
    x : numpy.ndarray
        Shape [units, neurons].

    Returns
    -------
    numpy.ndarray
        bool, shape [neurons]: True where the values spread by less than a millionth of the largest.
    """
    if len(x) == 0:
        return np.ones(x.shape[1], np.bool_)
    highest, lowest = x.max(axis=0), x.min(axis=0)
    return np.asarray(highest - lowest <= CONSTANT * np.maximum(np.abs(highest), np.abs(lowest)))


def pearson(x: Floats, y: Floats, clusters: Clusters | None = None) -> Correlation:
    """Correlate every neuron with a course (Pearson).

    Parameters
    ----------
    x : numpy.ndarray
        Activity, shape [units, neurons], finite.
    y : numpy.ndarray
        Course, shape [units], finite.
    clusters : Clusters, optional
        Recordings that the units come from. Without it p and interval are those of
        `scipy.stats.pearsonr`; with it they rest on the recordings (see the module).

    Returns
    -------
    Correlation
        By neuron; NaN for a constant neuron, a constant course and fewer than 3 units.
    """
    return _correlate(x, y, ~constant_neurons(x), clusters)


def spearman(x: Floats, y: Floats, clusters: Clusters | None = None) -> Correlation:
    """Correlate the ranks of every neuron with those of a course (Spearman); ties share their mean rank.

    Parameters
    ----------
    x : numpy.ndarray
        Activity, shape [units, neurons], finite.
    y : numpy.ndarray
        Course, shape [units], finite.
    clusters : Clusters, optional
        Recordings that the units come from.

    Returns
    -------
    Correlation
        As `pearson` gives it, r and p equal to those of `scipy.stats.spearmanr`.
    """
    use = ~constant_neurons(x)
    if len(x) == 0:
        return Correlation.unknown(x.shape[1])
    return _correlate(stats.rankdata(x, axis=0), stats.rankdata(y), use, clusters)


def partial(x: Floats, y: Floats, z: Floats, clusters: Clusters | None = None) -> Correlation:
    """Correlate every neuron with a course after what both share linearly with another one is taken out.

    It is the correlation of the residuals of the two regressions on ``z``; one degree of freedom is lost.

    Parameters
    ----------
    x : numpy.ndarray
        Activity, shape [units, neurons], finite.
    y : numpy.ndarray
        Course, shape [units], finite.
    z : numpy.ndarray
        The course that is given, shape [units], finite.
    clusters : Clusters, optional
        Recordings that the units come from.

    Returns
    -------
    Correlation
        By neuron; NaN as for `pearson`, and where nothing is left of neuron or course.
    """
    units, neurons = x.shape
    found = Correlation.unknown(neurons)
    use = ~constant_neurons(x)
    columns = constant_neurons(np.stack([y, z], axis=1)) if units else np.ones(2, np.bool_)
    if units < 4 or not use.any() or columns.any():
        return found
    x, y, z = (_standardised(values) for values in (x[:, use], y[:, np.newaxis], z[:, np.newaxis]))
    rest_x, rest_y = x - z * (z * x).sum(axis=0), y - z * (z * y).sum()
    left_x, left_y = np.square(rest_x).sum(axis=0), np.square(rest_y).sum()
    if left_y <= NOTHING_LEFT:
        return found
    with np.errstate(divide="ignore", invalid="ignore"):
        rest_x, rest_y = rest_x / np.sqrt(left_x), rest_y[:, 0] / np.sqrt(left_y)
    rest_x[:, left_x <= NOTHING_LEFT] = np.nan
    r = np.clip(rest_y @ rest_x, -1, 1)
    count = np.full(len(r), float(units))
    if clusters is not None:
        count = _effective_units(rest_x, rest_y, clusters)
    return _filled(neurons, use, _inferred(r, count, given=1))


def discovery_rates(p: Floats) -> Floats:
    """Control the false discovery rate over the neurons that have a p-value.

    Parameters
    ----------
    p : numpy.ndarray
        P-values, shape [neurons]; NaN for neurons without one.

    Returns
    -------
    numpy.ndarray
        q of Benjamini and Hochberg (1995), NaN where p is.
    """
    q = np.full(len(p), np.nan)
    known = ~np.isnan(p)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")
    return q


def _correlate(x: Floats, y: Floats, use: NDArray[np.bool_], clusters: Clusters | None) -> Correlation:
    units, neurons = x.shape
    if units < 3 or not use.any() or constant_neurons(y[:, np.newaxis])[0]:
        return Correlation.unknown(neurons)
    x, column = x[:, use], y[:, np.newaxis]
    if clusters is None:
        result = stats.pearsonr(x, column, axis=0)
        low = high = np.full(x.shape[1], np.nan)
        if units >= ENOUGH:
            low, high = result.confidence_interval(CONFIDENCE)
        count = np.full(x.shape[1], float(units))
        return _filled(neurons, use, Correlation(result.statistic, low, high, result.pvalue, count))
    x, y = _standardised(x), _standardised(column)[:, 0]
    return _filled(neurons, use, _inferred(np.clip(y @ x, -1, 1), _effective_units(x, y, clusters)))


def _inferred(r: Floats, count: Floats, given: int = 0) -> Correlation:
    """Interval and p of r by the number of units, other courses given."""
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.where(count - 2 - given > 0, count - 2 - given, np.nan)
        p = 2 * stats.t.sf(np.abs(r) * np.sqrt(degrees / ((1 - r) * (1 + r))), degrees)
        half = stats.norm.ppf((1 + CONFIDENCE) / 2) / np.sqrt(
            np.where(count - 3 - given > 0, count - 3 - given, np.nan)
        )
        low, high = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
    return Correlation(r, low, high, p, count)


def _standardised(x: Floats) -> Floats:
    """Bring columns that vary to mean 0 and length 1."""
    centred = x - x.mean(axis=0)
    return np.asarray(centred / np.linalg.norm(centred, axis=0))


def _effective_units(x: Floats, y: Floats, clusters: Clusters) -> Floats:
    """Count the independent units that clustered ones are worth, by neuron.

    With A[g, h] the product of recording g's course of the neuron with recording h's of the feature, brought
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
        courses = y[clusters.units(everyone[:, np.newaxis], places)]  # [recordings, size]
        mine = columns[clusters.units(alike[:, np.newaxis], places)]  # [alike, size, neurons]
        if size <= recordings:
            squares += np.einsum("gin,gin->n", mine, (courses.T @ courses) @ mine)
        else:
            squares += sum(np.square(courses @ course).sum(axis=0) for course in mine)
        by_row += np.square(courses.mean(axis=0) @ mine).sum(axis=0)
        by_column += courses @ mine.sum(axis=0) / recordings
        length += len(alike) * np.square(courses).sum() / recordings
    mean = by_column.sum(axis=0)
    spread = squares - recordings * (by_row + np.square(by_column).sum(axis=0)) + mean**2
    mean_square = np.maximum(spread, 0) / (recordings - 1) + mean**2
    length -= mean_square[-1] / units
    with np.errstate(divide="ignore"):
        return np.asarray(np.minimum(1 + length / mean_square[:-1], units))


def _filled(neurons: int, use: NDArray[np.bool_], found: Correlation) -> Correlation:
    """Put what was found of the neurons in use among all neurons."""
    full = Correlation.unknown(neurons)
    for name, values in vars(full).items():
        values[use] = getattr(found, name)
    return full
