"""Level: loudness by Stevens' power law (essentia) and RMS."""

from __future__ import annotations

import math

import numpy as np

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.features.framing import at_least_a_frame, blocks
from actprobe.features.scalars import feature

SAMPLE_RATE = 44100
FRAME_SIZE = 2048
HOP_SIZE = 1024
SILENCE_DBFS = -100.0


@feature(
    "loudness",
    unit="",
    sample_rate=SAMPLE_RATE,
    backend="essentia-tensorflow",
    shortest_seconds=FRAME_SIZE / SAMPLE_RATE,
)
def loudness(waveform: Waveform) -> float:
    """Mean over frames of essentia's Loudness, energy ** 0.67 (Stevens' power law).

    The energy of a frame is the sum of its squared samples. Frames are 2048 samples long at 44.1 kHz
    (46 ms), 1024 apart, with a rectangular window; the first begins at sample 0, and samples that do not
    fill a last frame are left out rather than padded. A gain of g multiplies the value by
    g ** (2 * 0.67); silence gives 0. It is the "mean loudness" of Slizovskaia, Gomez, Haro (2018);
    S. S. Stevens, "Psychophysics" (1975).

    A waveform of under 2048 samples (0.046 s) is a `FeatureError`.
    """
    waveform = at_least_a_frame("loudness", waveform, SAMPLE_RATE, FRAME_SIZE)
    samples = np.ascontiguousarray(waveform.samples, dtype=np.float32)
    frame_loudness = backend.essentia.Loudness()
    starts = range(0, len(samples) - FRAME_SIZE + 1, HOP_SIZE)
    return float(np.mean([frame_loudness(samples[start : start + FRAME_SIZE]) for start in starts]))


@feature("rms", unit="dBFS")
def rms(waveform: Waveform) -> float:
    """Root mean square of all samples, in dB relative to a full-scale square wave.

    20 log10 of the root mean square: 0 for a square wave of amplitude 1, -3.01 for such a sine. A gain of g
    adds 20 log10(g); silence, and all below, is -100. The mean is taken over the recording and not over
    frames, so that loud moments count by their energy.
    """
    energy = sum(float(np.sum(np.square(block, dtype=np.float64))) for block in blocks(waveform.samples))
    mean_square = energy / max(len(waveform.samples), 1)
    return max(SILENCE_DBFS, 10 * math.log10(mean_square)) if mean_square else SILENCE_DBFS
