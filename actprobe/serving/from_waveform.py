"""The signature ``from_waveform``: a front end before what takes examples, in a graph and in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.frontends.graph import ExampleGraph
from actprobe.models.model import Model

TIMES = {
    "times": "seconds from the start of the recording to the start of each example",
    "centre_times": "seconds from the start of the recording to the middle of each example",
    "frame_times": "seconds from the start of the recording to the centre of each frame of each example",
}


def waveform_graph(
    model: Model, graph: ExampleGraph, run: Callable[[Any], dict[str, Any]], times: Sequence[str]
) -> Callable[[Any], dict[str, Any]]:
    """Put the front end before `run`, which takes examples; they go through it some at a time.

    What comes out takes waveforms [batch, samples] and gives the outputs of `run` [batch, examples, ...],
    and times in seconds.
    """
    tf, frontend = backend.tf, model.frontend
    spec = tf.TensorSpec((None, *frontend.example_shape), tf.float32)
    traced = tf.function(run, autograph=False).get_concrete_function(spec).structured_outputs
    bare = {name: tf.TensorSpec((None, *output.shape[1:]), output.dtype) for name, output in traced.items()}

    def from_waveform(waveform: Any) -> dict[str, Any]:
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
        begins = tf.cast(starts, tf.float64)
        for name in times:
            seconds = (begins[:, None] + _offsets(model, name)) / frontend.sample_rate
            seconds = seconds if name == "frame_times" else seconds[:, 0]
            repeats = tf.concat([[recordings], tf.ones(tf.rank(seconds), tf.int32)], 0)
            outputs[name] = tf.tile(seconds[None], repeats)
        return outputs

    return from_waveform


def waveform_python(
    model: Model,
    run: Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]],
    times: Sequence[str],
) -> Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]:
    """Give the same as `waveform_graph` by the Python front end, one recording after the other."""
    frontend = model.frontend

    def from_waveform(waveform: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        rows = [dict(run(frontend(samples, frontend.sample_rate))) for samples in waveform]
        starts = frontend.example_starts(waveform.shape[1])
        for name in times:
            seconds = (starts[:, None] + _offsets(model, name)) / frontend.sample_rate
            for row in rows:
                row[name] = seconds if name == "frame_times" else seconds[:, 0]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    return from_waveform


def _offsets(model: Model, name: str) -> NDArray[np.float64]:
    """Samples from the start of an example to what a time is of."""
    frontend = model.frontend
    if name == "frame_times":
        frames = np.arange(frontend.example_shape[0])
        return np.asarray(frontend.frame_hop * frames + frontend.first_frame, np.float64)
    return np.array([frontend.example_samples / 2 if name == "centre_times" else 0.0])
