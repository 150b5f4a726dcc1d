"""Composes what a phantom recording plays: a score of drum hits, notes and syllables on one grid.

All stems play on the sixteenth notes of one tempo, each a few milliseconds off as musicians are, and off
by the same for all: what sounds together begins together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora.singing import Syllable

KINDS = ("percussive", "harmonic", "voice_accompanied", "voice", "full_band")

ONSET_RATE_RANGE = (1.0, 8.0)  # per second
SYLLABLE_RATE_RANGE = (1.5, 5.0)  # per second, before pauses for breath
SHORTEST_SYLLABLE = 0.18  # seconds
TEMPO_RANGE = (72.0, 140.0)  # beats per minute; a sixteenth lasts 0.107 to 0.208 s
HIGHEST_DENSITY = 0.92  # part of the sixteenths that may be played
LEAD_IN_RANGE = (0.08, 0.2)  # seconds before the first sixteenth
LEAD_OUT = 0.3  # seconds at the end in which nothing begins
HUMAN_TIMING = 0.003  # seconds either side
LONGEST_NOTE = 1.2  # seconds

# How readily a note falls on each sixteenth of a bar of 4/4.
METRE = np.array([9, 2, 4, 2, 7, 2, 4, 3, 8, 2, 4, 2, 7, 2, 4, 3]) / 9.0
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PROGRESSIONS = {
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (1, 4, 0, 5)),
    "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 6), (0, 2, 3, 4)),
}
PITCH_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
SINGERS = {"tenor": (48, 65), "soprano": (60, 77)}  # lowest and highest MIDI note

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Hit:
    """A drum hit.

    ``onset`` in seconds; ``drum`` is ``kick``, ``snare`` or ``hi_hat``; ``level_db`` is relative to the
    drum's full stroke.
    """

    onset: float
    drum: str
    level_db: float


@dataclass(frozen=True)
class Note:
    """A pitched note.

    ``onset`` and ``offset`` in seconds (the release follows); ``midi``, a MIDI note number; ``timbre``, a
    name in `actprobe.corpora.synthesis.TIMBRES`, or ``voice``; ``level_db``, relative to the other notes.
    """

    onset: float
    offset: float
    midi: int
    timbre: str
    level_db: float = 0.0


@dataclass(frozen=True)
class Score:
    """What a recording plays.

    ``kind`` is one of `KINDS`; ``tempo_bpm`` counts quarter notes; ``key`` is such as ``A minor``, empty when
    nothing pitched is played. ``hits`` are the percussive stem (hits at the same time are one onset),
    ``notes`` the harmonic stem, ``syllables`` the voice. ``singer`` is ``tenor`` or ``soprano``.
    """

    kind: str
    tempo_bpm: float
    key: str
    hits: list[Hit]
    notes: list[Note]
    syllables: list[Syllable]
    singer: str


def compose(rng: np.random.Generator, kind: str, onset_rate: float, seconds: float) -> Score:
    """Compose a recording.

    ``onset_rate`` is that wanted of the stem that leads, per second: of the drums where there are any, then
    the accompaniment, then the voice, whose range is narrower: `SYLLABLE_RATE_RANGE`. The onsets of the score
    are the truth; their rate is close to the wanted one.
    """
    if kind == "voice":
        onset_rate = float(np.interp(onset_rate, ONSET_RATE_RANGE, SYLLABLE_RATE_RANGE))
    slowest = 15.0 * onset_rate / HIGHEST_DENSITY
    tempo = rng.uniform(max(TEMPO_RANGE[0], min(slowest, TEMPO_RANGE[1])), TEMPO_RANGE[1])
    sixteenth = 15.0 / tempo
    lead_in = rng.uniform(*LEAD_IN_RANGE)
    steps = max(1, int((seconds - lead_in - LEAD_OUT) / sixteenth))
    grid = np.asarray(lead_in + sixteenth * np.arange(steps), np.float64)
    grid += rng.uniform(-HUMAN_TIMING, HUMAN_TIMING, len(grid))
    tonic, mode = int(rng.integers(12)), str(rng.choice(sorted(SCALES)))
    harmony = rng.choice(PROGRESSIONS[mode])
    singer = str(rng.choice(sorted(SINGERS)))
    played = _choose(rng, np.arange(len(grid)), round(onset_rate * seconds))
    hits: list[Hit] = []
    notes: list[Note] = []
    syllables: list[Syllable] = []
    if kind in ("percussive", "full_band"):
        hits = _play_drums(rng, grid, played)
    if kind == "full_band":
        played = _choose(rng, played, max(1, len(played) // 2))
    if kind in ("harmonic", "voice_accompanied", "full_band"):
        notes = _play_chords_and_melody(rng, grid, played, sixteenth, seconds, tonic, mode, harmony)
    if kind in ("voice_accompanied", "voice", "full_band"):
        syllables = _sing_phrases(rng, grid, played, seconds, tonic, mode, singer)
    key = f"{PITCH_NAMES[tonic]} {mode}" if notes or syllables else ""
    return Score(kind, float(tempo), key, hits, notes, syllables, singer)


def _choose(rng: np.random.Generator, slots: NDArray[np.int_], count: int) -> NDArray[np.int_]:
    """Pick sixteenths by metre, by a groove that repeats each bar, and a little by chance."""
    groove = rng.uniform(0, 0.6, 16)
    weight = METRE[slots % 16] + groove[slots % 16] + rng.uniform(0, 0.35, len(slots))
    return np.sort(slots[np.argsort(-weight, kind="stable")[:count]])


def _play_drums(rng: np.random.Generator, grid: Floats, played: NDArray[np.int_]) -> list[Hit]:
    hits = []
    for slot in played:
        beat, offbeat = divmod(int(slot) % 16, 4)
        accent = 0.0 if offbeat == 0 else -1.5
        level = accent - rng.uniform(0.0, 2.0)
        if offbeat == 0:
            drum = "kick" if beat % 2 == 0 else "snare"
        else:
            drum = str(rng.choice(["hi_hat", "kick", "snare"], p=[0.7, 0.2, 0.1]))
        hits.append(Hit(float(grid[slot]), drum, level))
        if drum != "hi_hat" and rng.random() < 0.5:
            hits.append(Hit(float(grid[slot]), "hi_hat", level - 2.0))
    return hits


def _pitch(tonic: int, mode: str, degree: int) -> int:
    octave, step = divmod(degree, 7)
    return tonic + 12 * octave + SCALES[mode][step]


def _play_chords_and_melody(
    rng: np.random.Generator,
    grid: Floats,
    played: NDArray[np.int_],
    sixteenth: float,
    seconds: float,
    tonic: int,
    mode: str,
    harmony: Sequence[int],
) -> list[Note]:
    chords = str(rng.choice(["keys", "organ", "strings"]))
    melody = str(rng.choice(["keys", "pluck", "reed"]))
    ends = [*(float(grid[slot]) for slot in played[1:]), seconds - 0.5 * LEAD_OUT]
    half_bars = played // 8
    notes: list[Note] = []
    degree = 7 + int(rng.integers(7))
    for number, slot in enumerate(played):
        onset = float(grid[slot])
        root = int(harmony[half_bars[number] % len(harmony)])
        if number == 0 or half_bars[number] != half_bars[number - 1]:
            following = np.flatnonzero(half_bars[number + 1 :] != half_bars[number])
            last = ends[-1] if not len(following) else float(grid[played[number + 1 + following[0]]])
            # A chord is held for its half bar, however long it is until the next note.
            offset = min(last, onset + 8 * sixteenth)
            notes.append(Note(onset, offset, 36 + _pitch(tonic, mode, root), "pluck", -2.0))
            notes.extend(
                Note(onset, offset, 48 + _pitch(tonic, mode, root + third), chords, -10.0)
                for third in (0, 2, 4)
            )
        degree = int(np.clip(degree + rng.choice([-2, -1, -1, 0, 1, 1, 2]), 4, 17))
        if slot % 8 == 0:  # chord tones on the strong beats
            degree = min(
                (root + third + 7 * up for third in (0, 2, 4) for up in (0, 1, 2)),
                key=lambda d: abs(d - degree),
            )
        offset = onset + 0.85 * min(ends[number] - onset, LONGEST_NOTE)
        notes.append(Note(onset, offset, 60 + _pitch(tonic, mode, degree), melody, 0.0))
    return notes


def _sing_phrases(
    rng: np.random.Generator,
    grid: Floats,
    played: NDArray[np.int_],
    seconds: float,
    tonic: int,
    mode: str,
    singer: str,
) -> list[Syllable]:
    lowest, highest = SINGERS[singer]
    scale = [midi for midi in range(lowest, highest) if (midi - tonic) % 12 in SCALES[mode]]
    syllables: list[Syllable] = []
    place = len(scale) // 2
    phrase_end = float(grid[played[0]]) + rng.uniform(1.8, 3.4)
    breath_end = phrase_end + rng.uniform(0.5, 1.0)
    onsets: list[float] = []
    ends: list[float] = []
    for slot in played:
        onset = float(grid[slot])
        if onsets and onset - onsets[-1] < SHORTEST_SYLLABLE:
            continue
        if onset > phrase_end - 0.25:
            if onset < breath_end:
                continue
            phrase_end = onset + rng.uniform(1.8, 3.4)
            breath_end = phrase_end + rng.uniform(0.5, 1.0)
        onsets.append(onset)
        ends.append(min(phrase_end, onset + LONGEST_NOTE, seconds - 0.1))
    for number, onset in enumerate(onsets):
        following = onsets[number + 1] if number + 1 < len(onsets) else seconds
        place = int(np.clip(place + rng.choice([-2, -1, -1, 0, 1, 1, 2]), 0, len(scale) - 1))
        syllables.append(
            Syllable(
                onset=onset,
                offset=min(ends[number], following),
                midi=scale[place],
                vowel=str(rng.choice(["a", "e", "i", "o", "u"])),
                consonant=bool(rng.random() < 0.5),
            )
        )
    return syllables
