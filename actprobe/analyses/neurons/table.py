"""The tables of a run: every neuron of every layer against every feature.

To `actprobe.analyses.neurons.similarity` come what the best neuron of a layer reaches under permutation, and
the same network with random weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from actprobe.analyses.neurons.similarity import NeuronSimilarity, as_matrix, clusters_of, neuron_similarity
from actprobe.batch.tables import COUNTS
from actprobe.statistics.correlation import discovery_rates
from actprobe.statistics.permutation import ALPHA, BestOfK, best_of_k

Floats = NDArray[np.float64]

NEURON_COLUMNS = (
    "model", "layer", "neuron", "feature", "n", "r", "r_low", "r_high", "p", "q", "p_max", "l2", "r_random",
)  # fmt: skip
LAYER_COLUMNS = (
    "model", "layer", "feature", "weights", "n", "recordings", "neurons", "constant", "best_neuron", "best_r",
    "null_95", "p_best", "above_null", "above_random", "discoveries", "discoveries_permuted",
    "permutations",
)  # fmt: skip


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
        network itself and ``random 0``, ``random 1`` ... for each seed of random ones. ``null_95`` is the
        95th percentile of max ``|r|`` under permutation, with the weights of the row; ``above_null`` counts
        the neurons beyond it (``p_max`` of 0.05 at most), ``discoveries`` those with q of 0.05 at most,
        ``discoveries_permuted`` those with q_permuted of 0.05 at most, and ``above_random`` those of the
        model that are stronger than every neuron of every random seed.
    """

    neurons: pd.DataFrame
    detail: pd.DataFrame
    layers: pd.DataFrame


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
        Permutations of the recordings behind ``p_max`` and ``null_95``; 0 leaves them NaN.
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
    by_name = {name: np.asarray(values, np.float64) for name, values in features.items()}
    other = None if given is None else by_name[given]
    marks = None if groups is None else np.asarray(groups)
    neurons, detail, layers = [], [], []
    for layer, of_layer in activity.items():
        for feature, values in by_name.items():
            places = {"model": model, "layer": layer, "feature": feature}
            found = neuron_similarity(
                of_layer, values, groups=marks, given=None if feature == given else other
            )
            clusters = clusters_of(marks, ~np.isnan(values))
            best = best_of_k(
                as_matrix(of_layer), values, clusters=clusters, permutations=permutations, seed=seed
            )
            own = {**places, "weights": "model", **_layer_row(found, best)}
            layers.append(own)
            seeds = []
            for i, control in enumerate(random_activity or ()):
                of_seed = neuron_similarity(control[layer], values, groups=marks, ranked=False)
                if len(of_seed.r) != len(found.r):
                    raise ValueError(
                        f"{layer} has {len(found.r)} neurons, but {len(of_seed.r)} with random weights"
                    )
                null = best_of_k(
                    as_matrix(control[layer]), values, clusters=clusters, permutations=permutations, seed=seed
                )
                layers.append({**places, "weights": f"random {i}", **_layer_row(of_seed, null)})
                seeds.append(of_seed.r)
            if seeds:
                reached = np.nanmax(np.abs(np.concatenate(seeds)), initial=0)
                own["above_random"] = int((np.abs(found.r) > reached).sum())
            neurons.append(_neuron_rows(places, found, best, seeds))
            used = "" if given is None or given == feature else given
            detail.append(_detail_rows(places, found, best, seeds, used))
    summary = pd.DataFrame(layers, columns=list(LAYER_COLUMNS))
    return NeuronTables(
        pd.concat(neurons, ignore_index=True) if neurons else pd.DataFrame(columns=list(NEURON_COLUMNS)),
        pd.concat(detail, ignore_index=True) if detail else pd.DataFrame(),
        summary.astype({name: "Int64" for name in LAYER_COLUMNS if name in COUNTS}),
    )


def median_seed(by_seed: Sequence[Floats]) -> Floats:
    """Choose for every neuron the r, with its sign, that is typical of several random networks.

    It is that of the seed whose ``|r|`` is the median over the seeds that have one (the smaller of the two in
    the middle of an even number); NaN where none has. A mean over seeds would cancel: the sign of a random
    neuron's r is a coin's. The largest would grow with the seeds.
    """
    r = np.stack(list(by_seed))
    order = np.argsort(np.abs(r), axis=0, kind="stable")  # NaN last
    known = (~np.isnan(r)).sum(axis=0)
    middle = np.maximum(known - 1, 0) // 2
    chosen = np.take_along_axis(order, middle[np.newaxis], axis=0)
    return np.asarray(np.take_along_axis(r, chosen, axis=0)[0])


def _neuron_rows(
    places: Mapping[str, str], found: NeuronSimilarity, best: BestOfK, seeds: Sequence[Floats]
) -> pd.DataFrame:
    columns = {
        **places,
        "neuron": np.arange(len(found.r)),
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
    return pd.DataFrame(columns)[list(NEURON_COLUMNS)]


def _detail_rows(
    places: Mapping[str, str],
    found: NeuronSimilarity,
    best: BestOfK,
    seeds: Sequence[Floats],
    given: str,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **places,
            "neuron": np.arange(len(found.r)),
            "recordings": found.recordings,
            "n_effective": found.n_effective,
            "q_permuted": best.q(found.r),
            "spearman": found.ranks.r,
            "spearman_p": found.ranks.p,
            "spearman_q": discovery_rates(found.ranks.p),
            "given": given,
            "r_partial": found.given.r,
            "p_partial": found.given.p,
            "q_partial": discovery_rates(found.given.p),
            **{f"r_random_{i}": r for i, r in enumerate(seeds)},
        }
    )


def _layer_row(found: NeuronSimilarity, best: BestOfK) -> dict[str, Any]:
    """Sum a layer up: its best neuron, what is expected under the null, and how many are beyond it."""
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
        "null_95": best.null_95,
        "p_best": np.nan if first is None else p[first],
        "above_null": int((p <= ALPHA).sum()) if len(best.maxima) else None,
        "above_random": None,
        "discoveries": int((found.q <= ALPHA).sum()),
        "discoveries_permuted": int((best.q(found.r) <= ALPHA).sum()) if len(best.maxima) else None,
        "permutations": len(best.maxima),
    }
