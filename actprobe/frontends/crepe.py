"""The frames of CREPE: 1024 samples at 16 kHz, each standardised by itself.

Constants and order of operations of crepe 0.0.16 (core.py; MIT). Frames are standardised in double precision,
which differs from the original's single precision by 5e-7. The original resamples by resampy; with
soxr, as here, activations differ by 2e-4 (voice) to 3e-3 (double bass), pitches by less than 0.1 cents.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.graph import ExampleGraph
from actprobe.frontends.mel_settings import number, whole_number
from actprobe.frontends.segments import SegmentFrontEnd, SegmentGraph
from actprobe.frontends.sound import Sound, checked

SAMPLE_RATE = 16_000
FRAME_SAMPLES = 1024
STEP_MS = 10.0
LEAST_STD = 1e-8


class CrepeFrontEnd(SegmentFrontEnd):
    """Frames of 1024 samples, 64 ms, less their mean and divided by their standard deviation.

    An example is one frame, of shape (1024, 1): its time axis counts samples. Level is lost, and digital
    silence becomes zeros.

    Parameters
    ----------
    normalization : str or Path, optional
        There is none for this front end; anything else than None is refused.
    step_ms : float, optional
        Milliseconds between frames, the original's ``step_size``; rounded down to whole samples.
    hop : int, optional
        Frames between examples: 1 for every frame, 5 for every fifth, one every 50 ms.
    center : bool, optional
        Whether frame k is centred on the time k `step_ms`, with 512 zeros before and after the recording, as
        in the original, or begins there and lies within the recording.
    padding : str, optional
        Without `center`, what follows a recording shorter than a frame: ``zeros`` or ``repeat``, see
        `FrontEnd`.

    Raises
    ------
    UsageError
        A normalization, no such padding or one that has no effect, a step below one sample, or a hop below 1.

    Examples
    --------
    >>> from actprobe.frontends.crepe import CrepeFrontEnd
    >>> CrepeFrontEnd()(np.zeros(16000, np.float32), 16000).shape
    (101, 1024, 1)
    """

    name = "crepe_frames"
    sample_rate = SAMPLE_RATE
    example_samples = FRAME_SAMPLES
    example_shape = (FRAME_SAMPLES, 1)
    frame_hop = frame_length = 1
    first_frame = 0
    unit = "sample value, standardised by frame"
    keeps_phase = True
    standardises = True

    def __init__(
        self,
        normalization: str | Path | None = None,
        step_ms: float = STEP_MS,
        hop: int = 1,
        center: bool = True,
        padding: str = "zeros",
    ) -> None:
        super().__init__(padding)
        if normalization is not None:
            raise UsageError(
                f"CREPE takes its examples as they are, without the normalization {normalization}"
            )
        if center and padding != "zeros":
            raise UsageError(
                f"padding={padding!r} has no effect: centred frames have zeros around; give center=False"
            )
        self.step_samples = int(SAMPLE_RATE * number("step_ms", step_ms, 0.0) / 1000)
        if self.step_samples < 1:
            raise UsageError(f"step_ms={step_ms}: frames are at least one sample apart, 0.0625 ms")
        self.hop = whole_number("hop", hop)
        self.center = bool(center)
        self.zeros = FRAME_SAMPLES // 2 if center else 0  # before and after a recording
        self.shortest = FRAME_SAMPLES - 2 * self.zeros

    def example_starts(self, samples: int) -> NDArray[np.int64]:
        """Begin a frame as long as it ends within the recording and its zeros."""
        last = max(samples, self.shortest) - self.shortest
        return np.arange(0, last + 1, self.step_samples * self.hop, dtype=np.int64) - self.zeros

    def example_of(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        example: NDArray[np.float32] = self._transformed(samples[np.newaxis])[0]
        return example

    def rescaled(
        self, example: NDArray[Any], samples: NDArray[np.float32], span: NDArray[np.float32]
    ) -> NDArray[Any]:
        (mean, std), (span_mean, span_std) = _mean_std(samples), _mean_std(span)
        return np.asarray((example * std + mean - span_mean) / span_std)

    def graph(self, segments: Any) -> Any:
        """Standardise every frame, in double precision."""
        tf = backend.tf
        frames = tf.cast(segments, tf.float64)
        mean, variance = tf.nn.moments(frames, axes=[1], keepdims=True)
        standardised = (frames - mean) / tf.maximum(tf.sqrt(variance), LEAST_STD)
        return tf.cast(standardised, tf.float32)[..., tf.newaxis]

    def example_graph(self) -> ExampleGraph:
        return CrepeGraph(self)

    def sound(
        self,
        values: NDArray[Any],
        samples: NDArray[np.float32] | None = None,
        *,
        own_phase: bool = False,
        seed: int = 0,
    ) -> Sound:
        """Give the samples at the level of the sound they are of; without it, no louder than full scale."""
        found = checked(values, 1)[:, 0]
        if samples is None:
            return Sound((found / max(1.0, np.abs(found).max())).astype(np.float32))
        mean, std = _mean_std(samples)
        return Sound((found * std + mean).astype(np.float32))

    def band_edges_hz(self) -> NDArray[np.float64]:
        return np.array([0.0, SAMPLE_RATE / 4, SAMPLE_RATE / 2])

    def constants(self) -> dict[str, Any]:
        return {
            "step_samples": self.step_samples,
            "hop": self.hop,
            "center": self.center,
            "least_std": LEAST_STD,
            "precision": "float64",
        }


def _mean_std(samples: NDArray[np.float32]) -> tuple[float, float]:
    """Give mean and standard deviation of a sound, the latter as frames are divided by it."""
    return float(samples.mean(dtype=np.float64)), max(float(samples.std(dtype=np.float64)), LEAST_STD)


class CrepeGraph(SegmentGraph):
    """Frames every so many samples, with zeros before and after the recording, see `CrepeFrontEnd`."""

    frontend: CrepeFrontEnd

    def starts(self, samples: Any) -> Any:
        frontend = self.frontend
        last = samples - frontend.shortest
        return backend.tf.range(0, last + 1, frontend.step_samples * frontend.hop) - frontend.zeros

    def prepare(self, waveform: Any) -> Any:
        zeros = self.frontend.zeros
        return backend.tf.pad(waveform, [[0, 0], [zeros, zeros]])

    def cut(self, prepared: Any, rows: Any, starts: Any) -> Any:
        return super().cut(prepared, rows, starts + self.frontend.zeros)
