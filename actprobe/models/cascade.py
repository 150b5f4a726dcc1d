"""Cascading randomisation: a network whose layers have random weights from the output down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.models.keras_model import KerasModel
from actprobe.models.model import Model
from actprobe.models.target import Target
from actprobe.models.weights import WeightsRecord


class Cascade:
    """A network in which the last `depth` layers before a target hold seeded random weights.

    The weights are those of `Model.with_random_weights`; the network holds them for the time it computes.

    - `model`: the network, of as many random layers as `depth` is at the moment; 0 is the network itself.
    - `layers`: names of the layers with weights, from the target down.

    UsageError: TensorFlow does not compute the network.
    """

    def __init__(self, model: Model, target: Target, seed: int) -> None:
        if not model.has_gradients:
            raise UsageError(f"{model.name} is {model.what}: its layers cannot be randomised one by one")
        keras_model = model.keras_model
        control = model.with_random_weights(seed)
        with control.computing():
            random = [weight.numpy() for weight in control.keras_model.weights]
        arrays = {id(weight): array for weight, array in zip(keras_model.weights, random, strict=True)}
        part = backend.keras.Model(keras_model.input, keras_model.output[model.layers[target.layer].tensor])
        self._groups: list[list[tuple[Any, NDArray[Any]]]] = []
        self.layers: list[str] = []
        for name, weights in _layers_before(part, target, model.frontend.example_shape):
            self.layers.append(name)
            self._groups.append([(weight, arrays[id(weight)]) for weight in weights])
        self.depth = 0
        record = WeightsRecord("seeded random", seed=seed)
        self.model = KerasModel(model.network, keras_model, model.frontend, record, self._lent)

    @contextmanager
    def _lent(self) -> Iterator[None]:
        chosen = [pair for group in self._groups[: self.depth] for pair in group]
        own = [weight.numpy() for weight, _ in chosen]
        try:
            for weight, array in chosen:
                weight.assign(array)
            yield
        finally:
            for (weight, _), array in zip(chosen, own, strict=True):
                weight.assign(array)


def _layers_before(part: Any, target: Target, example_shape: tuple[int, int]) -> list[tuple[str, list[Any]]]:
    """List the layers whose weights the target depends on, with these weights, from the target down."""
    tf, keras = backend.tf, backend.keras
    groups: list[tuple[str, list[Any]]] = []
    taken: set[int] = set()
    for layer in part._flatten_layers(include_self=False):
        found = [] if isinstance(layer, keras.Model) else [
            weight for weight in layer.weights if weight.dtype.is_floating and id(weight) not in taken
        ]  # fmt: skip
        taken.update(map(id, found))
        if found:
            groups.append((layer.name, found))
    with tf.GradientTape() as tape:
        tape.watch([weight for _, weights in groups for weight in weights])
        value = target.of(part(np.zeros((1, *example_shape), np.float32), training=False))
    gradients = tape.gradient(value, [weights for _, weights in groups])
    return [
        group
        for group, found in zip(reversed(groups), reversed(gradients), strict=True)
        if any(each is not None for each in found)
    ]
