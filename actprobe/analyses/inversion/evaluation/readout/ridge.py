"""Ridge regression of many targets at once, every strength from one eigendecomposition.

Features and targets are centred. With fewer features than excerpts the covariance of the features is
decomposed (`primal`), otherwise the Gram matrix of the excerpts (`dual`), which gives the same predictions.
Strengths are relative to the mean eigenvalue, so that a strength means the same for every layer and number of
excerpts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

READOUT = "linear readout"  # the method's name in tables
STRENGTHS = tuple(10.0**exponent for exponent in range(-5, 4))
RANK = 1e-10  # of the largest eigenvalue: smaller ones are rounding


@dataclass(frozen=True, eq=False)
class Ridge:
    """Excerpts to fit on, decomposed, before it is known what they predict and how strong the penalty is.

    - ``values``: float64 [rank], the eigenvalues.
    - ``vectors``: their eigenvectors, float64 [features, rank], or [excerpts, rank] of the Gram matrix.
    - ``inside``: float64 [excerpts, rank], the excerpts in terms of the eigenvectors.
    - ``unit``: the mean eigenvalue, 0 where no feature varies.
    - ``centre``: centres what is given for other excerpts, as what the fit was made of was centred.
    """

    values: Doubles
    vectors: Doubles
    inside: Doubles
    unit: float
    centre: Callable[[NDArray[Any]], Doubles]

    def parts(self, targets: Doubles) -> Doubles:
        """Project the targets of the excerpts to fit on, [excerpts, targets], centred: [rank, targets]."""
        return np.asarray(self.inside.T @ (targets - targets.mean(axis=0)), np.float64)

    def shrunk(self, projected: Doubles, strength: float) -> Doubles:
        """Divide by the penalised eigenvalues what is projected on the eigenvectors, [..., rank]."""
        return np.asarray(projected / (self.values + strength * self.unit), np.float64)

    def coefficients(self, targets: Doubles, strength: float) -> Doubles:
        """Compute what is multiplied with what is given of an excerpt, centred: [features, targets]."""
        return np.asarray(self.vectors @ self.shrunk(self.parts(targets).T, strength).T, np.float64)

    def predict(self, given: NDArray[Any], targets: Doubles, strength: float) -> Doubles:
        """Predict the targets of other excerpts, float64 [others, targets].

        ``given`` are their features, [others, features], or for `dual` the products with those of the
        excerpts to fit on, [others, excerpts]; ``targets`` [excerpts, targets] are those of the latter.
        """
        products = self.centre(given) @ self.coefficients(targets, strength)
        return np.asarray(products + targets.mean(axis=0), np.float64)


def primal(features: NDArray[Any]) -> Ridge:
    """Decompose the covariance of features, [excerpts, features]."""
    mean: Doubles = features.mean(axis=0, dtype=np.float64)

    def centre(given: NDArray[Any]) -> Doubles:
        return np.asarray(given, np.float64) - mean

    centred = centre(features)
    values, vectors, unit = _decompose(centred.T @ centred, min(len(centred) - 1, centred.shape[1]))
    return Ridge(values, vectors, centred @ vectors, unit, centre)


def dual(products: NDArray[Any]) -> Ridge:
    """Decompose the products of the features of every two excerpts, [excerpts, excerpts]."""
    mean = products.mean(axis=0, dtype=np.float64)

    def centre(given: NDArray[Any]) -> Doubles:
        centred: Doubles = given - mean
        centred -= centred.mean(axis=1, keepdims=True)
        return centred

    centred = centre(products)
    del products  # of thousands of excerpts they are large
    values, vectors, unit = _decompose(centred, len(centred) - 1)
    return Ridge(values, vectors, vectors, unit, centre)


def _decompose(matrix: Doubles, rank: int) -> tuple[Doubles, Doubles, float]:
    """Give the eigenvalues that are more than rounding, their eigenvectors, and the mean of ``rank``."""
    values, vectors = np.linalg.eigh(matrix)
    first = int(np.searchsorted(values, RANK * max(values[-1], 0.0), side="right"))
    return values[first:], vectors[:, first:], float(values[first:].sum()) / max(rank, 1)
