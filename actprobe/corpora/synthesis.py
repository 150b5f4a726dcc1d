"""Sound generators of the phantom corpus: drums and pitched tones.

Each returns float64 samples that begin and end at (nearly) zero, so that adding them never clicks. What
is random comes from the generator passed in and from nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Samples = NDArray[np.float64]

# Partials stay under this part of the sampling rate, so that nothing folds back.
HIGHEST_PARTIAL = 0.45


def hertz(midi: float | Samples) -> Samples:
    """Convert MIDI note numbers, fractions allowed, to frequencies in Hz: A4 = 69 = 440 Hz."""
    return np.asarray(440.0 * np.exp2((np.asarray(midi) - 69.0) / 12.0))


def edge_fade(length: int, fade_in: int, fade_out: int) -> Samples:
    """Make a gain, shape [length], that rises from 0 and falls back to 0 as raised cosines, and is 1 between.

    ``fade_in`` and ``fade_out`` are samples, cut to half the length.
    """
    gain = np.ones(length)
    for samples, edge in ((fade_in, gain), (fade_out, gain[::-1])):
        rise = min(samples, length // 2)
        edge[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / max(rise, 1))
    return gain


def _ended(sound: Samples, rise: float, fall: float, sample_rate: int) -> Samples:
    """Let a sound rise from 0 and fall back to 0 within these seconds."""
    faded: Samples = sound * edge_fade(len(sound), int(rise * sample_rate), int(fall * sample_rate))
    return faded


def noise_band(rng: np.random.Generator, length: int, sample_rate: int, low: float, high: float) -> Samples:
    """Make white noise between two frequencies in Hz, as much of the band as the rate can carry.

    Shape [length]; its variance is 1 before the filter.
    """
    nyquist = sample_rate / 2
    high = min(high, 0.95 * nyquist)
    sections = signal.butter(2, [min(low, 0.6 * high), high], "bandpass", fs=sample_rate, output="sos")
    settle = 256
    return np.asarray(signal.sosfilt(sections, rng.standard_normal(length + settle)))[settle:]


def kick(rng: np.random.Generator, sample_rate: int) -> Samples:
    """Synthesize a bass drum: a falling sinusoid with the click of its beater; its peak is about 1."""
    t = np.arange(int(0.28 * sample_rate)) / sample_rate
    lowest = rng.uniform(46, 58)
    frequency = lowest + rng.uniform(110, 170) * np.exp(-t / 0.025)
    body = np.sin(2 * np.pi * np.cumsum(frequency) / sample_rate) * np.exp(-t / rng.uniform(0.05, 0.08))
    beater = noise_band(rng, len(t), sample_rate, 1500, 7000) * np.exp(-t / 0.005)
    return _ended(body + 0.6 * beater, 0.001, 0.03, sample_rate)


def snare(rng: np.random.Generator, sample_rate: int) -> Samples:
    """Synthesize a snare drum: two modes of the head and the noise of the wires; its peak is about 1."""
    t = np.arange(int(0.22 * sample_rate)) / sample_rate
    tuning = rng.uniform(0.9, 1.15)
    head = np.sin(2 * np.pi * 185 * tuning * t) + 0.6 * np.sin(2 * np.pi * 331 * tuning * t)
    wires = noise_band(rng, len(t), sample_rate, 1200, 9000)
    hit = 0.5 * head * np.exp(-t / 0.05) + 0.55 * wires * np.exp(-t / rng.uniform(0.025, 0.04))
    return _ended(hit, 0.001, 0.03, sample_rate)


def hi_hat(rng: np.random.Generator, sample_rate: int) -> Samples:
    """Synthesize a closed hi-hat: high noise with a short decay; its peak is about 1."""
    t = np.arange(int(0.12 * sample_rate)) / sample_rate
    hit = 0.6 * noise_band(rng, len(t), sample_rate, 5500, 16000) * np.exp(-t / rng.uniform(0.014, 0.022))
    return _ended(hit, 0.0007, 0.02, sample_rate)


@dataclass(frozen=True)
class Timbre:
    """How loud an instrument's partials are, and how its notes begin and end.

    - ``partials``: amplitudes, from the fundamental up.
    - ``attack`` and ``release``: rise and fall of a note in seconds.
    - ``decay``: time constant of the fundamental's decay in seconds; infinite for a sustained sound.
    - ``damping``: added decay per partial in 1/s, since strings lose their upper partials first.
    """

    partials: tuple[float, ...]
    attack: float
    release: float
    decay: float = np.inf
    damping: float = 0.0


TIMBRES = {
    "pluck": Timbre(tuple(1 / k for k in range(1, 21)), attack=0.004, release=0.06, decay=0.9, damping=0.9),
    "keys": Timbre(tuple(k**-1.6 for k in range(1, 13)), attack=0.008, release=0.08, decay=1.4, damping=0.4),
    "reed": Timbre(tuple((k % 2 or 0.3) * k**-1.3 for k in range(1, 15)), attack=0.015, release=0.04),
    "organ": Timbre((1.0, 0.6, 0.35, 0.3, 0.05, 0.12, 0.0, 0.12), attack=0.02, release=0.05),
    "strings": Timbre(tuple(k**-1.2 for k in range(1, 19)), attack=0.06, release=0.12),
}


def tone(timbre: Timbre, midi: float, seconds: float, sample_rate: int) -> Samples:
    """Synthesize one note with harmonic partials; its peak is about 1 or less.

    The note is held for so many seconds; its release follows.
    """
    t = np.arange(int((seconds + timbre.release) * sample_rate)) / sample_rate
    frequency = float(hertz(midi))
    count = min(len(timbre.partials), int(HIGHEST_PARTIAL * sample_rate / frequency))
    # Partial k is the k-th power of one decaying complex exponential, so they sum as a polynomial.
    step = np.exp((2j * np.pi * frequency - timbre.damping) * t)
    total = np.zeros(len(t), dtype=np.complex128)
    for amplitude in reversed(timbre.partials[:count]):
        total = (total + amplitude) * step
    envelope = np.exp(-t / timbre.decay) * edge_fade(
        len(t), int(timbre.attack * sample_rate), int(timbre.release * sample_rate)
    )
    return np.asarray(total.imag * envelope / sum(timbre.partials) * 1.5)
