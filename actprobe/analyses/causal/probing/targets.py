"""What is to be read out of a layer: features, columns of labels, singing, and labels over time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora import Corpus, Recording
from actprobe.corpora.label_tracks import Track, TrackFiles, open_tracks
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_folders import knows_singing, labelled
from actprobe.corpora.voice_activity import COLUMN as VOICE
from actprobe.errors import CorpusError, UsageError
from actprobe.features.labels import MOST_CLASSES, UNKNOWN, Plan, resolve

FRAMES = "frames:"  # what names of tracks of label files begin with

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """What is predicted: recordings, or excerpts of them.

    - ``recording`` [units]: which of the corpus each is or is of.
    - ``middles`` [units]: seconds at the middle of an excerpt; NaN for whole recordings, and for an excerpt
      whose middle is behind the end of its recording.
    - ``features``: name -> [units], NaN where unknown.
    """

    recording: NDArray[np.int64]
    middles: Floats
    features: Mapping[str, Floats]


@dataclass(frozen=True)
class Target:
    """The values of a target.

    ``classes`` are empty for numbers. ``values``: float64 [units, columns], one column of numbers, or one for
    each class, 1 or 0; NaN where unknown.
    """

    name: str
    classes: tuple[str, ...]
    values: Floats

    @property
    def metric(self) -> str:
        """``r2`` of numbers, ``auc`` of classes."""
        return "auc" if self.classes else "r2"


def _target(name: str, values: Floats, classes: Sequence[str] = ()) -> Target:
    """Make a target; numbers that are 0 and 1 alone are a class and what is not of it."""
    known = values[~np.isnan(values)]
    if not classes and len(known) and np.isin(known, (0, 1)).all():
        classes = [name]
    return Target(name, tuple(classes), values)


class Source(ABC):
    """Where the values of a target come from, which is known before anything is computed."""

    name: str

    @abstractmethod
    def target(self, units: Units) -> Target:
        """Give its values."""


@dataclass(frozen=True)
class _Feature(Source):
    """Computed from sound, always a number."""

    name: str

    def target(self, units: Units) -> Target:
        return Target(self.name, (), units.features[self.name][:, np.newaxis])


@dataclass(frozen=True)
class _Labels(Source):
    """A column of labels, one value a recording: a number, or its classes one by one."""

    name: str
    plan: Plan

    def target(self, units: Units) -> Target:
        values = np.column_stack([self.plan.labels[name] for name in self.plan.names])[units.recording]
        classes = [name for name in self.plan.names if name != self.name]
        return _target(self.name, values, classes)


@dataclass(frozen=True)
class _Singing(Source):
    """Whether somebody sings at the middle of the excerpt."""

    name: str
    recordings: Sequence[LabelledRecording | None]

    def target(self, units: Units) -> Target:
        values = np.full(len(units.recording), np.nan)
        for i, recording in enumerate(self.recordings):
            mine = (units.recording == i) & ~np.isnan(units.middles)
            if recording is not None:
                values[mine] = recording.labels_at(units.middles[mine])
        return Target(self.name, (self.name,), values[:, np.newaxis])


@dataclass(frozen=True)
class _Frames(Source):
    """What a track holds at the middle of the excerpt."""

    name: str
    tracks: Sequence[Track | None]

    def target(self, units: Units) -> Target:
        held = [
            self._held(*each) for each in zip(units.recording.tolist(), units.middles.tolist(), strict=True)
        ]
        texts = {text for track in self.tracks if track for text in track.values} - {""}
        if all(map(_is_number, texts)):
            numbers = [float(each[-1]) if each else math.nan for each in held]
            return _target(self.name, np.array(numbers, np.float64)[:, np.newaxis])
        classes = sorted(text for text in texts if text.lower() not in UNKNOWN)
        values = np.array([[text in each for text in classes] for each in held], np.float64)
        if len(classes) > 1:  # a single one is absent where it is not; of several, none is known there
            values[[not each for each in held]] = np.nan
        known = np.array([self.tracks[i] is not None for i in units.recording])
        values[~known | np.isnan(units.middles)] = np.nan
        return Target(self.name, tuple(classes), values)

    def _held(self, recording: int, middle: float) -> list[str]:
        track = self.tracks[recording]
        return [] if track is None else [text for text in track.at(middle) if text.lower() not in UNKNOWN]


@dataclass(frozen=True)
class Sources:
    """All that is to be read out.

    ``scalars``: features that are computed. ``faults``: name of a recording -> what is wrong with its labels.
    """

    each: tuple[Source, ...]
    scalars: tuple[str, ...]
    faults: Mapping[str, str]


def open_sources(names: Sequence[str], corpus: Corpus, unit: str, frame_labels: str | Path | None) -> Sources:
    """Look up what is to be read out; UsageError for what does not exist or does not go with the unit."""
    if isinstance(names, str):
        raise UsageError(f"targets={names!r}: give a list")
    if not names:
        raise UsageError("name at least one target: a feature, a label column, or frames:TRACK")
    if len(set(names)) < len(names):
        raise UsageError(f"a target is named more than once: {', '.join(names)}")
    if frame_labels is not None and unit != "excerpt":
        raise UsageError("frame labels are read at the middle of excerpts: take unit=excerpt")
    files = None if frame_labels is None else open_tracks(corpus, frame_labels)
    found: list[Source] = []
    scalars: list[str] = []
    faults = {} if files is None else dict(files.faults)
    for name in names:
        if name.startswith(FRAMES):
            found.append(_frames(name, files))
        elif name == VOICE and unit == "excerpt" and any(map(knows_singing, corpus)):
            found.append(_Singing(name, [_singing(recording, faults) for recording in corpus]))
        else:
            plan = resolve([name], corpus)
            found.append(_Feature(name) if plan.scalars else _Labels(name, plan))
            scalars += plan.scalars
    return Sources(tuple(found), tuple(scalars), faults)


def _frames(name: str, files: TrackFiles | None) -> _Frames:
    if files is None:
        raise UsageError(f"{name} is in label files: name their folder or column by frame_labels")
    track = name.removeprefix(FRAMES)
    if track not in files.names:
        there = ", ".join(FRAMES + each for each in files.names)
        raise UsageError(f"no label file has a track {track!r}; there is {there}")
    found = _Frames(name, [tracks.get(track) for tracks in files.tracks])
    texts = {text for each in found.tracks if each for text in each.values} - {""}
    infinite = sorted(text for text in texts if text.lower().lstrip("+-") in ("inf", "infinity"))
    if infinite and all(map(_is_number, texts.difference(infinite))):
        raise UsageError(f"{name} holds infinity ({infinite[0]})")
    if len(texts) > MOST_CLASSES and not all(map(_is_number, texts)):
        raise UsageError(f"{name} has {len(texts)} classes, more than {MOST_CLASSES}")
    return found


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) or text.lower() in UNKNOWN
    except ValueError:
        return text.lower() in UNKNOWN


def _singing(recording: Recording, faults: dict[str, str]) -> LabelledRecording | None:
    """Give a recording with its sung intervals; None where they are not known, or the file has a fault."""
    try:
        found = labelled(recording)
    except CorpusError as error:
        faults[recording.name] = "; ".join(filter(None, [faults.get(recording.name), str(error)]))
        return None
    return found if found.known else None
