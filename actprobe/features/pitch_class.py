"""Pitch classes: HPCP (essentia) and chroma (librosa) over time, and the entropy of HPCP."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.errors import FeatureError
from actprobe.features.framing import PeakNormalized, at_least_a_frame
from actprobe.features.maps import feature_map
from actprobe.features.scalars import feature

PITCH_CLASSES = 12

# HPCP: E. Gomez, "Tonal description of music audio signals", PhD thesis, UPF 2006, chapter 3.
HPCP_RATE = 44100
HPCP_FRAME = 4096
HPCP_HOP = 1024
HPCP_BINS = 36
PEAKS = {
    "sampleRate": HPCP_RATE,
    "minFrequency": 100.0,
    "maxFrequency": 5000.0,
    "magnitudeThreshold": 1e-5,
    "maxPeaks": 100,
    "orderBy": "magnitude",
}
PROFILE = {
    "sampleRate": HPCP_RATE,
    "size": HPCP_BINS,
    "referenceFrequency": 440.0,
    "minFrequency": 100.0,
    "maxFrequency": 5000.0,
    "harmonics": 8,
    "windowSize": 4 / 3,
    "weightType": "squaredCosine",
    "bandPreset": False,
    "nonLinear": False,
    "normalized": "unitMax",
}
BINS_FROM_A_TO_C = 3 * HPCP_BINS // PITCH_CLASSES  # essentia's first bin is A, ours is C

CHROMA_RATE = 22050
CHROMA_HOP = 512
CHROMA_TRANSFORM = 2**16  # samples that the transform of the lowest octave takes, 1024 at a 64th of the rate
CHROMA_SECONDS = 1.6  # the filter of the lowest note, C1 with 36 bins an octave, lasts 1.56 s

Floats = NDArray[np.float32]
Places = NDArray[np.float64]


@feature_map("hpcp", axis="pitch class", unit="", sample_rate=HPCP_RATE, backend="essentia-tensorflow")
def hpcp(waveform: Waveform) -> tuple[Floats, Places, Places]:
    """Harmonic pitch class profile of every frame, 36 bins from C, the strongest bin 1 (essentia).

    The samples are divided by their peak, since the threshold of spectral peaks is absolute. Frames of 4096
    samples (93 ms) every 1024 (23 ms) at 44.1 kHz, the first centred at sample 0 and zeros beyond the ends;
    Blackman-Harris window (62 dB); up to 100 spectral peaks above 1e-5 between 100 and 5000 Hz. The square of
    each peak goes to the bins within 2/3 of a semitone, weighted by a squared cosine, and likewise to those
    of the fundamentals whose harmonic, up to the eighth, it may be. Tuning is A = 440 Hz. Each frame is
    divided by its largest bin; a frame without peaks is 0. E. Gomez, "Tonal description of music audio
    signals", PhD thesis, UPF 2006, chapter 3.

    Parameters
    ----------
    waveform : Waveform
        At 44.1 kHz; another rate is resampled. At least 4096 samples (0.093 s).

    Returns
    -------
    values : numpy.ndarray
        float32, shape [frames, 36], 0 to 1.
    times_seconds : numpy.ndarray
        Centres of the frames.
    bins : numpy.ndarray
        Semitones above C: 0, 1/3, 2/3, ...

    Raises
    ------
    FeatureError
        The waveform is too short.
    """
    waveform = at_least_a_frame("hpcp", waveform, HPCP_RATE, HPCP_FRAME)
    essentia = backend.essentia
    # The threshold of the peaks is absolute; so it is one of the recording, whatever its level.
    sound = PeakNormalized(waveform)
    window = essentia.Windowing(type="blackmanharris62", size=HPCP_FRAME)
    spectrum = essentia.Spectrum(size=HPCP_FRAME)
    peaks = essentia.SpectralPeaks(**PEAKS)
    profile = essentia.HPCP(**PROFILE)
    half = HPCP_FRAME // 2
    centres = range(0, len(sound), HPCP_HOP)
    values = np.empty((len(centres), HPCP_BINS), np.float32)
    for row, centre in enumerate(centres):
        values[row] = profile(*peaks(spectrum(window(sound.part(centre - half, centre + half)))))
    times_seconds = np.arange(len(centres)) * (HPCP_HOP / HPCP_RATE)
    bins = np.arange(HPCP_BINS) * (PITCH_CLASSES / HPCP_BINS)
    return np.roll(values, -BINS_FROM_A_TO_C, axis=1), times_seconds, bins


@feature(
    "hpcp_entropy",
    unit="bit",
    sample_rate=HPCP_RATE,
    backend="essentia-tensorflow",
    shortest_seconds=HPCP_FRAME / HPCP_RATE,
)
def hpcp_entropy(waveform: Waveform) -> float:
    """Mean over frames of the entropy of HPCP, 0 for one pitch class alone to 5.17 bit for noise.

    Each frame of the map `hpcp` is divided by its sum; its entropy is -sum(p log2 p) over the 36 bins.
    Frames without spectral peaks are left out.

    Parameters
    ----------
    waveform : Waveform
        At 44.1 kHz; another rate is resampled. At least 4096 samples (0.093 s).

    Returns
    -------
    float
        Bits, 0 to log2(36).

    Raises
    ------
    FeatureError
        The waveform is too short, or no frame has a spectral peak, as in silence.
    """
    try:
        values = hpcp(waveform)[0].astype(np.float64)
    except FeatureError as error:
        raise FeatureError("hpcp_entropy", error.reason) from error
    sums = values.sum(axis=1, keepdims=True)
    share = values[sums[:, 0] > 0] / sums[sums[:, 0] > 0]
    if not len(share):
        raise FeatureError("hpcp_entropy", "no frame has a spectral peak")
    logarithms = np.log2(share, out=np.zeros_like(share), where=share > 0)
    return float(-np.mean(np.sum(share * logarithms, axis=1)))


@feature_map("chroma", axis="pitch class", unit="", sample_rate=CHROMA_RATE, backend="librosa")
def chroma(waveform: Waveform) -> tuple[Floats, Places, Places]:
    """Chroma of the constant-Q transform, 12 pitch classes from C, the strongest of each frame 1 (librosa).

    ``librosa.feature.chroma_cqt`` of the samples divided by their peak, at 22.05 kHz, every 512 samples
    (23.2 ms), the first frame centred at sample 0: magnitudes of 7 octaves from C1 with 36 bins each, folded
    to 12, each frame divided by its largest. Tuning is A = 440 Hz. Filters are long, 1.56 s for the lowest
    note and 0.1 s at 500 Hz, so low notes blur in time.
    M. Mueller, "Fundamentals of Music Processing" (2015), chapter 3.

    Parameters
    ----------
    waveform : Waveform
        At 22.05 kHz; another rate is resampled. At least 1.6 s.

    Returns
    -------
    values : numpy.ndarray
        float32, shape [frames, 12], 0 to 1; all 0 for silence.
    times_seconds : numpy.ndarray
        Centres of the frames.
    bins : numpy.ndarray
        Semitones above C, 0 to 11.

    Raises
    ------
    FeatureError
        The waveform is too short.
    """
    waveform = waveform.resample(CHROMA_RATE)
    if waveform.seconds < CHROMA_SECONDS:
        raise FeatureError(
            "chroma",
            f"{waveform.seconds:.3f} s of audio are shorter than the longest filter, {CHROMA_SECONDS} s",
        )
    samples = PeakNormalized(waveform).whole()
    frames = 1 + len(samples) // CHROMA_HOP
    # librosa, too, takes what is beyond the end as zeros, but warns when that is most of a filter.
    padded = np.pad(samples, (0, max(0, CHROMA_TRANSFORM - len(samples))))
    values = backend.librosa.feature.chroma_cqt(y=padded, sr=CHROMA_RATE, hop_length=CHROMA_HOP, tuning=0.0).T
    values = values[:frames]
    times_seconds = np.arange(frames) * (CHROMA_HOP / CHROMA_RATE)
    return np.asarray(values, np.float32), times_seconds, np.arange(PITCH_CLASSES, dtype=np.float64)
