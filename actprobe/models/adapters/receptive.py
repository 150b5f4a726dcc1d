"""What the layers of a Keras model see: from the geometry of a layer's input to that of its output.

Followed through convolutions, poolings, paddings, what acts on every position by itself, and merges of
branches. Behind anything else, such as a permutation or a recurrent layer, positions of a map are no
longer known, and None stands for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from actprobe import backend
from actprobe.models.table import _Axis, _State

__all__ = ["seen_by", "whole"]

# Keras classes whose output has at each position what comes of that position alone, or of the channels
# there.
_BY_POSITION = (
    "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dense", "Dropout", "ELU",
    "GaussianDropout", "GaussianNoise", "LeakyReLU", "Normalization", "PReLU", "ReLU", "Rescaling", "Softmax",
    "SpatialDropout1D", "SpatialDropout2D", "ThresholdedReLU",
)  # fmt: skip
_CONVOLUTIONS = (
    "Conv1D",
    "Conv2D",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
)
_POOLINGS = ("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D")
_MERGES = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")


def seen_by(
    layer: Any, states: Sequence[_State | None], tensors: Sequence[Any], output: Any
) -> _State | None:
    """Follow one call of a layer.

    Parameters
    ----------
    layer : tf_keras.layers.Layer
        The layer.
    states : sequence of _State or None
        Geometry of the tensors that go in; None where it is not known.
    tensors : sequence of KerasTensor
        What goes in.
    output : KerasTensor
        What comes out.

    Returns
    -------
    _State or None
        Geometry of the output, if it is a map or a sequence and can be known.
    """
    rank = output.shape.rank
    known = [state for state in states if state is not None and not state.vector]
    if not known or len(known) < len(states) or rank not in (3, 4):
        return None
    first = known[0]
    if _is(layer, _MERGES):
        axis = getattr(layer, "axis", -1)
        return _merged(known) if axis in (-1, rank - 1) else None
    if len(known) > 1:
        return None
    given = tuple(tensors[0].shape[1:])
    if tuple(output.shape[1:]) == (*given, 1) and given[-1] == first.mel.size:
        return first  # a channel axis is added
    if rank != tensors[0].shape.rank:
        return None
    axes = [first.time, first.mel][: rank - 2]
    if _is(layer, _BY_POSITION):
        new = axes if _acts_by_position(layer, rank) else None
    elif _is(layer, _CONVOLUTIONS):
        new = _windows(axes, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding)
    elif _is(layer, _POOLINGS):
        new = _windows(axes, _each(layer.pool_size), _each(layer.strides), (1, 1), layer.padding)
    elif _is(layer, ("ZeroPadding1D", "ZeroPadding2D")):
        new = _padded(axes, layer.padding, 1)
    elif _is(layer, ("Cropping1D", "Cropping2D")):
        new = _padded(axes, layer.cropping, -1)
    else:
        new = None
    if new is None:
        return None
    mixes_mel = rank == 3 and _is(layer, (*_CONVOLUTIONS, "Dense"))
    mel = whole(first.mel) if mixes_mel else (new[1] if rank == 4 else first.mel)
    return replace(first, time=new[0], mel=mel)


def _is(layer: Any, names: Sequence[str]) -> bool:
    """Whether a layer is of one of these very classes of Keras, not of one derived from them."""
    return any(type(layer) is getattr(backend.keras.layers, name) for name in names)


def _acts_by_position(layer: Any, rank: int) -> bool:
    if _is(layer, ("Softmax",)):
        return layer.axis in (-1, rank - 1)
    return True


def _each(sizes: Any) -> tuple[int, ...]:
    return tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,)


def _windows(
    axes: Sequence[_Axis], lengths: Any, steps: Any, dilations: Any, padding: str
) -> list[_Axis] | None:
    """Slide a window over each axis, padded as TensorFlow does."""
    new = []
    for axis, length, step, dilation in zip(axes, lengths, steps, dilations, strict=False):
        reach = (length - 1) * dilation + 1
        match padding:
            case "valid":
                size, before = (axis.size - reach) // step + 1, 0
            case "same":
                size = -(-axis.size // step)
                before = max((size - 1) * step + reach - axis.size, 0) // 2
            case "causal":
                size, before = -(-axis.size // step), reach - 1
            case _:
                return None
        new.append(axis.window(reach, step, before, size))
    return new


def _padded(axes: Sequence[_Axis], amounts: Any, sign: int) -> list[_Axis]:
    pairs = [amounts] if isinstance(amounts[0], int) else amounts
    return [
        axis.padded(sign * before, sign * after) for axis, (before, after) in zip(axes, pairs, strict=True)
    ]


def whole(axis: _Axis) -> _Axis:
    """See all of an axis at one position.

    Parameters
    ----------
    axis : _Axis
        The axis.

    Returns
    -------
    _Axis
        One position.
    """
    reach = axis.field + (axis.size - 1) * axis.stride
    centre = axis.first + (axis.size - 1) / 2 * axis.stride
    return _Axis(size=1, stride=reach, field=reach, first=centre)


def _merged(states: Sequence[_State]) -> _State | None:
    """See what any of the branches sees, if their positions correspond."""
    time = _union([state.time for state in states])
    mel = _union([state.mel for state in states])
    return None if time is None or mel is None else replace(states[0], time=time, mel=mel)


def _union(axes: Sequence[_Axis]) -> _Axis | None:
    if len({(axis.size, axis.stride) for axis in axes}) > 1:
        return None
    low = min(axis.first - (axis.field - 1) / 2 for axis in axes)
    high = max(axis.first + (axis.field - 1) / 2 for axis in axes)
    return replace(axes[0], field=round(high - low) + 1, first=(low + high) / 2)
