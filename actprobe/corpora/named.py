"""Corpora by name, as lists of recordings with what is known of each in ``labels``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from actprobe.corpora import voice_activity
from actprobe.corpora.fcvid import open_fcvid
from actprobe.corpora.folder import Recording, open_folder
from actprobe.corpora.irmas import open_irmas
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.openers import OPENERS as LABELLED
from actprobe.errors import CorpusError, UsageError

__all__ = ["NAMES", "open_corpus", "open_named"]

Opener = Callable[[str | Path, str | None], list[Recording]]


def _folder(directory: str | Path, split: str | None) -> list[Recording]:
    recordings = open_folder(directory)
    chosen = [one for one in recordings if split in (None, one.labels.get("split"))]
    if not chosen:
        raise CorpusError(directory, f"has no recording whose column split says {split}")
    return chosen


def _labelled(opener: Callable[[str | Path], list[LabelledRecording]]) -> Opener:
    def opened(directory: str | Path, split: str | None) -> list[Recording]:
        found = []
        for one in opener(directory):
            if split in (None, one.split):
                sung = voice_activity.cell(Recording(one.name, one.path))
                labels = {"split": one.split, "singer": one.singer, voice_activity.COLUMN: sung}
                found.append(Recording(one.name, one.path, labels))
        if not found:
            raise CorpusError(directory, f"holds no recordings for {split}")
        return found

    return opened


_OPENERS: dict[str, Opener] = {
    "fcvid": open_fcvid,
    "folder": _folder,
    "irmas": open_irmas,
    "labelled": _labelled(LABELLED["folder"]),
    **{name: _labelled(opener) for name, opener in LABELLED.items() if name != "folder"},
}
NAMES = tuple(sorted(_OPENERS))


def open_named(name: str, directory: str | Path, split: str | None = None) -> list[Recording]:
    """List the recordings of a corpus by its name.

    Parameters
    ----------
    name : str
        One of `NAMES`; ``folder`` is any folder, manifest or file, as `open_folder` takes it, ``labelled`` a
        folder with ``.lab`` files of singing.
    directory : str or Path
        Where the corpus is.
    split : str, optional
        ``train``, ``valid`` or ``test``; by default all.

    Returns
    -------
    list of Recording
        With the labels that each corpus's module names; those with labels of singing have ``voice_activity``,
        ``singer`` and ``split``.

    Raises
    ------
    UsageError
        No corpus has that name.
    CorpusError
        It is not in that folder.
    """
    if name not in _OPENERS:
        raise UsageError(f"no corpus is called {name!r}; there are: {', '.join(NAMES)}")
    return _OPENERS[name](directory, split)


def open_corpus(source: str | os.PathLike[str]) -> list[Recording]:
    """List the recordings of a folder, a manifest, one file, or a corpus by its name.

    Parameters
    ----------
    source : str or os.PathLike
        What `open_folder` takes: a folder, a ``.csv`` manifest or an audio file. Or ``NAME:FOLDER`` with one
        of `NAMES`, such as ``irmas:/data/IRMAS``, or ``NAME/SPLIT:FOLDER`` with ``train``, ``valid`` or
        ``test``, such as ``mir1k/test:/data/MIR-1K``.

    Returns
    -------
    list of Recording
        At least one, with labels where they are known.

    Raises
    ------
    UsageError
        No corpus has that name.
    CorpusError
        Nothing there, nothing usable in it, or not a readable manifest.
    """
    named = re.fullmatch(r"(\w+)(?:/(\w+))?:(.+)", os.fspath(source))
    if named is None or Path(source).exists():
        return open_folder(Path(source))
    name, split, directory = named.groups()
    return open_named(name, directory, split)
