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
    """Convolution with bias, stride 1; ``NAME/linear`` is the value before its activation.

    The kernel is (time, mel). The padding ``same`` keeps the shape by zeros on both sides, the odd one
    behind, as TensorFlow has it; ``same_theano`` puts the odd one in front; ``valid`` pads nothing.
    """

    name: str
    filters: int
    kernel: tuple[int, int]
    padding: Literal["same", "same_theano", "valid"] = "same"
    activation: Activation = "linear"


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
    """Maximum over non-overlapping tiles of (time, mel); an incomplete last tile is dropped."""

    name: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Pad:
    """Zeros before and after a map in time, below and above it in mel."""

    name: str
    time: tuple[int, int]
    mel: tuple[int, int] = (0, 0)


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


Spec: TypeAlias = (
    Conv | BatchNorm | Elu | Relu | Identity | MaxPool | Pad | Flatten | Dense | Dropout | Branches
)


def padding_before(size: int, padding: str) -> int:
    """Count the zeros in front of an axis, for a kernel of `size`; see `Conv`."""
    return {"valid": 0, "same": (size - 1) // 2, "same_theano": size // 2}[padding]
