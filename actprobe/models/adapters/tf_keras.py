"""`wrap_model`: a user's own Keras model, opened like the networks of the catalog."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.frontends.absent import NoFrontEnd
from actprobe.models.adapters.receptive import whole
from actprobe.models.adapters.taps import Tap, Taps, collect
from actprobe.models.geometry import Axis, State, as_layer
from actprobe.models.keras_model import KerasModel
from actprobe.models.model import Model
from actprobe.models.network import Network
from actprobe.models.output import Output, labelled, output_layer_of
from actprobe.models.table import Layer, LayerTable
from actprobe.models.weights import WeightsRecord, hash_weights

UNKNOWN = float("nan")


def wrap_model(
    keras_model: Any,
    frontend: FrontEnd | None = None,
    name: str | None = None,
    outputs: Sequence[str] | None = None,
) -> Model:
    """Open a Keras model of your own, for every analysis that the catalog's networks go through.

    Every layer is there by its Keras name, layers of nested models as ``NESTED/LAYER``, and what enters
    a nonlinearity as ``NAME/linear``, also for layers with an activation of their own. A layer that is
    called again has ``#2`` and so on behind its name; one with several outputs ``/0``, ``/1``. Outputs
    [batch, time, unit] come as maps with one mel position. The model itself is not changed and shares
    its weights with the wrapped one.

    Where the way from the input leads through convolutions, poolings, elementwise layers and merges, the
    layer table knows hop and receptive field; they are NaN elsewhere, and everywhere without a front
    end. Kinds of layers are Keras' class names.

    Parameters
    ----------
    keras_model : tf_keras.Model
        Functional or Sequential, built, channels last, with one input [batch, time, mel] or [batch,
        time, mel, 1]. It may have several outputs.
    frontend : FrontEnd, optional
        What the model's examples come from. Without one `Model.activations` takes examples, and
        recordings cannot be used.
    name : str, optional
        Name in tables and messages; by default that of the Keras model.
    outputs : sequence of str, optional
        Labels of the output units, in order, such as the tags or classes that they stand for.

    Returns
    -------
    Model
        The model; its ``weights`` are of the kind ``user model`` with a digest of network and weights.

    Raises
    ------
    UsageError
        A model that cannot be opened like this, with the reason, or labels that are too few or too many.

    Examples
    --------
    >>> model = actprobe.wrap_model(keras_model, frontend, outputs=["dog", "cat"])  # doctest: +SKIP
    >>> actprobe.neurons(model, "FOLDER", layers=["conv1"], output_dir="OUT")  # doctest: +SKIP
    """
    keras, tf = backend.keras, backend.tf
    name = name or str(getattr(keras_model, "name", "model"))
    _check(keras_model, name)
    example_shape = _example_shape(keras_model, frontend, name)
    frontend = NoFrontEnd(name, example_shape) if frontend is None else frontend
    frames, bands = example_shape
    start = State(Axis(frames), Axis(bands), channels=1) if frontend.known else None
    taps = Taps(None if start is None else replace(start, vector=True))
    collect(keras_model, [start], taps)
    taps.by_name = {key: tap for key, tap in taps.by_name.items() if _has_place(tap.tensor)}
    opened = keras.Model(keras_model.inputs[0], {tap.name: tap.tensor for tap in taps.by_name.values()})
    inputs = keras.Input(example_shape, name="examples")
    rank = keras_model.inputs[0].shape.rank
    tensors = opened(inputs if rank == 3 else keras.layers.Reshape((*example_shape, 1))(inputs))
    for key, tensor in tensors.items():
        floats = tensor if tensor.dtype == tf.float32 else tf.cast(tensor, tf.float32)
        tensors[key] = tf.expand_dims(floats, 2) if tensor.shape.rank == 3 else floats
    layers = _table(taps, tensors, frontend, name)
    record = WeightsRecord("user model", sha256=_digest(keras_model))
    network = Network(name, layers, outputs=None if outputs is None else _labelled(layers, outputs))
    return KerasModel(network, keras.Model(inputs, tensors, name="wrapped"), frontend, record)


def _check(keras_model: Any, name: str) -> None:
    keras = backend.keras
    if not isinstance(keras_model, keras.Model):
        module = type(keras_model).__module__
        hint = (
            " (Keras 3; set TF_USE_LEGACY_KERAS=1 and build it again)" if module.startswith("keras.") else ""
        )
        raise UsageError(f"{type(keras_model).__name__} is not a tf_keras model{hint}")
    if not getattr(keras_model, "_is_graph_network", False):
        kind = (
            "Sequential model without a known input shape"
            if _is_sequential(keras_model)
            else "subclassed model"
        )
        raise UsageError(f"{name} is a {kind}: its layers cannot be found; build it functionally")
    if len(keras_model.inputs) != 1:
        inputs = ", ".join(tensor.name for tensor in keras_model.inputs)
        raise UsageError(
            f"{name} has {len(keras_model.inputs)} inputs ({inputs}); models with one are opened"
        )
    turned = [
        layer.name
        for layer in keras_model._flatten_layers(include_self=False)
        if getattr(layer, "data_format", None) == "channels_first"
    ]
    if turned:
        raise UsageError(
            f"{name} has layers with channels first ({', '.join(turned)}); channels come last here"
        )


def _is_sequential(keras_model: Any) -> bool:
    return isinstance(keras_model, backend.keras.Sequential)


def _example_shape(keras_model: Any, frontend: FrontEnd | None, name: str) -> tuple[int, int]:
    shape = tuple(keras_model.inputs[0].shape)
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, None)):
        raise UsageError(f"{name} takes {list(shape)}, not [batch, time, mel] or [batch, time, mel, 1]")
    given = shape[1:3]
    if frontend is None:
        if None in given:
            raise UsageError(f"{name} takes {list(shape)}: without a front end time and mel have to be known")
        return given
    wanted = frontend.example_shape
    if any(mine not in (None, theirs) for mine, theirs in zip(given, wanted, strict=True)):
        raise UsageError(
            f"{name} takes {list(shape)}, but {frontend.name} gives examples of {wanted[0]} time frames by "
            f"{wanted[1]} mel bands"
        )
    return wanted


def _has_place(tensor: Any) -> bool:
    """Whether a tensor is a map, a sequence or a vector of numbers; what is not is left out."""
    return tensor.shape.rank in (2, 3, 4) and bool(tensor.dtype.is_floating)


def _table(taps: Taps, outputs: Mapping[str, Any], frontend: FrontEnd, network: str) -> LayerTable:
    rows: list[Layer] = []
    edges = frontend.band_edges_hz() if frontend.known else None
    by_name: dict[str, Layer] = {}
    for name in taps.order:
        other = taps.aliases.get(name, name)
        if other in by_name:
            row = replace(by_name[other], name=name, kind="pre-activation")
        elif other in outputs:
            tap = taps.by_name[other]
            shape = tuple(outputs[other].shape[1:])
            row = _row(tap, shape, frontend, edges)
            if name != other:
                row = replace(row, name=name, kind="pre-activation")
        else:
            continue
        rows.append(row)
        by_name[name] = row
    return LayerTable(network, rows)


def _row(tap: Tap, shape: tuple[int, ...], frontend: FrontEnd, edges: NDArray[np.float64] | None) -> Layer:
    if tap.state is None or edges is None:
        nowhere = (UNKNOWN, UNKNOWN)
        return Layer(tap.name, tap.kind, shape, UNKNOWN, UNKNOWN, UNKNOWN, nowhere, nowhere, tap.name)
    sequence = tap.tensor.shape.rank == 3
    state = replace(tap.state, mel=whole(tap.state.mel)) if sequence else tap.state
    return replace(as_layer(frontend, edges, tap.name, state, tap.name, tap.kind), shape=shape)


def _labelled(layers: LayerTable, labels: Sequence[str]) -> tuple[Output, ...]:
    last = layers[output_layer_of(layers)]
    if len(labels) != last.neurons or isinstance(labels, str):
        raise UsageError(
            f"{layers.network} has {last.neurons} output units ({last.name}): give as many labels, not "
            f"outputs={labels!r}"
        )
    return labelled(last.name, labels)


def _digest(keras_model: Any) -> str:
    """Hash a model's architecture and weights."""
    digest = hashlib.sha256()
    try:
        digest.update(keras_model.to_json().encode())
    except Exception:  # a layer of the user's own need not describe itself
        for layer in keras_model._flatten_layers():
            digest.update(f"{type(layer).__name__} {layer.name}\n".encode())
    hash_weights(keras_model, digest)
    return digest.hexdigest()
