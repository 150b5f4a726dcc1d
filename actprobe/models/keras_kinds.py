"""Keras classes by what their outputs depend on; classes derived from them are unknown.

A layer is one of tf-keras, or one that stands for a layer of Keras 3 (`actprobe.models.adapters.keras3`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actprobe import backend

# The output at each position comes of that position alone, or of the channels there.
BY_POSITION = (
    "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dense", "Dropout", "ELU",
    "GaussianDropout", "GaussianNoise", "LeakyReLU", "Normalization", "PReLU", "ReLU", "Rescaling", "Softmax",
    "SpatialDropout1D", "SpatialDropout2D", "ThresholdedReLU",
)  # fmt: skip
CONVOLUTIONS = (
    "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"
)  # fmt: skip
POOLINGS = ("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D")
GLOBAL_POOLINGS = (
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D"
)  # fmt: skip
MERGES = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")
PADDINGS = ("ZeroPadding1D", "ZeroPadding2D")
CROPPINGS = ("Cropping1D", "Cropping2D")


RECURRENT = ("RNN", "Bidirectional")


def original(layer: Any) -> Any:
    """Give the layer of Keras 3 that a layer stands for; any other layer itself."""
    return getattr(layer, "stands_for", layer)


def is_one_of(layer: Any, names: Sequence[str]) -> bool:
    """Whether a layer is of one of these very classes of Keras, not of one derived from them."""
    return type(original(layer)) in _classes(layer, names)


def is_kind_of(layer: Any, names: Sequence[str]) -> bool:
    """Whether a layer is of one of these classes of Keras or of one derived from them."""
    return isinstance(original(layer), _classes(layer, names))


def of_keras3(thing: Any) -> bool:
    """Whether a layer or model is one of Keras 3; imports nothing."""
    return any(each.__module__.startswith("keras.src.") for each in type(thing).__mro__)


def _classes(layer: Any, names: Sequence[str]) -> tuple[type, ...]:
    layers = (backend.keras3 if of_keras3(original(layer)) else backend.keras).layers
    return tuple(getattr(layers, name) for name in names if hasattr(layers, name))


def each(sizes: Any) -> tuple[int, ...]:
    """Give the sizes of a window, one for each axis."""
    return tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,)


def pairs(amounts: Any) -> tuple[tuple[int, int], ...]:
    """Give what is added or cut off before and behind each axis."""
    return (tuple(amounts),) if isinstance(amounts[0], int) else tuple(map(tuple, amounts))
