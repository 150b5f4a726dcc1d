"""Dense evaluation of each kind of Keras layer: where its outputs lie, and how they are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from actprobe import backend
from actprobe.models import dense_rows
from actprobe.models.keras_kinds import (
    BY_POSITION,
    CONVOLUTIONS,
    CROPPINGS,
    GLOBAL_POOLINGS,
    MERGES,
    PADDINGS,
    POOLINGS,
    RECURRENT,
    each,
    is_kind_of,
    is_one_of,
    pairs,
)

# The output at each position comes of that position alone, whatever the axes mean.
_ELEMENTWISE = ("ActivityRegularization", "Dropout", "ELU", "GaussianDropout", "GaussianNoise", "LeakyReLU",
                "ReLU", "ThresholdedReLU")  # fmt: skip
# TensorFlow's own operations of which the same is true.
_OPERATIONS = (
    "__operators__.add", "cast", "clip_by_value", "identity", "math.abs", "math.add", "math.divide",
    "math.exp", "math.log", "math.maximum", "math.minimum", "math.multiply", "math.negative", "math.pow",
    "math.sigmoid", "math.softplus", "math.sqrt", "math.square", "math.subtract", "math.tanh",
    "math.truediv", "nn.elu", "nn.leaky_relu", "nn.relu", "nn.relu6", "nn.selu", "nn.sigmoid", "nn.silu",
    "nn.softplus", "nn.tanh",
)  # fmt: skip


@dataclass(frozen=True)
class Shared:
    """A tensor [phase, row, ...] of rows that excerpts share, see `actprobe.models.dense_rows`.

    `stride` is the frames between neighbouring rows of an excerpt, and so the number of phases. `shape` is
    the (time, ...) of an excerpt, `order` the order in which the network has these axes here, and `flat`
    whether it has them as one vector.
    """

    stride: int
    shape: tuple[int, ...]
    order: tuple[int, ...]
    flat: bool = False

    @property
    def natural(self) -> bool:
        """Whether the network has the axes as they lie."""
        return not self.flat and self.order == tuple(range(len(self.shape)))


@dataclass(frozen=True)
class Single:
    """A tensor [excerpt, ...] in which each excerpt has values of its own."""


@dataclass(frozen=True)
class Refused:
    """What cannot be computed densely, and why."""

    reason: str


Place: TypeAlias = Shared | Single | Refused
Compute: TypeAlias = Callable[..., Any]


def shared(stride: int, shape: Sequence[int]) -> Shared:
    """Rows whose axes the network has as they lie."""
    return Shared(stride, tuple(shape), tuple(range(len(shape))))


def as_singles(place: Shared) -> Compute:
    """Make what lays shared rows out for every excerpt, in the shape that the network has."""

    def compute(tensor: Any) -> Any:
        tf = backend.tf
        found = dense_rows.excerpts(tensor, place.shape[0])
        found = tf.transpose(found, (0, *(axis + 1 for axis in place.order)))
        return tf.reshape(found, (-1, int(np.prod(place.shape)))) if place.flat else found

    return compute


def merged(layer: Any, places: Sequence[Place], call: Compute) -> tuple[Place, Compute]:
    """Follow what takes several tensors, none of them flat."""
    first = places[0]
    rows = [place for place in places if isinstance(place, Shared)]
    if len(rows) < len(places):
        return Refused(f"{layer.name} mixes a map with a vector of the whole excerpt"), call
    assert isinstance(first, Shared)
    rank = len(first.shape)
    alike = {(place.stride, place.shape[0], len(place.shape), place.natural) for place in rows}
    if alike != {(first.stride, first.shape[0], rank, True)}:
        return Refused(f"{layer.name} joins maps whose frames differ"), call
    if is_one_of(layer, ("Concatenate",)) and layer.axis % (rank + 1) in (0, 1):
        return Refused(f"{layer.name} joins along time"), call
    if is_one_of(layer, MERGES):
        shape = layer.compute_output_shape([(None, *place.shape) for place in rows])[1:]
    elif _operation(layer) in _OPERATIONS:
        shape = np.broadcast_shapes(*(place.shape for place in rows))
    else:
        return Refused(_unknown(layer)), call
    return shared(first.stride, shape), call


def followed(
    layer: Any, place: Shared, call: Compute, arguments: dict[str, Any], *, linear: bool
) -> tuple[Place, Compute]:
    """Follow a layer that takes one tensor of shared rows: where its output lies, and what computes it.

    `call` calls the layer on a tensor, without its activation if `linear`; `arguments` are what else the
    layer is called with, by name.
    """
    if is_one_of(layer, ("Permute", "Flatten", "Reshape")):
        return _turned(layer, place)
    if is_one_of(layer, _ELEMENTWISE):
        return place, call
    if place.flat:
        if is_one_of(layer, ("Dense",)):
            return Single(), _dense(layer, place, linear=linear)
        lay_out = as_singles(place)
        return Single(), lambda tensor: call(lay_out(tensor))
    if not place.natural:
        return Refused(f"{layer.name} works on permuted axes"), call
    if _operation(layer):
        return _followed_operation(layer, place, arguments), call
    if is_one_of(layer, (*BY_POSITION, "LayerNormalization")):
        reason = _along_time(layer, len(place.shape) + 1)
        return (Refused(f"{layer.name} {reason}") if reason else _like(layer, place)), call
    if is_one_of(layer, (*CONVOLUTIONS, *POOLINGS)):
        return _windowed(layer, place, call)
    if is_one_of(layer, GLOBAL_POOLINGS):
        return Single(), _global_pooling(layer, place)
    if is_one_of(layer, PADDINGS):
        pads = any(pairs(layer.padding)[0])
        return (Refused(f"{layer.name} pads in time") if pads else _like(layer, place)), call
    if is_one_of(layer, CROPPINGS):
        return _like(layer, place), call
    if is_kind_of(layer, RECURRENT):
        return Refused(f"{layer.name} is recurrent"), call
    return Refused(_unknown(layer)), call


def _unknown(layer: Any) -> str:
    kind = _operation(layer) or type(layer).__name__
    return f"{layer.name} ({kind}) may mix frames"


def _operation(layer: Any) -> str:
    """Name the TensorFlow operation that a layer stands for; empty for other layers."""
    named = type(layer).__name__ == "TFOpLambda"
    return str(layer.symbol or layer.name) if named else ""


def _like(layer: Any, place: Shared, factor: int = 1) -> Shared:
    shape = tuple(layer.compute_output_shape((None, *place.shape)))[1:]
    return shared(place.stride * factor, shape)


def _along_time(layer: Any, rank: int) -> str:
    """Say what a layer that acts by position has for every frame; empty if nothing."""
    if is_one_of(layer, ("PReLU",)):
        return "" if 1 in (layer.shared_axes or ()) else "has weights for every frame"
    axis = getattr(layer, "axis", -1)
    axes = [one % rank for one in each(axis if axis is not None else ()) or ()]
    if 1 in axes:
        return "acts along time" if is_one_of(layer, ("Softmax",)) else "normalises along time"
    if is_one_of(layer, ("Rescaling",)) and max(np.ndim(layer.scale), np.ndim(layer.offset)) > rank - 2:
        return "has weights for every frame"
    return ""


def _followed_operation(layer: Any, place: Shared, arguments: dict[str, Any]) -> Place:
    if _operation(layer) == "expand_dims":
        axis = arguments.get("axis")
        rank = len(place.shape) + 2
        if isinstance(axis, int) and axis % rank > 1:
            shape = list(place.shape)
            shape.insert(axis % rank - 1, 1)
            return shared(place.stride, shape)
    elif _operation(layer) in _OPERATIONS and all(np.ndim(value) == 0 for value in arguments.values()):
        return place
    return Refused(_unknown(layer))


def _windowed(layer: Any, place: Shared, call: Compute) -> tuple[Place, Compute]:
    """Follow a convolution or pooling."""
    pooling = is_one_of(layer, POOLINGS)
    lengths, steps = each(layer.pool_size if pooling else layer.kernel_size), each(layer.strides)
    dilation = 1 if pooling else each(layer.dilation_rate)[0]
    reach, step = (lengths[0] - 1) * dilation + 1, steps[0]
    time = place.shape[0]
    padded = {"same": max((-(-time // step) - 1) * step + reach - time, 0), "causal": reach - 1}
    if padded.get(layer.padding, 0):
        return Refused(f"{layer.name} pads in time"), call
    found = _like(layer, place, step)
    if pooling and found.shape[0] == 1 and layer.padding == "valid":  # a step that nobody takes
        kind = "MAX" if "Max" in type(layer).__name__ else "AVG"
        strides = (1, *steps[1:])

        def pool(tensor: Any) -> Any:
            seen = tensor[:, : backend.tf.shape(tensor)[1] - (time - reach)]
            return backend.tf.nn.pool(seen, lengths, kind, strides=strides, padding="VALID")

        return replace(found, stride=place.stride), pool
    return found, lambda tensor: dense_rows.every_shift(call, tensor, reach, step)


def _global_pooling(layer: Any, place: Shared) -> Compute:
    greatest = is_one_of(layer, ("GlobalMaxPooling1D", "GlobalMaxPooling2D"))

    def compute(tensor: Any) -> Any:
        tf = backend.tf
        if len(place.shape) == 3:
            tensor = (tf.reduce_max if greatest else tf.reduce_mean)(tensor, 2)
        found = dense_rows.stitched(dense_rows.pooled(tensor, place.shape[0], "MAX" if greatest else "AVG"))
        ones = (1,) * (len(place.shape) - 1)
        return tf.reshape(found, (-1, *ones, place.shape[-1])) if layer.keepdims else found

    return compute


def _dense(layer: Any, place: Shared, *, linear: bool) -> Compute:
    def compute(tensor: Any) -> Any:
        found = dense_rows.dense(tensor, place.shape, place.order, layer)
        return found if linear or layer.activation is None else layer.activation(found)

    return compute


def _turned(layer: Any, place: Shared) -> tuple[Place, Compute]:
    """Follow what only lays values out anew."""

    def nothing(tensor: Any) -> Any:
        return tensor

    if is_one_of(layer, ("Permute",)) and not place.flat:
        order = tuple(place.order[axis - 1] for axis in layer.dims)
        if order[0] != 0:
            return replace(place, order=order), nothing
        shape = tuple(place.shape[axis] for axis in order)
        axes = (0, *(axis + 1 for axis in order))
        return shared(place.stride, shape), lambda tensor: backend.tf.transpose(tensor, axes)
    given = (int(np.prod(place.shape)),) if place.flat else tuple(place.shape[axis] for axis in place.order)
    shape = tuple(layer.compute_output_shape((None, *given)))[1:]
    if len(shape) == 1:
        return replace(place, flat=True), nothing
    if place.natural and shape[0] == place.shape[0]:
        rest = shape[1:]
        return shared(place.stride, shape), lambda tensor: backend.tf.reshape(
            tensor, (tensor.shape[0], -1, *rest)
        )
    return Refused(f"{layer.name} reshapes time"), nothing
