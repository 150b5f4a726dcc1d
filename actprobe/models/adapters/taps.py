"""Finds the tensors of a Keras model: its layers, those of nested models, what enters a nonlinearity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.models.adapters.receptive import seen_by
from actprobe.models.keras_kinds import is_kind_of, is_one_of, original
from actprobe.models.receptive_field import State

# Layers with an activation of their own, whose value before it can be had by leaving it out.
_ACTIVATED = (
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Dense", "DepthwiseConv1D", "DepthwiseConv2D",
    "SeparableConv1D", "SeparableConv2D",
)  # fmt: skip
# Layers that are nothing but a nonlinearity: what enters them is their pre-activation.
_NONLINEAR = ("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU")


@dataclass
class Tap:
    """A tensor of a Keras model under the name by which it is asked for.

    Its kind is Keras' class name of the layer, or ``pre-activation``; its state is what is seen of the
    example there, None where that is not known.
    """

    name: str
    kind: str
    tensor: Any
    state: State | None


@dataclass
class Taps:
    """Everything that was found in a model, and other names of it.

    `example` is what a vector sees: the whole example. `aliases` maps other names to those of `by_name`, and
    `order` holds all names in the order of the network.
    """

    example: State | None = None
    by_name: dict[str, Tap] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def add(self, name: str, kind: str, tensor: Any, state: State | None) -> None:
        """Enter a tensor; a name that is taken is a `UsageError`."""
        self._take(name)
        self.by_name[name] = Tap(name, kind, tensor, state)

    def alias(self, name: str, other: str) -> None:
        """Enter another name of a tensor; a name that is taken is a `UsageError`."""
        self._take(name)
        self.aliases[name] = other

    def _take(self, name: str) -> None:
        if name in self.order:
            raise UsageError(f"two layers of the model come out as {name!r}: rename one")
        self.order.append(name)


def collect(keras_model: Any, states: Sequence[State | None], taps: Taps) -> dict[int, State | None]:
    """Find the tensors of a functional or Sequential model, and enter them in `taps`.

    `states` are what is seen at each of its inputs. Returns what is seen at each tensor, by the tensor's id.
    Two tensors under one name are a `UsageError`.
    """
    seen = {id(tensor): state for tensor, state in zip(keras_model.inputs, states, strict=True)}
    names = {id(tensor): "" for tensor in keras_model.inputs}
    calls: dict[str, int] = {}
    by_depth = keras_model._nodes_by_depth
    for node in [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]:
        if node.is_input:
            continue
        layer = node.layer
        name = original(layer).name
        calls[name] = calls.get(name, 0) + 1
        name = f"{name}#{calls[name]}" if calls[name] > 1 else name
        given = list(node.keras_inputs)
        before = [seen.get(id(tensor)) for tensor in given]
        produced = backend.tf.nest.flatten(node.outputs)
        inner: dict[int, State | None] = {}
        if getattr(layer, "_is_graph_network", False):
            inner = _collect_nested(layer, name, given, before, taps)
        elif len(given) == 1:
            _collect_linear(layer, name, given[0], names.get(id(given[0]), ""), before[0], produced[0], taps)
        for i, tensor in enumerate(produced):
            key = name if len(produced) == 1 else f"{name}/{i}"
            state = inner[i] if inner else seen_by(layer, before, given, tensor)
            state = taps.example if tensor.shape.rank == 2 else state
            seen[id(tensor)] = state
            names[id(tensor)] = key
            taps.add(key, type(original(layer)).__name__, tensor, state)
    return seen


def _collect_nested(
    model: Any, name: str, given: Sequence[Any], states: Sequence[State | None], taps: Taps
) -> dict[int, State | None]:
    """Find the tensors inside a nested model, computed from what it is given here."""
    found = Taps(taps.example)
    seen = collect(model, states, found)
    opened = backend.keras.Model(model.inputs, {key: tap.tensor for key, tap in found.by_name.items()})
    outputs = opened(list(given) if len(given) > 1 else given[0])
    for key in found.order:
        if key in found.aliases:
            taps.alias(f"{name}/{key}", f"{name}/{found.aliases[key]}")
        else:
            tap = found.by_name[key]
            taps.add(f"{name}/{key}", tap.kind, outputs[key], tap.state)
    return {i: seen.get(id(tensor)) for i, tensor in enumerate(model.outputs)}


def _collect_linear(
    layer: Any, name: str, given: Any, given_name: str, before: State | None, output: Any, taps: Taps
) -> None:
    """Find what enters the nonlinearity of a layer."""
    linear = f"{name}/linear"
    activation = getattr(original(layer), "activation", None)
    nothing = activation is None or _is_linear(activation)
    if is_one_of(layer, _NONLINEAR):
        if not _is_linear(activation) and given_name:
            taps.alias(linear, given_name)
    elif is_kind_of(layer, _ACTIVATED):
        if nothing:
            if not is_kind_of(layer, ("Dense",)):
                taps.alias(linear, name)
        else:
            state = seen_by(layer, [before], [given], output)
            state = taps.example if output.shape.rank == 2 else state
            taps.add(linear, "pre-activation", _without_activation(layer)(given), state)


def _is_linear(activation: Any) -> bool:
    """Whether a function is Keras' own that does nothing."""
    module, name = getattr(activation, "__module__", None), getattr(activation, "__name__", "")
    return name == "linear" and str(module).split(".")[0] in ("keras", "tf_keras")


def _without_activation(layer: Any) -> Any:
    """Make a layer that computes what another computes before its activation, with its weights."""

    class PreActivation(backend.keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            holder = original(layer)
            activation = holder.activation
            # Keras' own way of setting attributes would enter an activation with weights anew.
            object.__setattr__(holder, "activation", backend.keras.activations.linear)
            try:
                return layer(inputs)
            finally:
                object.__setattr__(holder, "activation", activation)

    made = PreActivation(dtype=layer.dtype_policy)  # Keras gives it a name that no other layer has
    made.pre_activation_of = layer  # its weights are found through this
    return made
