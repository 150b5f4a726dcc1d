"""The one list of corpora by name: a corpus is one module and one line of `CORPORA`.

Everything that opens a corpus by name reads this list: `actprobe.open_corpus("NAME:FOLDER")`, by it trainings
and evaluations (`actprobe.corpora.labelled_corpus.open_labelled`), and the older flag ``--corpus``.
Nothing heavy is imported until a corpus is opened.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from actprobe.corpora.folder import Recording
from actprobe.errors import CorpusError, UsageError

Opener = Callable[[str | Path, str | None], list[Recording]]


@dataclass(frozen=True)
class NamedCorpus:
    """How a corpus is opened.

    ``opener`` is ``MODULE:FUNCTION``; the function takes the folder and a split (None: all) and gives the
    recordings. ``singing``: whether those are `LabelledRecording`, which trainings and evaluations need.
    """

    opener: str
    singing: bool = False


CORPORA = {
    "fcvid": NamedCorpus("actprobe.corpora.fcvid:open_fcvid"),
    "folder": NamedCorpus("actprobe.corpora.folder:open_split"),
    "irmas": NamedCorpus("actprobe.corpora.irmas:open_irmas"),
    "jamendo": NamedCorpus("actprobe.corpora.jamendo:open_jamendo", singing=True),
    "labelled": NamedCorpus("actprobe.corpora.labelled_folders:open_labelled_folder", singing=True),
    "mir1k": NamedCorpus("actprobe.corpora.mir1k:open_mir1k", singing=True),
    "phantom": NamedCorpus("actprobe.corpora.phantom_singing:open_phantom", singing=True),
    "rwc": NamedCorpus("actprobe.corpora.rwc:open_rwc", singing=True),
    "voices": NamedCorpus("actprobe.corpora.labelled_folders:open_voices_folder", singing=True),
    "voiceless": NamedCorpus("actprobe.corpora.labelled_folders:open_voiceless_folder", singing=True),
}
NAMES = tuple(CORPORA)
# For --corpus, which with --corpus_dir is the older name of --input in trainings and evaluations.
WITH_SINGING = ("folder", *(name for name, one in CORPORA.items() if one.singing and name != "labelled"))


def corpus_text(name: str, directory: str | Path, split: str | None = None) -> str:
    """Join name, folder and split of a corpus to what `open_corpus` takes."""
    return f"{name}/{split}:{directory}" if split else f"{name}:{directory}"


def parse_named(text: str) -> tuple[str, str | None, str] | None:
    """Take ``NAME:FOLDER`` or ``NAME/SPLIT:FOLDER`` apart; None for a path.

    Returns
    -------
    tuple of (str, str or None, str), or None
        Name, split and folder.
    """
    found = re.fullmatch(r"(\w+)(?:/(\w+))?:(.+)", text)
    if found is None or Path(text).exists():
        return None
    name, split, directory = found.groups()
    return name, split, directory


def open_named(name: str, directory: str | Path, split: str | None = None) -> list[Recording]:
    """List the recordings of a corpus by its name, of one split or by default of all.

    ``name`` is one of `NAMES`: ``folder`` is any folder, manifest or file, as `open_folder` takes it,
    ``labelled`` a folder with ``.lab`` files of singing, ``voices`` one of voices alone, ``voiceless`` one in
    which nobody sings. The labels
    are those that the module of the corpus names; recordings with labels of singing are `LabelledRecording`
    and have the labels ``voice_activity``, ``singer`` and ``split``. UsageError for an unknown name,
    CorpusError where the corpus is not in that folder.
    """
    if name not in CORPORA:
        raise UsageError(f"no corpus is called {name!r}; there are: {', '.join(CORPORA)}")
    module, function = CORPORA[name].opener.split(":")
    found = cast(Opener, getattr(importlib.import_module(module), function))(directory, split)
    if not found:
        raise CorpusError(directory, f"holds no recordings for {split}")
    return [_with_labels(one) for one in found] if CORPORA[name].singing else found


def _with_labels(recording: Recording) -> Recording:
    """Say split, singer and the sung part of a `LabelledRecording` in its labels, too."""
    from actprobe.corpora import voice_activity  # loads audio, and so numpy; the flags need names alone
    from actprobe.corpora.labelled import LabelledRecording

    if not isinstance(recording, LabelledRecording):
        return recording
    known = {"split": recording.split, "singer": recording.singer}
    labels = {**known, voice_activity.COLUMN: voice_activity.cell(recording), **recording.labels}
    return replace(recording, labels=labels)
