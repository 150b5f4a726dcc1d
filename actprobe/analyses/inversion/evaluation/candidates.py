"""What is evaluated: inverters, inversion by optimisation, and baselines; those that compute are timed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.inversion.evaluation.baselines import BASELINES, baseline
from actprobe.analyses.inversion.evaluation.excerpts import SampledExcerpts
from actprobe.analyses.inversion.evaluation.scores import Inversion
from actprobe.analyses.inversion.evaluation.settings import EvaluationSettings
from actprobe.analyses.inversion.inverting.gradient import GradientInverter, GradientSettings
from actprobe.analyses.inversion.networks.inverter import Inverter
from actprobe.analyses.inversion.networks.sources import Source, invertible_layers
from actprobe.models import Model
from actprobe.models.weights import hash_weights
from actprobe.provenance import digest

Floats = NDArray[np.float32]
Invert = Callable[..., Floats]

GRADIENT, ORACLE = "gradient", "oracle"
OPTIMISED = (GRADIENT, ORACLE)  # methods that need no inverter


class Clock:
    """How long inversions take."""

    def __init__(self) -> None:
        self._calls: dict[str, list[tuple[int, float]]] = {}

    def timed(self, method: str, layer: str, invert: Invert) -> Invert:
        """Make a function that does the same and is timed."""
        calls = self._calls.setdefault(f"{method} {layer}", [])

        def call(features: NDArray[Any], *rows: NDArray[np.int64]) -> Floats:
            began = perf_counter()
            inverted = invert(features, *rows)
            calls.append((len(features), perf_counter() - began))
            return inverted

        return call

    def seconds(self) -> dict[str, float]:
        """Seconds for each excerpt in this run; the first call, which traces, counts only if alone."""
        found = {}
        for name, calls in self._calls.items():
            counted = calls[1:] or calls
            if counted:
                found[name] = sum(took for _, took in counted) / sum(count for count, _ in counted)
        return found


def candidates(
    model: Model,
    sampled: SampledExcerpts,
    inverters: Sequence[tuple[Source, Inverter]],
    settings: EvaluationSettings,
    clock: Clock,
) -> list[Inversion]:
    """List inverters and inversions by optimisation."""
    found = []
    for source, inverter in inverters:
        told = f"{source.method} {source.training}" if source.training > 1 else source.method
        timed = clock.timed(told, inverter.layer, inverter)
        found.append(
            Inversion(source.method, inverter.layer, timed, _identity(inverter), training=source.training)
        )
    layers = list(dict.fromkeys(each.layer for each in found)) or invertible_layers(model)
    for method, chosen in ((GRADIENT, settings.gradient_layers), (ORACLE, settings.oracle_layers)):
        if chosen is not None:
            found += _optimised(method, model, sampled, chosen or layers, settings, clock)
    return found


def baselines(sampled: SampledExcerpts) -> list[Inversion]:
    """List the inversions that know nothing of the network."""
    mean = _mean(sampled.excerpts)
    return [Inversion(name, "", partial(baseline, name, mean_excerpt=mean), name) for name in BASELINES]


def _identity(inverter: Inverter) -> str:
    found = hashlib.sha256(repr(inverter.plan).encode())
    hash_weights(inverter.keras_model, found)
    return found.hexdigest()


def _optimised(
    method: str,
    model: Model,
    sampled: SampledExcerpts,
    layers: Sequence[str],
    settings: EvaluationSettings,
    clock: Clock,
) -> list[Inversion]:
    """Inversion by optimisation, on the first excerpts of each recording's first draw."""
    first = sampled.draws[0]
    rows = np.zeros(len(sampled.excerpts), np.bool_)
    for owner in np.unique(sampled.owners[first]):
        rows[first[sampled.owners[first] == owner][: settings.gradient_excerpts]] = True
    search = GradientSettings(steps=settings.gradient_steps, seed=settings.seed)
    found = []
    for layer in [each.name for each in model.layers.select(layers)]:
        inverter = GradientInverter(model, layer, search)
        informed = method == ORACLE
        invert: Invert = partial(from_mean_spectrum, inverter, sampled.excerpts) if informed else inverter
        timed = clock.timed(method, layer, invert)
        found.append(Inversion(method, layer, timed, digest(asdict(search)), rows, by_position=informed))
    return found


def from_mean_spectrum(
    inverter: GradientInverter, excerpts: Floats, features: NDArray[Any], rows: NDArray[np.int64]
) -> Floats:
    """Invert features by an optimisation that starts at the mean spectrum of their own excerpts.

    ``features`` [batch, ...] are those of the ``excerpts`` [excerpts, time, mel] at ``rows``. It knows more
    than an inverter may. Where it ends farther from the excerpt than it starts, other mel spectrograms have
    these features, too.
    """
    own = np.asarray(excerpts[rows], np.float32)
    return inverter.search(features, np.broadcast_to(own.mean(axis=1, keepdims=True), own.shape))[0]


def _mean(excerpts: Floats) -> Floats:
    """Mean over all excerpts, some at a time."""
    total = np.zeros(excerpts.shape[1:])
    for start in range(0, len(excerpts), 256):
        total += excerpts[start : start + 256].sum(axis=0, dtype=np.float64)
    return np.asarray(total / len(excerpts), np.float32)
