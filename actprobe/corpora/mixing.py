"""Renders and mixes the stems of a phantom recording."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora import synthesis
from actprobe.corpora.composition import Score
from actprobe.corpora.singing import sing

STEMS = ("harmonic", "percussive", "voice")

# Level of each stem in the mix in dB of RMS, before a random +-2 dB for each recording.
MIX_DB: dict[str, dict[str, float]] = {
    "percussive": {"percussive": 0.0},
    "harmonic": {"harmonic": 0.0},
    "voice_accompanied": {"harmonic": -4.0, "voice": 0.0},
    "voice": {"voice": 0.0},
    "full_band": {"harmonic": -5.0, "percussive": -2.0, "voice": 0.0},
}

REFERENCE_RMS_DB = -26.0  # dBFS of a mix at 0 dB of gain: leaves room for the peaks of sparse drums
GAIN_RANGE_DB = (-24.0, 0.0)
SWELL_DB = 3.0  # how far the loudness contour strays either side
SWELL_SECONDS = 2.5
CONTOUR_HOP_SECONDS = 0.05
FADE_OUT_SECONDS = 0.02

Floats = NDArray[np.float64]


def render(score: Score, rng: np.random.Generator, length: int, sample_rate: int) -> dict[str, Floats]:
    """Render the stems of a score at no particular level: float64, shape [length], for each of `STEMS`."""
    percussive, harmonic = np.zeros(length), np.zeros(length)
    for hit in score.hits:
        sound = getattr(synthesis, hit.drum)(rng, sample_rate)
        _add(percussive, sound * 10 ** (hit.level_db / 20), hit.onset, sample_rate)
    for note in score.notes:
        sound = synthesis.tone(
            synthesis.TIMBRES[note.timbre], note.midi, note.offset - note.onset, sample_rate
        )
        _add(harmonic, sound * 10 ** (note.level_db / 20), note.onset, sample_rate)
    voice = sing(rng, score.syllables, score.singer, length, sample_rate)
    end = synthesis.edge_fade(length, 0, round(FADE_OUT_SECONDS * sample_rate))
    return {"harmonic": harmonic * end, "percussive": percussive * end, "voice": voice * end}


def _add(stem: Floats, sound: Floats, onset: float, sample_rate: int) -> None:
    start = round(onset * sample_rate)
    part = stem[start : start + len(sound)]
    part += sound[: len(part)]


def gain_contour(rng: np.random.Generator, place: float, seconds: float) -> tuple[Floats, Floats]:
    """Make a loudness contour: an overall gain, and a random swell whose mean in dB is 0.

    ``place``, 0 to 1, is where the overall gain lies in `GAIN_RANGE_DB`. Gives times in seconds, every 50 ms,
    and the linear gain at these times.
    """
    low, high = GAIN_RANGE_DB
    times = np.linspace(0.0, seconds, int(np.ceil(seconds / CONTOUR_HOP_SECONDS)) + 1)
    knots = np.arange(0.0, seconds + SWELL_SECONDS, SWELL_SECONDS)
    place_between, knot = np.modf(times / SWELL_SECONDS)
    ease = 0.5 - 0.5 * np.cos(np.pi * place_between)
    levels = rng.uniform(-SWELL_DB, SWELL_DB, len(knots) + 1)
    swell = levels[knot.astype(int)] * (1 - ease) + levels[knot.astype(int) + 1] * ease
    return times, 10 ** ((low + (high - low) * place + swell - swell.mean()) / 20)


def mix(rng: np.random.Generator, kind: str, raw: dict[str, Floats], gain: Floats) -> dict[str, Floats]:
    """Balance the stems, bring their sum to the reference RMS, apply the linear gain of every sample.

    Each stem strays at random from its level in `MIX_DB`.
    """
    balanced = {stem: np.zeros(len(gain)) for stem in STEMS}
    for stem, level_db in MIX_DB[kind].items():
        rms = np.sqrt(np.mean(raw[stem] ** 2))
        balanced[stem] = raw[stem] * 10 ** ((level_db + rng.uniform(-2.0, 2.0)) / 20) / max(rms, 1e-12)
    rms = np.sqrt(np.mean(np.sum(list(balanced.values()), axis=0) ** 2))
    return {stem: signal * gain * 10 ** (REFERENCE_RMS_DB / 20) / rms for stem, signal in balanced.items()}
