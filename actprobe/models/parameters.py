"""The parameters of a network that is written in the words of `actprobe.models.specs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from actprobe.models.layer_table import LayerTable
from actprobe.models.specs import BatchNorm, Branches, Conv, Dense, Dropout, Spec

# Name as Keras has it -> shape, in the order of ``layer.set_weights``.
Parameters: TypeAlias = dict[str, tuple[int, ...]]

NORMALIZATION = ("gamma", "beta", "moving_mean", "moving_variance")


def parameters_of(specs: Sequence[Spec], layers: LayerTable) -> dict[str, Parameters]:
    """Give the parameters of every layer that has any: kernels are (time, mel, in, out) and (in, out).

    `layers` is the network's layer table; examples have one channel.
    """
    return dict(_walk(specs, layers, ""))


def _walk(specs: Sequence[Spec], layers: LayerTable, previous: str) -> Iterator[tuple[str, Parameters]]:
    for spec in specs:
        channels = layers[previous].neurons if previous else 1
        match spec:
            case Conv(name, filters, kernel):
                yield name, {"kernel": (*kernel, channels, filters), "bias": (filters,)}
            case Dense(name, units):
                yield name, {"kernel": (channels, units), "bias": (units,)}
            case BatchNorm(name, axis=axis):
                size = channels if axis == "channel" else layers[name].shape[0]
                yield name, dict.fromkeys(NORMALIZATION, (size,))
            case Branches():
                for stack in spec.stacks:
                    yield from _walk(stack, layers, previous)
            case Dropout():
                continue
        previous = spec.name
