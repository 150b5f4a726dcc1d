"""The named signatures of an exported network or inverter: what it is asked, what it answers.

Every input and every output has the batch as its first axis, as TensorFlow Serving's batcher demands.
Networks:

- ``serving_default``: ``examples`` [batch, time, mel] -> the outputs of the network by layer name;
- ``activations``: ``examples`` -> every named layer;
- ``from_waveform``: ``waveform`` [batch, samples] at the front end's rate -> the outputs of every example,
  [batch, examples, ...], with ``times`` and ``centre_times``.

Inverters:

- ``serving_default``: ``features`` of a layer -> ``sonogram`` [batch, time, mel];
- ``from_mel``: ``sonogram`` -> features -> inverted ``sonogram``;
- ``from_waveform``: ``waveform`` -> the inverted ``sonogram`` of every example, [batch, examples, time,
  mel], with ``times`` and ``frame_times``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.serving.graph import ExampleGraph, example_graph

if TYPE_CHECKING:
    from actprobe.analyses.inversion.networks.inverter import Inverter

__all__ = ["Signature", "Tensor", "inverter_signatures", "network_outputs", "network_signatures"]

TIMES = {
    "times": "seconds from the start of the recording to the start of each example",
    "centre_times": "seconds from the start of the recording to the middle of each example",
    "frame_times": "seconds from the start of the recording to the centre of each frame of each example",
}

# Networks that have more than one output: VGGish's embedding is in use with and without its rectifier.
_OUTPUTS = {"vggish": ("embedding", "embedding/relu")}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a signature.

    Parameters
    ----------
    name : str
        Its key.
    shape : tuple
        Axes by name, or by length where that is fixed.
    what : str
        What it holds, with its unit.
    dtype : str, optional
        Its type.
    """

    name: str
    shape: tuple[str | int, ...]
    what: str
    dtype: str = "float32"

    @property
    def spec(self) -> Any:
        """What TensorFlow calls it; axes that have a name may have any length."""
        axes = [axis if isinstance(axis, int) else None for axis in self.shape]
        return backend.tf.TensorSpec(axes, getattr(backend.tf, self.dtype), name=self.name)


@dataclass(frozen=True)
class Signature:
    """One question that an exported model answers.

    Parameters
    ----------
    name : str
        Its key in the SavedModel.
    input : Tensor
        What it takes.
    outputs : tuple of Tensor
        What it gives.
    function : tf.function
        Computes the outputs, a dict.
    """

    name: str
    input: Tensor
    outputs: tuple[Tensor, ...]
    function: Any

    def concrete(self) -> Any:
        """Trace it.

        Returns
        -------
        tf.types.experimental.ConcreteFunction
            The same one every time.
        """
        return self.function.get_concrete_function()


def network_outputs(model: Model) -> tuple[str, ...]:
    """Name the layers that are the outputs of a network.

    Parameters
    ----------
    model : Model
        The network.

    Returns
    -------
    tuple of str
        The last layer; ``embedding`` with and without its rectifier of VGGish.
    """
    return _OUTPUTS.get(model.name, (model.layers[-1].name,))


