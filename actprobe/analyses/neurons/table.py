"""Neurons against hand-crafted features, one value of each per unit: a recording or an excerpt.

Slizovskaia, Gómez, Haro: A case study of deep-learned activations via hand-crafted audio features,
2018, section 3: Pearson correlation and Euclidean distance of normalised vectors. What the paper does
not give is added: an interval, a p-value and a false discovery rate over all neurons of the layer, the
chance level of the best neuron, the same network with random weights, ranks, and what is left when
another feature is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from actprobe.statistics.control import median_seed
from actprobe.statistics.correlation import (
    Clusters,
    Correlation,
    constant_neurons,
    discovery_rates,
    neuron_blocks,
    partial,
    pearson,
    spearman,
)
from actprobe.statistics.permutation import LEVEL, BestOfK, best_of_k

__all__ = [
    "LAYER_COLUMNS",
    "NEURON_COLUMNS",
    "NeuronSimilarity",
    "NeuronTables",
    "neuron_similarity",
    "neuron_table",
    "unit_means",
]

Floats = NDArray[np.float64]

NEURON_COLUMNS = (
    "model", "layer", "neuron", "feature", "n", "r", "r_low", "r_high", "p", "q", "p_max", "l2", "r_random",
)  # fmt: skip
LAYER_COLUMNS = (
    "model", "layer", "feature", "weights", "n", "recordings", "neurons", "constant", "best_neuron", "best_r",
    "level", "p_best", "above_level", "above_random", "discoveries", "discoveries_permuted",
    "permutations",
)  # fmt: skip


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
        course, sqrt(2) for orthogonal ones, 2 for opposite ones. NaN for a vector of zeros.
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


@dataclass(frozen=True)
class NeuronTables:
    """What `neuron_table` found.

    Parameters
    ----------
    neurons : pandas.DataFrame
        One row a layer, feature and neuron: `NEURON_COLUMNS`.
    detail : pandas.DataFrame
        The same rows: model, layer, neuron, feature, recordings, n_effective, q_permuted (the false discovery
        rate by permutation, see `BestOfK.q`), spearman, spearman_p, spearman_q, given, r_partial, p_partial,
        q_partial, and r_random_0, r_random_1 ... for each seed of random weights.
    layers : pandas.DataFrame
        One row a layer, feature and set of weights: `LAYER_COLUMNS`; ``weights`` is ``model`` for the
        network's own and ``random 0``, ``random 1`` ... for each seed of random ones. ``level`` is what the
        best neuron reaches in 95 % of the permutations, with the weights of the row; ``above_level`` counts
        the neurons beyond it (``p_max`` of 0.05 at most), ``discoveries`` those with q of 0.05 at most,
        ``discoveries_permuted`` those with q_permuted of 0.05 at most, and ``above_random`` those of the
        model that are stronger than every neuron of every random seed.
    """

    neurons: pd.DataFrame
    detail: pd.DataFrame
    layers: pd.DataFrame


def unit_means(activations: NDArray[np.float32]) -> Floats:
    """Reduce activations to one number a neuron: a unit as it is, a channel by its mean over the map.

    Parameters
    ----------
    activations : numpy.ndarray
        [batch, unit] or [batch, time, mel, channel].

    Returns
    -------
    numpy.ndarray
        float64, shape [batch, neurons]. Sums run in float64: a map of the first layers holds more
        positions than float32 can add up without loss.
    """
    if activations.ndim == 2:
        return activations.astype(np.float64)
    positions = activations.reshape(len(activations), -1, activations.shape[-1])
    means: Floats = positions.mean(axis=1, dtype=np.float64)
    return means


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
        Intervals and p-values then rest on the recordings; see `actprobe.statistics.correlation`.
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
    values, course = _as_matrix(activity), np.asarray(feature, np.float64)
    if values.ndim != 2 or course.shape != values.shape[:1]:
        raise ValueError(
            f"activity [units, neurons] and feature [units] do not fit: {values.shape}, {course.shape}"
        )
    other = None if given is None else np.asarray(given, np.float64)
    marks = None if groups is None else np.asarray(groups)
    for name, array in (("groups", marks), ("given", other)):
        if array is not None and array.shape != course.shape:
            raise ValueError(f"{name} [units] does not fit: {array.shape}, {course.shape}")
    known = ~np.isnan(course)
    y = course[known]
    clusters = _clusters(marks, known)
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
            left = partial(x[both], y[both], other[known][both], _clusters(marks, known, both))
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


def neuron_table(
    model: str,
    activity: Mapping[str, ArrayLike],
    features: Mapping[str, ArrayLike],
    *,
    groups: ArrayLike | None = None,
    random_activity: Sequence[Mapping[str, ArrayLike]] | None = None,
    permutations: int = 0,
    given: str | None = None,
    seed: int = 0,
) -> NeuronTables:
    """Compare every neuron of every layer with every feature.

    Parameters
    ----------
    model : str
        Name of the network.
    activity : mapping
        Layer name -> [units, neurons], arrays or memory maps.
    features : mapping
        Feature name -> [units]; NaN where a unit's is not known.
    groups : array_like, optional
        Shape [units]: excerpts of one recording share a number, and stand in the order of their time.
    random_activity : sequence of mapping, optional
        As ``activity``, of the same network with random weights, one mapping a seed.
    permutations : int, optional
        Permutations of the recordings behind ``p_max`` and ``level``; 0 leaves them NaN.
    given : str, optional
        A feature that the partial correlations are given.
    seed : int, optional
        Seed of the permutations.

    Returns
    -------
    NeuronTables
        Constant neurons have NaN. ``r_random`` is the r of the same neuron index with the random weights
        of the seed whose ``|r|`` is the median over seeds.

    Raises
    ------
    ValueError
        Shapes that do not fit, or activity that is not finite.
    KeyError
        ``given`` is not among the features.
    """
    courses = {name: np.asarray(course, np.float64) for name, course in features.items()}
    other = None if given is None else courses[given]
    marks = None if groups is None else np.asarray(groups)
    controls = random_activity or ()
    neurons, detail, layers = [], [], []
    for layer, values in activity.items():
        for feature, course in courses.items():
            places = {"model": model, "layer": layer, "feature": feature}

            def chance(of: ArrayLike, course: Floats = course) -> BestOfK:
                clusters = _clusters(marks, ~np.isnan(course))
                return best_of_k(
                    _as_matrix(of), course, clusters=clusters, permutations=permutations, seed=seed
                )

            found = neuron_similarity(values, course, groups=marks, given=None if feature == given else other)
            best = chance(values)
            own = {**places, "weights": "model", **_layer_row(found, best)}
            layers.append(own)
            seeds = []
            for i, control in enumerate(controls):
                of_seed = neuron_similarity(control[layer], course, groups=marks, ranked=False)
                if len(of_seed.r) != len(found.r):
                    raise ValueError(
                        f"{layer} has {len(found.r)} neurons, but {len(of_seed.r)} with random weights"
                    )
                layers.append(
                    {**places, "weights": f"random {i}", **_layer_row(of_seed, chance(control[layer]))}
                )
                seeds.append(of_seed.r)
            if seeds:
                reached = np.nanmax(np.abs(np.concatenate(seeds)), initial=0)
                own["above_random"] = int((np.abs(found.r) > reached).sum())
            index = {**places, "neuron": np.arange(len(found.r))}
            neurons.append(
                pd.DataFrame(
                    {
                        **index,
                        "n": found.n,
                        "r": found.r,
                        "r_low": found.r_low,
                        "r_high": found.r_high,
                        "p": found.p,
                        "q": found.q,
                        "p_max": best.p(found.r),
                        "l2": found.l2,
                        "r_random": median_seed(seeds) if seeds else np.nan,
                    }
                )[list(NEURON_COLUMNS)]
            )
            detail.append(
                pd.DataFrame(
                    {
                        **index,
                        "recordings": found.recordings,
                        "n_effective": found.n_effective,
                        "q_permuted": best.q(found.r),
                        "spearman": found.ranks.r,
                        "spearman_p": found.ranks.p,
                        "spearman_q": discovery_rates(found.ranks.p),
                        "given": "" if given in (None, feature) else given,
                        "r_partial": found.given.r,
                        "p_partial": found.given.p,
                        "q_partial": discovery_rates(found.given.p),
                        **{f"r_random_{i}": r for i, r in enumerate(seeds)},
                    }
                )
            )
    summary = pd.DataFrame(layers, columns=list(LAYER_COLUMNS))
    whole = dict.fromkeys(
        ("best_neuron", "above_level", "above_random", "discoveries", "discoveries_permuted"), "Int64"
    )
    return NeuronTables(
        pd.concat(neurons, ignore_index=True) if neurons else pd.DataFrame(columns=list(NEURON_COLUMNS)),
        pd.concat(detail, ignore_index=True) if detail else pd.DataFrame(),
        summary.astype(whole),
    )


def _layer_row(found: NeuronSimilarity, best: BestOfK) -> dict[str, Any]:
    """Sum a layer up: its best neuron, what chance reaches, and how many are beyond it."""
    p = best.p(found.r)
    known = not np.isnan(found.r).all()
    first = int(np.nanargmax(np.abs(found.r))) if known else None
    return {
        "n": found.n,
        "recordings": found.recordings,
        "neurons": len(found.r),
        "constant": int(found.constant.sum()),
        "best_neuron": first,
        "best_r": np.nan if first is None else found.r[first],
        "level": best.level,
        "p_best": np.nan if first is None else p[first],
        "above_level": int((p <= LEVEL).sum()) if len(best.maxima) else None,
        "above_random": None,
        "discoveries": int((found.q <= LEVEL).sum()),
        "discoveries_permuted": int((best.q(found.r) <= LEVEL).sum()) if len(best.maxima) else None,
        "permutations": len(best.maxima),
    }


def _as_matrix(values: ArrayLike) -> NDArray[Any]:
    """Take an array as it is, memory maps unread."""
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _clusters(marks: NDArray[Any] | None, *chosen: NDArray[np.bool_]) -> Clusters | None:
    if marks is None:
        return None
    for mask in chosen:
        marks = marks[mask]
    return Clusters.of(marks)


def _joined(parts: Sequence[Correlation]) -> Correlation:
    names = ("r", "low", "high", "p", "n_effective")
    return Correlation(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _l2(x: Floats, y: Floats) -> Floats:
    lengths = np.linalg.norm(x, axis=0)
    length = np.linalg.norm(y)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.linalg.norm(x / lengths - (y / length)[:, np.newaxis], axis=0))
