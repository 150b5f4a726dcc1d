"""`open_labelled`: what trainings and evaluations take, as recordings with labels of singing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from absl import logging

from actprobe.corpora.corpus import Corpus, CorpusLike, open_corpus
from actprobe.corpora.folder import MEAN, Recording
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_folders import with_labels, with_splits, without_labels
from actprobe.corpora.named import corpus_text, parse_named
from actprobe.errors import CorpusError

LABELS = ("needed", "optional", "unused")


@dataclass(frozen=True)
class LabelledCorpus:
    """The recordings of a training or an evaluation; at least one.

    ``source`` is where they are from, for messages and run.json; ``name`` is what tables call the corpus:
    ``mir1k test``, ``folder``.
    """

    recordings: list[LabelledRecording]
    source: str
    name: str

    @property
    def mono(self) -> str:
        """What is read of recordings of several channels, see `actprobe.open_corpus`."""
        return ", ".join(dict.fromkeys(each.mono for each in self.recordings))

    @property
    def known(self) -> bool:
        """Whether it is known of any recording where somebody sings."""
        return any(each.known for each in self.recordings)

    def split(self, name: str) -> list[LabelledRecording]:
        """Those for ``train``, ``valid`` or ``test``; perhaps none."""
        return [each for each in self.recordings if each.split == name]


def open_labelled(source: CorpusLike, labels: str = "needed") -> LabelledCorpus:
    """Open a corpus, as `actprobe.open_corpus` takes it, for a training or an evaluation.

    Labels are those of a corpus that has them, or of label files beside the recordings. ``labels``:
    ``needed``: recordings without labels are left out with a warning. ``optional``: they are taken, and their
    `LabelledRecording.known` is False. ``unused``: label files are not read. A recording whose split is not
    known is for training. CorpusError: nothing usable there, or no labels where they are needed.
    """
    if labels not in LABELS:
        raise ValueError(f"labels={labels!r} is none of {LABELS}")
    corpus = open_with_splits(source)
    found = [_labelled(each, labels) for each in corpus]
    if labels == "needed":
        without = [each.name for each in found if not each.known]
        found = [each for each in found if each.known]
        if not found:
            raise CorpusError(
                corpus.source,
                f"does not say where somebody sings in {without[0]}: put a .lab file of the same name beside "
                "each recording (lines of start, end and sing or nosing, in seconds), or give a labelled "
                "corpus, such as mir1k:FOLDER",
            )
        if without:
            logging.warning(
                "%s: left out, nothing says where somebody sings in %d of %d recordings, %s the first",
                corpus.source, len(without), len(corpus), without[0],
            )  # fmt: skip
    return LabelledCorpus(found, corpus.source, corpus.name)


def open_part(source: CorpusLike, split: str | None, labels: str = "unused") -> Corpus:
    """Open a corpus, or the part of it for ``train``, ``valid`` or ``test``; ``labels`` as `open_labelled`.

    CorpusError where nothing is for that.
    """
    if split is None:
        return open_corpus(source)
    opened = open_labelled(source, labels)
    chosen = opened.split(split)
    if not chosen:
        raise CorpusError(opened.source, f"holds no recordings for {split}")
    return Corpus(tuple(chosen), opened.source, f"{opened.name} {split}")


def open_with_splits(source: CorpusLike, mono: str = MEAN) -> Corpus:
    """Open a corpus as `actprobe.open_corpus` does; the recordings of a plain folder know their splits."""
    return open_corpus(_with_splits(source), mono=mono)


def _with_splits(source: CorpusLike) -> Corpus:
    if not isinstance(source, str | os.PathLike):
        return open_corpus(source)
    text = os.fspath(source)
    name, split, directory = parse_named(text) or ("folder", None, text)
    folder = Path(directory).absolute()
    if name != "folder" or not folder.is_dir():
        return open_corpus(text)
    recordings = with_splits(folder, open_corpus(folder))
    if split is None:
        return Corpus(tuple(recordings), str(folder))
    chosen = tuple(each for each in recordings if each.labels.get("split", "train") == split)
    if not chosen:
        raise CorpusError(folder, f"holds no recordings for {split}")
    return Corpus(chosen, corpus_text("folder", folder, split), f"folder {split}")


def _labelled(recording: Recording, labels: str) -> LabelledRecording:
    if isinstance(recording, LabelledRecording):
        return recording
    if labels == "unused":
        return without_labels(recording)
    try:
        return with_labels(recording)
    except CorpusError as error:
        if labels == "needed":
            raise
        logging.warning("where somebody sings in %s is unknown: %s", recording.name, error)
        return without_labels(recording)
