"""Changes of tempo, pitch and timbre, by which one recording gives many training examples.

Stretch and shift of up to 30 % and random filters of up to 10 dB are the augmentations that did best in
Schlüter and Grill: Exploring data augmentation for improved singing voice detection with neural networks,
ISMIR 2015, section 4. They worked on spectrograms; here the samples are changed, so that any front end can
follow.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import signal

FILTER_CENTRE_HZ = (150.0, 8000.0)
FILTER_OCTAVES = (0.8, 1.4)  # width between the points of half the gain
HIGHEST = 0.45  # of the sample rate, for centres of filters
MARGIN_SECONDS = 0.1  # of input that the stretching loses at its ends

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pace:
    """How fast a sound is played: ``time`` for its tempo and ``pitch`` for its frequencies, 1 as recorded."""

    time: float = 1.0
    pitch: float = 1.0

    def samples_for(self, count: int, sample_rate: int) -> int:
        """Count the samples of a recording that ``count`` samples of the result are made of."""
        return int(np.ceil(count * self.time)) + int(MARGIN_SECONDS * sample_rate * self.time)


def played(samples: Floats, pace: Pace, sample_rate: int) -> Floats:
    """Play samples at a pace: first the tempo is changed by overlap-add (FFmpeg's atempo), then the speed.

    ``samples`` are float32 [samples]; the result has about ``len(samples) / pace.time`` of them. What was at
    second s is at s / pace.time, to 30 ms of the recording: the overlap-add moves pieces of it.
    """
    tempo = pace.time / pace.pitch
    if abs(tempo - 1) > 1e-3:
        samples = _at_tempo(samples, tempo, sample_rate)
    if abs(pace.pitch - 1) > 1e-3:
        samples = soxr.resample(samples, sample_rate * pace.pitch, sample_rate, quality="MQ")
    return np.asarray(samples, np.float32)


def _at_tempo(samples: Floats, tempo: float, sample_rate: int) -> Floats:
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=sample_rate, format="flt", layout="mono", time_base=Fraction(1, sample_rate)
    )
    changed = graph.add("atempo", str(tempo))
    sink = graph.add("abuffersink")
    source.link_to(changed)
    changed.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
    frame.sample_rate, frame.pts = sample_rate, 0
    graph.push(frame)
    graph.push(None)
    pieces = []
    with suppress(av.error.EOFError, av.error.BlockingIOError):
        while True:
            pieces.append(graph.pull().to_ndarray()[0])
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def filtered(samples: Floats, rng: np.random.Generator, largest_db: float, sample_rate: int) -> Floats:
    """Raise or lower a band by a random gain of at most ``largest_db`` either way.

    Its centre is 150 to 8000 Hz, uniform in octaves, its width 0.8 to 1.4 octaves.
    """
    if not largest_db:
        return samples
    low, high = np.log2(FILTER_CENTRE_HZ[0]), np.log2(min(FILTER_CENTRE_HZ[1], HIGHEST * sample_rate))
    centre = 2 ** rng.uniform(low, high)
    half = 2 ** (rng.uniform(*FILTER_OCTAVES) / 2)
    gain = decibels(rng.uniform(-largest_db, largest_db))
    band = signal.lfilter(*signal.iirpeak(centre, 1 / (half - 1 / half), fs=sample_rate), samples)
    return np.asarray(samples + (gain - 1) * band, np.float32)


def decibels(db: float) -> float:
    """Give the factor for amplitudes of a level in decibels."""
    return float(10 ** (db / 20))
