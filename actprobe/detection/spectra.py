"""Log-mel frames and the times of their centres, in numpy: the front end of svd without TensorFlow.

Training examples are made in threads beside the network's, so they take single precision: values differ by
up to 1e-4 from those of `actprobe.frontends.logmel`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from actprobe.corpora.labelled import LabelledRecording
from actprobe.frontends.logmel import (
    BINS,
    EXCERPT_FRAMES,
    FLOOR,
    FRAME_HOP,
    FRAME_LENGTH,
    MELS,
    SAMPLE_RATE,
    filter_bank,
)
from actprobe.training.sounds import SoundStore

CENTRE = EXCERPT_FRAMES // 2  # 57: the frame of an excerpt that its label is of
POOLING = 9
FRAMES_AT_ONCE = 4096
Floats = NDArray[np.float32]


def frame_times(frames: int) -> NDArray[np.float64]:
    """Give the seconds at the centre of each of so many frames."""
    return (np.arange(frames) * FRAME_HOP + FRAME_LENGTH / 2) / SAMPLE_RATE


def samples_of(frames: int) -> int:
    """Count the samples that so many frames are made of."""
    return (frames - 1) * FRAME_HOP + FRAME_LENGTH


def log_mel(samples: Floats) -> Floats:
    """Compute the log-mel frames of samples at 22050 Hz: float32 [frames, 80], no lower than ln(1e-7)."""
    if len(samples) < FRAME_LENGTH:
        return np.zeros((0, MELS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_LENGTH)[::FRAME_HOP]
    bands = []
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        spectra = fft.rfft(frames[start : start + FRAMES_AT_ONCE] * _window())[:, :BINS]
        bands.append(np.abs(spectra) @ _bank())
    return np.asarray(np.log(np.maximum(np.concatenate(bands), np.float32(FLOOR))), np.float32)


@cache
def _window() -> Floats:
    return np.hanning(FRAME_LENGTH).astype(np.float32)


@cache
def _bank() -> Floats:
    return filter_bank()


def normalization_of(store: SoundStore) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute mean and standard deviation of the log-mel bands of all recordings of a store, as they sound.

    float64 [80] each.
    """
    total, squares, count = np.zeros(MELS), np.zeros(MELS), 0
    for sound in store.sounds:
        stems = [store.read(sound, stem, 0, sound.samples) for stem in sound.stems]
        bands = log_mel(np.mean(stems, axis=0)).astype(np.float64)
        total += bands.sum(0)
        squares += (bands**2).sum(0)
        count += len(bands)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 1e-6))


def log_mel_of(recording: LabelledRecording) -> Floats:
    """Compute the log-mel frames of a recording as it sounds: float32, shape [frames, 80]."""
    return log_mel(recording.mixture(SAMPLE_RATE))
