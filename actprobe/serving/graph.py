"""Waveforms -> examples inside a TensorFlow graph, equal to what the Python front ends give.

The transforms themselves (windows, filter banks, logarithms) are the ``graph`` methods of
`actprobe.frontends`, which the Python front ends run, too, so there is one of each. What Python does
around them with numpy is done here with TensorFlow operations: lengthening a recording that is too
short, finding where its examples begin, and cutting them out. No numpy function and no custom operation
is left in the graph.
"""

from __future__ import annotations

from typing import Any

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends import (
    FrameFrontEnd,
    FrontEnd,
    MelgramFrontEnd,
    MmCnnFrontEnd,
    SegmentFrontEnd,
    SvdFrontEnd,
    VggishFrontEnd,
)
from actprobe.frontends.logmel import FRAMES_AT_ONCE
from actprobe.frontends.segments import NEGLIGIBLE

__all__ = ["ExampleGraph", "FrameGraph", "SegmentGraph", "cover_graph", "example_graph"]

# What `examples` of these does is known; another one may do more in Python than its `graph`.
_KNOWN = (MelgramFrontEnd, MmCnnFrontEnd, SvdFrontEnd, VggishFrontEnd)
_FRAME_BY_FRAME = (SvdFrontEnd, VggishFrontEnd)  # no frame looks at another one


class ExampleGraph:
    """A front end, written with TensorFlow operations, for recordings of one length.

    Parameters
    ----------
    frontend : FrontEnd
        The Python front end whose examples it gives.
    """

    def __init__(self, frontend: FrontEnd) -> None:
        self.frontend = frontend

    def lengthened(self, waveform: Any) -> Any:
        """Refuse what is no sound and lengthen what is too short for an example.

        Parameters
        ----------
        waveform : tf.Tensor
            float32, shape [batch, samples].

        Returns
        -------
        tf.Tensor
            float32, shape [batch, samples], at least one example long, followed by zeros or by itself
            again as the front end's ``padding`` says. An empty or non-finite waveform is an
            InvalidArgumentError when the graph runs.
        """
        tf, needed, rate = backend.tf, self.frontend.example_samples, self.frontend.sample_rate
        samples = tf.shape(waveform)[1]
        how = "zeros" if self.frontend.padding == "zeros" else "itself, repeated"
        empty = (
            f"The waveform is too short: at least 1 sample (and 1 recording) at {rate} Hz is needed; fewer "
            f"than {needed} samples are followed by {how}."
        )
        unsound = "The waveform holds NaN or infinity; finite samples, nominally from -1 to 1, are needed."
        with tf.control_dependencies([tf.debugging.Assert(tf.size(waveform) > 0, [empty])]):
            finite = tf.reduce_all(tf.math.is_finite(waveform))
        with tf.control_dependencies([tf.debugging.Assert(finite, [unsound])]):
            length = tf.maximum(samples, needed)
            if self.frontend.padding == "repeat":
                return tf.gather(waveform, tf.range(length) % samples, axis=1)
            return tf.pad(waveform, [[0, 0], [0, length - samples]])

    def starts(self, samples: Any) -> Any:
        """Say where the examples of a recording begin, as the Python front end's ``example_starts``.

        Parameters
        ----------
        samples : tf.Tensor
            int32 scalar, samples of the lengthened recording.

        Returns
        -------
        tf.Tensor
            int32, shape [examples], first sample of each.
        """
        raise NotImplementedError

    def prepare(self, waveform: Any) -> Any:
        """Compute what examples are cut from.

        Parameters
        ----------
        waveform : tf.Tensor
            float32, shape [batch, samples], lengthened.

        Returns
        -------
        tf.Tensor
            What `cut` takes.
        """
        raise NotImplementedError

    def cut(self, prepared: Any, rows: Any, starts: Any) -> Any:
        """Cut examples out.

        Parameters
        ----------
        prepared : tf.Tensor
            What `prepare` gave.
        rows : tf.Tensor
            int32, shape [examples]: of which recording each example is.
        starts : tf.Tensor
            int32, shape [examples]: at which sample it begins.

        Returns
        -------
        tf.Tensor
            float32, shape [examples, time, mel].
        """
        raise NotImplementedError


