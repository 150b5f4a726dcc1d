"""What is done to a passage of a recording; with a dose of 0 the passage comes back as it is.

Each function takes a passage and a dose and gives samples, as many as the passage has unless the tempo
is changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.features.separation import harmonic_and_percussive

Floats = NDArray[np.float32]

FILTER_ORDER = 8
LOWEST_CUTOFF = 31.25  # Hz
VOICE = "voice"


@dataclass(frozen=True)
class Passage:
    """Some of a recording.

    ``samples``: float32 [samples] at ``sample_rate``. ``key``: seed of what is random. ``parts``: the known
    parts by name, float32 [samples], whose sum the passage is; empty where none are known.
    """

    samples: Floats
    sample_rate: int
    key: tuple[int, ...]
    parts: dict[str, Floats] = field(default_factory=dict)


def gain(passage: Passage, dose: float) -> Floats:
    """Amplify by decibels."""
    return np.asarray(passage.samples * np.float32(10 ** (dose / 20)))


def pitch_shift(passage: Passage, dose: float) -> Floats:
    """Shift the pitch by semitones: time-stretching by a phase vocoder, and resampling (librosa)."""
    if not dose:
        return passage.samples
    shifted = backend.librosa.effects.pitch_shift(passage.samples, sr=passage.sample_rate, n_steps=dose)
    return np.asarray(shifted, np.float32)


def time_stretch(passage: Passage, dose: float) -> Floats:
    """Play faster by percent, at the same pitch: a phase vocoder (librosa)."""
    if not dose:
        return passage.samples
    return np.asarray(backend.librosa.effects.time_stretch(passage.samples, rate=1 + dose / 100), np.float32)


def low_pass(passage: Passage, dose: float) -> Floats:
    """Take octaves away from the top, beginning at half the sample rate (Butterworth, without phase)."""
    return _filtered(passage, "lowpass", passage.sample_rate / 2 * 2**-dose) if dose else passage.samples


def high_pass(passage: Passage, dose: float) -> Floats:
    """Take octaves away from the bottom, beginning at 31.25 Hz (Butterworth, without phase)."""
    return _filtered(passage, "highpass", LOWEST_CUTOFF * 2**dose) if dose else passage.samples


def harmonic_remix(passage: Passage, dose: float) -> Floats:
    """Raise the harmonic over the percussive part by decibels, separated by median filtering."""
    if not dose:
        return passage.samples
    harmonic, percussive = harmonic_and_percussive(Waveform(passage.samples, passage.sample_rate))
    return _balanced(harmonic, percussive, dose)


def added_noise(passage: Passage, dose: float) -> Floats:
    """Add white noise whose root mean square is so many percent of the passage's."""
    noise = np.random.default_rng(passage.key).standard_normal(len(passage.samples))
    rms = np.sqrt(np.mean(np.square(passage.samples, dtype=np.float64)))
    return np.asarray(passage.samples + dose / 100 * rms * noise, np.float32) if dose else passage.samples


def voice_to_accompaniment(passage: Passage, dose: float) -> Floats:
    """Raise the voice over all other known parts by decibels."""
    if not dose:
        return passage.samples
    rest = [samples for name, samples in passage.parts.items() if name != VOICE]
    return _balanced(passage.parts[VOICE], np.asarray(np.sum(rest, axis=0), np.float32), dose)


def without_parts(parts: dict[str, Floats]) -> str:
    """Say in a few words why the level of the voice cannot be changed; empty where it can."""
    if not parts:
        return "no known parts, such as those of MIR-1K or columns stem_voice, stem_..."
    if VOICE not in parts or len(parts) < 2:
        return f"its known parts are {', '.join(parts)}: a voice and another one are needed"
    return ""


def _balanced(one: Floats, other: Floats, dose: float) -> Floats:
    return np.asarray(one * 10 ** (dose / 40) + other * 10 ** (-dose / 40), np.float32)


def _filtered(passage: Passage, kind: str, cutoff: float) -> Floats:
    sections = signal.butter(FILTER_ORDER // 2, cutoff, kind, fs=passage.sample_rate, output="sos")
    return np.asarray(signal.sosfiltfilt(sections, passage.samples), np.float32)
