"""What inverts each layer: trained inverters, or inversion by optimisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.inversion.inverting.gradient import GradientInverter, GradientSettings
from actprobe.analyses.inversion.networks.sources import (
    InverterSources,
    find_sources,
    invertible_layers,
    open_sources,
    recorded,
)
from actprobe.errors import UsageError
from actprobe.models import Model

METHODS = ("inverter", "gradient")

Invert = Callable[[NDArray[Any]], NDArray[np.float32]]


def open_methods(
    model: Model,
    method: str,
    inverters: InverterSources,
    layers: Sequence[str] | None,
    *,
    steps: int = 300,
    seed: int = 0,
) -> tuple[dict[str, Invert], list[dict[str, Any]]]:
    """Open what inverts each layer, by layer in the order of the network, and describe it for run.json.

    ``method`` is one of `METHODS`; ``inverters``, see `find_sources`, are of one method in tables. No
    ``layers`` means all that have an inverter, or all `invertible_layers`; ``steps`` and ``seed`` are of
    ``gradient``. A UsageError where a layer or its inverter is missing, or for inverters of several methods.
    """
    if method == "gradient":
        named = invertible_layers(model) if layers is None else list(layers)
        settings = GradientSettings(steps=steps, seed=seed)
        chosen = [layer.name for layer in model.layers.select(named)]
        described = [{"method": method, "layer": layer, **asdict(settings)} for layer in chosen]
        return {layer: GradientInverter(model, layer, settings) for layer in chosen}, described
    sources = find_sources(model, inverters)
    methods = list(dict.fromkeys(source.method for source in sources))
    if len(methods) > 1:
        raise UsageError(f"inverters of {', '.join(methods)}: one method at a time")
    opened = open_sources(model, sources, layers)
    by_layer: dict[str, Invert] = {inverter.layer: inverter for _, inverter in opened}
    return by_layer, [recorded(source, inverter) for source, inverter in opened]
