"""The layer table of a network that is written in the words of `actprobe.models.specs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from actprobe.frontends.base import FrontEnd
from actprobe.models.layer_table import Layer, LayerTable
from actprobe.models.receptive_field import Axis, State, as_layer
from actprobe.models.specs import (
    Add,
    BatchNorm,
    Branches,
    Concat,
    Conv,
    Dense,
    Dropout,
    Elu,
    Flatten,
    From,
    Harmonics,
    Identity,
    MaxMean,
    MaxPool,
    Pad,
    Relu,
    Spec,
    Transpose,
    window_of,
)


def layer_table(
    network: str, frontend: FrontEnd, specs: Sequence[Spec], aliases: Mapping[str, str] | None = None
) -> LayerTable:
    """Work out every layer's shape, hop and receptive field from the specification alone.

    Holds every named layer and, for each convolution and nonlinearity, its pre-activation under
    ``NAME/linear``. A convolution without an activation of its own is its own pre-activation. `aliases` are
    further names of layers.
    """
    frames, bands = frontend.example_shape
    describe = partial(as_layer, frontend, frontend.band_edges_hz())

    def walk(state: State, previous: str, specs: Sequence[Spec]) -> State:
        for spec in specs:
            if isinstance(spec, Dropout):
                continue
            if isinstance(spec, From):
                state, previous = states[spec.name], spec.name
                continue
            if isinstance(spec, Branches):
                state = _together([walk(state, previous, stack) for stack in spec.stacks])
            elif isinstance(spec, Add | Concat):
                state = _joined(spec, [states[name] for name in spec.layers])
            elif isinstance(spec, MaxMean):
                for name, kind in ((spec.maximum, "maximum"), (spec.mean, "mean")):
                    states[name] = replace(state, vector=True, kind=kind)
                    layers.append(describe(name, states[name], name))
                state = replace(state, vector=True, channels=2 * state.channels, kind="concatenation")
            else:
                before, state = state, _apply(state, spec)
                linear = f"{spec.name}/linear"
                if isinstance(spec, Elu):
                    layers.append(describe(linear, before, previous, "pre-activation"))
                elif isinstance(spec, Conv | Dense) and spec.activation != "linear":
                    layers.append(describe(linear, state, linear, "pre-activation"))
                elif isinstance(spec, Conv):
                    layers.append(describe(linear, state, spec.name, "pre-activation"))
            layers.append(describe(spec.name, state, spec.name))
            states[spec.name], previous = state, spec.name
        return state

    layers: list[Layer] = []
    states: dict[str, State] = {}
    walk(State(Axis(frames), Axis(bands), channels=1), "", specs)
    return LayerTable(network, layers, aliases)


def _apply(state: State, spec: Spec) -> State:
    match spec:
        case Conv(_, filters, size, padding, _, stride):
            return replace(_windowed(state, size, stride, padding), kind="conv", channels=filters)
        case MaxPool(_, size, stride):
            return replace(_windowed(state, size, stride or size, "valid"), kind="max pool")
        case Harmonics(_, shifts, bins):
            reach = (max(shifts) - min(shifts)) * state.mel.stride
            mel = replace(state.mel, size=bins, field=state.mel.field + reach)  # bin b stays bin b
            return replace(state, kind="harmonic stacking", channels=len(shifts), mel=mel)
        case Pad(_, time, mel):
            return replace(
                state, kind="zero padding", time=state.time.padded(*time), mel=state.mel.padded(*mel)
            )
        case Transpose():
            # Along an axis of the front end, a position may now see what all positions together saw.
            return replace(
                state,
                kind="permute",
                time=state.time.whole(state.mel.size),
                mel=state.mel.whole(state.time.size),
            )
        case Flatten():
            return replace(state, kind="flatten", channels=int(np.prod(state.shape)), vector=True)
        case Dense(_, units, _):
            return replace(state, kind="dense", channels=units, vector=True)
        case BatchNorm():
            return replace(state, kind="batch norm")
        case Elu():
            return replace(state, kind="elu")
        case Relu():
            return replace(state, kind="relu")
        case Identity():
            return replace(state, kind="identity")
        case Dropout() | Branches() | From() | Add() | Concat() | MaxMean():
            raise AssertionError(f"{spec.name} is not a layer of its own")


def _windowed(state: State, size: tuple[int, int], stride: tuple[int, int], padding: str) -> State:
    def slide(axis: Axis, length: int, step: int) -> Axis:
        return axis.window(length, step, *window_of(axis.size, length, step, padding))

    return replace(
        state, time=slide(state.time, size[0], stride[0]), mel=slide(state.mel, size[1], stride[1])
    )


def _joined(spec: Add | Concat, states: Sequence[State]) -> State:
    together = _together(states)
    return replace(together, kind="sum", channels=states[0].channels) if isinstance(spec, Add) else together


def _together(states: Sequence[State]) -> State:
    """Concatenate branches; a position sees what the branch that sees most does."""
    widest = max(states, key=lambda state: (state.time.field, state.mel.field))
    return replace(widest, kind="concatenation", channels=sum(state.channels for state in states))
