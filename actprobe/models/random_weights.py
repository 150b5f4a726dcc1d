"""Seeded random weights: the control of every analysis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.models.weights import assign
from actprobe.weights import seeded_kernel


def seed_weights(keras_model: Any, seed: int) -> None:
    """Set seeded random kernels; biases stay zero and normalisations neutral.

    The same seed gives the same weights on every version of TensorFlow.
    """
    for layer in keras_model.layers:
        if hasattr(layer, "kernel"):
            kernel = seeded_kernel(layer.name, tuple(layer.kernel.shape), seed)
            assign(layer, [kernel, *(np.zeros(w.shape, np.float32) for w in layer.weights[1:])])


class LentWeights:
    """Seeded random weights that a user's own network holds for the time it computes with them.

    A network with layers of the user's own cannot be built again, so that its control is the network
    itself.
    """

    def __init__(self, keras_model: Any, seed: int) -> None:
        self._variables = [weight for weight in keras_model.weights if weight.dtype.is_floating]
        self._random = [_seeded(weight, i, seed) for i, weight in enumerate(self._variables)]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Put them in place, and the network's own back at the end."""
        own = [weight.numpy() for weight in self._variables]
        try:
            self._assign(self._random)
            yield
        finally:
            self._assign(own)

    def _assign(self, arrays: Sequence[NDArray[Any]]) -> None:
        for weight, array in zip(self._variables, arrays, strict=True):
            weight.assign(array)


def _seeded(weight: Any, index: int, seed: int) -> NDArray[np.float32]:
    """Give a variable what `seed_weights` gives its like: random kernels, no bias, neutral normalisation."""
    shape = tuple(weight.shape)
    if len(shape) >= 2:
        return seeded_kernel(f"{index}", shape, seed)
    neutral = any(word in weight.name for word in ("gamma", "variance"))
    return np.full(shape, float(neutral), np.float32)
