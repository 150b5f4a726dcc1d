"""The recordings of a training, split by split; without any for validation some are held out."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from absl import logging

from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_corpus import open_labelled
from actprobe.errors import AudioError, CorpusError

HELD_OUT = 0.1  # of the recordings, if the corpus has none for validation
GROUPS = ("singer", "artist", "song")  # labels: recordings that share one are held out together
SHOWN_NAMES = 5

Recordings = Sequence[LabelledRecording]
Read = Callable[[LabelledRecording], Any]


@dataclass(frozen=True)
class Splits:
    """The data of a training.

    ``source`` names the corpus, for messages and run.json; ``train`` is to learn from, ``valid`` to choose
    epoch and threshold by; ``tests`` maps the name of a set to recordings to judge the result by.
    ``held_out`` names those of ``valid`` that the corpus has for training.
    """

    source: str
    train: list[LabelledRecording]
    valid: list[LabelledRecording]
    tests: dict[str, list[LabelledRecording]]
    held_out: list[str]


def open_splits(
    corpus: CorpusLike,
    songs: Recordings = (),
    voiceless: Recordings = (),
    voices: Recordings = (),
    close_gaps_seconds: float = 0.0,
    *,
    seed: int = 0,
    read: Read,
) -> Splits:
    """Gather the recordings of a detector's training, split by split.

    ``corpus`` is what `actprobe.corpora.labelled_corpus.open_labelled` takes; it has to say where somebody
    sings. ``songs`` are further labelled recordings, ``voiceless`` such without singing, ``voices`` such of
    a voice alone or with their stems. Gaps under ``close_gaps_seconds`` count as sung in the corpus's
    training recordings.
    Without any recording for validation some with singing are held out, see `hold_out` for ``seed`` and
    ``read``; where that is not possible, the last epoch is taken and the threshold is tuned on training
    recordings. CorpusError: the corpus cannot be read or has nothing to train on.
    """
    found = open_labelled(corpus)
    valid = [each for each in (*found.recordings, *songs, *voices) if each.split == "valid"]
    own = found.split("train")
    further = [each for each in songs if each.split == "train"]
    held = [] if valid else hold_out([each for each in (*own, *further) if len(each.sung)], seed, read)
    judging = set(held)
    train = [each.close_gaps(close_gaps_seconds) for each in own if each not in judging]
    train += [each for each in further if each not in judging]
    train += [each for each in (*voices, *voiceless) if each.split == "train"]
    valid += [each for each in voiceless if each.split == "valid" and valid]
    if not train:
        raise CorpusError(found.source, "has no recordings to train on")
    tests = {
        f"{found.name} test": found.split("test"),
        "songs test": [each for each in songs if each.split == "test"],
        "voices test": [each for each in voices if each.split == "test"],
        "voiceless test": [each for each in voiceless if each.split == "test"],
    }
    return Splits(
        found.source,
        train,
        valid + held,
        {name: group for name, group in tests.items() if group},
        [each.name for each in held],
    )


def hold_out(recordings: Recordings, seed: int, read: Read) -> list[LabelledRecording]:
    """Choose recordings to be held out from a training for validation: about a tenth, at least one.

    Recordings that share a singer, artist or song stay together. The choice depends on the seed and on names,
    so that a further recording changes little of it. ``read`` is called on recordings until there are enough;
    one for which it raises AudioError or CorpusError is not chosen. At least one that can be read is left to
    train on; where that is not possible, none is chosen and a warning says so.
    """
    wanted = max(1, round(HELD_OUT * len(recordings)))
    groups = sorted(related(recordings), key=lambda group: _rank(group, seed))
    held: set[LabelledRecording] = set()
    for group in groups:
        if len(held) + len(group) <= wanted:
            held |= _readable(group, read)
    for group in sorted(groups, key=len):
        held = held or _readable(group, read)
    if not any(_readable([each], read) for each in recordings if each not in held):
        logging.warning("no recording is for validation and none can be held out: the last epoch is taken")
        return []
    names = [each.name for each in recordings if each in held]
    logging.info(
        "no recording is for validation: %d of %d are held out by seed %d: %s%s",
        len(names), len(recordings), seed, ", ".join(names[:SHOWN_NAMES]),
        ", ..." if len(names) > SHOWN_NAMES else "",
    )  # fmt: skip
    return [each for each in recordings if each in held]


def _readable(recordings: Recordings, read: Read) -> set[LabelledRecording]:
    found = set()
    for each in recordings:
        try:
            read(each)
        except (AudioError, CorpusError):
            continue
        found.add(each)
    return found


def related(recordings: Recordings) -> list[list[LabelledRecording]]:
    """Put recordings together that share a label of `GROUPS`, also by way of others."""
    group_of: dict[str, list[LabelledRecording]] = {}
    for each in recordings:
        met = {id(group_of[key]): group_of[key] for key in _keys(each) if key in group_of}
        *others, group = sorted(met.values(), key=len) or [[]]
        joined = [each, *itertools.chain(*others)]
        group += joined
        group_of |= {key: group for member in joined for key in _keys(member)}
    return list({id(group): group for group in group_of.values()}.values())


def _keys(recording: LabelledRecording) -> list[str]:
    known = recording.labels | ({"singer": recording.singer} if recording.singer else {})
    return [f"{label} {known[label]}" for label in GROUPS if known.get(label)] or [f"name {recording.name}"]


def _rank(group: Recordings, seed: int) -> str:
    """Give a group its place among all groups, by its name and the seed alone."""
    name = min(key for each in group for key in _keys(each))
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
