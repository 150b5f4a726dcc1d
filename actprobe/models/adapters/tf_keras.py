"""Opens functional and Sequential tf-keras models of a user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.frontends.absent import NoFrontEnd
from actprobe.models.adapters.axes import check_waveform, form, in_order, shape_in_words
from actprobe.models.adapters.receptive import whole
from actprobe.models.adapters.rows import outputs_of, table_of
from actprobe.models.adapters.taps import Tap, Taps, collect
from actprobe.models.keras_kinds import original
from actprobe.models.keras_model import KerasModel
from actprobe.models.network import Network
from actprobe.models.receptive_field import Axis, State
from actprobe.models.weights import WeightsRecord, hash_weights


def wrap_keras(
    keras_model: Any,
    frontend: FrontEnd | None,
    name: str,
    axes: str,
    outputs: Sequence[str] | None,
    architecture: str | None = None,
) -> KerasModel:
    """Open a tf-keras model, see `actprobe.wrap_model`.

    ``architecture`` is what the digest takes for the network; by default its own JSON.
    """
    keras, tf = backend.keras, backend.tf
    check_graph(keras_model, keras_model, name)
    _check(keras_model, name)
    check_waveform(frontend, axes, name)
    example_shape = _example_shape(keras_model, frontend, name, axes)
    frontend = NoFrontEnd(name, example_shape) if frontend is None else frontend
    turned = axes == "mel,time"
    first, second = (*in_order(example_shape, axes), 1)[:2]
    start = State(Axis(first), Axis(second), channels=1) if frontend.known else None
    taps = Taps(None if start is None else replace(start, vector=True))
    collect(keras_model, [start], taps)
    taps.by_name = {key: tap for key, tap in taps.by_name.items() if _has_place(tap.tensor)}
    opened = keras.Model(keras_model.inputs[0], {tap.name: tap.tensor for tap in taps.by_name.values()})
    inputs = keras.Input(example_shape, name="examples")
    ordered = keras.layers.Permute((2, 1))(inputs) if turned else inputs
    sizes = (first,) if keras_model.inputs[0].shape.rank == 2 else (first, second, 1)
    plain = keras_model.inputs[0].shape.rank == 3
    tensors = opened(ordered if plain else keras.layers.Reshape(sizes)(ordered))
    for key, tensor in tensors.items():
        tap = taps.by_name[key]
        floats = tensor if tensor.dtype == tf.float32 else tf.cast(tensor, tf.float32)
        if tensor.shape.rank == 3:
            floats = tf.expand_dims(floats, 1 if turned and tap.state is not None else 2)
        elif tensor.shape.rank == 4 and turned:
            floats = tf.transpose(floats, (0, 2, 1, 3))
        tensors[key] = floats
        taps.by_name[key] = replace(tap, state=_placed(tap, turned=turned))
    shapes = {key: tuple(tensor.shape[1:]) for key, tensor in tensors.items()}
    layers = table_of(taps, shapes, frontend, name)
    record = WeightsRecord("user model", sha256=_digest(keras_model, architecture))
    network = Network(name, layers, outputs=outputs_of(layers, outputs))
    return KerasModel(network, keras.Model(inputs, tensors, name="wrapped"), frontend, record)


def check_graph(keras_model: Any, graph: Any, name: str) -> None:
    """Refuse a model whose layers cannot be found, or which has several inputs; of any Keras.

    `graph` is the functional model that the user's `keras_model` is or holds.
    """
    if not getattr(graph, "_is_graph_network", graph is not None):
        sequential = "Sequential" in {each.__name__ for each in type(keras_model).__mro__}
        raise UsageError(
            f"{name} is a Sequential model without a known input shape: its layers cannot be found; begin it "
            f"with an Input layer"
            if sequential
            else f"{name} is a subclassed model: its layers cannot be found; build it functionally"
        )
    if len(graph.inputs) != 1:
        inputs = ", ".join(tensor.name for tensor in graph.inputs)
        raise UsageError(
            f"{name} has {len(graph.inputs)} inputs ({inputs}); models with one are opened: build one whose "
            f"other inputs are constants"
        )


def _check(keras_model: Any, name: str) -> None:
    turned = [
        layer.name
        for layer in map(original, keras_model._flatten_layers(include_self=False))
        if getattr(layer, "data_format", None) == "channels_first"
    ]
    if turned:
        raise UsageError(
            f"{name} has layers with channels first ({', '.join(turned)}); channels come last here"
        )


def _example_shape(keras_model: Any, frontend: FrontEnd | None, name: str, axes: str) -> tuple[int, int]:
    shape = tuple(keras_model.inputs[0].shape)
    ranks = (2, 3) if axes == "samples" else (3, 4)
    if len(shape) not in ranks or (len(shape) == ranks[1] and shape[-1] not in (1, None)):
        hint = '; axes="samples" opens a network of waveforms' if len(shape) == 2 else ""
        raise UsageError(f"{name} takes {list(shape)}, not {form(axes, last=True)}{hint}")
    given = (shape[1], 1) if axes == "samples" else shape[1:3]
    given = given[::-1] if axes == "mel,time" else given
    if frontend is None:
        if None in given:
            raise UsageError(f"{name} takes {list(shape)}: without a front end time and mel have to be known")
        return given[0], given[1]
    wanted = frontend.example_shape
    if not _fits(given, wanted):
        other = {"time,mel": "mel,time", "mel,time": "time,mel"}.get(axes)
        hint = f'; axes="{other}" is the other order' if other and _fits(given[::-1], wanted) else ""
        raise UsageError(
            f"{name} takes {list(shape)}, but {frontend.name} gives examples of "
            f"{shape_in_words(wanted)}{hint}"
        )
    return wanted


def _fits(given: Sequence[int | None], wanted: Sequence[int]) -> bool:
    return all(mine in (None, theirs) for mine, theirs in zip(given, wanted, strict=True))


def _has_place(tensor: Any) -> bool:
    """Whether a tensor is a map, a sequence or a vector of numbers; what is not is left out."""
    return tensor.shape.rank in (2, 3, 4) and bool(tensor.dtype.is_floating)


def _placed(tap: Tap, *, turned: bool) -> State | None:
    """Give what is seen in the order (time, mel); a sequence sees all of the other axis."""
    state = tap.state
    if state is None or state.vector:
        return state
    if tap.tensor.shape.rank == 3:
        state = replace(state, mel=whole(state.mel))
    return replace(state, time=state.mel, mel=state.time) if turned else state


def _digest(keras_model: Any, architecture: str | None) -> str:
    """Hash a model's architecture and weights."""
    digest = hashlib.sha256()
    try:
        digest.update((architecture or keras_model.to_json()).encode())
    except Exception:  # a layer of the user's own need not describe itself
        for layer in map(original, keras_model._flatten_layers()):
            digest.update(f"{type(layer).__name__} {layer.name}\n".encode())
    hash_weights(keras_model, digest)
    return digest.hexdigest()
