"""Front ends whose examples are computed each from its own segment of the recording."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend, scratch
from actprobe.frontends.base import FrontEnd, cut_out, pad_to
from actprobe.frontends.graph import ExampleGraph

SAMPLES_AT_ONCE = 1 << 22  # of segments that are computed together
NEGLIGIBLE = 0.2  # a leftover under this share of an example does not earn an example of its own


def cover(samples: int, length: int) -> NDArray[np.int64]:
    """Cover a recording with segments of one length, in samples; give their starts, ascending, at least one.

    A recording shorter than a segment has one, which reaches beyond it. One up to 20 % longer gives its
    centre crop, as the published programs take it. Any other is covered from end to end: evenly spaced
    segments, as many as needed when a leftover under 20 % of a segment is let go (half at each end).
    """
    if samples <= length:
        return np.zeros(1, np.int64)
    count = max(1, int(np.ceil(samples / length - NEGLIGIBLE)))
    leftover = samples - count * length
    if leftover >= 0:
        return leftover // 2 + length * np.arange(count)
    return np.linspace(0, samples - length, count).round().astype(np.int64)


def cover_graph(samples: Any, length: int) -> Any:
    """Do what `cover` does in a graph: int32 samples, at least `length` -> int32 [segments]."""
    tf = backend.tf
    ratio = tf.cast(samples, tf.float64) / length
    count = tf.maximum(1, tf.cast(tf.math.ceil(ratio - NEGLIGIBLE), tf.int32))
    leftover = samples - count * length
    order = tf.range(count)
    spread = tf.cast(samples - length, tf.float64) / tf.cast(tf.maximum(1, count - 1), tf.float64)
    overlapping = tf.cast(tf.round(tf.cast(order, tf.float64) * spread), tf.int32)
    return tf.where(leftover >= 0, leftover // 2 + length * order, overlapping)


class SegmentFrontEnd(FrontEnd):
    """Waveform -> segments of one length -> examples.

    Parameters
    ----------
    padding : str, optional
        ``zeros`` or ``repeat``, see `FrontEnd`.

    Attributes
    ----------
    segments_at_once : int
        Segments that are computed together at most, which bounds memory.
    shortest : int
        A recording of fewer samples is lengthened; by default `example_samples`.
    """

    segments_at_once: int = 128
    _traced: Any = None

    @cached_property
    def shortest(self) -> int:
        """A recording of fewer samples is lengthened."""
        return self.example_samples

    @abstractmethod
    def graph(self, segments: Any) -> Any:
        """Turn segments into examples with TensorFlow operations only.

        Parameters
        ----------
        segments : tf.Tensor
            float32, shape [examples, example_samples], at `sample_rate`.

        Returns
        -------
        tf.Tensor
            float32, shape [examples, time, mel].
        """

    def example_starts(self, samples: int) -> NDArray[np.int64]:
        """Give the starts of the examples of a recording, see `cover`."""
        return cover(samples, self.example_samples)

    def segments(
        self, samples: NDArray[np.float32], starts: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Cut a recording into the samples of its examples, or of some: float32 [examples, example_samples].

        Where a segment reaches beyond a recording of at least `shortest` samples, there are zeros.
        """
        if starts is None:
            starts = self.example_starts(len(samples))
        samples, length = pad_to(samples, self.shortest, self.padding), self.example_samples
        return np.stack(
            [
                samples[start : start + length]
                if 0 <= start <= len(samples) - length
                else cut_out(samples, start, length)
                for start in starts.tolist()
            ]
        )

    def examples(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        starts = self.example_starts(len(samples))
        step = max(1, min(self.segments_at_once, SAMPLES_AT_ONCE // self.example_samples))
        found = scratch.array((len(starts), *self.example_shape), np.float32)
        for first in range(0, len(starts), step):
            found[first : first + step] = self._transformed(
                self.segments(samples, starts[first : first + step])
            )
        return found

    def _transformed(self, segments: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._traced is None:
            tf = backend.tf
            signature = [tf.TensorSpec((None, self.example_samples), tf.float32)]
            self._traced = tf.function(self.graph, input_signature=signature)
        transformed: NDArray[np.float32] = self._traced(segments).numpy()
        return transformed

    def example_graph(self) -> ExampleGraph:
        plain = type(self).examples is SegmentFrontEnd.examples
        return SegmentGraph(self) if plain else super().example_graph()


class SegmentGraph(ExampleGraph):
    """Examples computed each from its own segment of the recording, see `SegmentFrontEnd`."""

    def __init__(self, frontend: SegmentFrontEnd) -> None:
        super().__init__(frontend)
        self.frontend, self.shortest = frontend, frontend.shortest

    def starts(self, samples: Any) -> Any:
        return cover_graph(samples, self.example_samples)

    def prepare(self, waveform: Any) -> Any:
        return waveform

    def cut(self, prepared: Any, rows: Any, starts: Any) -> Any:
        tf, length = backend.tf, self.example_samples
        first = rows * tf.shape(prepared)[1] + starts
        every = tf.reshape(prepared, (-1,))
        segments = tf.gather(every, first[:, None] + tf.range(length)[None, :])
        examples = self.frontend.graph(tf.ensure_shape(segments, (None, length)))
        return tf.ensure_shape(examples, (None, *self.frontend.example_shape))
