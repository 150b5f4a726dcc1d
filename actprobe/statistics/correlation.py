"""Correlation of many neurons with one feature, with what may be concluded from it.

Units are recordings or excerpts of recordings. p and interval are the usual ones; of excerpts, which resemble
each other within a recording, the effective number (`actprobe.statistics.clusters`) stands in place of n. So
do Clifford, Richardson and Hemon for maps (Biometrics 45, 1989).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from actprobe.statistics.clusters import ENOUGH, Clusters, effective_units

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
CONSTANT = 1e-6  # activations are float32: a relative spread below this is rounding, not response
BLOCK_BYTES = 32 << 20
NOTHING_LEFT = 1e-12  # of the variance: what another feature leaves of a feature is rounding


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient for each neuron of a layer; all [neurons], NaN where nothing varies.

    ``low``, ``high``: 95 % interval by Fisher's z; NaN below 4 units (4 recordings when they are clustered).
    ``p``: two-sided p-value against no correlation. ``n_effective``: independent units that the neuron's
    units are worth, their count where they are independent.
    """

    r: Floats
    low: Floats
    high: Floats
    p: Floats
    n_effective: Floats

    @classmethod
    def unknown(cls, neurons: int) -> Correlation:
        """Make one that says nothing: NaN throughout."""
        return cls(*(np.full(neurons, np.nan) for _ in range(5)))


def neuron_blocks(units: int, neurons: int) -> Iterator[slice]:
    """Divide the neurons of a layer into blocks of 32 MiB of float64, but never fewer than 16 neurons."""
    size = max(16, BLOCK_BYTES // (8 * max(units, 1)))
    for start in range(0, neurons, size):
        yield slice(start, min(start + size, neurons))


def constant_neurons(x: Floats) -> NDArray[np.bool_]:
    """Find the neurons whose values [units, neurons] spread by less than a millionth of the largest."""
    if len(x) == 0:
        return np.ones(x.shape[1], np.bool_)
    highest, lowest = x.max(axis=0), x.min(axis=0)
    return np.asarray(highest - lowest <= CONSTANT * np.maximum(np.abs(highest), np.abs(lowest)))


def scaled(x: Floats) -> Floats:
    """Bring columns to a largest value of 0.5 to 1 by a power of two, which changes none of their digits.

    Squares of values of 1e-200 or 1e200 would be 0 or infinite.
    """
    if len(x) == 0:
        return x
    return np.asarray(np.ldexp(x, -np.frexp(np.abs(x).max(axis=0))[1]))


def pearson(x: Floats, y: Floats, clusters: Clusters | None = None) -> Correlation:
    """Correlate every neuron, [units, neurons], with a feature, [units] (Pearson); all values finite.

    Without ``clusters``, the recordings that the units come from, p and interval are those of
    `scipy.stats.pearsonr`; with them they rest on the recordings. NaN for a constant neuron, a constant
    feature and fewer than 3 units.
    """
    return _correlate(x, y, ~constant_neurons(x), clusters)


def spearman(x: Floats, y: Floats, clusters: Clusters | None = None) -> Correlation:
    """Correlate ranks as `pearson` does values (Spearman); ties share their mean rank.

    r and p are those of `scipy.stats.spearmanr`.
    """
    use = ~constant_neurons(x)
    if len(x) == 0:
        return Correlation.unknown(x.shape[1])
    return _correlate(stats.rankdata(x, axis=0), stats.rankdata(y), use, clusters)


def partial(x: Floats, y: Floats, z: Floats, clusters: Clusters | None = None) -> Correlation:
    """Partial correlation of every neuron, [units, neurons], with a feature ``y``, given another one, ``z``.

    It is the correlation of the residuals of the two regressions on ``z``; one degree of freedom is lost.
    ``y`` and ``z`` are [units]; all values finite. NaN as for `pearson`, and where nothing is left of neuron
    or feature.
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
        count = effective_units(rest_x, rest_y, clusters)
    return _filled(neurons, use, _inferred(r, count, given=1))


def discovery_rates(p: Floats) -> Floats:
    """q of Benjamini and Hochberg (1995) over the neurons that have a p-value; NaN for the others."""
    q = np.full(len(p), np.nan)
    known = ~np.isnan(p)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")
    return q


def _correlate(x: Floats, y: Floats, use: NDArray[np.bool_], clusters: Clusters | None) -> Correlation:
    units, neurons = x.shape
    if units < 3 or not use.any() or constant_neurons(y[:, np.newaxis])[0]:
        return Correlation.unknown(neurons)
    x, column = scaled(x[:, use]), scaled(y[:, np.newaxis])
    if clusters is None:
        result = stats.pearsonr(x, column, axis=0)
        low = high = np.full(x.shape[1], np.nan)
        if units >= ENOUGH:
            low, high = result.confidence_interval(CONFIDENCE)
        count = np.full(x.shape[1], float(units))
        return _filled(neurons, use, Correlation(result.statistic, low, high, result.pvalue, count))
    x, y = _standardised(x), _standardised(column)[:, 0]
    return _filled(neurons, use, _inferred(np.clip(y @ x, -1, 1), effective_units(x, y, clusters)))


def _inferred(r: Floats, count: Floats, given: int = 0) -> Correlation:
    """Interval and p of r by the number of units, other features given."""
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
    x = scaled(x)
    centred = x - x.mean(axis=0)
    return np.asarray(centred / np.linalg.norm(centred, axis=0))


def _filled(neurons: int, use: NDArray[np.bool_], found: Correlation) -> Correlation:
    """Put what was found of the neurons in use among all neurons."""
    full = Correlation.unknown(neurons)
    for name, values in vars(full).items():
        values[use] = getattr(found, name)
    return full
