"""Training examples without end: any voice over any accompaniment, at any level, each varied.

Example number i depends on the seed and i alone, so that a training that was killed goes on with the very
examples that it would have had. The labels of a mix are those of its voice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import CorpusError
from actprobe.training.sounds import Sound, SoundStore
from actprobe.training.variation import Pace, decibels, filtered, played

SILENT = 1e-5  # of the root of the mean square: nothing is brought to this level or from it
LAYERS = 8  # recordings without singing that may follow each other in a mix

Floats = NDArray[np.float32]
Seconds = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Recipe:
    """What is mixed how often, and how far it is varied.

    ``recorded`` of all examples are as they were recorded (`AS_RECORDED`). Of the others, ``songs`` are
    recordings of which only the mixture is known, with singing, and ``voiceless`` have no voice; in ``solos``
    of these, recordings without singing stand where a voice would. The rest have a voice: ``own`` of them
    with the accompaniment that was recorded with it. Of the others, and of what stands for a voice, ``alone``
    have nothing else, and the rest an accompaniment from somewhere else. ``voices`` of the voices are
    recordings of a voice alone. Where an accompaniment is chosen freely, ``instruments`` of them are
    recordings without singing, and ``second`` have another one on top.

    ``stretch``, ``shift``: largest change of tempo and of pitch, 0.3 is 30 %; what is sung is only
    played faster or slower, by the shift, because a change of tempo moves labels. ``filter_db``: largest
    gain of the filter of each part; ``voice_level_db``, standard deviation of the level of voice to
    accompaniment; ``level_db``: largest change of the level of the whole; ``edges``, seconds of silence that
    may come before and after a recording, so that each of its parts may be in the middle of an example.
    """

    recorded: float = 0.5
    songs: float = 0.12
    voiceless: float = 0.3
    solos: float = 0.5
    own: float = 0.5
    alone: float = 0.15
    voices: float = 0.06
    instruments: float = 0.4
    second: float = 0.15
    stretch: float = 0.3
    shift: float = 0.3
    filter_db: float = 10.0
    voice_level_db: float = 4.0
    level_db: float = 8.0
    edges: float = 0.8


AS_RECORDED = Recipe(
    recorded=0, voiceless=0.25, solos=0, own=1, alone=1, instruments=1, second=0,
    stretch=0, shift=0, filter_db=0, voice_level_db=0, level_db=0,
)  # fmt: skip

# An inverter fills in from its examples what a layer does not hold: most should be as they are. A silent
# frame is ten deviations off, so that an inverter that sees many learns little else.
FOR_INVERTERS = Recipe(
    recorded=0.6,
    voiceless=0.15,
    solos=0,
    instruments=0.1,
    stretch=0.15,
    shift=0.15,
    filter_db=5,
    level_db=3,
    edges=0,
)


@dataclass(frozen=True)
class Mix:
    """An example: ``samples``, float32 [samples], and at which seconds of it somebody sings."""

    samples: Floats
    sung_at: Callable[[Seconds], Bools]


class Mixer:
    """Mixes examples from the recordings in ``store``; mix number i is always the same.

    ``seed`` and the number of the mix seed whatever is random in it. CorpusError where the store has nothing
    for any of the shares of the recipe.
    """

    def __init__(self, store: SoundStore, recipe: Recipe, seed: int) -> None:
        self.store, self.recipe, self.seed, self.rate = store, recipe, seed, store.sample_rate
        sounds = store.sounds
        self.accompanied = [each for each in sounds if {"voice", "accompaniment"} <= set(each.stems)]
        self.voices = [each for each in sounds if set(each.stems) == {"voice"}]
        mixtures = [each for each in sounds if "mixture" in each.stems]
        self.songs = [each for each in mixtures if len(each.recording.sung) or not each.recording.known]
        self.voiceless = [each for each in mixtures if each not in self.songs]
        stems_alone = bool(self.accompanied) and recipe.instruments < 1
        shares = {
            self._song: recipe.songs if self.songs else 0.0,
            self._without_voice: recipe.voiceless if self.voiceless or stems_alone else 0.0,
            self._voice: 1 - recipe.songs - recipe.voiceless if self.accompanied or self.voices else 0.0,
        }
        whole = sum(shares.values())
        if not whole:
            raise CorpusError(store.folder, f"nothing can be mixed of {len(sounds)} recordings by {recipe}")
        self._makers = list(shares)
        as_recorded = replace(AS_RECORDED, edges=recipe.edges)
        self._recorded = Mixer(store, as_recorded, seed) if recipe.recorded else self
        self._shares = [share / whole for share in shares.values()]

    def mix(self, number: int, count: int) -> Mix:
        """Mix example ``number``, of ``count`` samples."""
        recipe, rng = self.recipe, np.random.default_rng([self.seed, number])
        if rng.random() < recipe.recorded:
            return self._recorded.mix(number, count)
        found = self._makers[rng.choice(len(self._makers), p=self._shares)](rng, count)
        level = decibels(rng.uniform(-recipe.level_db, recipe.level_db))
        return Mix(np.asarray(found.samples * level, np.float32), found.sung_at)

    def describe(self) -> dict[str, Any]:
        """Say what is mixed and how, JSON-able, for provenance."""
        groups = {
            "accompanied": self.accompanied, "voices": self.voices,
            "songs": self.songs, "voiceless": self.voiceless,
        }  # fmt: skip
        return {
            "recordings": {name: len(group) for name, group in groups.items()},
            "seconds": {
                name: round(sum(each.samples for each in group) / self.rate, 1)
                for name, group in groups.items()
            },
            "seed": self.seed,
            **asdict(self.recipe),
        }

    def _without_voice(self, rng: np.random.Generator, count: int) -> Mix:
        if self.voiceless and rng.random() < self.recipe.solos:
            return self._accompanied(rng, self._instruments(rng, count), self._gain(rng), _nobody)
        return Mix(self._background(rng, count), _nobody)

    def _song(self, rng: np.random.Generator, count: int) -> Mix:
        sound, pace = _choose(rng, self.songs), self._speed(rng)
        start = self._start(rng, sound, pace, count)
        samples = self._part(rng, sound, {"mixture": 1.0}, start, pace, count)
        return Mix(samples, self._labels(sound, start, pace))

    def _voice(self, rng: np.random.Generator, count: int) -> Mix:
        recipe = self.recipe
        from_voices = not self.accompanied or bool(self.voices and rng.random() < recipe.voices)
        sound, pace = _choose(rng, self.voices if from_voices else self.accompanied), self._speed(rng)
        start, gain = self._start(rng, sound, pace, count), self._gain(rng)
        labels = self._labels(sound, start, pace)
        if not from_voices and rng.random() < recipe.own:
            gains = {"accompaniment": 0.5, "voice": 0.5 * gain}
            return Mix(self._part(rng, sound, gains, start, pace, count), labels)
        voice = self._part(rng, sound, {"voice": 0.5 * gain}, start, pace, count)
        return self._accompanied(rng, voice, gain, labels)

    def _accompanied(
        self, rng: np.random.Generator, lead: Floats, gain: float, sung_at: Callable[[Seconds], Bools]
    ) -> Mix:
        """Put an accompaniment under what is in front, ``gain`` below it, or leave it alone."""
        if rng.random() < self.recipe.alone:
            return Mix(lead, sung_at)
        background = self._background(rng, len(lead))
        level, wanted = _level(background), _level(lead) / gain
        if level > SILENT and wanted > SILENT:
            background = background * np.float32(wanted / level)
        return Mix(lead + background, sung_at)

    def _gain(self, rng: np.random.Generator) -> float:
        """Choose the level of what is in front, as a factor."""
        return decibels(float(np.clip(rng.standard_normal(), -2.5, 2.5)) * self.recipe.voice_level_db)

    def _background(self, rng: np.random.Generator, count: int) -> Floats:
        """Make an accompaniment: of another recording, or recordings without singing, or both."""
        first = self._one_background(rng, count)
        if rng.random() < self.recipe.second:
            second = self._one_background(rng, count)
            level, wanted = _level(second), _level(first) * decibels(rng.uniform(-12, 6))
            if level > SILENT and wanted > SILENT:
                first = first + second * np.float32(wanted / level)
        return first

    def _one_background(self, rng: np.random.Generator, count: int) -> Floats:
        if self.accompanied and not (self.voiceless and rng.random() < self.recipe.instruments):
            sound, pace = _choose(rng, self.accompanied), self._pace(rng)
            start = self._start(rng, sound, pace, count)
            return self._part(rng, sound, {"accompaniment": 0.5}, start, pace, count)
        return self._instruments(rng, count) if self.voiceless else np.zeros(count, np.float32)

    def _instruments(self, rng: np.random.Generator, count: int) -> Floats:
        """Play recordings without singing."""
        pieces: list[Floats] = []  # short recordings, such as single notes, follow each other
        while len(pieces) < LAYERS and (left := count - sum(map(len, pieces))) > 0:
            sound, pace = self.voiceless[rng.integers(len(self.voiceless))], self._pace(rng)
            length = min(left, max(int(sound.samples / pace.time), self.rate // 4))
            start = self._start(rng, sound, pace, length, edges=False)
            pieces.append(self._part(rng, sound, {"mixture": 1.0}, start, pace, length))
        samples = np.concatenate(pieces)
        return np.pad(samples, (0, count - len(samples)))

    def _pace(self, rng: np.random.Generator) -> Pace:
        recipe = self.recipe
        time = 1 + rng.uniform(-recipe.stretch, recipe.stretch)
        return Pace(time, 1 + rng.uniform(-recipe.shift, recipe.shift))

    def _speed(self, rng: np.random.Generator) -> Pace:
        speed = 1 + rng.uniform(-self.recipe.shift, self.recipe.shift)
        return Pace(speed, speed)

    def _start(
        self, rng: np.random.Generator, sound: Sound, pace: Pace, count: int, edges: bool = True
    ) -> int:
        """Choose where to begin, so that every part of a recording may be in the middle of an example."""
        edge = int(self.recipe.edges * self.rate) if edges else 0
        last = sound.samples - int(count * pace.time) + edge
        return int(rng.integers(-edge, max(last, -edge) + 1))

    def _part(
        self,
        rng: np.random.Generator,
        sound: Sound,
        gains: Mapping[str, float],
        start: int,
        pace: Pace,
        count: int,
    ) -> Floats:
        """Play stems of a recording together, each through a filter of its own."""
        needed = pace.samples_for(count, self.rate)
        together = np.zeros(needed, np.float32)
        for stem, gain in gains.items():
            samples = self.store.read(sound, stem, start, needed)
            together += filtered(samples, rng, self.recipe.filter_db, self.rate) * np.float32(gain)
        samples = played(together, pace, self.rate)[:count]
        return np.pad(samples, (0, count - len(samples)))

    def _labels(self, sound: Sound, start: int, pace: Pace) -> Callable[[Seconds], Bools]:
        def sung_at(seconds: Seconds) -> Bools:
            return sound.recording.labels_at(start / self.rate + seconds * pace.time)

        return sung_at


def _nobody(seconds: Seconds) -> Bools:
    return np.zeros(np.shape(seconds), np.bool_)


def _choose(rng: np.random.Generator, sounds: Sequence[Sound]) -> Sound:
    """Choose a recording in proportion to its length."""
    ends = np.cumsum([each.samples for each in sounds])
    return sounds[int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))]


def _level(samples: Floats) -> float:
    return float(np.sqrt(np.mean(samples**2)))
