"""Training examples of the detector: segments of mixes.

A segment of 115 + 9 k frames holds k + 1 excerpts, 9 frames apart: the network pools by 3 twice, so that
run over the whole segment it gives exactly the predictions of these excerpts. Segments begin anywhere.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.detection.spectra import CENTRE, POOLING, frame_times, log_mel, samples_of
from actprobe.frontends.logmel import EXCERPT_FRAMES, FRAME_HOP, MELS
from actprobe.training.mixer import Mixer

THREADS = 2  # that make segments, beside those of the training
AHEAD = 8  # batches that are made before they are needed

Floats = NDArray[np.float32]


class Segments:
    """Segments sampled at random; segment number i is always the same.

    Each has ``excerpts`` excerpts, 9 frames apart, of the mix of its number.
    """

    def __init__(self, mixer: Mixer, excerpts: int) -> None:
        self.mixer, self.excerpts = mixer, excerpts
        self.frames = EXCERPT_FRAMES + POOLING * (excerpts - 1)
        self._centres = frame_times(self.frames)[CENTRE : CENTRE + POOLING * excerpts : POOLING]

    def __getitem__(self, number: int) -> tuple[Floats, Floats]:
        """Make a segment by its number.

        Log-mel frames, float32 [frames, 80], and labels of its excerpts, float32 [excerpts], 0 or 1.
        """
        mix = self.mixer.mix(number, samples_of(self.frames))
        return log_mel(mix.samples), mix.sung_at(self._centres).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Say how segments are sampled, JSON-able, for provenance."""
        return {"excerpts_per_segment": self.excerpts, **self.mixer.describe()}


class SegmentBatches:
    """Batches of segments in the order of their numbers, see `actprobe.training.batches.Source`."""

    unit: ClassVar[str] = "excerpts"

    def __init__(self, segments: Segments, batch_size: int) -> None:
        self.segments, self.batch_size = segments, batch_size
        self.units_per_step = batch_size * segments.excerpts
        samples = sum(sound.samples for sound in segments.mixer.store.sounds)
        excerpts = samples // (POOLING * FRAME_HOP)
        self.steps_per_pass = max(1, excerpts // self.units_per_step)
        self.first_step = 0

    def endless(self) -> Any:
        """Give the batches from `first_step` on, without end.

        Returns
        -------
        tf.data.Dataset
            Dicts of ``frames`` [batch, frames, 80] and ``labels`` [batch, excerpts], float32.
        """
        tf, segments = backend.tf, self.segments

        def read(number: Any) -> tuple[Floats, Floats]:
            return segments[self.first_step * self.batch_size + int(number)]

        def made(number: Any) -> dict[str, Any]:
            bands, labels = tf.numpy_function(read, [number], (tf.float32, tf.float32), stateful=False)
            return {
                "frames": tf.ensure_shape(bands, [segments.frames, MELS]),
                "labels": tf.ensure_shape(labels, [segments.excerpts]),
            }

        numbers = tf.data.Dataset.range(np.iinfo(np.int64).max)
        found = numbers.map(made, num_parallel_calls=THREADS, deterministic=True)
        return found.batch(self.batch_size, drop_remainder=True).prefetch(AHEAD)
