"""Excerpts of one recording, ready for attribution: examples, their sound, known parts, and the fill."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.fills import fill_values
from actprobe.audio import Waveform
from actprobe.errors import AudioError, UsageError
from actprobe.frontends import FrontEnd

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
        rng = np.random.default_rng([seed, len(self)])
        return replace(
            self, fill_name=name, fill=fill_values(name, self.frontend, self.background, len(self), rng)
        )


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

    def cut(self, starts: NDArray[np.int64]) -> Excerpts:
        """Cut the excerpts that begin at some of the starts; AudioError where examples are not finite."""
        frontend, samples, length = self.frontend, self.samples, self.frontend.example_samples
        if _anywhere(frontend, len(samples)):
            examples = np.stack([frontend.example_of(samples[i : i + length]) for i in starts])
        else:
            positions = np.searchsorted(frontend.example_starts(len(samples)), starts)
            examples = np.ascontiguousarray(frontend.examples(samples)[positions])
        examples = np.asarray(examples, np.float32)
        if not np.isfinite(examples).all():
            raise AudioError(self.recording, f"the front end {frontend.name} gives NaN or infinity for it")
        parts = {name: _cut(sound, starts, length) for name, sound in self.parts.items()}
        cut = Excerpts(
            self.recording, frontend, starts / frontend.sample_rate, examples, _cut(samples, starts, length),
            self.background, "", np.zeros_like(examples), parts,
        )  # fmt: skip
        return cut.with_fill(self.fill, self.seed)


def plan_excerpts(
    frontend: FrontEnd,
    waveform: Waveform,
    *,
    fill: str,
    at: float | None = None,
    seconds: float | None = None,
    count: int | None = None,
    parts: Mapping[str, Floats] | None = None,
    name: str = "",
    seed: int = 0,
) -> ExcerptPlan:
    """Choose excerpts of a recording.

    Parameters
    ----------
    frontend : FrontEnd
        Makes the examples.
    waveform : Waveform
        The recording.
    fill : str
        See `fill_values`.
    at : float, optional
        Where the first excerpt begins, in seconds; the closest frame counts.
    seconds : float, optional
        Length of the segment that is covered by excerpts that overlap by half. By default one excerpt where
        ``at`` is given, and the whole recording where it is not.
    count : int, optional
        So many excerpts, spread evenly over the recording, in place of ``at`` and ``seconds``.
    parts : mapping, optional
        Name -> samples of a known part, at the front end's rate, as long as the recording at that rate.
    name : str, optional
        The recording, for messages.
    seed : int, optional
        Of the fill ``shuffled``.

    Raises
    ------
    AudioError
        The recording is silent, or ends before the excerpt does.
    """
    if waveform.is_silent:
        raise AudioError(name, "is silent: there is nothing to explain")
    samples = waveform.resample(frontend.sample_rate).samples
    starts = _starts(frontend, len(samples), at, seconds, count, name)
    fitting = {part: _as_long(sound, len(samples)) for part, sound in (parts or {}).items()}
    return ExcerptPlan(name, frontend, samples, starts, _background(frontend, samples), fitting, fill, seed)


def cut_excerpts(
    frontend: FrontEnd,
    waveform: Waveform,
    *,
    fill: str,
    at: float | None = None,
    count: int | None = None,
    parts: Mapping[str, Floats] | None = None,
    name: str = "",
    seed: int = 0,
) -> Excerpts:
    """Cut excerpts out of a recording, all at once; see `plan_excerpts`."""
    plan = plan_excerpts(frontend, waveform, fill=fill, at=at, count=count, parts=parts, name=name, seed=seed)
    return plan.cut(plan.starts)


def check_places(at: float | None, seconds: float | None, count: int | None) -> None:
    """Refuse (UsageError) times and numbers of excerpts that are none, or that contradict each other."""
    if at is not None and not (np.isfinite(at) and at >= 0):
        raise UsageError(f"at={at}: no time in a recording")
    if seconds is not None and not (np.isfinite(seconds) and seconds > 0):
        raise UsageError(f"seconds={seconds}: no duration")
    if count is not None and count < 1:
        raise UsageError(f"excerpts={count}: at least 1")
    if count is not None and (at is not None or seconds is not None):
        raise UsageError("excerpts are spread over the whole recording: give them, or a time, not both")


def _anywhere(frontend: FrontEnd, samples: int) -> bool:
    """Whether excerpts can begin at any frame: the recording is long enough and has no zeros around it."""
    long = samples >= frontend.example_samples
    return frontend.free_starts and long and int(frontend.example_starts(samples)[0]) >= 0


def _starts(
    frontend: FrontEnd, samples: int, at: float | None, seconds: float | None, count: int | None, name: str
) -> NDArray[np.int64]:
    """Choose the first samples of the excerpts, ascending."""
    there = frontend.example_starts(samples)
    hop, length, rate = frontend.frame_hop, frontend.example_samples, frontend.sample_rate
    if _anywhere(frontend, samples):
        there = hop * np.arange((samples - length) // hop + 1)
    first, last = 0, len(there) - 1
    if at is not None:
        wanted = round(at * rate)
        if wanted > there[-1] + hop / 2:
            raise AudioError(
                name,
                f"lasts {samples / rate:.3f} s: the last excerpt of {length / rate:.3f} s begins at "
                f"{there[-1] / rate:.3f} s",
            )
        first = int(np.argmin(np.abs(there - wanted)))
    if seconds is not None or at is not None:
        span = max(0.0, (seconds or 0.0) * rate - length)
        last = first + int(np.searchsorted(there[first:] - there[first], span + hop / 2, side="right")) - 1
    if count is None:  # the ends are covered, too
        count = 1 + -(-2 * int(there[last] - there[first]) // length)
        places = np.linspace(first, last, min(count, last - first + 1))
    else:
        places = (np.arange(count) + 0.5) / count * (last + 1) - 0.5
    return np.asarray(there[np.unique(places.round().astype(np.int64))], np.int64)


def _as_long(samples: Floats, wanted: int) -> Floats:
    """Cut or lengthen a part by the few samples that rounding makes of another rate."""
    return np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))


def _cut(samples: Floats, starts: NDArray[np.int64], length: int) -> Floats:
    """Cut sounds out of a recording, with zeros where they reach beyond it."""
    before = max(0, -int(starts[0]))
    behind = max(0, int(starts[-1]) + length - len(samples))
    around = np.pad(samples, (before, behind))
    return np.stack([around[before + start : before + start + length] for start in starts])


def _background(frontend: FrontEnd, samples: Floats) -> Floats:
    """Give examples of the whole recording, evenly spread."""
    every = frontend.examples(samples)
    places = np.linspace(0, len(every) - 1, min(BACKGROUND_EXAMPLES, len(every))).round().astype(np.int64)
    return np.asarray(every[np.unique(places)], np.float32)
