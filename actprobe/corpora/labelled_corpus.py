"""`open_labelled`: what trainings and evaluations take, as recordings with labels of singing.

A face calls it with its argument ``corpus``, a binary hands `corpus_text` of its flags on:

    corpus = open_labelled("mir1k/test:/data/MIR-1K")     # or a folder, or a Corpus
    corpus.recordings; corpus.split("train"); corpus.known; corpus.name; corpus.source
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from actprobe.corpora.corpus import Corpus, CorpusLike, open_corpus
from actprobe.corpora.folder import Recording
from actprobe.corpora.label_files import as_intervals
from actprobe.corpora.labelled import SPLITS, LabelledRecording
from actprobe.corpora.labelled_folders import open_labelled_folder, open_voiceless_folder
from actprobe.corpora.named import corpus_text, parse_named
from actprobe.errors import CorpusError

LABELS = ("needed", "optional", "unused")


@dataclass(frozen=True)
class LabelledCorpus:
    """The recordings of a training or an evaluation; at least one.

    ``source`` is where they are from, for messages and run.json; ``name`` is what tables call the corpus:
    ``mir1k test``, ``folder``. ``known``: whether it is known where somebody sings; if not, no recording has
    a sung interval.
    """

    recordings: list[LabelledRecording]
    source: str
    name: str
    known: bool

    def split(self, name: str) -> list[LabelledRecording]:
        """Those for ``train``, ``valid`` or ``test``; perhaps none."""
        return [each for each in self.recordings if each.split == name]


def open_labelled(source: CorpusLike, labels: str = "needed") -> LabelledCorpus:
    """Open a corpus, as `actprobe.open_corpus` takes it, for a training or an evaluation.

    ``labels``: ``needed``: a plain folder (``FOLDER`` or ``folder:FOLDER``) has to hold .lab files, and a
    recording without labels is refused. ``optional``: a plain folder without one .lab file is taken without
    labels (`LabelledCorpus.known` is False). ``unused``: labels do not matter, splits do. A recording whose
    split is not known is for training. CorpusError: nothing usable there, or no labels where they are needed.
    """
    if labels not in LABELS:
        raise ValueError(f"labels={labels!r} is none of {LABELS}")
    corpus = _open(source, labels)
    labelled = [each for each in corpus if isinstance(each, LabelledRecording)]
    known = len(labelled) == len(corpus)
    if not known and labels == "needed":
        without = next(each for each in corpus if not isinstance(each, LabelledRecording))
        raise CorpusError(corpus.source, f"does not say where somebody sings in {without.name}")
    recordings = labelled if known else [_without_labels(each) for each in corpus]
    return LabelledCorpus(recordings, corpus.source, corpus.name, known)


def _open(source: CorpusLike, labels: str) -> Corpus:
    """Open a plain folder by the reading that the use of its labels asks for; anything else as it is."""
    if not isinstance(source, str | os.PathLike):
        return open_corpus(source)
    text = os.fspath(source)
    name, split, directory = parse_named(text) or ("folder", None, text)
    folder = Path(directory).absolute()
    if name != "folder" or (folder.exists() and not folder.is_dir()):
        return open_corpus(text)
    if labels == "optional" and not any(folder.glob("*.lab")):
        return open_corpus(text)
    reading = open_voiceless_folder if labels == "unused" else open_labelled_folder
    found = tuple(reading(folder, split))
    if not found:
        raise CorpusError(folder, f"holds no recordings for {split}")
    if split:
        return Corpus(found, corpus_text("folder", folder, split), f"folder {split}")
    return Corpus(found, str(folder))


def _without_labels(recording: Recording) -> LabelledRecording:
    if isinstance(recording, LabelledRecording):
        return replace(recording, sung=as_intervals([]))
    split = recording.labels.get("split", "")
    return LabelledRecording(
        recording.name,
        recording.path,
        as_intervals([]),
        split if split in SPLITS else "train",
        labels=recording.labels,
    )
