"""Which unit of one network carries what a unit of another carries.

Every unit of A is held against every unit of B over the same recordings; its partner is the one with the
largest ``|r|`` (Li, Yosinski, Clune, Lipson, Hopcroft: Convergent learning, ICLR 2016, section 3, which
matches units of networks by correlation). The best of many is large by chance alone: how large, for each
unit, is told by permutations of the recordings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from actprobe.statistics.clusters import Clusters
from actprobe.statistics.correlation import constant_neurons, discovery_rates, neuron_blocks, scaled
from actprobe.statistics.permutation import ALPHA, permuted_units

ALIGNMENT_COLUMNS = (
    "layer_a", "neuron_a", "layer_b", "neuron_b", "n", "r", "null_95", "p", "q", "mutual",
)  # fmt: skip

NEURONS_AT_ONCE = 1024
SAME = 1e-6  # float32
ENOUGH = 3  # units below which every neuron follows every other

Floats = NDArray[np.float64]
Matrix = NDArray[Any]


def align_units(
    a: Matrix,
    b: Matrix,
    *,
    layer_a: str = "",
    layer_b: str = "",
    groups: ArrayLike | None = None,
    permutations: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Find for each neuron of a layer the neuron of another layer that correlates with it best.

    ``a`` and ``b`` are [units, neurons], over the same units (recordings or excerpts), in memory or
    memory-mapped; otherwise, or where they are not finite, ValueError. ``groups`` [units]: excerpts of one
    recording share a number, and stand in the order of their time. ``permutations`` of the recordings give
    ``null_95``, ``p`` and ``q``; 0 leaves them NaN.

    One row a neuron of A, columns `ALIGNMENT_COLUMNS`: its partner in B (empty for a constant neuron) and
    their r; ``null_95``, the 95th percentile of the ``|r|`` of the best of B's neurons under permutation;
    ``p``, the part of the permutations whose best reaches r (the true order counted among them); ``q``, the
    false discovery rate over A's neurons; ``mutual``, whether A's neuron is in turn the best for its partner.
    """
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise ValueError(f"activities [units, neurons] do not fit: {a.shape}, {b.shape}")
    clusters = Clusters.of(groups)
    to_b = _Best.of(a.shape[1])
    to_a = _Best.of(b.shape[1])
    maxima = np.zeros((permutations if len(a) >= ENOUGH else 0, a.shape[1]), np.float32)
    for part_a in neuron_blocks(*a.shape):
        x = _standardised(a[:, part_a])
        for part_b in neuron_blocks(*b.shape):
            y = _standardised(b[:, part_b])
            r = x.T @ y
            to_b.take(part_a, r, part_b.start)
            to_a.take(part_b, r.T, part_a.start)
            _permute(x, y, maxima[:, part_a], clusters, seed)
    known = (np.abs(to_b.r) > 0) & (len(a) >= ENOUGH)
    partner = np.where(known, to_b.index, -1)
    r, null_95, p = (np.full(len(partner), np.nan) for _ in range(3))
    r[known] = np.clip(to_b.r[known], -1, 1)
    if len(maxima):
        count = int(ALPHA * (1 + len(maxima)))
        if count:
            null_95[known] = np.sort(maxima, axis=0)[-count, known]
        reached = (maxima >= np.abs(to_b.r) - SAME).sum(axis=0)
        p[known] = (1 + reached[known]) / (1 + len(maxima))
    neurons = np.arange(len(partner))
    return pd.DataFrame(
        {
            "layer_a": layer_a,
            "neuron_a": neurons,
            "layer_b": layer_b,
            "neuron_b": pd.Series(partner, dtype="Int64").mask(partner < 0),
            "n": len(a),
            "r": r,
            "null_95": null_95,
            "p": p,
            "q": discovery_rates(p),
            "mutual": known & (to_a.index[partner] == neurons) if len(to_a.index) else known,
        }
    )[list(ALIGNMENT_COLUMNS)]


@dataclass
class _Best:
    """For every neuron the best one of the other layer so far."""

    index: NDArray[np.int64]
    r: Floats

    @classmethod
    def of(cls, neurons: int) -> _Best:
        return cls(np.full(neurons, -1), np.zeros(neurons))

    def take(self, part: slice, r: Floats, first: int) -> None:
        """Hold some neurons against others, of which this is the first: r [some, others]."""
        best = np.abs(r).argmax(axis=1)
        found = r[np.arange(len(r)), best]
        better = np.abs(found) > np.abs(self.r[part])
        self.index[part] = np.where(better, best + first, self.index[part])
        self.r[part] = np.where(better, found, self.r[part])


def _standardised(activity: Matrix) -> Floats:
    """Bring neurons to mean 0 and length 1, constant ones to 0."""
    x = np.array(activity, np.float64)
    if not np.isfinite(x).all():
        raise ValueError("activity holds NaN or infinity")
    use = ~constant_neurons(x)
    x = scaled(x)
    if len(x):
        x -= x.mean(axis=0)
    length = np.linalg.norm(x, axis=0)
    x *= np.divide(1.0, length, out=np.zeros(len(length)), where=use & (length > 0))
    return x


def _permute(x: Floats, y: Floats, maxima: NDArray[np.float32], clusters: Clusters | None, seed: int) -> None:
    """Raise the largest ``|r|`` that every neuron of A reaches in each permutation, [permutations, neurons].

    In float32: r is known to 1e-6, and the products take half the time.
    """
    x32, y32 = x.astype(np.float32), y.astype(np.float32)
    rng = np.random.default_rng(seed)  # the same permutations for every block
    for row in maxima:
        source = np.concatenate([part[0] for _, part in permuted_units(len(x), clusters, 1, rng)])
        dealt = y32[source]
        if clusters is not None:  # cut or repeated values have means and lengths of their own
            dealt -= dealt.mean(axis=0)
            length = np.linalg.norm(dealt, axis=0)
            dealt *= np.divide(1.0, length, out=np.zeros_like(length), where=length > SAME)
        for start in range(0, x.shape[1], NEURONS_AT_ONCE):
            part = slice(start, start + NEURONS_AT_ONCE)
            r = x32[:, part].T @ dealt
            row[part] = np.maximum(row[part], np.maximum(r.max(axis=1), -r.min(axis=1)))
