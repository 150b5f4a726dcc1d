"""One layer against one hand-crafted feature: a value each per unit, a recording or an excerpt.

Slizovskaia, Gómez, Haro: A case study of deep-learned activations via hand-crafted audio features,
2018, section 3: Pearson correlation and Euclidean distance of normalised vectors. What the paper does
not give is added: an interval, a p-value, a false discovery rate over all neurons of the layer, ranks, and
what is left when another feature is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actprobe.statistics.clusters import Clusters
from actprobe.statistics.correlation import (
    Correlation,
    constant_neurons,
    discovery_rates,
    neuron_blocks,
    partial,
    pearson,
    spearman,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NeuronSimilarity:
    """How the neurons of one layer follow one feature; every array has shape [neurons].

    Parameters
    ----------
    n : int
        Units that entered.
    recordings : int
        Recordings that they come from.
    n_effective : numpy.ndarray
        Independent units that the units are worth; n where every unit is a recording.
    r : numpy.ndarray
        Pearson correlation; NaN for a constant neuron, a constant feature or fewer than 3 units.
    r_low, r_high : numpy.ndarray
        95 % interval of r by Fisher's z transformation; NaN below 4 recordings.
    p : numpy.ndarray
        Two-sided p-value of r against no correlation.
    q : numpy.ndarray
        False discovery rate of Benjamini and Hochberg (1995) over the neurons that have a p.
    l2 : numpy.ndarray
        Euclidean distance of neuron and feature, each divided by its Euclidean norm: 0 for the same
        values, sqrt(2) for orthogonal ones, 2 for opposite ones. NaN for a vector of zeros, or no unit.
    constant : numpy.ndarray
        bool, True where the neuron does not respond to any difference between the units.
    ranks : Correlation
        Spearman's correlation.
    given : Correlation
        Partial correlation; NaN where no other feature was given.
    """

    n: int
    recordings: int
    n_effective: Floats
    r: Floats
    r_low: Floats
    r_high: Floats
    p: Floats
    q: Floats
    l2: Floats
    constant: NDArray[np.bool_]
    ranks: Correlation
    given: Correlation


def neuron_similarity(
    activity: ArrayLike,
    feature: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    given: ArrayLike | None = None,
    ranked: bool = True,
) -> NeuronSimilarity:
    """Compare every neuron of a layer with a feature.

    Parameters
    ----------
    activity : array_like
        Shape [units, neurons]; a memory map is read a block of neurons at a time.
    feature : array_like
        Shape [units]; units where it is NaN are left out.
    groups : array_like, optional
        Shape [units]: excerpts of one recording share a number, and stand in the order of their time.
        Intervals and p-values then rest on the recordings; see `actprobe.statistics.clusters`.
    given : array_like, optional
        Shape [units]: another feature, for the partial correlation. Units where it is NaN are left out
        of that.
    ranked : bool, optional
        Whether Spearman's correlation is wanted, which takes most of the time.

    Returns
    -------
    NeuronSimilarity
        Statistics by neuron.

    Raises
    ------
    ValueError
        Shapes that do not fit, or activity that is not finite.
    """
    values, wanted = as_matrix(activity), np.asarray(feature, np.float64)
    if values.ndim != 2 or wanted.shape != values.shape[:1]:
        raise ValueError(
            f"activity [units, neurons] and feature [units] do not fit: {values.shape}, {wanted.shape}"
        )
    other = None if given is None else np.asarray(given, np.float64)
    marks = None if groups is None else np.asarray(groups)
    for name, array in (("groups", marks), ("given", other)):
        if array is not None and array.shape != wanted.shape:
            raise ValueError(f"{name} [units] does not fit: {array.shape}, {wanted.shape}")
    known = ~np.isnan(wanted)
    y = wanted[known]
    clusters = clusters_of(marks, known)
    both = None if other is None else ~np.isnan(other[known])
    linear, ranks, rest, distances, constant = [], [], [], [], []
    for block in neuron_blocks(*values.shape):
        whole = np.asarray(values[:, block], np.float64)
        if not np.isfinite(whole).all():
            raise ValueError("activity holds NaN or infinity")
        x = whole[known]
        if other is None or both is None:
            left = Correlation.unknown(x.shape[1])
        else:
            left = partial(x[both], y[both], other[known][both], clusters_of(marks, known, both))
        linear.append(pearson(x, y, clusters))
        ranks.append(spearman(x, y, clusters) if ranked else Correlation.unknown(x.shape[1]))
        rest.append(left)
        distances.append(_l2(x, y))
        constant.append(constant_neurons(x))
    found = _joined(linear)
    return NeuronSimilarity(
        n=len(y),
        recordings=len(y) if clusters is None else len(clusters),
        n_effective=found.n_effective,
        r=found.r,
        r_low=found.low,
        r_high=found.high,
        p=found.p,
        q=discovery_rates(found.p),
        l2=np.concatenate(distances),
        constant=np.concatenate(constant),
        ranks=_joined(ranks),
        given=_joined(rest),
    )


def as_matrix(values: ArrayLike) -> NDArray[Any]:
    """Take an array as it is, memory maps unread."""
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def clusters_of(marks: NDArray[Any] | None, *chosen: NDArray[np.bool_]) -> Clusters | None:
    """Tell the recordings of the units that are left after one choice after the other."""
    if marks is None:
        return None
    for mask in chosen:
        marks = marks[mask]
    return Clusters.of(marks)


def _joined(parts: Sequence[Correlation]) -> Correlation:
    names = ("r", "low", "high", "p", "n_effective")
    return Correlation(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _l2(x: Floats, y: Floats) -> Floats:
    if not len(y):
        return np.full(x.shape[1], np.nan)
    lengths = np.linalg.norm(x, axis=0)
    length = np.linalg.norm(y)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.linalg.norm(x / lengths - (y / length)[:, np.newaxis], axis=0))
