"""The constant-Q windows of basic-pitch.

Constants and order of operations of basic-pitch 0.4.0 (constants.py, inference.py, layers/; Apache-2.0). A
recording is cut into windows of 2 seconds, the first of which begins 3840 samples before it; what lies
outside the recording is zero. Every window is scaled by itself: decibels from its faintest value, 0, to its
loudest, 1. So the level is lost, and values depend on how the windows are cut.

A window is made as long as its middle, the 142 frames that are kept of it, begins within the recording. The
original may make one more, of which nothing is in its output. A window of digital silence has no range: the
original divides rounding errors by each other, so that single values become 1; here all are 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.cqt import ConstantQ
from actprobe.frontends.graph import ExampleGraph
from actprobe.frontends.segments import SegmentFrontEnd, SegmentGraph

SAMPLE_RATE = 22_050
FRAME_HOP = 256
WINDOW = 2 * SAMPLE_RATE - FRAME_HOP
FRAMES = 172
EDGE_FRAMES = 15
LEAD = EDGE_FRAMES * FRAME_HOP  # zeros before a recording
WINDOW_HOP = WINDOW - 2 * LEAD
BINS, BINS_PER_OCTAVE, LOWEST_HZ = 309, 36, 27.5
FLOOR = 1e-10
TRANSFORM = ConstantQ(SAMPLE_RATE, FRAME_HOP, LOWEST_HZ, BINS, BINS_PER_OCTAVE)


class BasicPitchFrontEnd(SegmentFrontEnd):
    """Constant-Q windows of 172 frames by 309 bins, a third of a semitone each from 27.5 Hz, scaled to 0..1.

    Windows of 43844 samples follow one another every 36164 samples from 3840 before the recording.

    Parameters
    ----------
    normalization : str or Path, optional
        There is none for this front end; anything else than None is refused.
    padding : str, optional
        What follows a recording shorter than 36164 samples, 1.64 s: ``zeros`` as in the original, or
        ``repeat``, see `FrontEnd`.

    Raises
    ------
    UsageError
        A normalization, or no such padding.
    """

    name = "basic_pitch_cqt"
    sample_rate = SAMPLE_RATE
    example_samples = WINDOW
    example_shape = (FRAMES, BINS)
    frame_hop = FRAME_HOP
    frame_length = int(TRANSFORM.lengths[0])  # of the lowest bin, 1.87 s; the highest sees 110 samples
    first_frame = 0
    shortest = WINDOW_HOP
    edge_frames = EDGE_FRAMES
    unit = "dB, 0 to 1 in each window"
    joining_refusal = "each window is scaled to its own range: ask for one excerpt"
    sound_refusal = (
        "no sound can be made of the windows of basic_pitch: each is scaled to its own range, so that its "
        "level is lost, and its bins are not those of a Fourier transform"
    )

    def __init__(self, normalization: str | Path | None = None, padding: str = "zeros") -> None:
        super().__init__(padding)
        if normalization is not None:
            raise UsageError(
                f"basic_pitch takes its examples as they are, without the normalization {normalization}"
            )

    def example_starts(self, samples: int) -> NDArray[np.int64]:
        """Begin a window as long as its middle begins within the recording."""
        return WINDOW_HOP * np.arange(-(-samples // WINDOW_HOP), dtype=np.int64) - LEAD

    def example_of(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._transformed(samples[np.newaxis])[0])

    def graph(self, segments: Any) -> Any:
        """Give constant-Q magnitudes in decibels, scaled."""
        return scaled_decibels(TRANSFORM.graph(segments))

    def band_edges_hz(self) -> NDArray[np.float64]:
        """Give the centres of the bins around each: bin m spans those of m - 1 to m + 1."""
        return np.asarray(LOWEST_HZ * 2.0 ** (np.arange(-1, BINS + 1) / BINS_PER_OCTAVE))

    def example_graph(self) -> ExampleGraph:
        return WindowGraph(self)

    def constants(self) -> dict[str, Any]:
        return {
            "frame_hop": FRAME_HOP,
            "window_hop": WINDOW_HOP,
            "lead": LEAD,
            "bins": BINS,
            "bins_per_octave": BINS_PER_OCTAVE,
            "fmin": LOWEST_HZ,
            "floor": FLOOR,
            "precision": "float32",
        }


def scaled_decibels(magnitudes: Any) -> Any:
    """Take float32 [windows, frames, bins] to decibels above the faintest of each window, by their range."""
    tf = backend.tf
    power = tf.math.square(magnitudes) + FLOOR
    decibels = 10 * (tf.math.log(power) / tf.math.log(tf.constant(10.0)))
    above = decibels - tf.reduce_min(decibels, [1, 2], keepdims=True)
    scaled = tf.math.divide_no_nan(above, tf.reduce_max(above, [1, 2], keepdims=True))
    faintest, loudest = (of(power, [1, 2], keepdims=True) for of in (tf.reduce_min, tf.reduce_max))
    return tf.where(loudest > faintest, scaled, tf.zeros_like(scaled))


class WindowGraph(SegmentGraph):
    """Windows that begin before the recording and end behind it, see `BasicPitchFrontEnd`."""

    def starts(self, samples: Any) -> Any:
        return backend.tf.range(0, samples, WINDOW_HOP) - LEAD

    def prepare(self, waveform: Any) -> Any:
        return backend.tf.pad(waveform, [[0, 0], [LEAD, WINDOW]])

    def cut(self, prepared: Any, rows: Any, starts: Any) -> Any:
        return super().cut(prepared, rows, starts + LEAD)
