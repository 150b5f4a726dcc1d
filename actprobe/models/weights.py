"""The weights of a network: which they are, how they are set and hashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend

ASSIGNED_AT_ONCE = 1 << 22  # bytes


@dataclass(frozen=True)
class WeightsRecord:
    """Which weights a model holds.

    Parameters
    ----------
    kind : str
        ``original`` (published by the network's authors), ``open`` (trained by this project), ``seeded
        random``, ``unverified``, ``user model`` for those of a model that `actprobe.wrap_model` opened, or
        ``stored activations``.
    path : str
        The file, or the folder of stored activations; empty for random weights.
    sha256 : str
        Hash of the file, of the network and weights of a user's own model, or of the list of files of stored
        activations; empty for random weights.
    seed : int or None
        Seed of random weights.
    catalog_name : str
        Entry of the catalog whose hash the file has; empty if none.
    licence : str
        Licence of the file as the catalog states it; empty if unknown.
    """

    kind: str
    path: str = ""
    sha256: str = ""
    seed: int | None = None
    catalog_name: str = ""
    licence: str = ""

    def __str__(self) -> str:
        """Describe them in one line."""
        match self.kind:
            case "original" | "open":
                return f"{self.kind} weights ({self.catalog_name})"
            case "seeded random":
                return f"seeded random weights (seed {self.seed})"
            case "user model":
                return f"weights of a user's own model (sha256 {self.sha256[:12]})"
            case "stored activations":
                return f"stored activations ({self.path})"
            case _:
                return f"UNVERIFIED weights ({self.path}, sha256 {self.sha256[:12]})"


def set_weights(keras_model: Any, by_layer: Mapping[str, Sequence[NDArray[np.float32]]]) -> None:
    """Set the weights of a freshly built network, every layer exactly once.

    `by_layer` maps layer names to arrays in the order of ``layer.set_weights``.
    """
    wanting = {layer.name for layer in keras_model.layers if layer.weights}
    if wanting != set(by_layer):
        raise ValueError(f"weights for {sorted(by_layer)} do not fit layers {sorted(wanting)}")
    for name, arrays in by_layer.items():
        assign(keras_model.get_layer(name), arrays)


def hash_weights(keras_model: Any, digest: Any) -> None:
    """Update a hash with shapes, types and values of all weights of a network."""
    for weight in keras_model.weights:
        values = np.ascontiguousarray(backend.tf.convert_to_tensor(weight).numpy())
        digest.update(f"{values.shape} {values.dtype}\n".encode())
        digest.update(values.data)


def assign(layer: Any, arrays: Sequence[NDArray[np.float32]]) -> None:
    """Set a layer's weights in place, some rows at a time; ``layer.set_weights`` copies them twice."""
    for variable, array in zip(layer.weights, arrays, strict=True):
        if variable.shape != array.shape:
            raise ValueError(f"{variable.name} has shape {variable.shape}, not {array.shape}")
        rows = max(1, ASSIGNED_AT_ONCE // array[:1].nbytes)
        for start in range(0, len(array), rows):
            part = array[start : start + rows]
            backend.tf.raw_ops.ResourceStridedSliceAssign(
                ref=variable.handle, begin=[start], end=[start + len(part)], strides=[1], value=part
            )
