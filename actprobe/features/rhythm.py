"""Rhythm: how many notes and hits begin per second, and the tempo (essentia)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.errors import FeatureError
from actprobe.features.essentia_process import with_essentia
from actprobe.features.scalars import feature

# essentia's OnsetRate is defined at this rate only; src/algorithms/rhythm/onsetrate.cpp.
SAMPLE_RATE = 44100
FRAME_SIZE = 1024
HOP_SIZE = 512
# Onsets smooths and thresholds over this many detection frames (its default ``delay``).
SMOOTHING_FRAMES = 5
MINIMUM_SAMPLES = FRAME_SIZE + (SMOOTHING_FRAMES - 1) * HOP_SIZE

SLOWEST_BPM, FASTEST_BPM = 40, 208  # the defaults of RhythmExtractor2013
TEMPO_SECONDS = 3.0  # two beats of the slowest tempo


def _detect(waveform: Waveform) -> tuple[NDArray[np.float32], float]:
    waveform = waveform.resample(SAMPLE_RATE)
    samples = np.ascontiguousarray(waveform.samples, dtype=np.float32)
    if len(samples) < MINIMUM_SAMPLES:
        raise FeatureError(
            "onset_rate",
            f"{waveform.seconds:.3f} s of audio are too short: onsets are looked for in "
            f"{SMOOTHING_FRAMES} frames at a time, {MINIMUM_SAMPLES / SAMPLE_RATE:.3f} s",
        )
    # A new object each time: one that has been used keeps the position of its frame cutter, the
    # phases of its last spectra and the state of its smoothing filter.
    times, rate = backend.essentia.OnsetRate()(samples)
    return np.asarray(times, dtype=np.float32), float(rate)


@with_essentia
def onset_times(waveform: Waveform) -> NDArray[np.float32]:
    """Detect onsets with essentia's OnsetRate at its defaults.

    The detection function is the sum of high-frequency content and complex-domain novelty over frames of
    1024 samples, hop 512, at 44.1 kHz (Brossier, Bello, Plumbley, "Fast labelling of notes in music
    signals", ISMIR 2004).

    Gives seconds from the first sample, float32, shape [onsets]. A waveform of under 3072 samples (0.07 s) is
    a `FeatureError`.
    """
    return _detect(waveform)[0]


@feature(
    "onset_rate",
    unit="1/s",
    sample_rate=SAMPLE_RATE,
    backend="essentia-tensorflow",
    shortest_seconds=MINIMUM_SAMPLES / SAMPLE_RATE,
)
def onset_rate(waveform: Waveform) -> float:
    """Onsets per second, as essentia's OnsetRate finds them at its defaults.

    The count of `onset_times` divided by the duration; 0 for silence. It is the "onset rate" of
    Slizovskaia, Gomez, Haro (2018).

    A waveform of under 3072 samples (0.07 s) is a `FeatureError`.
    """
    return _detect(waveform)[1]


@feature(
    "tempo",
    unit="bpm",
    sample_rate=SAMPLE_RATE,
    backend="essentia-tensorflow",
    shortest_seconds=TEMPO_SECONDS,
)
def tempo(waveform: Waveform) -> float:
    """Tempo in beats per minute, as essentia's RhythmExtractor2013 finds it, 40 to 208.

    Its method ``multifeature``: beats are tracked in five onset detection functions, and the tracking that
    agrees most with the others is taken (Zapata, Davies, Gomez, "Multi-feature beat tracking", IEEE/ACM
    TASLP 22(4), 2014). One tempo for the whole recording; it is often half or twice what people tap.

    A waveform of under 3 s, and one without beats, such as silence, is a `FeatureError`.
    """
    waveform = waveform.resample(SAMPLE_RATE)
    if waveform.seconds < TEMPO_SECONDS:
        raise FeatureError(
            "tempo",
            f"{waveform.seconds:.3f} s of audio are too short: two beats may last {TEMPO_SECONDS:.0f} s",
        )
    extractor = backend.essentia.RhythmExtractor2013(
        method="multifeature", minTempo=SLOWEST_BPM, maxTempo=FASTEST_BPM
    )
    samples = np.ascontiguousarray(waveform.samples, dtype=np.float32)
    bpm = float(extractor(samples)[0])
    if not SLOWEST_BPM <= bpm <= FASTEST_BPM:  # what it gives when it found none
        raise FeatureError("tempo", "no beats were found")
    return bpm
