"""Cross-validated ridge regression of many targets at once, with the strength chosen inside each fold.

The numbers are those of scikit-learn's ``Ridge`` with ``LeaveOneGroupOut`` inside each training fold:
neurons are standardised by the training units; for each strength every group of the training fold is left
out in turn; the strength with the smallest squared error predicts the fold that is left out. All of it
follows from one eigendecomposition a fold. The residuals of a group that is left out are ``(I - H_gg)^-1
e_g``, with the hat matrix H and the residuals e of the whole training fold (Cook and Weisberg, Residuals
and Influence in Regression, 1982), so nothing is fitted again, and the permutations are further columns of
the same products. The smaller of the two Gram matrices is decomposed, so that thousands of neurons cost no
more than the units allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

STRENGTHS = 10.0 ** np.arange(-5, 5)  # of the penalty, in mean eigenvalues of the training units' Gram matrix
CONSTANT = 1e-6  # deviation of a neuron below which, of its largest size, there is rounding and no response
RANK = 1e-10  # of the largest eigenvalue: smaller ones are rounding


@dataclass(frozen=True)
class Predicted:
    """What units get that their fold did not see; both [units, targets].

    ``numbers``: what is predicted. ``scores``: the same less the mean of the target over the training units.
    They rank units of different folds: that mean is high for a training fold where it is low for the test
    fold, and with it units would be ranked the wrong way round.
    """

    numbers: Floats
    scores: Floats


def assign_folds(groups: Indices, folds: int, seed: int) -> Indices:
    """Deal groups out to folds in random order, the same number to each; the fold of each unit, [units]."""
    _, index = np.unique(groups, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(index.max() + 1) % folds
    return np.asarray(dealt[index], np.int64)


def predict_left_out(x: NDArray[Any], y: Floats, groups: Indices, folds: Indices) -> Predicted:
    """Predict every unit by the folds that it is not in.

    Parameters
    ----------
    x : numpy.ndarray
        [units, neurons].
    y : numpy.ndarray
        float64, shape [units, targets], finite. Each target gets a strength of its own.
    groups : numpy.ndarray
        [units]: units that stay together.
    folds : numpy.ndarray
        [units], see `assign_folds`; at least two groups are outside each.
    """
    numbers, scores = np.empty(y.shape), np.empty(y.shape)
    for fold in range(int(folds.max()) + 1):
        left_out = folds == fold
        inside = y[~left_out]
        scores[left_out] = _Fit(x[~left_out], x[left_out]).scores(inside, groups[~left_out])
        numbers[left_out] = scores[left_out] + inside.mean(axis=0)
    return Predicted(numbers, scores)


class _Fit:
    """The training units of a fold, decomposed, and the units that are left out in their terms.

    ``values`` [rank]: eigenvalues of the Gram matrix; ``vectors`` [training units, rank]: its eigenvectors;
    ``outside`` [units left out, rank]: their products with the training units, times the eigenvectors.
    """

    def __init__(self, inside: NDArray[Any], outside: NDArray[Any]) -> None:
        inside, outside = inside.astype(np.float64), outside.astype(np.float64)
        mean, deviation = inside.mean(axis=0), inside.std(axis=0)
        varies = deviation > CONSTANT * np.abs(inside).max(axis=0)
        inside, outside = ((each - mean)[:, varies] / deviation[varies] for each in (inside, outside))
        units, neurons = inside.shape
        wide = neurons > units
        values, vectors = np.linalg.eigh(inside @ inside.T if wide else inside.T @ inside)
        kept = values > RANK * max(values.max(initial=0.0), 0.0)
        self.values, vectors = values[kept], vectors[:, kept]
        if wide:
            self.vectors, self.outside = vectors, outside @ (inside.T @ vectors)
        else:
            size = np.sqrt(self.values)
            self.vectors, self.outside = inside @ vectors / size, outside @ vectors * size
        rank = max(min(units - 1, neurons), 1)
        self.strengths = STRENGTHS * float(values.sum()) / rank

    def scores(self, y: Floats, groups: Indices) -> Floats:
        """Score the units that are left out with each target's best strength, [units left out, targets]."""
        if not len(self.values):
            return np.zeros((len(self.outside), y.shape[1]))
        centred = y - y.mean(axis=0)
        parts = self.vectors.T @ centred
        errors = np.stack([self._error(centred, parts, groups, strength) for strength in self.strengths])
        best = self.strengths[errors.argmin(axis=0)]
        return np.asarray(self.outside @ (parts / (self.values[:, np.newaxis] + best)), np.float64)

    def _error(self, centred: Floats, parts: Floats, groups: Indices, strength: float) -> Floats:
        """Sum the squared error over all groups, each left out in turn, [targets]."""
        shrunk = self.values / (self.values + strength)
        residuals = centred - self.vectors @ (shrunk[:, np.newaxis] * parts)
        total = np.zeros(centred.shape[1])
        for members in _alike(groups):
            mine = self.vectors[members]  # [groups, size, rank]
            hat = (mine * shrunk) @ mine.transpose(0, 2, 1) + 1 / len(centred)
            inverse = np.linalg.inv(np.eye(members.shape[1]) - hat)
            total += np.square(inverse @ residuals[members]).sum(axis=(0, 1))
        return total


def _alike(groups: Indices) -> list[Indices]:
    """List the units of each group, [groups, size], those of groups of one size together."""
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(index, kind="stable")
    firsts = np.cumsum(sizes) - sizes
    found = []
    for size in np.unique(sizes):
        chosen = firsts[sizes == size]
        found.append(order[chosen[:, np.newaxis] + np.arange(size)])
    return found
