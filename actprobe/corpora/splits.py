"""The recordings of a detector's training, split by split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_corpus import open_labelled
from actprobe.errors import CorpusError


@dataclass(frozen=True)
class Splits:
    """The data of a training.

    ``source`` names the corpus, for messages and run.json; ``train`` is to learn from, ``valid`` to choose
    epoch and threshold by; ``tests`` maps the name of a set to recordings to judge the result by.
    """

    source: str
    train: list[LabelledRecording]
    valid: list[LabelledRecording]
    tests: dict[str, list[LabelledRecording]]


def open_splits(
    corpus: CorpusLike,
    songs: Sequence[LabelledRecording] = (),
    voiceless: Sequence[LabelledRecording] = (),
    close_gaps_seconds: float = 0.0,
) -> Splits:
    """Gather the recordings of a training, split by split.

    ``corpus`` is what `actprobe.corpora.labelled_corpus.open_labelled` takes; it has to say where somebody
    sings. ``songs`` are further labelled recordings. Of ``voiceless``, recordings without singing, those for
    training are used. Gaps under ``close_gaps_seconds`` count as sung in the corpus's training recordings.
    Without any recording for validation the last epoch is taken and the threshold is tuned on training
    recordings. CorpusError: the corpus cannot be read or has nothing to train on.
    """
    found = open_labelled(corpus)
    train = [each.close_gaps(close_gaps_seconds) for each in found.split("train")]
    train += [each for more in (songs, voiceless) for each in more if each.split == "train"]
    if not train:
        raise CorpusError(found.source, "has no recordings to train on")
    valid = [each for each in (*found.recordings, *songs) if each.split == "valid"]
    tests = {
        f"{found.name} test": found.split("test"),
        "songs test": [each for each in songs if each.split == "test"],
    }
    return Splits(found.source, train, valid, {name: group for name, group in tests.items() if group})
