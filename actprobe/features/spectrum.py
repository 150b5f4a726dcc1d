"""Shape of the spectrum: centroid, bandwidth, flux and zero-crossing rate (librosa)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.errors import FeatureError
from actprobe.features.framing import PeakNormalized, at_least_a_frame, blocks
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
    return _mean("spectral_centroid", waveform, backend.librosa.feature.spectral_centroid)


@feature(
    "spectral_bandwidth",
    unit="Hz",
    sample_rate=SAMPLE_RATE,
    backend="librosa",
    shortest_seconds=FRAME_SIZE / SAMPLE_RATE,
)
def spectral_bandwidth(waveform: Waveform) -> float:
    """Mean over frames of the spectral bandwidth, the spread of frequency around the centroid.

    ``librosa.feature.spectral_bandwidth`` (p = 2: the standard deviation of frequency weighted by magnitude)
    of the frames of `spectral_centroid`. Peeters (2004), 6.1.2.

    A waveform of under 2048 samples (0.093 s), and silence, is a `FeatureError`.
    """
    return _mean("spectral_bandwidth", waveform, backend.librosa.feature.spectral_bandwidth)


@feature(
    "spectral_flux",
    unit="",
    sample_rate=SAMPLE_RATE,
    backend="librosa",
    shortest_seconds=(FRAME_SIZE + HOP_SIZE) / SAMPLE_RATE,
)
def spectral_flux(waveform: Waveform) -> float:
    """Share of the spectrum's magnitude that is new in a frame, on average.

    The sum over frames and bins of the increases of magnitude from one frame to the next, divided by the sum
    of the magnitudes of these frames: 0 for a steady tone, and about 0.23 for white noise. Frames of 2048
    samples every 512 at 22.05 kHz, Hann window, without padding (half-wave rectified spectral flux: Dixon,
    "Onset detection revisited", DAFx 2006, equation 2). A gain changes nothing.

    A waveform of under 2560 samples (0.116 s), and silence, is a `FeatureError`.
    """
    waveform = at_least_a_frame("spectral_flux", waveform, SAMPLE_RATE, FRAME_SIZE + HOP_SIZE)
    rise = whole = 0.0
    before = np.empty((1 + FRAME_SIZE // 2, 0))
    for block in _magnitudes("spectral_flux", waveform):
        magnitude = np.hstack([before, block.astype(np.float64)])
        rise += float(np.maximum(np.diff(magnitude, axis=1), 0.0).sum())
        whole += float(magnitude[:, 1:].sum())
        before = magnitude[:, -1:]
    if not whole:
        raise FeatureError("spectral_flux", "all but the beginning is silence")
    return rise / whole


def _magnitudes(feature_name: str, waveform: Waveform) -> Iterator[NDArray[np.float32]]:
    """Magnitude spectra [frequencies, frames], block after block; silence is a `FeatureError`."""
    waveform = at_least_a_frame(feature_name, waveform, SAMPLE_RATE, FRAME_SIZE)
    sound = PeakNormalized(waveform)
    if not sound.peak:
        raise FeatureError(feature_name, f"silence has no {feature_name.removeprefix('spectral_')}")
    for samples in sound.spans_of_frames(FRAME_SIZE, HOP_SIZE):
        spectra = backend.librosa.stft(samples, n_fft=FRAME_SIZE, hop_length=HOP_SIZE, center=False)
        yield np.asarray(np.abs(spectra))


def _mean(feature_name: str, waveform: Waveform, moment: Callable[..., NDArray[np.float32]]) -> float:
    """Mean over the frames that are not digital silence of what librosa finds in each."""
    found = []
    for magnitude in _magnitudes(feature_name, waveform):
        heard = magnitude[:, magnitude.any(axis=0)]
        if heard.shape[1]:
            found.append(moment(S=heard, sr=SAMPLE_RATE))
    if not found:
        raise FeatureError(feature_name, "all whole frames are digital silence")
    return float(np.mean(np.hstack(found)))


@feature("zero_crossing_rate", unit="1/s", sample_rate=SAMPLE_RATE, backend="librosa")
def zero_crossing_rate(waveform: Waveform) -> float:
    """Sign changes of the waveform per second, twice the frequency of a sine.

    Count of ``librosa.zero_crossings`` (samples within 1e-10 of zero are positive) over the whole recording
    at 22.05 kHz, divided by its duration; 0 for silence.
    """
    waveform = waveform.resample(SAMPLE_RATE)
    if not len(waveform.samples):
        raise FeatureError("zero_crossing_rate", "too short: nothing is left of it at 22.05 kHz")
    crossings = sum(
        np.count_nonzero(backend.librosa.zero_crossings(block, pad=False))
        for block in blocks(waveform.samples, overlap=1)
    )
    return float(crossings / waveform.seconds)
