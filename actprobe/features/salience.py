"""Pitch salience: how strongly a spectrum repeats itself, as that of one pitched sound does (essentia)."""

from __future__ import annotations

import numpy as np

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.features.framing import PeakNormalized, at_least_a_frame
from actprobe.features.scalars import feature

SAMPLE_RATE = 44100
FRAME_SIZE = 2048
HOP_SIZE = 1024
LOWEST_HZ, HIGHEST_HZ = 100.0, 5000.0  # the defaults of PitchSalience


@feature(
    "pitch_salience",
    unit="",
    sample_rate=SAMPLE_RATE,
    backend="essentia-tensorflow",
    shortest_seconds=FRAME_SIZE / SAMPLE_RATE,
)
def pitch_salience(waveform: Waveform) -> float:
    """Mean over frames of essentia's PitchSalience, which is 0 for a pure tone and high for many harmonics.

    The highest autocorrelation of the magnitude spectrum between shifts of 100 and 5000 Hz, divided by that
    without a shift (J. Ricard, "Towards computational morphological description of sound", UPF 2004).
    Frames of 2048 samples (46 ms) every 1024 at 44.1 kHz, Blackman-Harris window (62 dB), none padded, as in
    essentia's extractors of music. Silent frames count as 0. Since magnitudes have a mean, white noise has
    0.79, more than a sawtooth: a low value says that there are few partials, a high one not that there is
    a pitch.

    Parameters
    ----------
    waveform : Waveform
        At 44.1 kHz; another rate is resampled. At least 2048 samples (0.046 s).

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    FeatureError
        The waveform is too short.
    """
    waveform = at_least_a_frame("pitch_salience", waveform, SAMPLE_RATE, FRAME_SIZE)
    essentia = backend.essentia
    # A ratio does not depend on level, but sums of squares of huge samples do not fit into float32.
    window = essentia.Windowing(type="blackmanharris62", size=FRAME_SIZE)
    spectrum = essentia.Spectrum(size=FRAME_SIZE)
    salience = essentia.PitchSalience(sampleRate=SAMPLE_RATE, lowBoundary=LOWEST_HZ, highBoundary=HIGHEST_HZ)
    frames = PeakNormalized(waveform).frames(FRAME_SIZE, HOP_SIZE)
    return float(np.mean([salience(spectrum(window(frame))) for frame in frames]))
