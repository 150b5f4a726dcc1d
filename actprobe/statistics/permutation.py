"""What the best of K neurons reaches by chance: permutations of recordings as blocked matrix products.

A layer of 4096 neurons has a best one for any feature. How good it gets where there is nothing to find
is told by taking the recordings' features away from their recordings: the feature is dealt out anew,
each neuron is correlated with it, and the largest |r| of the layer is kept, a thousand times over
(Westfall and Young, Resampling-Based Multiple Testing, 1993, "maxT"). How many neurons are beyond any |r|
in the permutations is kept, too: held against how many are beyond it in truth, it is a false discovery rate
(Tusher, Tibshirani, Chu: Significance analysis of microarrays, PNAS 98, 2001). Both hold whatever the
distribution, and however much the neurons resemble each other; p-values by formula do not, where a few
recordings stand out in feature and activity.

Excerpts of a recording move together: recording A gets all feature values of recording B, from its start.
Where the recordings have equally many excerpts that is an exact permutation; where they do not, B's values
are cut off at A's length or begun anew as often as A needs them. Excerpt i stays excerpt i, so that what all
recordings share by position (a fade-in) is in the null too, and is not taken for a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.statistics.clusters import Clusters
from actprobe.statistics.correlation import CONSTANT, scaled

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

ALPHA = 0.05
SAME = 1e-9  # correlations that differ by less are equal: other orders of summation differ by 1e-15
NEURONS_AT_ONCE = 2048
UNITS_AT_ONCE = 4096
STEPS = 10_000  # of |r|, between 0 and 1
PERMUTED_AT_ONCE = 1 << 22  # recordings times permutations that are dealt out together


@dataclass(frozen=True)
class BestOfK:
    """What the best neuron of a layer reaches under permutation.

    ``maxima`` [permutations]: the largest |r| over the layer's neurons, by permutation, ascending. ``beyond``
    [10001]: at i, how often any neuron reached i / 10000, over all permutations.
    """

    maxima: Floats
    beyond: Indices

    @classmethod
    def tallied(cls, maxima: Sequence[Floats], counts: Indices) -> BestOfK:
        """Put parts together: largest values by permutation, and `tally` of all values, summed."""
        together = np.sort(np.concatenate([np.empty(0), *maxima]))
        return cls(together, np.cumsum(counts[::-1])[::-1])

    @classmethod
    def of(cls, values: Floats) -> BestOfK:
        """Take values from 0 to 1, [permutations, neurons]."""
        return cls.tallied([values.max(axis=1)] if values.size else [], tally(values))

    @property
    def null_95(self) -> float:
        """95th percentile of max |r| under permutation: ``p_max`` of a larger one is 0.05 at most.

        NaN with fewer than 19 permutations.
        """
        count = int(ALPHA * (1 + len(self.maxima)))
        return float(self.maxima[-count]) if count >= 1 else float("nan")

    def p(self, r: Floats) -> Floats:
        """Hold correlations against the best of the permuted layer.

        Returns
        -------
        numpy.ndarray
            (1 + permutations whose best reaches ``|r|``) / (1 + permutations), the family-wise p-value;
            NaN where r is, and throughout without permutations.
        """
        if len(self.maxima) == 0:
            return np.full(np.shape(r), np.nan)
        below = np.searchsorted(self.maxima, np.abs(r) - SAME, side="left")
        p = (1 + len(self.maxima) - below) / (1 + len(self.maxima))
        return np.asarray(np.where(np.isnan(r), np.nan, p))

    def q(self, r: Floats) -> Floats:
        """Estimate the false discovery rate of all neurons of the layer from the permutations.

        For each neuron, how many of the layer's reach its ``|r|`` in a permutation (on average, the true
        order counted among them) as a part of those that reach it in truth; never more than that of a weaker
        neuron. NaN where r is, and throughout without permutations.
        """
        q = np.full(np.shape(r), np.nan)
        known = np.flatnonzero(~np.isnan(r))
        if len(self.maxima) == 0 or len(known) == 0:
            return q
        order = known[np.argsort(-np.abs(r[known]), kind="stable")]
        size = np.abs(r[order])
        found = np.searchsorted(-size, -(size - SAME), side="right")  # ties count together
        by_chance = self.beyond[np.floor((size - SAME).clip(0, 1) * STEPS).astype(int)]
        rate = np.minimum((by_chance + found) / ((1 + len(self.maxima)) * found), 1)
        q[order] = np.minimum.accumulate(rate[::-1])[::-1]
        return q


def tally(values: Floats) -> Indices:
    """Count values from 0 to 1 by steps of 1 / 10000."""
    steps = (values * STEPS).astype(np.int32).clip(0, STEPS)
    return np.bincount(steps.ravel(), minlength=STEPS + 1)


def permuted_units(
    units: int, clusters: Clusters | None, permutations: int, rng: np.random.Generator
) -> Iterator[tuple[int, Indices]]:
    """Permute whole recordings, and yield the result some units at a time.

    Yields the first of some units, and int64 [permutations, units of this part], the unit whose value each of
    them gets.
    """
    recordings = units if clusters is None else len(clusters)
    order = np.arange(recordings, dtype=np.int64)
    dealt = rng.permuted(np.broadcast_to(order, (permutations, recordings)), axis=1)
    if clusters is None:
        for start in range(0, units, UNITS_AT_ONCE):
            yield start, dealt[:, start : start + UNITS_AT_ONCE]
        return
    for start in range(0, units, UNITS_AT_ONCE):
        part = slice(start, start + UNITS_AT_ONCE)
        yield start, clusters.units(dealt[:, clusters.index[part]], clusters.place[part])


def best_of_k(
    activity: NDArray[Any],
    feature: Floats,
    *,
    clusters: Clusters | None = None,
    permutations: int = 1000,
    seed: int = 0,
) -> BestOfK:
    """Find how strongly the best neuron of a layer correlates with an unrelated feature.

    ``activity`` [units, neurons], in memory or memory-mapped, is read a part at a time; units where
    ``feature`` [units] is NaN are left out. ``clusters`` are the recordings that the known units come from;
    recordings are permuted, in the same way for every layer and feature of equally many units and the same
    ``seed``. One maximum a permutation, none when nothing varies.
    """
    known = np.flatnonzero(~np.isnan(feature))
    y = scaled(feature[known])
    y = y - y.mean() if len(known) else y
    units, neurons = len(known), activity.shape[1]
    recordings = units if clusters is None else len(clusters)
    maxima: list[Floats] = []
    step = max(1, PERMUTED_AT_ONCE // max(recordings, 1))
    columns = [slice(start, start + NEURONS_AT_ONCE) for start in range(0, neurons, NEURONS_AT_ONCE)]
    varying = [(part, *_scale(activity, known, part)) for part in columns] if units >= 3 and y.any() else []
    if not any(scale.any() for _, _, scale in varying):
        return BestOfK.of(np.empty((0, 0)))
    counts = np.zeros(STEPS + 1, np.int64)
    for start in range(0, permutations, step):
        count = min(step, permutations - start)
        best = np.zeros(count)
        for part, mean, scale in varying:
            rng = np.random.default_rng([seed, start])
            products = np.zeros((count, len(mean)))
            totals, squares = np.zeros(count), np.zeros(count)
            for first, source in permuted_units(units, clusters, count, rng):
                dealt = y[source]
                x = activity[known[first : first + source.shape[1]], part]
                products += dealt @ ((x - mean) * scale)
                totals += dealt.sum(axis=1)
                squares += np.square(dealt).sum(axis=1)
            # Cut or repeated values have means and lengths of their own; the neurons' sum is 0.
            length = np.sqrt(np.maximum(squares - totals**2 / units, 0))
            np.abs(products, out=products)
            products *= np.divide(1, length, out=np.zeros(count), where=length > 0)[:, np.newaxis]
            best = np.maximum(best, products.max(axis=1))
            products *= STEPS
            steps = products.astype(np.int32).ravel()
            counts += np.bincount(steps, minlength=STEPS + 1)[: STEPS + 1]
            counts[0] -= count * np.count_nonzero(scale == 0)  # constant neurons do not count
        maxima.append(best)
    return BestOfK.tallied(maxima, counts)


def _scale(activity: NDArray[Any], known: Indices, part: slice) -> tuple[Floats, Floats]:
    """Mean of some neurons, and what brings them to length 1; 0 for a constant one."""
    pieces = [known[start : start + UNITS_AT_ONCE] for start in range(0, len(known), UNITS_AT_ONCE)]
    neurons = activity[:0, part].shape[1]
    total, lowest, highest = np.zeros(neurons), np.full(neurons, np.inf), np.full(neurons, -np.inf)
    for piece in pieces:
        x = activity[piece, part].astype(np.float64)
        total += x.sum(axis=0)
        lowest, highest = np.minimum(lowest, x.min(axis=0)), np.maximum(highest, x.max(axis=0))
    mean = total / len(known)
    square = np.zeros(neurons)
    shift = -np.frexp(np.maximum(np.abs(highest), np.abs(lowest)))[1]  # squares of tiny values would be 0
    for piece in pieces:
        square += np.square(np.ldexp(activity[piece, part] - mean, shift)).sum(axis=0)
    varies = highest - lowest > CONSTANT * np.maximum(np.abs(highest), np.abs(lowest))
    scale = np.divide(1.0, np.sqrt(square), out=np.zeros(neurons), where=varies & (square > 0))
    return mean, np.ldexp(scale, shift)
