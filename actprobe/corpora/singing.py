"""The singing voice of the phantom corpus: glottal source, vibrato and formant resonators.

What is random comes from the generator passed in and from nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from actprobe.corpora.synthesis import HIGHEST_PARTIAL, edge_fade, hertz, noise_band

Samples = NDArray[np.float64]

# Formant frequency in Hz, level in dB and bandwidth in Hz of sung vowels: The Csound Manual, appendix
# "Formant Values".
VOWELS = {
    "tenor": {
        "a": ((650, 0, 80), (1080, -6, 90), (2650, -7, 120), (2900, -8, 130), (3250, -22, 140)),
        "e": ((400, 0, 70), (1700, -14, 80), (2600, -12, 100), (3200, -14, 120), (3580, -20, 120)),
        "i": ((290, 0, 40), (1870, -15, 90), (2800, -18, 100), (3250, -20, 120), (3540, -30, 120)),
        "o": ((400, 0, 40), (800, -10, 80), (2600, -12, 100), (2800, -12, 120), (3000, -26, 120)),
        "u": ((350, 0, 40), (600, -20, 60), (2700, -17, 100), (2900, -14, 120), (3300, -26, 120)),
    },
    "soprano": {
        "a": ((800, 0, 80), (1150, -6, 90), (2900, -32, 120), (3900, -20, 130), (4950, -50, 140)),
        "e": ((350, 0, 60), (2000, -20, 100), (2800, -15, 120), (3600, -40, 150), (4950, -56, 200)),
        "i": ((270, 0, 60), (2140, -12, 90), (2950, -26, 100), (3900, -26, 120), (4950, -44, 120)),
        "o": ((450, 0, 70), (800, -11, 80), (2830, -22, 100), (3800, -22, 130), (4950, -50, 135)),
        "u": ((325, 0, 50), (700, -16, 60), (2700, -35, 170), (3800, -40, 180), (4950, -60, 200)),
    },
}

CONSONANT_SECONDS = 0.05


@dataclass(frozen=True)
class Syllable:
    """One sung note.

    ``onset`` and ``offset`` in seconds; ``midi``, a MIDI note number; ``vowel``, one of a, e, i, o, u;
    ``consonant``, whether it begins with `CONSONANT_SECONDS` of unvoiced fricative.
    """

    onset: float
    offset: float
    midi: int
    vowel: str
    consonant: bool

    @property
    def voicing(self) -> float:
        """Second at which its voiced part begins."""
        return self.onset + (CONSONANT_SECONDS if self.consonant else 0.0)


def sing(
    rng: np.random.Generator, syllables: Sequence[Syllable], singer: str, length: int, sample_rate: int
) -> Samples:
    """Sing syllables: a glottal source with vibrato through the formant resonators of its vowels.

    The source is a sum of harmonics that falls by 6 dB per octave, the glottal flow's 12 less 6 of the
    lips' radiation (G. Fant, "Acoustic Theory of Speech Production", 1960), with some breath noise.
    Syllables come in order and do not overlap; those that touch are sung legato. Gives shape [length] at no
    particular level; the end is faded out.
    """
    if not syllables:
        return np.zeros(length)
    frequency = _melody_hertz(rng, syllables, length, sample_rate)
    phase = 2 * np.pi * np.cumsum(frequency) / sample_rate
    source = _glottal_source(phase, frequency, sample_rate)
    source += 0.02 * rng.standard_normal(length) * (0.6 - 0.4 * np.cos(phase))
    sung = np.zeros(length)
    for vowel in sorted({syllable.vowel for syllable in syllables}):
        gate = np.zeros(length)
        for number, syllable in enumerate(syllables):
            if syllable.vowel == vowel:
                start, gain = _syllable_gain(syllables, number, sample_rate)
                gain = gain[: length - start]
                gate[start : start + len(gain)] += gain
        sung += _resonate(source * gate, VOWELS[singer][vowel], sample_rate)
    level = np.sqrt(np.mean(sung**2))
    for syllable in syllables:
        if syllable.consonant:
            burst = noise_band(rng, int(1.4 * CONSONANT_SECONDS * sample_rate), sample_rate, 3500, 9000)
            burst *= 0.3 * level * np.sin(np.pi * np.arange(len(burst)) / len(burst))
            start = int(syllable.onset * sample_rate)
            burst = burst[: length - start]
            sung[start : start + len(burst)] += burst
    return sung


def _melody_hertz(
    rng: np.random.Generator, syllables: Sequence[Syllable], length: int, sample_rate: int
) -> Samples:
    """Frequency at each sample: steps rounded by 60 ms of portamento, vibrato that sets in after 0.2 s."""
    t = np.arange(length) / sample_rate
    starts = np.array([syllable.onset for syllable in syllables])
    pitches = np.array([float(syllable.midi) for syllable in syllables])
    current = np.clip(np.searchsorted(starts, t, side="right") - 1, 0, None)
    glide = np.hanning(max(int(0.06 * sample_rate), 3))
    padded = np.pad(pitches[current], (len(glide) // 2, len(glide) - 1 - len(glide) // 2), mode="edge")
    midi = signal.fftconvolve(padded, glide / glide.sum(), mode="valid")
    rate = rng.uniform(5.0, 6.0)  # Hz, as of trained singers: Sundberg, "The Science of the Singing Voice"
    depth = rng.uniform(0.2, 0.5)  # semitones either side
    drift = 0.25 * np.sin(2 * np.pi * 0.4 * t + rng.uniform(0, 2 * np.pi))
    vibrato = np.sin(2 * np.pi * rate * t + drift + rng.uniform(0, 2 * np.pi))
    held = np.clip((t - starts[current] - 0.2) / 0.3, 0.0, 1.0)
    settle = np.hanning(max(int(0.03 * sample_rate), 3))
    held = signal.fftconvolve(held, settle / settle.sum(), mode="same")
    return np.asarray(hertz(midi + depth * held * vibrato))


def _glottal_source(phase: Samples, frequency: Samples, sample_rate: int) -> Samples:
    limit = HIGHEST_PARTIAL * sample_rate
    step = np.exp(1j * phase).astype(np.complex64)
    power = step.copy()
    source = np.zeros(len(phase), dtype=np.float32)
    low, high = frequency.min(), frequency.astype(np.float32)
    for k in range(1, int(limit / low) + 1):
        # A partial that vibrato carries to the limit fades out over the last 500 Hz.
        audible = np.clip((limit - k * high) / 500.0, 0.0, 1.0) if k * high.max() > limit - 500 else 1.0
        source += power.imag * audible / k
        power *= step
    return source.astype(np.float64)


def _syllable_gain(syllables: Sequence[Syllable], number: int, sample_rate: int) -> tuple[int, Samples]:
    """Where a syllable's voiced part begins and its gain: cross-faded into a neighbour that it touches."""
    syllable = syllables[number]
    legato_in = number > 0 and syllable.voicing - syllables[number - 1].offset < 1e-6
    legato_out = number + 1 < len(syllables) and syllables[number + 1].voicing - syllable.offset < 1e-6
    fade_in, fade_out = 0.03, 0.04 if legato_out else 0.09
    start = int(syllable.voicing * sample_rate)
    # The fall overlaps the next syllable's rise.
    stop = int((syllable.offset + (0.03 if legato_out else 0.0)) * sample_rate)
    gain = edge_fade(max(stop - start, 0), int(fade_in * sample_rate), int(fade_out * sample_rate))
    swell = np.linspace(0.0, 1.0, len(gain))
    stress = 1.0 if legato_in else 1.1
    return start, gain * stress * (0.8 + 0.2 * np.sin(np.pi * swell))


def _resonate(source: Samples, formants: Sequence[tuple[int, int, int]], sample_rate: int) -> Samples:
    """Parallel formant resonators; the first passes low frequencies as the vocal tract does."""
    output = np.zeros(len(source))
    for number, (frequency, level_db, bandwidth) in enumerate(formants):
        if frequency > HIGHEST_PARTIAL * sample_rate:
            continue
        if number == 0:
            radius = np.exp(-np.pi * bandwidth / sample_rate)
            a = np.array([1.0, -2 * radius * np.cos(2 * np.pi * frequency / sample_rate), radius**2])
            peak = np.abs(signal.freqz([1.0], a, [frequency], fs=sample_rate)[1][0])
            b = np.array([1.0 / peak])
        else:
            b, a = signal.iirpeak(frequency, frequency / bandwidth, fs=sample_rate)
        output += 10 ** (level_db / 20) * signal.lfilter(b, a, source)
    return output
