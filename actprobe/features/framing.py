"""A waveform at the rate of a feature, long enough for a frame of it, and what its frames span.

Apart from resampling, nothing here copies a whole recording, so that memory does not grow with its length.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from actprobe.audio import Waveform
from actprobe.errors import FeatureError

BLOCK_SAMPLES = 2**21  # 48 s at 44.1 kHz
BLOCK_FRAMES = 2**12


def at_least_a_frame(feature: str, waveform: Waveform, sample_rate: int, frame_size: int) -> Waveform:
    """Resample a waveform; one that is shorter than a frame is a `FeatureError`."""
    waveform = waveform.resample(sample_rate)
    if len(waveform.samples) < frame_size:
        raise FeatureError(
            feature,
            f"{waveform.seconds:.3f} s of audio are shorter than one frame, {frame_size / sample_rate:.3f} s",
        )
    return waveform


def blocks(samples: NDArray[np.float32], overlap: int = 0) -> Iterator[NDArray[np.float32]]:
    """Cut samples into blocks, each with the first `overlap` samples of the next one."""
    for first in range(0, len(samples), BLOCK_SAMPLES):
        yield samples[first : first + BLOCK_SAMPLES + overlap]


class PeakNormalized:
    """A waveform divided by its peak, read part by part.

    This makes features with absolute thresholds, or with squares in float32, independent of level. Silence
    is unchanged.
    """

    def __init__(self, waveform: Waveform) -> None:
        self.peak = waveform.peak
        self._samples = waveform.samples

    def __len__(self) -> int:
        return len(self._samples)

    def part(self, first: int, end: int) -> NDArray[np.float32]:
        """Samples from `first` to `end`, float32, with zeros where they reach beyond the sound."""
        inside = np.asarray(self._samples[max(first, 0) : max(end, 0)], np.float32) / np.float32(
            self.peak or 1.0
        )
        if len(inside) == end - first:
            return inside
        before = min(max(-first, 0), end - first)
        return np.pad(inside, (before, end - first - before - len(inside)))

    def whole(self) -> NDArray[np.float32]:
        """All samples, float32."""
        return self.part(0, len(self))

    def frames(self, frame_size: int, hop_size: int) -> Iterator[NDArray[np.float32]]:
        """Frames one after the other, float32 [frame_size]; an incomplete last frame is left out."""
        for first in range(0, len(self) - frame_size + 1, hop_size):
            yield self.part(first, first + frame_size)

    def spans_of_frames(self, frame_size: int, hop_size: int) -> Iterator[NDArray[np.float32]]:
        """The samples spanned by up to `BLOCK_FRAMES` frames, block by block, float32 [samples]."""
        count = 1 + (len(self) - frame_size) // hop_size
        for start in range(0, count, BLOCK_FRAMES):
            end = min(start + BLOCK_FRAMES, count)
            yield self.part(start * hop_size, (end - 1) * hop_size + frame_size)
