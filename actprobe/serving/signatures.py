"""The named signatures of an exported network or inverter: what it is asked, what it answers.

Every input and every output has the batch as its first axis, as TensorFlow Serving's batcher demands.
Networks:

- ``serving_default``: ``examples`` [batch, time, mel] -> the outputs of the network by layer name;
- ``activations``: ``examples`` -> every named layer;
- ``from_waveform``: ``waveform`` [batch, samples] at the front end's rate -> the outputs of every example,
  [batch, examples, ...], with ``times`` and ``centre_times``.

Inverters:

- ``serving_default``: ``features`` of a layer -> ``mel_spectrogram`` [batch, time, mel];
- ``from_mel``: ``mel_spectrogram`` -> features -> inverted ``mel_spectrogram``;
- ``from_waveform``: ``waveform`` -> the inverted ``mel_spectrogram`` of every example, [batch, examples,
  time, mel], with ``times`` and ``frame_times``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.analyses.inversion.networks.inverter import Inverter
from actprobe.errors import UsageError
from actprobe.frontends.graph import ExampleGraph
from actprobe.models.model import Model
from actprobe.serving.from_waveform import TIMES, waveform_graph, waveform_python

CALLS_PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")
Graph = Callable[[Any], dict[str, Any]]  # a tensor -> tensors by name
Python = Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class ExportTensor:
    """An input or output of a signature: axes by name, or by length where that is fixed."""

    name: str
    shape: tuple[str | int, ...]
    what: str
    dtype: str = "float32"

    @property
    def spec(self) -> Any:
        """Its tf.TensorSpec; axes that have a name may have any length."""
        axes = [axis if isinstance(axis, int) else None for axis in self.shape]
        return backend.tf.TensorSpec(axes, getattr(backend.tf, self.dtype), name=self.name)


@dataclass(frozen=True, eq=False)
class ExportSignature:
    """One question that an exported model answers.

    Parameters
    ----------
    name : str
        Its key in the SavedModel.
    input : ExportTensor
        What it takes.
    outputs : tuple of ExportTensor
        What it gives.
    graph : callable
        Computes the outputs with TensorFlow operations.
    python : callable
        Computes them as Python does: what an export has to equal.
    """

    name: str
    input: ExportTensor
    outputs: tuple[ExportTensor, ...]
    graph: Graph
    python: Python

    @cached_property
    def function(self) -> Any:
        """The graph as a tf.function of one input."""
        return backend.tf.function(self.graph, input_signature=[self.input.spec], autograph=False)

    def concrete(self) -> Any:
        """Trace it; the same concrete function every time.

        Raises
        ------
        UsageError
            An operation calls back into this Python process, which no server has.
        """
        traced = self.function.get_concrete_function()
        definition = traced.graph.as_graph_def()
        functions = (node for function in definition.library.function for node in function.node_def)
        for node in (*definition.node, *functions):
            if node.op in CALLS_PYTHON:
                layer = node.name.rpartition("/")[0].rpartition("/")[2] or node.name
                raise UsageError(
                    f"{layer} computes in Python (tf.numpy_function or tf.py_function), which is not there "
                    f"where an exported model runs: write it with TensorFlow operations"
                )
        return traced


def network_signatures(
    model: Model, layers: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> tuple[list[ExportSignature], tuple[str, ...]]:
    """Write the signatures of a network, which share its weights, and a sentence for each that is left out.

    ``activations`` gives `layers`, by default all; the others give `outputs`, by default the layers that the
    network exports.

    Raises
    ------
    UsageError
        A layer that the network does not have, or one that is named as the times are.
    """
    kept = [layer.name for layer in model.layers.select(layers or list(model.layers))]
    asked = [layer.name for layer in model.layers.select(outputs or model.exported)]
    clash = sorted({*kept, *asked} & {*TIMES})
    if clash:
        raise UsageError(f"{model.name}: a layer named {clash[0]} cannot be told from the times; rename it")
    examples = ExportTensor("examples", ("batch", *model.frontend.example_shape), _examples(model))
    signatures = [
        ExportSignature(
            name, examples, _layers(model, given), _part(model, given), _activations(model, given)
        )
        for name, given in (("serving_default", asked), ("activations", kept))
    ]
    graph, notes = _example_graph(model)
    if graph is not None:
        given = _layers(model, asked, "examples")
        signatures.append(
            _from_waveform(
                model,
                graph,
                given,
                _part(model, asked),
                _activations(model, asked),
                ("times", "centre_times"),
            )
        )
    return signatures, notes


def inverter_signatures(
    inverter: Inverter, model: Model | None = None
) -> tuple[list[ExportSignature], tuple[str, ...]]:
    """Write the signatures of a feature inverter, and a sentence for each that is left out.

    Without the network whose features it inverts there is ``serving_default`` only.

    Raises
    ------
    UsageError
        A network that the inverter was not made for.
    """
    where = f"{inverter.layer} of {inverter.model_name}"
    units = "in the normalised units of the network's front end"
    features = ExportTensor("features", ("batch", *inverter.feature_shape), f"activations of {where}")
    excerpt = f"inverted excerpt, {units}"
    inverted = ExportTensor("mel_spectrogram", ("batch", *inverter.example_shape), excerpt)

    def invert(features: Any) -> dict[str, Any]:
        return {"mel_spectrogram": inverter.keras_model(features, training=False)}

    def invert_python(features: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        return {"mel_spectrogram": inverter(features)}

    signatures = [ExportSignature("serving_default", features, (inverted,), invert, invert_python)]
    if model is None:
        return signatures, ()
    layer = model.layers[inverter.layer]
    fits = tuple(layer.shape) == tuple(inverter.feature_shape)
    if (
        model.name != inverter.model_name
        or not fits
        or model.frontend.example_shape != inverter.example_shape
    ):
        raise UsageError(f"an inverter of {where} does not fit {inverter.layer} of {model.name}")
    part = _part(model, [inverter.layer])

    def from_mel(mel_spectrogram: Any) -> dict[str, Any]:
        return invert(part(mel_spectrogram)[inverter.layer])

    def from_mel_python(examples: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        return invert_python(model.activations(examples, [inverter.layer])[inverter.layer])

    taken = ExportTensor("mel_spectrogram", ("batch", *model.frontend.example_shape), _examples(model))
    signatures.append(ExportSignature("from_mel", taken, (inverted,), from_mel, from_mel_python))
    graph, notes = _example_graph(model)
    if graph is not None:
        given = (ExportTensor("mel_spectrogram", ("batch", "examples", *inverter.example_shape), excerpt),)
        times = ("times", "frame_times")
        signatures.append(_from_waveform(model, graph, given, from_mel, from_mel_python, times))
    return signatures, notes


def _example_graph(model: Model) -> tuple[ExampleGraph | None, tuple[str, ...]]:
    try:
        return model.frontend.example_graph(), ()
    except UsageError as error:
        return None, (f"There is no from_waveform: {error}.",)


def _from_waveform(
    model: Model,
    graph: ExampleGraph,
    given: tuple[ExportTensor, ...],
    run: Graph,
    python: Python,
    times: Sequence[str],
) -> ExportSignature:
    rate = model.frontend.sample_rate
    waveform = ExportTensor(
        "waveform", ("batch", "samples"), f"mono sound at {rate} Hz, nominally from -1 to 1"
    )
    frames = (model.frontend.example_shape[0],)
    stamps = [
        ExportTensor(
            name, ("batch", "examples", *(frames if name == "frame_times" else ())), TIMES[name], "float64"
        )
        for name in times
    ]
    return ExportSignature(
        "from_waveform",
        waveform,
        (*given, *stamps),
        waveform_graph(model, graph, run, times),
        waveform_python(model, python, times),
    )


def _examples(model: Model) -> str:
    frontend = model.frontend
    source = f"the front end {frontend.name} gives" if frontend.known else "the network takes"
    return f"examples as {source} them"


def _layers(model: Model, names: Sequence[str], *axes: str) -> tuple[ExportTensor, ...]:
    rows = [model.layers[name] for name in names]
    return tuple(
        ExportTensor(row.name, ("batch", *axes, *row.shape), f"{row.kind} {row.name}") for row in rows
    )


def _part(model: Model, names: Sequence[str]) -> Graph:
    """Give the part of the network that some layers need, by their names."""
    tensors = {name: model.layers[name].tensor for name in names}
    wanted = {tensor: model.keras_model.output[tensor] for tensor in dict.fromkeys(tensors.values())}
    part = backend.keras.Model(model.keras_model.input, wanted)

    def run(examples: Any) -> dict[str, Any]:
        found = part(examples, training=False)
        return {name: found[tensor] for name, tensor in tensors.items()}

    return run


def _activations(model: Model, names: Sequence[str]) -> Python:
    return lambda examples: model.activations(examples, names)
