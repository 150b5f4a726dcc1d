"""Brightness: spectral centroid and zero-crossing rate (librosa)."""

from __future__ import annotations

import numpy as np

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.errors import FeatureError
from actprobe.features.framing import at_least_a_frame
from actprobe.features.scalars import feature

SAMPLE_RATE = 22050  # one rate for all recordings: both values grow with the bandwidth
FRAME_SIZE = 2048
HOP_SIZE = 512


@feature(
    "spectral_centroid",
    unit="Hz",
    sample_rate=SAMPLE_RATE,
    backend="librosa",
    shortest_seconds=FRAME_SIZE / SAMPLE_RATE,
)
def spectral_centroid(waveform: Waveform) -> float:
    """Mean over frames of the spectral centroid, the mean frequency weighted by magnitude.

    ``librosa.feature.spectral_centroid`` of frames of 2048 samples (93 ms) every 512 at 22.05 kHz, Hann
    window, without padding. Frames of digital silence are left out; all others count alike, loud or soft.
    Peeters, "A large set of audio features for sound description" (IRCAM, 2004), 6.1.1.

    A waveform of under 2048 samples (0.093 s), and silence, is a `FeatureError`.
    """
    waveform = at_least_a_frame("spectral_centroid", waveform, SAMPLE_RATE, FRAME_SIZE)
    if not waveform.peak:
        raise FeatureError("spectral_centroid", "silence has no centroid")
    samples = np.asarray(waveform.samples, np.float32) / np.float32(waveform.peak)
    magnitude = np.abs(backend.librosa.stft(samples, n_fft=FRAME_SIZE, hop_length=HOP_SIZE, center=False))
    heard = magnitude[:, magnitude.any(axis=0)]
    return float(np.mean(backend.librosa.feature.spectral_centroid(S=heard, sr=SAMPLE_RATE)))


@feature("zero_crossing_rate", unit="1/s", sample_rate=SAMPLE_RATE, backend="librosa")
def zero_crossing_rate(waveform: Waveform) -> float:
    """Sign changes of the waveform per second, twice the frequency of a sine.

    Count of ``librosa.zero_crossings`` (samples within 1e-10 of zero are positive) over the whole recording
    at 22.05 kHz, divided by its duration; 0 for silence.
    """
    waveform = waveform.resample(SAMPLE_RATE)
    if not len(waveform.samples):
        raise FeatureError("zero_crossing_rate", "too short: nothing is left of it at 22.05 kHz")
    crossings = np.count_nonzero(backend.librosa.zero_crossings(waveform.samples, pad=False))
    return float(crossings / waveform.seconds)
