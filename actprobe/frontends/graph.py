"""Waveforms -> examples inside a TensorFlow graph, equal to what the Python front ends give.

The transforms themselves (windows, filter banks, logarithms) are the ``graph`` methods of the front ends,
which Python runs, too, so there is one of each. What Python does around them with numpy is done here and in
the classes derived from `ExampleGraph` with TensorFlow operations: lengthening a recording that is too
short, finding where its examples begin, and cutting them out. No numpy function and no custom operation is
left in the graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

from actprobe import backend


class _Timed(Protocol):
    """What a graph has to know of a front end."""

    sample_rate: int
    example_samples: int
    padding: str


class ExampleGraph(ABC):
    """A front end, written with TensorFlow operations, for recordings of one length."""

    def __init__(self, frontend: _Timed) -> None:
        self.sample_rate, self.example_samples = frontend.sample_rate, frontend.example_samples
        self.shortest = frontend.example_samples  # a recording of fewer samples is lengthened
        self.padding = frontend.padding

    def lengthened(self, waveform: Any) -> Any:
        """Lengthen float32 [batch, samples] to at least `shortest`, by the front end's ``padding``.

        An empty or non-finite waveform is an InvalidArgumentError when the graph runs.
        """
        tf, needed = backend.tf, self.shortest
        samples = tf.shape(waveform)[1]
        how = "zeros" if self.padding == "zeros" else "itself, repeated"
        empty = (
            f"The waveform is too short: at least 1 sample (and 1 recording) at {self.sample_rate} Hz is "
            f"needed; fewer than {needed} samples are followed by {how}."
        )
        unsound = "The waveform holds NaN or infinity; finite samples, nominally from -1 to 1, are needed."
        with tf.control_dependencies([tf.debugging.Assert(tf.size(waveform) > 0, [empty])]):
            finite = tf.reduce_all(tf.math.is_finite(waveform))
        with tf.control_dependencies([tf.debugging.Assert(finite, [unsound])]):
            length = tf.maximum(samples, needed)
            if self.padding == "repeat":
                return tf.gather(waveform, tf.range(length) % samples, axis=1)
            return tf.pad(waveform, [[0, 0], [0, length - samples]])

    @abstractmethod
    def starts(self, samples: Any) -> Any:
        """Give the first sample of each example, int32 [examples], of so many lengthened samples."""

    @abstractmethod
    def prepare(self, waveform: Any) -> Any:
        """Compute what examples are cut from: lengthened waveform [batch, samples] -> what `cut` takes."""

    @abstractmethod
    def cut(self, prepared: Any, rows: Any, starts: Any) -> Any:
        """Cut examples, float32 [examples, time, mel], out of what `prepare` gave.

        `rows` and `starts`, int32 [examples], say of which recording each is and at which sample it begins.
        """
