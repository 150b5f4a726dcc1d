"""The words a network file is written in.

A network is a tuple of these, read twice: by `actprobe.models.spec_table` for shapes and receptive fields
without TensorFlow, and by `actprobe.models.keras_build` for the tf_keras model. Axes are (time, mel)
everywhere, whatever the original's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Activation: TypeAlias = Literal["linear", "relu", "leaky_relu", "elu", "sigmoid", "softmax"]


@dataclass(frozen=True)
class Conv:
    """Convolution with bias; ``NAME/linear`` is the value before its activation.

    Kernel and stride are (time, mel). The padding ``same`` gives a value for every stride by zeros on both
    sides, the odd one behind, as TensorFlow has it; ``same_theano`` puts the odd one in front; ``valid`` pads
    nothing.
    """

    name: str
    filters: int
    kernel: tuple[int, int]
    padding: Literal["same", "same_theano", "valid"] = "same"
    activation: Activation = "linear"
    stride: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation by stored statistics; every position along `axis` has its own."""

    name: str
    epsilon: float
    axis: Literal["channel", "time"] = "channel"


@dataclass(frozen=True)
class Elu:
    """Exponential linear unit, alpha 1 (Clevert et al. 2016)."""

    name: str


@dataclass(frozen=True)
class Relu:
    """Rectified linear unit as a layer of its own, named after the layer before with ``/relu`` behind."""

    name: str


@dataclass(frozen=True)
class Identity:
    """The layer before under a further name."""

    name: str


@dataclass(frozen=True)
class MaxPool:
    """Maximum over windows of (time, mel), by default tiles; an incomplete last one is dropped."""

    name: str
    size: tuple[int, int]
    stride: tuple[int, int] | None = None  # the size


@dataclass(frozen=True)
class Pad:
    """Zeros before and after a map in time, below and above it in mel."""

    name: str
    time: tuple[int, int]
    mel: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Transpose:
    """Time and mel exchange places: what lay along time lies along mel from here on, and the reverse."""

    name: str


@dataclass(frozen=True)
class Flatten:
    """Maps to one vector; `order` names the slowest index first, the channel where Theano was used."""

    name: str
    order: Literal["time_mel_channel", "channel_time_mel"] = "time_mel_channel"


@dataclass(frozen=True)
class Dense:
    """Fully connected units with bias; ``NAME/linear`` is the value before their activation."""

    name: str
    units: int
    activation: Activation = "linear"


@dataclass(frozen=True)
class Dropout:
    """Dropout: only training knows it; it has no row in the layer table."""

    name: str
    rate: float


@dataclass(frozen=True)
class Branches:
    """Parallel stacks on the same input, put together along the last axis in their order."""

    name: str
    stacks: tuple[tuple[Spec, ...], ...]


@dataclass(frozen=True)
class From:
    """What follows takes an earlier layer instead of the one before."""

    name: str


@dataclass(frozen=True)
class Add:
    """Sum of earlier layers of one shape."""

    name: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Concat:
    """Earlier layers put together along the last axis, in this order."""

    name: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class MaxMean:
    """Maximum and mean of every channel over its map, two layers, and the vector max 0, mean 0, max 1, ..."""

    name: str
    maximum: str
    mean: str


@dataclass(frozen=True)
class Harmonics:
    """Harmonic stacking (Bittner et al. 2022): a map of one channel, shifted along the bins of its mel axis.

    Channel k has at bin b what was at ``b + shifts[k]``, zero where nothing was; the first `bins` are left.
    """

    name: str
    shifts: tuple[int, ...]
    bins: int


Spec: TypeAlias = (
    Conv
    | BatchNorm
    | Elu
    | Relu
    | Identity
    | MaxPool
    | Pad
    | Transpose
    | Flatten
    | Dense
    | Dropout
    | Branches
    | From
    | Add
    | Concat
    | MaxMean
    | Harmonics
)


def window_of(size: int, length: int, step: int, padding: str) -> tuple[int, int]:
    """Give zeros in front of an axis of `size` and positions left by a kernel of `length`; see `Conv`."""
    if padding == "valid":
        return 0, (size - length) // step + 1
    positions = -(-size // step)
    zeros = max((positions - 1) * step + length - size, 0)
    return (zeros + 1) // 2 if padding == "same_theano" else zeros // 2, positions
