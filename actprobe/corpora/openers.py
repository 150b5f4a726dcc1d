"""The labelled corpora by name, and their recordings split by split for a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from actprobe.corpora.jamendo import open_jamendo
from actprobe.corpora.labelled import LabelledRecording, open_labelled_folder
from actprobe.corpora.mir1k import open_mir1k
from actprobe.corpora.rwc import open_rwc
from actprobe.errors import CorpusError

__all__ = ["OPENERS", "Recordings", "open_recordings"]


OPENERS: dict[str, Callable[[str | Path], list[LabelledRecording]]] = {
    "mir1k": open_mir1k,
    "jamendo": open_jamendo,
    "rwc": open_rwc,
    "folder": open_labelled_folder,
}


@dataclass(frozen=True)
class Recordings:
    """What a training is made of.

    Parameters
    ----------
    train, valid : list of LabelledRecording
        To learn from, and to choose epoch and threshold by.
    tests : dict
        Name of a set -> recordings to judge the result by.
    """

    train: list[LabelledRecording]
    valid: list[LabelledRecording]
    tests: dict[str, list[LabelledRecording]]


def open_recordings(
    corpus: str,
    corpus_dir: str | Path,
    songs: Sequence[LabelledRecording] = (),
    voiceless: Sequence[LabelledRecording] = (),
    close_gaps_seconds: float = 0.0,
) -> Recordings:
    """Gather the recordings of a training, split by split.

    Parameters
    ----------
    corpus : str
        One of `OPENERS`.
    corpus_dir : str or Path
        The corpus.
    songs : sequence of LabelledRecording, optional
        Further labelled recordings.
    voiceless : sequence of LabelledRecording, optional
        Recordings without singing; those for training are used.
    close_gaps_seconds : float, optional
        Gaps under this count as sung in the corpus's training recordings.

    Returns
    -------
    Recordings
        Without any for validation the last epoch is taken and the threshold is tuned on training recordings.

    Raises
    ------
    CorpusError
        The corpus cannot be read or has nothing to train on.
    """
    found = OPENERS[corpus](corpus_dir)
    train = [each.close_gaps(close_gaps_seconds) for each in found if each.split == "train"]
    for more in (songs, voiceless):
        train += [each for each in more if each.split == "train"]
    if not train:
        raise CorpusError(corpus_dir, "has no recordings to train on")
    valid = [each for each in (*found, *songs) if each.split == "valid"]
    tests = {
        name: [each for each in group if each.split == "test"]
        for name, group in ((f"{corpus} test", found), ("songs test", songs))
    }
    return Recordings(train, valid, {name: group for name, group in tests.items() if group})
