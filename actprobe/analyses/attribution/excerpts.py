"""Excerpts of one recording, ready for attribution: examples, their sound, known parts, and the fill."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.fills import fill_values
from actprobe.errors import AudioError, UsageError
from actprobe.frontends import FrontEnd
from actprobe.frontends.excerpts import (
    examples_at,
    possible_starts,
    refuse_not_finite,
    sounds_at,
    spread,
)

Floats = NDArray[np.float32]

BACKGROUND_EXAMPLES = 64  # of a recording, evenly spread, from which fills are computed


@dataclass(frozen=True, eq=False)
class Excerpts:
    """Excerpts of one recording.

    - ``recording``: its name in the corpus.
    - ``starts_seconds``: float64 [excerpts], where each begins.
    - ``examples``: float32 [excerpts, time, mel].
    - ``sounds``: float32 [excerpts, samples] at the front end's rate, what each example is of.
    - ``parts``: name of a known part -> its sound, float32 [excerpts, samples]; empty where none is known.
    - ``background``: float32 [examples, time, mel], examples of the whole recording.
    - ``fill_name``, ``fill``: what stands for an absent part, float32 [excerpts, time, mel].
    """

    recording: str
    frontend: FrontEnd = field(repr=False)
    starts_seconds: NDArray[np.float64]
    examples: Floats = field(repr=False)
    sounds: Floats = field(repr=False)
    background: Floats = field(repr=False)
    fill_name: str
    fill: Floats = field(repr=False)
    parts: Mapping[str, Floats] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Count the excerpts."""
        return len(self.examples)

    def with_fill(self, name: str, seed: int = 0) -> Excerpts:
        """Give the same excerpts with another fill; UsageError as `fill_values`."""
        values = fill_values(name, self.frontend, self.background, self.starts_seconds, seed)
        return replace(self, fill_name=name, fill=values)


@dataclass(frozen=True, eq=False)
class ExcerptPlan:
    """Which excerpts of a recording are explained; `cut` makes some of them, so that memory stays bounded.

    ``samples`` and ``parts`` are at the front end's rate; ``starts`` are the first samples of the excerpts,
    ascending.
    """

    recording: str
    frontend: FrontEnd = field(repr=False)
    samples: Floats = field(repr=False)
    starts: NDArray[np.int64]
    background: Floats = field(repr=False)
    parts: Mapping[str, Floats] = field(repr=False)
    fill: str
    seed: int

    def __len__(self) -> int:
        """Count the excerpts."""
        return len(self.starts)

    def blocks(self, at_once: int) -> Iterator[Excerpts]:
        """Cut so many excerpts at a time."""
        for first in range(0, len(self), at_once):
            yield self.cut(self.starts[first : first + at_once])

    def cut(self, starts: NDArray[np.int64] | None = None) -> Excerpts:
        """Cut the excerpts that begin at some of the starts, by default at all.

        AudioError where examples are not finite.
        """
        starts = self.starts if starts is None else starts
        frontend = self.frontend
        examples = examples_at(frontend, self.samples, starts)
        refuse_not_finite(examples, frontend, self.recording)
        sounds = sounds_at(frontend, self.samples, starts)
        parts = {name: sounds_at(frontend, sound, starts) for name, sound in self.parts.items()}
        cut = Excerpts(
            self.recording, frontend, starts / frontend.sample_rate, examples, sounds, self.background, "",
            np.zeros_like(examples), parts,
        )  # fmt: skip
        return cut.with_fill(self.fill, self.seed)


@dataclass(frozen=True)
class Places:
    """Which excerpts of a recording are explained.

    - ``at``: where the first begins, in seconds; the closest frame counts.
    - ``seconds``: length of the segment that is covered by excerpts that overlap by half. By default one
      excerpt where ``at`` is given, and the whole recording where it is not.
    - ``excerpts``: so many, spread evenly over the recording, in place of the other two.

    UsageError: a time or number that is none, or excerpts and a time.
    """

    at: float | None = None
    seconds: float | None = None
    excerpts: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if self.at is not None and not (np.isfinite(self.at) and self.at >= 0):
            raise UsageError(f"at={self.at}: no time in a recording")
        if self.seconds is not None and not (np.isfinite(self.seconds) and self.seconds > 0):
            raise UsageError(f"seconds={self.seconds}: no duration")
        if self.excerpts is not None and self.excerpts < 1:
            raise UsageError(f"excerpts={self.excerpts}: at least 1")
        if self.excerpts is not None and not self.at is self.seconds is None:
            raise UsageError("excerpts are spread over the whole recording: give them, or a time, not both")


def plan_excerpts(
    frontend: FrontEnd,
    samples: Floats,
    places: Places,
    *,
    fill: str,
    parts: Mapping[str, Floats] | None = None,
    name: str = "",
    seed: int = 0,
) -> ExcerptPlan:
    """Choose excerpts of a recording.

    ``samples``, and those of the known ``parts``, are at the front end's rate. ``fill`` and the ``seed`` of
    the fill ``shuffled``: see `fill_values`. ``name`` is the recording, for messages. AudioError where it
    ends before the excerpt does.
    """
    starts = _starts(frontend, len(samples), places, name)
    fitting = {part: _as_long(sound, len(samples)) for part, sound in (parts or {}).items()}
    return ExcerptPlan(name, frontend, samples, starts, _background(frontend, samples), fitting, fill, seed)


def _starts(frontend: FrontEnd, samples: int, places: Places, name: str) -> NDArray[np.int64]:
    """Choose the first samples of the excerpts, ascending."""
    there = possible_starts(frontend, samples)
    length, rate = frontend.example_samples, frontend.sample_rate
    if places.excerpts is not None:
        return spread(there, places.excerpts)
    first, last = 0, len(there) - 1
    if places.at is not None:
        wanted = round(places.at * rate)
        if wanted > there[-1] + frontend.frame_hop / 2:
            raise AudioError(
                name,
                f"lasts {samples / rate:.3f} s: the last excerpt of {length / rate:.3f} s begins at "
                f"{there[-1] / rate:.3f} s",
            )
        first = int(np.argmin(np.abs(there - wanted)))
    if places.seconds is not None or places.at is not None:
        span = max(0.0, (places.seconds or 0.0) * rate - length) + frontend.frame_hop / 2
        last = first + int(np.searchsorted(there[first:] - there[first], span, side="right")) - 1
    count = 1 + -(-2 * int(there[last] - there[first]) // length)  # the ends are covered, too
    chosen = np.linspace(first, last, min(count, last - first + 1))
    return np.asarray(there[np.unique(chosen.round().astype(np.int64))], np.int64)


def _as_long(samples: Floats, wanted: int) -> Floats:
    """Cut or lengthen a part by the few samples that rounding makes of another rate."""
    return np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))


def _background(frontend: FrontEnd, samples: Floats) -> Floats:
    """Give examples of the whole recording, evenly spread."""
    every = frontend.examples(samples)
    places = np.linspace(0, len(every) - 1, min(BACKGROUND_EXAMPLES, len(every))).round().astype(np.int64)
    return np.asarray(every[np.unique(places)], np.float32)
