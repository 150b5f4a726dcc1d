"""Linear centred kernel alignment: how alike two layers see the same recordings.

Kornblith, Norouzi, Lee, Hinton: Similarity of neural network representations revisited, ICML 2019,
equation 3 with linear kernels. It is 1 for layers that differ by a rotation and a factor. With fewer
recordings than neurons it is far above 0 for layers that have nothing in common; the debiased estimate
(Nguyen, Raghu, Kornblith: Do wide and deep networks learn the same things?, ICLR 2021, equation 3, after
Song, Smola, Gretton, Bedo, Borgwardt: Feature selection via dependence maximization, JMLR 13, 2012) is not,
and can be below 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.statistics.correlation import neuron_blocks

Floats = NDArray[np.float64]
Matrix = NDArray[Any]

CKA_COLUMNS = ("layer_a", "layer_b", "n", "neurons_a", "neurons_b", "cka", "cka_debiased")
ENOUGH = 4  # recordings below which the debiased estimate does not exist
SMALL = 1024  # a matrix of recordings by recordings up to this size is always cheap


@dataclass(frozen=True)
class KernelAlignment:
    """Linear CKA of two layers.

    ``cka`` is between 0 and 1; NaN where a layer is constant. ``debiased`` is the same from unbiased
    estimates, 0 on average for unrelated layers; NaN below 4 units, and where an estimate of a layer with
    itself is not above 0.
    """

    cka: float
    debiased: float


class _Layer:
    """The activity of a layer, read a block of neurons at a time."""

    def __init__(self, activity: Matrix) -> None:
        if activity.ndim != 2:
            raise ValueError(f"activity is not [units, neurons]: {activity.shape}")
        self.activity = activity
        self.units, self.neurons = activity.shape
        self.blocks = list(neuron_blocks(self.units, self.neurons))
        self.lengths = np.zeros(self.units)  # squared, of each unit
        for block in self.blocks:
            self.lengths += np.square(self.centred(block)).sum(axis=1)
        if not np.isfinite(self.lengths).all():
            raise ValueError("activity holds NaN or infinity")
        self._products: Floats | None = None

    def centred(self, block: slice) -> Floats:
        x = np.asarray(self.activity[:, block], np.float64)
        centred: Floats = x - x.mean(axis=0) if self.units else x
        return centred

    @property
    def products(self) -> Floats:
        """Products of the units with each other, [units, units]."""
        if self._products is None:
            self._products = np.zeros((self.units, self.units))
            for block in self.blocks:
                x = self.centred(block)
                self._products += x @ x.T
        return self._products


def linear_cka(a: Matrix, b: Matrix) -> KernelAlignment:
    """Compute linear CKA of two layers over the same units, and its debiased estimate.

    ``a`` and ``b`` are [units, neurons], in memory or memory-mapped; the numbers of neurons may differ.
    ValueError for other shapes, or activity that is not finite.
    """
    one, other = _Layer(a), _Layer(b)
    return _compare(one, other, _dependence(one, one), _dependence(other, other))


def cka_table(a: Mapping[str, Matrix], b: Mapping[str, Matrix]) -> pd.DataFrame:
    """Compare all pairs of layers [units, neurons] of two networks over the same units: `CKA_COLUMNS`."""
    mine = {name: _Layer(values) for name, values in a.items()}
    theirs = {name: _Layer(values) for name, values in b.items()}
    alone = {id(layer): _dependence(layer, layer) for layer in (*mine.values(), *theirs.values())}
    rows = []
    for name_a, one in mine.items():
        for name_b, other in theirs.items():
            found = _compare(one, other, alone[id(one)], alone[id(other)])
            sizes = (one.units, one.neurons, other.neurons)
            rows.append((name_a, name_b, *sizes, found.cka, found.debiased))
    return pd.DataFrame(rows, columns=list(CKA_COLUMNS))


def _compare(
    one: _Layer, other: _Layer, own: tuple[float, float], others: tuple[float, float]
) -> KernelAlignment:
    both = _dependence(one, other)
    ratios = []
    for cross, of_one, of_other in zip(both, own, others, strict=True):
        known = of_one > 0 and of_other > 0
        ratios.append(cross / float(np.sqrt(of_one * of_other)) if known else float("nan"))
    return KernelAlignment(*ratios)


def _dependence(one: _Layer, other: _Layer) -> tuple[float, float]:
    """Hilbert-Schmidt independence criterion of two layers, both estimates, but for one common factor.

    With X and Y centred over the units the biased one is the squared Frobenius norm of X'Y. The unbiased
    one leaves out the products of a unit with itself, k and l; as the rows of XX' then sum to -k, all that it
    needs are those.
    """
    n = one.units
    if other.units != n:
        raise ValueError(f"the layers do not have the same units: {n} and {other.units}")
    if n <= max(SMALL, min(one.neurons, other.neurons)):
        square = float(np.sum(one.products * other.products))
    else:
        square = sum(
            float(np.square(x.T @ other.centred(block)).sum())
            for x in map(one.centred, one.blocks)
            for block in other.blocks
        )
    if n < ENOUGH:
        return square, float("nan")
    k, ell = one.lengths, other.lengths
    unbiased = square - k @ ell + k.sum() * ell.sum() / ((n - 1) * (n - 2)) - 2 * (k @ ell) / (n - 2)
    return square, float(unbiased)
