"""Dense evaluation of each kind of Keras layer: where its outputs lie, and how they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from actprobe import backend
from actprobe.models import dense_rows
from actprobe.models.dense_places import Compute, Place, Refused, Shared, Single, on_singles, shared
from actprobe.models.dense_rows import Rows, by_part
from actprobe.models.dense_windows import cut, global_pooling, put_around, windowed
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


def merged(
    layer: Any, places: Sequence[Place], shapes: Sequence[Sequence[int]], call: Compute
) -> tuple[Place, Compute]:
    """Follow what takes several tensors, none of them flat; `shapes` are those that the network has."""
    rows = [place for place in places if isinstance(place, Shared)]
    rank, time = len(rows[0].shape), rows[0].shape[0]
    if any(len(shape) != rank or shape[0] != time for shape in shapes) and len(rows) < len(places):
        return Refused(f"{layer.name} mixes a map with a vector of the whole excerpt"), call
    if len(rows) < len(places):
        return Single(), on_singles(places, call)
    first = rows[0]
    alike = {(place.stride, place.shape[0], len(place.shape), place.natural) for place in rows}
    if alike != {(first.stride, time, rank, True)}:
        return Refused(f"{layer.name} joins maps whose frames differ"), call
    if is_one_of(layer, ("Concatenate",)) and layer.axis % (rank + 1) in (0, 1):
        return Refused(f"{layer.name} joins along time"), call
    if is_one_of(layer, MERGES):
        shape = layer.compute_output_shape([(None, *place.shape) for place in rows])[1:]
    elif _operation(layer) in _OPERATIONS:
        shape = np.broadcast_shapes(*(place.shape for place in rows))
    else:
        return Refused(_unknown(layer)), call
    before, behind = (max(place.edges[end] for place in rows) for end in (0, 1))
    if before + behind >= time:
        return Single(), on_singles(places, call)
    join = by_part(call)
    return shared(first.stride, shape, (before, behind)), lambda *maps: join(
        *(dense_rows.widened(each, time, (before, behind)) for each in maps)
    )


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
        return place, by_part(call)
    if place.flat:
        if is_one_of(layer, ("Dense",)) and not any(place.edges):
            return Single(), _dense(layer, place, linear=linear)
        return Single(), on_singles([place], call)
    if not place.natural:
        return Refused(f"{layer.name} works on permuted axes"), call
    if _operation(layer):
        return _followed_operation(layer, place, arguments), by_part(call)
    if is_one_of(layer, (*BY_POSITION, "LayerNormalization")):
        rank = len(place.shape) + 1
        reason = _along_time(layer, rank)
        if (
            any(place.edges)
            and is_one_of(layer, ("BatchNormalization",))
            and _axes(layer, rank) == [rank - 1]
        ):
            call = _normalisation(layer)
        return (Refused(f"{layer.name} {reason}") if reason else _like(layer, place)), by_part(call)
    if is_one_of(layer, (*CONVOLUTIONS, *POOLINGS)):
        return windowed(layer, place, call, linear=linear)
    if is_one_of(layer, GLOBAL_POOLINGS):
        return Single(), global_pooling(layer, place)
    if is_one_of(layer, PADDINGS):
        return put_around(layer, place)
    if is_one_of(layer, CROPPINGS):
        return cut(layer, place, call)
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


def _like(layer: Any, place: Shared) -> Shared:
    return shared(place.stride, layer.compute_output_shape((None, *place.shape))[1:], place.edges)


def _along_time(layer: Any, rank: int) -> str:
    """Say what a layer that acts by position has for every frame; empty if nothing."""
    if is_one_of(layer, ("PReLU",)):
        return "" if 1 in (layer.shared_axes or ()) else "has weights for every frame"
    if 1 in _axes(layer, rank):
        return "acts along time" if is_one_of(layer, ("Softmax",)) else "normalises along time"
    if is_one_of(layer, ("Rescaling",)) and max(np.ndim(layer.scale), np.ndim(layer.offset)) > rank - 2:
        return "has weights for every frame"
    return ""


def _axes(layer: Any, rank: int) -> list[int]:
    axis = getattr(layer, "axis", -1)
    return [one % rank for one in each(axis if axis is not None else ()) or ()]


def _normalises_channels(layer: Any, rank: int) -> bool:
    return is_one_of(layer, ("BatchNormalization",)) and _axes(layer, rank) == [rank - 1]


def _normalisation(layer: Any) -> Compute:
    """Normalise channels by a product and a sum: twice as fast for many rows of edges as in one kernel."""

    def compute(tensor: Any) -> Any:
        weights = (layer.moving_mean, layer.moving_variance, layer.beta, layer.gamma)
        mean, variance, beta, gamma = (
            None if each is None else backend.tf.convert_to_tensor(each) for each in weights
        )
        return backend.tf.nn.batch_normalization(tensor, mean, variance, beta, gamma, layer.epsilon)

    return compute


def _followed_operation(layer: Any, place: Shared, arguments: dict[str, Any]) -> Place:
    if _operation(layer) == "expand_dims":
        axis = arguments.get("axis")
        rank = len(place.shape) + 2
        if isinstance(axis, int) and axis % rank > 1:
            shape = list(place.shape)
            shape.insert(axis % rank - 1, 1)
            return shared(place.stride, shape, place.edges)
    elif _operation(layer) in _OPERATIONS and all(np.ndim(value) == 0 for value in arguments.values()):
        return place
    return Refused(_unknown(layer))


def _dense(layer: Any, place: Shared, *, linear: bool) -> Compute:
    def compute(rows: Rows) -> Any:
        found = dense_rows.dense(rows.shared, place.shape, place.order, layer)
        found = dense_rows.of_excerpts(found, rows.starts)
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
        transpose = by_part(lambda tensor: backend.tf.transpose(tensor, axes))
        return shared(place.stride, shape, place.edges), transpose
    given = (int(np.prod(place.shape)),) if place.flat else tuple(place.shape[axis] for axis in place.order)
    shape = tuple(layer.compute_output_shape((None, *given)))[1:]
    if len(shape) == 1:
        return replace(place, flat=True), nothing
    if place.natural and shape[0] == place.shape[0]:
        rest = shape[1:]

        def reshape(tensor: Any) -> Any:
            phases, count = tensor.shape[:2]
            return backend.tf.reshape(tensor, (-1 if phases is None else phases, count or -1, *rest))

        return shared(place.stride, shape, place.edges), by_part(reshape)
    return Refused(f"{layer.name} reshapes time"), nothing
