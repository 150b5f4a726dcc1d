"""Responses of a run -> its three tables: neurons, curves, layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.causal.tuning.factors import Doses, Factor
from actprobe.analyses.causal.tuning.job import response_key
from actprobe.analyses.causal.tuning.statistics import curves, layer_share, permuted, share_of
from actprobe.batch.shards import ShardStore
from actprobe.corpora import Recording
from actprobe.statistics.criteria import Q_LIMIT

Floats = NDArray[np.float64]

NEURON_COLUMNS = (
    "layer", "neuron", "factor", "n", "preferred", "selectivity", "monotonicity", "r2", "p", "q", "random",
    "share", "deviation", "deviation_random",
)  # fmt: skip
CURVE_COLUMNS = ("layer", "neuron", "factor", "dose", "mean", "low", "high", "random")
LAYER_COLUMNS = (
    "layer", "factor", "share", "low", "high", "random", "n", "neurons", "constant", "tuned", "above_random",
    "null_95", "p",
)  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """tuning.csv, tuning_curves.parquet and tuning_layers.csv."""

    neurons: pd.DataFrame
    curves: pd.DataFrame
    layers: pd.DataFrame


def responses_of(
    store: ShardStore, recordings: Sequence[Recording], factor: str, layers: Sequence[str], networks: int
) -> dict[str, list[Floats]]:
    """Read what was kept of a factor.

    Gives layer -> float64 [variants, doses, neurons] for the network and each control; empty where no
    recording has the factor.
    """
    found: dict[str, list[list[Floats]]] = {layer: [[] for _ in range(networks)] for layer in layers}
    for recording in recordings:
        arrays = store.needed(recording).arrays
        for layer, kept in found.items():
            for number, responses in enumerate(kept):
                if (key := response_key(factor, number, layer)) in arrays:
                    responses.append(arrays[key])
    return {layer: [np.stack(each) for each in kept] for layer, kept in found.items() if kept[0]}


def tuning_tables(
    found: Mapping[Factor, Mapping[str, Sequence[Floats]]],
    doses: Mapping[Factor, Doses],
    layers: Sequence[str],
    *,
    permutations: int,
    seed: int,
) -> Tables:
    """Describe the tuning of all neurons; ``found``: factor -> what `responses_of` gives."""
    parts = [
        _of_layer(layer, factor, doses[factor], found[factor][layer], permutations, seed)
        for layer in layers
        for factor in found
        if layer in found[factor]
    ]
    return Tables(
        pd.concat([part.neurons for part in parts], ignore_index=True),
        pd.concat([part.curves for part in parts], ignore_index=True),
        pd.concat([part.layers for part in parts], ignore_index=True),
    )


def _of_layer(
    layer: str, factor: Factor, doses: Doses, responses: Sequence[Floats], permutations: int, seed: int
) -> Tables:
    own, controls = responses[0], responses[1:]
    count, _, neurons = own.shape
    tuned = curves(own, factor, doses, seed=seed)
    best, null = permuted(own, permutations=permutations, seed=seed)
    share = layer_share(own, null, seed=seed)
    random = [curves(control, factor, doses, seed=seed) for control in controls]
    q = best.q(tuned.r2)
    r2_random = _median([each.r2 for each in random], neurons)
    of_neurons = pd.DataFrame(
        {
            "layer": layer, "neuron": np.arange(neurons), "factor": factor.name, "n": count,
            "preferred": tuned.preferred, "selectivity": tuned.selectivity,
            "monotonicity": tuned.monotonicity, "r2": tuned.r2, "p": best.p(tuned.r2), "q": q,
            "random": r2_random, "share": tuned.share, "deviation": tuned.deviation,
            "deviation_random": _median([each.deviation for each in random], neurons),
        }
    )  # fmt: skip
    of_curves = pd.DataFrame(
        {
            "layer": layer, "neuron": np.repeat(np.arange(neurons), len(doses)), "factor": factor.name,
            "dose": np.tile(doses, neurons), "mean": tuned.mean.T.ravel(), "low": tuned.low.T.ravel(),
            "high": tuned.high.T.ravel(),
            "random": _median([each.mean.T.ravel() for each in random], neurons * len(doses)),
        }
    )  # fmt: skip
    shares = [share_of(control) for control in controls]
    of_layer = pd.DataFrame(
        {
            "layer": [layer], "factor": factor.name, "share": share.share, "low": share.low,
            "high": share.high, "random": float(_median([np.array([each]) for each in shares], 1)[0]),
            "n": count, "neurons": neurons, "constant": int(np.isnan(tuned.deviation).sum()),
            "tuned": int(is_tuned(of_neurons).sum()),
            "above_random": int(is_above_random(of_neurons).sum()) if controls else None,
            "null_95": share.null_95, "p": share.p,
        }
    )  # fmt: skip
    return Tables(of_neurons, of_curves, of_layer)


def is_tuned(neurons: pd.DataFrame) -> pd.Series:
    """Say which rows of tuning.csv are tuned: q at most 0.05."""
    return neurons["q"] <= Q_LIMIT


def is_above_random(neurons: pd.DataFrame) -> pd.Series:
    """Say which rows of tuning.csv are tuned, and more so than with random weights."""
    return is_tuned(neurons) & (neurons["r2"] > neurons["random"])


def _median(values: Sequence[Floats], size: int) -> Floats:
    """Median over the controls that have a value, [size]; NaN where none has."""
    if not values:
        return np.full(size, np.nan)
    stacked = np.stack(values)
    found = np.full(size, np.nan)
    known = np.isfinite(stacked).any(axis=0)
    found[known] = np.nanmedian(stacked[:, known], axis=0)
    return found
