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
    """What a training is made of.

    Parameters
    ----------
    source : str
        The corpus, for messages and run.json.
    train, valid : list of LabelledRecording
        To learn from, and to choose epoch and threshold by.
    tests : dict
        Name of a set -> recordings to judge the result by.
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

    Parameters
    ----------
    corpus : str, os.PathLike or Corpus
        As `actprobe.corpora.labelled_corpus.open_labelled` takes it; it has to say where somebody sings.
    songs : sequence of LabelledRecording, optional
        Further labelled recordings.
    voiceless : sequence of LabelledRecording, optional
        Recordings without singing; those for training are used.
    close_gaps_seconds : float, optional
        Gaps under this count as sung in the corpus's training recordings.

    Returns
    -------
    Splits
        Without any for validation the last epoch is taken and the threshold is tuned on training recordings.

    Raises
    ------
    CorpusError
        The corpus cannot be read or has nothing to train on.
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
