"""Pitch of the predominant voice: essentia's implementation of Melodia."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.errors import FeatureError
from actprobe.features.framing import PeakNormalized, at_least_a_frame
from actprobe.features.scalars import feature

SAMPLE_RATE = 44100
FRAME_SIZE = 2048  # the default of PredominantPitchMelodia
PITCH_SAMPLES = SAMPLE_RATE // 4  # a contour of 0.1 s, its default, and room for it
A4_HZ, A4_MIDI = 440.0, 69.0


def _melody(name: str, waveform: Waveform, least: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the pitch in Hz, 0 where there is none, and its confidence, every 2.9 ms."""
    waveform = at_least_a_frame(name, waveform, SAMPLE_RATE, least)
    samples = PeakNormalized(waveform).whole()
    hertz, confidence = backend.essentia.PredominantPitchMelodia()(np.ascontiguousarray(samples))
    return np.asarray(hertz, np.float32), np.asarray(confidence, np.float32)


@feature(
    "pitch",
    unit="MIDI",
    sample_rate=SAMPLE_RATE,
    backend="essentia-tensorflow",
    shortest_seconds=PITCH_SAMPLES / SAMPLE_RATE,
)
def pitch(waveform: Waveform) -> float:
    """Median pitch of the predominant melody in semitones, as MIDI numbers (69 is 440 Hz).

    The median over the voiced frames of essentia's PredominantPitchMelodia at its defaults (80 Hz to 20 kHz,
    44.1 kHz, frames of 2048 samples every 128; Salamon and Gómez, "Melody extraction from polyphonic music
    signals using pitch contour characteristics", IEEE TASLP 20(6), 2012). A gain changes nothing.

    A waveform of under 0.25 s, and one without a voiced frame, is a `FeatureError`.
    """
    hertz, _ = _melody("pitch", waveform, PITCH_SAMPLES)
    voiced = hertz[hertz > 0].astype(np.float64)
    if not len(voiced):
        raise FeatureError("pitch", "no melody was found")
    return float(A4_MIDI + 12 * np.log2(np.median(voiced) / A4_HZ))


@feature(
    "pitch_confidence",
    unit="",
    sample_rate=SAMPLE_RATE,
    backend="essentia-tensorflow",
    shortest_seconds=FRAME_SIZE / SAMPLE_RATE,
)
def pitch_confidence(waveform: Waveform) -> float:
    """Mean confidence of the pitch of `pitch` over all frames; frames without a pitch count as 0.

    Between 0 and 1; it is the salience of the contour that was chosen, so it is high for a loud melody with
    many harmonics and little beside it.

    A waveform of under 2048 samples (0.046 s) is a `FeatureError`.
    """
    return float(np.mean(_melody("pitch_confidence", waveform, FRAME_SIZE)[1]))