class FrameGraph(ExampleGraph):
    """Examples cut from the frames of whole recordings, see `FrameFrontEnd`.

    Parameters
    ----------
    frontend : FrameFrontEnd
        The Python front end whose examples it gives.
    """

    frontend: FrameFrontEnd

    def starts(self, samples: Any) -> Any:
        last = self.frontend.frames_in(samples) - self.frontend.example_shape[0]
        return self.frontend.frame_hop * backend.tf.range(0, last + 1, self.frontend.hop)

    def prepare(self, waveform: Any) -> Any:
        tf = backend.tf
        spec = tf.TensorSpec((None, self.frontend.example_shape[1]), tf.float32)
        transform = self._by_pieces if isinstance(self.frontend, _FRAME_BY_FRAME) else self.frontend.graph
        return tf.map_fn(transform, waveform, fn_output_signature=spec, parallel_iterations=4)

    def _by_pieces(self, samples: Any) -> Any:
        """Turn a recording into frames, a bounded number at a time, so that spectra stay few."""
        tf, frontend = backend.tf, self.frontend
        frames = frontend.frames_in(tf.shape(samples)[0])
        pieces = -(-frames // FRAMES_AT_ONCE)
        size = -(-frames // pieces)
        step, overlap = size * frontend.frame_hop, frontend.frame_length - frontend.frame_hop
        missing = tf.maximum(0, pieces * step + overlap - tf.shape(samples)[0])
        padded = tf.pad(samples, [[0, missing]])
        found = tf.map_fn(
            lambda piece: frontend.graph(padded[piece * step : (piece + 1) * step + overlap]),
            tf.range(pieces),
            fn_output_signature=tf.TensorSpec((None, frontend.example_shape[1]), tf.float32),
            parallel_iterations=1,
        )
        return tf.reshape(found, (-1, frontend.example_shape[1]))[:frames]

    def cut(self, prepared: Any, rows: Any, starts: Any) -> Any:
        tf = backend.tf
        frames, bands = self.frontend.example_shape
        first = rows * tf.shape(prepared)[1] + starts // self.frontend.frame_hop
        every = tf.reshape(prepared, (-1, bands))
        examples = tf.gather(every, first[:, None] + tf.range(frames)[None, :])
        if isinstance(self.frontend, MmCnnFrontEnd) and self.frontend.mean is not None:
            examples = examples - self.frontend.mean
        return tf.ensure_shape(examples, (None, frames, bands))


class SegmentGraph(ExampleGraph):
    """Examples computed each from its own segment of the recording, see `SegmentFrontEnd`.

    Parameters
    ----------
    frontend : SegmentFrontEnd
        The Python front end whose examples it gives.
    """

    frontend: SegmentFrontEnd

    def starts(self, samples: Any) -> Any:
        return cover_graph(samples, self.frontend.example_samples)

    def prepare(self, waveform: Any) -> Any:
        return waveform

    def cut(self, prepared: Any, rows: Any, starts: Any) -> Any:
        tf, length = backend.tf, self.frontend.example_samples
        first = rows * tf.shape(prepared)[1] + starts
        every = tf.reshape(prepared, (-1,))
        segments = tf.gather(every, first[:, None] + tf.range(length)[None, :])
        examples = self.frontend.graph(tf.ensure_shape(segments, (None, length)))
        return tf.ensure_shape(examples, (None, *self.frontend.example_shape))


def cover_graph(samples: Any, length: int) -> Any:
    """Cover a recording with segments of one length, as `actprobe.frontends.cover` does.

    Parameters
    ----------
    samples : tf.Tensor
        int32 scalar, samples of the recording, at least `length`.
    length : int
        Samples of a segment.

    Returns
    -------
    tf.Tensor
        int32, shape [segments], ascending.
    """
    tf = backend.tf
    ratio = tf.cast(samples, tf.float64) / length
    count = tf.maximum(1, tf.cast(tf.math.ceil(ratio - NEGLIGIBLE), tf.int32))
    leftover = samples - count * length
    order = tf.range(count)
    spread = tf.cast(samples - length, tf.float64) / tf.cast(tf.maximum(1, count - 1), tf.float64)
    overlapping = tf.cast(tf.round(tf.cast(order, tf.float64) * spread), tf.int32)
    return tf.where(leftover >= 0, leftover // 2 + length * order, overlapping)


def example_graph(frontend: FrontEnd) -> ExampleGraph:
    """Write a front end with TensorFlow operations.

    Parameters
    ----------
    frontend : FrontEnd
        A front end of this project, or one derived from `FrameFrontEnd` or `SegmentFrontEnd` that
        leaves ``examples`` as they have it.

    Returns
    -------
    ExampleGraph
        Gives the same examples.

    Raises
    ------
    UsageError
        A front end that computes in Python what a graph cannot hold.
    """
    kinds: tuple[tuple[Any, Any], ...] = ((FrameFrontEnd, FrameGraph), (SegmentFrontEnd, SegmentGraph))
    for kind, graph in kinds:
        plain = type(frontend).examples is kind.examples if isinstance(frontend, kind) else False
        if isinstance(frontend, kind) and (plain or type(frontend) in _KNOWN):
            written: ExampleGraph = graph(frontend)
            return written
    raise UsageError(
        f"the front end {frontend.name} is not written with TensorFlow operations, which a graph is made of"
    )
