"""Where the values of a PyTorch network lie: the axes of its tensors, and what their positions see.

Followed through the modules of `torch.nn` and through a few functions between them. What is not known is
taken as PyTorch's modules have it: [batch, channel, ...] behind convolutions, [batch, time, unit] elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.models.adapters.receptive import union, whole
from actprobe.models.receptive_field import Axis, State

BATCH, CHANNEL, TIME, MEL = "batch", "channel", "time", "mel"
STATES = ("states", BATCH, CHANNEL)  # of the layers of a recurrent module

# Modules of torch.nn and functions whose output at each position comes of that position alone.
_ELEMENTWISE = (
    "AlphaDropout", "BatchNorm1d", "BatchNorm2d", "CELU", "Dropout", "Dropout1d", "Dropout2d", "ELU",
    "FeatureAlphaDropout", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity",
    "LeakyReLU", "LogSigmoid", "Mish", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus",
    "Softshrink", "Softsign", "Tanh", "Tanhshrink",
)  # fmt: skip
_FUNCTIONS = (
    "add", "batch_norm", "clamp", "clone", "contiguous", "div", "dropout", "elu", "exp", "gelu", "hardswish",
    "iadd", "idiv", "imul", "isub", "leaky_relu", "log", "log10", "log1p", "mul", "neg", "pow", "radd",
    "rdiv", "relu", "rmul", "rsub", "selu", "sigmoid", "silu", "softplus", "sqrt", "sub", "tanh",
    "true_divide",
)  # fmt: skip
NONLINEAR = (
    "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid",
    "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softplus",
    "Softshrink", "Softsign", "Tanh", "Tanhshrink",
)  # fmt: skip
_CONVOLUTIONS = ("Conv1d", "Conv2d")
_MIXING = ("GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "LayerNorm", "LogSoftmax", "Softmax")
_POOLINGS = ("AvgPool1d", "AvgPool2d", "MaxPool1d", "MaxPool2d")
RECURRENT = ("GRU", "LSTM", "RNN")


@dataclass(frozen=True)
class Place:
    """The axes of a tensor, and the geometry of time and mel where that is known."""

    axes: tuple[str, ...]
    time: Axis | None = None
    mel: Axis | None = None

    def of(self, name: str) -> Axis | None:
        """Give the geometry of an axis."""
        return self.time if name == TIME else self.mel if name == MEL else None

    def seen(self) -> State | None:
        """Give what a position sees in a map [time, mel, channel]; None where that is not known."""
        if self.time is None or self.mel is None:
            return None
        mixed = CHANNEL not in self.axes or MEL not in self.axes
        return State(self.time, whole(self.mel) if mixed else self.mel, channels=1)


def arranged(array: NDArray[np.float32], axes: Sequence[str]) -> NDArray[np.float32]:
    """Lay values out as [batch, time, mel, channel], or [batch, unit].

    Without a channel axis mel bands are units, as in a sequence; an axis that is not there has one position.
    """
    names = list(axes)
    if tuple(names) == STATES:
        return array.transpose(1, 0, 2).reshape(array.shape[1], -1)
    if len(names) == 2:
        return array if names[0] == BATCH else array.T
    if CHANNEL not in names:
        names[names.index(MEL if MEL in names else TIME)] = CHANNEL
    order = [names.index(name) for name in (BATCH, TIME, MEL, CHANNEL) if name in names]
    found = array.transpose(order)
    for position, name in ((1, TIME), (2, MEL)):
        if name not in names:
            found = np.expand_dims(found, position)
    return found


def usual(kind: str, rank: int, batch: int, maps: Sequence[str]) -> tuple[str, ...] | None:
    """Give the axes of an output of which nothing but its module's class name is known.

    The output has `rank` axes, of which number `batch` is the batch; `maps` is the order of time and mel in
    the network's input.
    """
    rest: tuple[str, ...]
    match rank:
        case 2:
            rest = (CHANNEL,)
        case 3:
            rest = (CHANNEL, TIME) if kind.endswith("1d") else (TIME, CHANNEL)
        case 4:
            rest = (CHANNEL, *(maps if len(maps) == 2 else (TIME, MEL)))
        case _:
            return None
    return (*rest[:batch], BATCH, *rest[batch:])


def behind_module(module: Any, place: Place, given: Sequence[int], shape: Sequence[int]) -> Place | None:
    """Follow a module of torch.nn, given the shapes of its input and output; None for any other."""
    kind = type(module).__name__
    if not type(module).__module__.startswith("torch.nn.modules.") or place.axes[0] != BATCH:
        return None
    same_rank = len(given) == len(shape) == len(place.axes)
    if kind in _ELEMENTWISE and same_rank:
        return place
    if kind in (*_CONVOLUTIONS, *_POOLINGS) and same_rank:
        return _windows(module, place, shape, mixes=kind in _CONVOLUTIONS)
    if kind.startswith("Adaptive") and same_rank:
        return _adaptive(place, shape)
    if kind == "Linear" and same_rank and len(shape) > 2:
        return _mixed(place, len(shape) - 1)
    if kind in (*RECURRENT, "MultiheadAttention"):
        if len(shape) != 3 or (kind in RECURRENT and TIME not in (*place.axes[:2],)):
            return None
        return Place((BATCH, TIME, CHANNEL) if module.batch_first else (TIME, BATCH, CHANNEL))
    if (
        kind in ("GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "LayerNorm", "LogSoftmax", "Softmax")
        and same_rank
    ):
        return Place(place.axes)
    return None


def behind_function(
    name: str, numbers: Sequence[int], places: Sequence[Place], given: Sequence[int], shape: Sequence[int]
) -> Place | None:
    """Follow a function of PyTorch between modules; None where the axes are not known.

    `numbers` are the whole numbers that it is called with: axes. `places` are where the activations that it
    is called with lie, `given` the shape of the first of these and `shape` that of the output.
    """
    place = places[0]
    axes, rank = list(place.axes), len(place.axes)
    match name:
        case "cat" if len(shape) == rank:
            return merged(places)
        case "permute" if len(numbers) == rank:
            return replace(place, axes=tuple(axes[i] for i in numbers))
        case "transpose" | "swapaxes" if len(numbers) == 2:
            one, other = numbers
            axes[one], axes[other] = axes[other], axes[one]
            return replace(place, axes=tuple(axes))
        case "unsqueeze" if len(numbers) == 1 and CHANNEL not in axes:
            axes.insert(numbers[0] % (rank + 1), CHANNEL)
            return replace(place, axes=tuple(axes))
        case "squeeze" | "mean" if len(numbers) == 1 and len(shape) == rank - 1:
            gone = axes.pop(numbers[0])
            return replace(place, axes=tuple(axes)) if gone == MEL else Place(tuple(axes))
    if len(shape) != rank:
        return None
    if name.strip("_") in _FUNCTIONS:
        return merged(places) if len(places) > 1 else place
    changed = sum(one != other for one, other in zip(given, shape, strict=True))
    pools = axes[1] == CHANNEL and ("pool" in name or "conv" in name)
    turns = name in ("t", "mT", "__get__", "rot90", "swapdims", "movedim", "moveaxis")
    return Place(place.axes) if not turns and (changed < 2 or pools) else None


def merged(places: Sequence[Place]) -> Place | None:
    """See what any of the branches sees, if their axes and positions correspond."""
    first = places[0]
    if any(place.axes != first.axes for place in places):
        return None
    times, mels = [place.time for place in places], [place.mel for place in places]
    time = None if None in times else union([axis for axis in times if axis])
    mel = None if None in mels else union([axis for axis in mels if axis])
    return Place(first.axes, time, mel) if time and mel else Place(first.axes)


def _windows(module: Any, place: Place, shape: Sequence[int], *, mixes: bool) -> Place:
    """Slide the window of a convolution or pooling over the last axes."""
    count = len(shape) - 2
    lengths, steps = _each(module.kernel_size, count), _each(module.stride, count)
    dilations = _each(getattr(module, "dilation", 1), count)
    padding: Any = module.padding
    before = _each(0 if isinstance(padding, str) else padding, count)
    if padding == "same":
        before = tuple(step * (length - 1) // 2 for length, step in zip(lengths, dilations, strict=True))
    found = _mixed(place, 1) if mixes else place
    new = {TIME: found.time, MEL: found.mel}
    for i, name in enumerate(place.axes[2:]):
        axis = place.of(name)
        if axis is None or name not in new:
            return Place(found.axes)
        reach = (lengths[i] - 1) * dilations[i] + 1
        new[name] = axis.window(reach, steps[i], before[i], shape[2 + i])
    return Place(found.axes, new[TIME], new[MEL])


def _adaptive(place: Place, shape: Sequence[int]) -> Place:
    """Pool all of the last axes."""
    if any(size != 1 for size in shape[2:]):
        return Place(place.axes)
    seen = {name: whole(axis) for name in place.axes[2:] if (axis := place.of(name)) is not None}
    return Place(place.axes, seen.get(TIME, place.time), seen.get(MEL, place.mel))


def _mixed(place: Place, at: int) -> Place:
    """Make channels of an axis, each of which comes of all its positions."""
    name = place.axes[at]
    if name == CHANNEL:
        return place
    axes = (*place.axes[:at], CHANNEL, *place.axes[at + 1 :])
    if name == BATCH or CHANNEL in place.axes:
        return Place(axes)
    axis = place.of(name)
    return replace(place, axes=axes, **{name: None if axis is None else whole(axis)})


def _each(sizes: Any, count: int) -> tuple[int, ...]:
    return tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,) * count