def network_signatures(
    model: Model, layers: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> list[Signature]:
    """Write the signatures of a network.

    Parameters
    ----------
    model : Model
        The network. The signatures share its weights.
    layers : sequence of str, optional
        Layers of ``activations``; by default all.
    outputs : sequence of str, optional
        Layers that ``serving_default`` and ``from_waveform`` give; by default `network_outputs`.

    Returns
    -------
    list of Signature
        ``from_waveform`` is left out of a model that was wrapped without a front end.

    Raises
    ------
    UsageError
        A layer that the network does not have, or a front end that cannot go into a graph.
    """
    kept = [layer.name for layer in model.layers.select(layers or model.layers.names)]
    asked = [layer.name for layer in model.layers.select(outputs or network_outputs(model))]
    clash = sorted({*kept, *asked} & {*TIMES})
    if clash:
        raise UsageError(f"{model.name}: a layer named {clash[0]} cannot be told from the times; rename it")
    examples = Tensor("examples", ("batch", *model.frontend.example_shape), _sonogram(model))
    signatures = [
        _signature("serving_default", examples, _layers(model, asked), _part(model, asked)),
        _signature("activations", examples, _layers(model, kept), _part(model, kept)),
    ]
    if model.frontend.name != "none":
        run = _from_waveform(model, _part(model, asked), ("times", "centre_times"))
        given = (*_layers(model, asked, "examples"), *_times(model, "times", "centre_times"))
        signatures.append(_signature("from_waveform", _waveform(model), given, run))
    return signatures


def inverter_signatures(inverter: Inverter, model: Model | None = None) -> list[Signature]:
    """Write the signatures of a feature inverter.

    Parameters
    ----------
    inverter : Inverter
        The inverter. The signatures share its weights.
    model : Model, optional
        The network whose features it inverts; without it there are no ``from_mel`` and ``from_waveform``.

    Returns
    -------
    list of Signature
        One or three.

    Raises
    ------
    UsageError
        A network that the inverter was not made for.
    """
    where = f"{inverter.layer} of {inverter.model_name}"
    units = "in the normalised units of the network's front end"
    shape: tuple[str | int, ...] = ("batch", *inverter.feature_shape)
    features = Tensor("features", shape, f"activations of {where}")
    sonogram = Tensor("sonogram", ("batch", *inverter.example_shape), f"inverted log-mel excerpt, {units}")
    invert = _inversion(inverter)
    signatures = [_signature("serving_default", features, (sonogram,), invert)]
    if model is None:
        return signatures
    layer = model.layers[inverter.layer]
    fits = tuple(layer.shape) == tuple(inverter.feature_shape)
    if (
        model.name != inverter.model_name
        or not fits
        or model.frontend.example_shape != inverter.example_shape
    ):
        raise UsageError(f"an inverter of {where} does not fit {inverter.layer} of {model.name}")
    part = _part(model, [inverter.layer])

    def from_mel(sonogram: Any) -> dict[str, Any]:
        return invert(part(sonogram)[inverter.layer])

    taken = Tensor("sonogram", ("batch", *model.frontend.example_shape), _sonogram(model))
    times = ("times", "frame_times")
    given = (
        Tensor("sonogram", ("batch", "examples", *inverter.example_shape), sonogram.what),
        *_times(model, *times),
    )
    return [
        *signatures,
        _signature("from_mel", taken, (sonogram,), from_mel),
        _signature("from_waveform", _waveform(model), given, _from_waveform(model, from_mel, times)),
    ]


def _signature(
    name: str, given: Tensor, outputs: tuple[Tensor, ...], run: Callable[[Any], dict[str, Any]]
) -> Signature:
    function = backend.tf.function(run, input_signature=[given.spec], autograph=False)
    return Signature(name, given, outputs, function)


def _sonogram(model: Model) -> str:
    return f"log-mel examples as the front end {model.frontend.name} gives them"


def _waveform(model: Model) -> Tensor:
    rate = model.frontend.sample_rate
    return Tensor("waveform", ("batch", "samples"), f"mono sound at {rate} Hz, nominally from -1 to 1")


def _layers(model: Model, names: Sequence[str], *axes: str) -> tuple[Tensor, ...]:
    rows = [model.layers[name] for name in names]
    return tuple(Tensor(row.name, ("batch", *axes, *row.shape), f"{row.kind} {row.name}") for row in rows)


def _times(model: Model, *names: str) -> tuple[Tensor, ...]:
    frames = (model.frontend.example_shape[0],)
    return tuple(
        Tensor(
            name,
            ("batch", "examples", *(frames if name == "frame_times" else ())),
            TIMES[name],
            "float64",
        )
        for name in names
    )


def _part(model: Model, names: Sequence[str]) -> Callable[[Any], dict[str, Any]]:
    """Give the part of the network that some layers need, by their names."""
    tensors = {name: model.layers[name].tensor for name in names}
    wanted = {tensor: model.keras_model.output[tensor] for tensor in dict.fromkeys(tensors.values())}
    part = backend.keras.Model(model.keras_model.input, wanted)

    def run(examples: Any) -> dict[str, Any]:
        found = part(examples, training=False)
        return {name: found[tensor] for name, tensor in tensors.items()}

    return run


def _inversion(inverter: Inverter) -> Callable[[Any], dict[str, Any]]:
    def run(features: Any) -> dict[str, Any]:
        return {"sonogram": inverter.keras_model(features, training=False)}

    return run


def _from_waveform(
    model: Model, run: Callable[[Any], dict[str, Any]], times: Sequence[str]
) -> Callable[[Any], dict[str, Any]]:
    """Put the front end before what takes examples; examples go through it some at a time."""
    graph = example_graph(model.frontend)
    bare = _output_specs(model, run)

    def from_waveform(waveform: Any) -> dict[str, Any]:
        tf = backend.tf
        sound = graph.lengthened(waveform)
        starts = graph.starts(tf.shape(sound)[1])
        recordings, each = tf.shape(sound)[0], tf.size(starts)
        prepared = graph.prepare(sound)
        total = recordings * each
        pieces = -(-total // model.batch_size)
        size = -(-total // pieces)  # pieces of one size; the last goes back over examples already done

        def piece(index: Any) -> dict[str, Any]:
            chosen = tf.minimum(index * size + tf.range(size), total - 1)
            return run(graph.cut(prepared, chosen // each, tf.gather(starts, chosen % each)))

        found = tf.map_fn(piece, tf.range(pieces), fn_output_signature=bare, parallel_iterations=1)
        outputs = {}
        for name, values in found.items():
            shape = bare[name].shape.as_list()[1:]
            every = tf.reshape(values, (-1, *shape))[:total]
            outputs[name] = tf.reshape(
                every, tf.concat([[recordings, each], tf.constant(shape, tf.int32)], 0)
            )
        return outputs | _time_outputs(model, graph, starts, recordings, times)

    return from_waveform


def _output_specs(model: Model, run: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    tf = backend.tf
    spec = tf.TensorSpec((None, *model.frontend.example_shape), tf.float32)
    outputs = tf.function(run, autograph=False).get_concrete_function(spec).structured_outputs
    return {name: tf.TensorSpec((None, *output.shape[1:]), output.dtype) for name, output in outputs.items()}


def _time_outputs(
    model: Model, graph: ExampleGraph, starts: Any, recordings: Any, names: Sequence[str]
) -> dict[str, Any]:
    tf, frontend = backend.tf, model.frontend
    begins = tf.cast(starts, tf.float64)
    frames = frontend.frame_hop * tf.range(frontend.example_shape[0]) + frontend.first_frame
    samples = {
        "times": begins,
        "centre_times": begins + frontend.example_samples / 2,
        "frame_times": begins[:, None] + tf.cast(frames, tf.float64)[None, :],
    }
    found = {}
    for name in names:
        seconds = samples[name] / frontend.sample_rate
        repeats = tf.concat([[recordings], tf.ones(tf.rank(seconds), tf.int32)], 0)
        found[name] = tf.tile(seconds[None], repeats)
    return found
