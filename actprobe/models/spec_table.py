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
    BatchNorm,
    Branches,
    Conv,
    Dense,
    Dropout,
    Elu,
    Flatten,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Spec,
    padding_before,
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
            if isinstance(spec, Branches):
                state = _together([walk(state, previous, stack) for stack in spec.stacks])
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
            previous = spec.name
        return state

    layers: list[Layer] = []
    walk(State(Axis(frames), Axis(bands), channels=1), "", specs)
    return LayerTable(network, layers, aliases)


def _apply(state: State, spec: Spec) -> State:
    match spec:
        case Conv(_, filters, (time, mel), padding, _):
            shrink = padding == "valid"
            return replace(
                state,
                kind="conv",
                channels=filters,
                time=state.time.window(
                    time, 1, padding_before(time, padding), state.time.size - shrink * (time - 1)
                ),
                mel=state.mel.window(
                    mel, 1, padding_before(mel, padding), state.mel.size - shrink * (mel - 1)
                ),
            )
        case MaxPool(_, (time, mel)):
            return replace(
                state,
                kind="max pool",
                time=state.time.window(time, time, 0, state.time.size // time),
                mel=state.mel.window(mel, mel, 0, state.mel.size // mel),
            )
        case Pad(_, time, mel):
            return replace(
                state, kind="zero padding", time=state.time.padded(*time), mel=state.mel.padded(*mel)
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
        case Dropout() | Branches():
            raise AssertionError(f"{spec.name} is not a layer of its own")


def _together(states: Sequence[State]) -> State:
    """Concatenate branches; a position sees what the branch that sees most does."""
    widest = max(states, key=lambda state: (state.time.field, state.mel.field))
    return replace(widest, kind="concatenation", channels=sum(state.channels for state in states))
