"""What the layers of a Keras model see: from the geometry of a layer's input to that of its output.

Followed through convolutions, poolings, paddings, what acts on every position by itself, and merges of
branches. Behind anything else, such as a permutation or a recurrent layer, positions of a map are no
longer known, and None stands for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from actprobe.models.keras_kinds import (
    BY_POSITION,
    CONVOLUTIONS,
    CROPPINGS,
    MERGES,
    PADDINGS,
    POOLINGS,
    each,
    is_one_of,
    original,
    pairs,
)
from actprobe.models.receptive_field import Axis, State


def seen_by(layer: Any, states: Sequence[State | None], tensors: Sequence[Any], output: Any) -> State | None:
    """Follow one call of a layer, from the geometry of its input `tensors` to that of its output.

    Geometry that is not known is None; so is that of an output which is neither a map nor a sequence.
    """
    layer, rank = original(layer), output.shape.rank
    known = [state for state in states if state is not None and not state.vector]
    if not known or len(known) < len(states) or rank not in (3, 4):
        return None
    first = known[0]
    if is_one_of(layer, MERGES):
        axis = getattr(layer, "axis", -1)
        return _merged(known) if axis in (-1, rank - 1) else None
    if len(known) > 1:
        return None
    given = tuple(tensors[0].shape[1:])
    last = first.mel if len(given) > 1 else first.time
    if tuple(output.shape[1:]) == (*given, 1) and given[-1] == last.size:
        return first  # a channel axis is added
    if rank != tensors[0].shape.rank:
        return None
    axes = [first.time, first.mel][: rank - 2]
    if is_one_of(layer, BY_POSITION):
        new = axes if _acts_by_position(layer, rank) else None
    elif is_one_of(layer, CONVOLUTIONS):
        new = _windows(axes, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding)
    elif is_one_of(layer, POOLINGS):
        new = _windows(axes, each(layer.pool_size), each(layer.strides), (1, 1), layer.padding)
    elif is_one_of(layer, PADDINGS):
        new = _padded(axes, layer.padding, 1)
    elif is_one_of(layer, CROPPINGS):
        new = _padded(axes, layer.cropping, -1)
    else:
        new = None
    if new is None:
        return None
    mixes_mel = rank == 3 and is_one_of(layer, (*CONVOLUTIONS, "Dense"))
    mel = whole(first.mel) if mixes_mel else (new[1] if rank == 4 else first.mel)
    return replace(first, time=new[0], mel=mel)


def _acts_by_position(layer: Any, rank: int) -> bool:
    if is_one_of(layer, ("Softmax",)):
        return layer.axis in (-1, rank - 1)
    return True


def _windows(
    axes: Sequence[Axis], lengths: Any, steps: Any, dilations: Any, padding: str
) -> list[Axis] | None:
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


def _padded(axes: Sequence[Axis], amounts: Any, sign: int) -> list[Axis]:
    return [
        axis.padded(sign * before, sign * after)
        for axis, (before, after) in zip(axes, pairs(amounts), strict=True)
    ]


def whole(axis: Axis) -> Axis:
    """See all of an axis at one position."""
    reach = axis.field + (axis.size - 1) * axis.stride
    centre = axis.first + (axis.size - 1) / 2 * axis.stride
    return Axis(size=1, stride=reach, field=reach, first=centre)


def _merged(states: Sequence[State]) -> State | None:
    """See what any of the branches sees, if their positions correspond."""
    time = union([state.time for state in states])
    mel = union([state.mel for state in states])
    return None if time is None or mel is None else replace(states[0], time=time, mel=mel)


def union(axes: Sequence[Axis]) -> Axis | None:
    """See along one axis what any of the branches sees; None where their positions differ."""
    if len({(axis.size, axis.stride) for axis in axes}) > 1:
        return None
    low = min(axis.first - (axis.field - 1) / 2 for axis in axes)
    high = max(axis.first + (axis.field - 1) / 2 for axis in axes)
    return replace(axes[0], field=round(high - low) + 1, first=(low + high) / 2)
