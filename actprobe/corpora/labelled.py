"""Recordings with labels of singing, from whatever corpus; and plain folders of audio with .lab files.

A folder of your own (data card: origin, size, licence and citation are yours to state): audio files with a
label file of the same name beside them, or in a folder of their own. Each line of a ``.lab`` file is

    start end label

in seconds, ``sing`` where somebody sings and ``nosing`` elsewhere, as in the Jamendo corpus; what no line
covers counts as not sung. A file named ``splits.csv`` or ``MANIFEST.csv`` in the folder above, with columns
``path`` and ``split``, says what is for training; without one everything is.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actprobe.audio import load_audio
from actprobe.corpora.folder import AUDIO_SUFFIXES
from actprobe.errors import AudioError, CorpusError

__all__ = [
    "SPLITS",
    "LabelledRecording",
    "load_mixture",
    "open_labelled_folder",
    "open_voiceless_folder",
    "read_lab",
    "validate",
]

SPLITS = ("train", "valid", "test")
LARGEST_LABEL_FILE = 8 * 2**20  # bytes; an hour of 20 ms frames is 360 kB
MANIFESTS = ("splits.csv", "MANIFEST.csv")

Floats = NDArray[np.float64]
Stems = dict[str, NDArray[np.float32]]


def load_mixture(recording: LabelledRecording, sample_rate: int) -> Stems:
    """Read a recording of which only the mixture is known.

    Parameters
    ----------
    recording : LabelledRecording
        What to read.
    sample_rate : int
        Wanted rate in Hz.

    Returns
    -------
    dict
        ``mixture`` -> samples, float32; the mean of the channels.
    """
    return {"mixture": load_audio(recording.path, sample_rate).samples}


@dataclass(frozen=True)
class LabelledRecording:
    """A recording and where somebody sings in it.

    Parameters
    ----------
    name : str
        Unique in its corpus.
    path : Path
        The audio file.
    sung : numpy.ndarray
        Intervals with singing, shape [intervals, 2], beginning and end in seconds, in order, disjoint.
    split : str
        ``train``, ``valid`` or ``test``.
    singer : str
        Who sings, where the corpus says so.
    load : callable
        (recording, sample_rate) -> name of a stem -> samples of shape [samples]: ``mixture``, or
        ``accompaniment`` and ``voice``, whose mean is the mixture.
    """

    name: str
    path: Path
    sung: Floats = field(repr=False, compare=False)
    split: str = "train"
    singer: str = ""
    load: Callable[[LabelledRecording, int], Stems] = field(default=load_mixture, repr=False, compare=False)

    def labels_at(self, times_seconds: ArrayLike) -> NDArray[np.bool_]:
        """Say at which times somebody sings.

        Parameters
        ----------
        times_seconds : array_like
            Times in seconds.

        Returns
        -------
        numpy.ndarray
            bool, of the same shape. An interval holds its beginning, not its end.
        """
        times = np.asarray(times_seconds, np.float64)
        if not len(self.sung):
            return np.zeros(times.shape, np.bool_)
        which = np.searchsorted(self.sung[:, 0], times, side="right") - 1
        return np.asarray((which >= 0) & (times < self.sung[np.maximum(which, 0), 1]), np.bool_)

    def close_gaps(self, shortest_seconds: float) -> LabelledRecording:
        """Count short gaps between two sung intervals as sung: consonants and quick breaths.

        Parameters
        ----------
        shortest_seconds : float
            Gaps under this are closed.

        Returns
        -------
        LabelledRecording
            The same recording with other labels.
        """
        closed: list[list[float]] = []
        for start, end in self.sung.tolist():
            if closed and start - closed[-1][1] < shortest_seconds - 1e-9:
                closed[-1][1] = end
            else:
                closed.append([start, end])
        return replace(self, sung=_as_intervals(closed))

    def stems(self, sample_rate: int) -> Stems:
        """Read the audio.

        Parameters
        ----------
        sample_rate : int
            Wanted rate in Hz.

        Returns
        -------
        dict
            Name of a stem -> samples, see `load`.

        Raises
        ------
        AudioError
            The file is missing or damaged.
        """
        return self.load(self, sample_rate)

    def mixture(self, sample_rate: int) -> NDArray[np.float32]:
        """Read the recording as it is heard.

        Parameters
        ----------
        sample_rate : int
            Wanted rate in Hz.

        Returns
        -------
        numpy.ndarray
            float32, shape [samples]; the mean of the stems.
        """
        stems = list(self.stems(sample_rate).values())
        return np.asarray(np.mean(stems, axis=0), np.float32) if len(stems) > 1 else stems[0]


def _as_intervals(pairs: Sequence[Sequence[float]]) -> Floats:
    return np.asarray(pairs, np.float64).reshape(-1, 2)


def joined_intervals(pairs: Iterable[Sequence[float]]) -> Floats:
    """Join intervals that touch or overlap.

    Parameters
    ----------
    pairs : iterable of sequence of float
        Beginning and end of each in seconds, in the order of their beginnings.

    Returns
    -------
    numpy.ndarray
        Shape [intervals, 2], in order, disjoint.
    """
    joined: list[list[float]] = []
    for start, end in pairs:
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    return _as_intervals(joined)


def read_text(path: Path) -> str:
    """Read a label file, bounded.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        Its text.

    Raises
    ------
    CorpusError
        It is missing, absurdly large or no text.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_LABEL_FILE + 1)
    except OSError as error:
        raise CorpusError(path, (error.strerror or str(error)).lower()) from error
    if len(raw) > LARGEST_LABEL_FILE:
        raise CorpusError(path, f"is larger than {LARGEST_LABEL_FILE} bytes: no label file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(path, "is not a text file") from error


def read_lab(path: Path) -> Floats:
    """Read a label file of lines ``start end label``.

    Parameters
    ----------
    path : Path
        The ``.lab`` file.

    Returns
    -------
    numpy.ndarray
        Sung intervals, shape [intervals, 2], seconds, joined where they touch or overlap.

    Raises
    ------
    CorpusError
        A line that is none, with its number.
    """
    sung: list[list[float]] = []
    lines = [(i, line.split()) for i, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    if not lines:
        raise CorpusError(path, "holds no labels")
    for number, words in lines:
        try:
            start, end, label = float(words[0]), float(words[1]), words[2].lower()
        except (ValueError, IndexError):
            raise CorpusError(path, f"line {number} is not: start end label") from None
        if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
            raise CorpusError(path, f"line {number}: {start} to {end} s is no interval")
        if label in ("sing", "singing", "vocal", "voice", "1"):
            sung.append([start, end])
        elif label not in ("nosing", "nosinging", "nonvocal", "novoice", "0"):
            raise CorpusError(path, f"line {number}: label {label!r} is neither sing nor nosing")
    return joined_intervals(sorted(sung))


def open_labelled_folder(
    folder: str | Path, labels: str | Path | None = None, split: str | None = None
) -> list[LabelledRecording]:
    """List the recordings of a folder that have labels.

    Parameters
    ----------
    folder : str or Path
        Audio files; those without a label file are left out.
    labels : str or Path, optional
        Folder of the label files; by default beside the audio.
    split : str, optional
        Only this split.

    Returns
    -------
    list of LabelledRecording
        Sorted by name; at least one.

    Raises
    ------
    CorpusError
        No such folder, no labelled recording in it, or a label file that is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CorpusError(folder, "is not a folder")
    label_folder = folder if labels is None else Path(labels)
    splits = _read_splits(folder)
    found = []
    for path in sorted(folder.iterdir()):
        lab = label_folder / f"{path.stem}.lab"
        if path.suffix.lower() in AUDIO_SUFFIXES and lab.is_file():
            belongs = splits.get(path.name, "train")
            if split is None or belongs == split:
                found.append(LabelledRecording(path.name, path, read_lab(lab), belongs))
    if not found:
        what = "recording with a .lab file beside it" if split is None else f"labelled recording for {split}"
        raise CorpusError(folder, f"holds no {what}")
    return found


def open_voiceless_folder(folder: str | Path, split: str | None = None) -> list[LabelledRecording]:
    """List the recordings of a folder in which nobody sings.

    Parameters
    ----------
    folder : str or Path
        Audio files, without labels.
    split : str, optional
        Only this split.

    Returns
    -------
    list of LabelledRecording
        Sorted by name, perhaps none for a split; without sung intervals.

    Raises
    ------
    CorpusError
        No such folder, or no audio in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CorpusError(folder, "is not a folder")
    splits = _read_splits(folder)
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in AUDIO_SUFFIXES]
    if not paths:
        raise CorpusError(folder, "holds no audio file")
    found = [
        LabelledRecording(path.name, path, _as_intervals([]), splits.get(path.name, "train"))
        for path in paths
    ]
    return [recording for recording in found if split in (None, recording.split)]


def _read_splits(folder: Path) -> dict[str, str]:
    for path in (parent / name for parent in (folder, folder.parent) for name in MANIFESTS):
        if path.is_file():
            rows = csv.DictReader(read_text(path).splitlines())
            if not {"path", "split"} <= set(rows.fieldnames or ()):
                raise CorpusError(path, "has no columns named path and split")
            splits = {}
            for row in rows:
                place = Path(row["path"] or "")
                if path.parent == folder or place.parent.name == folder.name:
                    if row["split"] not in SPLITS:
                        raise CorpusError(path, f"{place}: split {row['split']!r} is none of {SPLITS}")
                    splits[place.name] = row["split"]
            return splits
    return {}


def validate(recordings: Iterable[LabelledRecording], sample_rate: int = 22_050) -> list[str]:
    """Read every recording and say what is wrong.

    Parameters
    ----------
    recordings : iterable of LabelledRecording
        What to read.
    sample_rate : int, optional
        Rate at which to read it.

    Returns
    -------
    list of str
        One line for every missing or damaged recording and for labels that end long after the audio.
    """
    problems = []
    for recording in recordings:
        try:
            samples = recording.mixture(sample_rate)
        except (AudioError, CorpusError) as error:
            problems.append(str(error))
            continue
        seconds = len(samples) / sample_rate
        labelled_until = float(recording.sung[-1, 1]) if len(recording.sung) else 0.0
        if labelled_until > seconds + 1.0:
            until = f"labels go on to {labelled_until:.2f} s, the audio ends at {seconds:.2f} s"
            problems.append(f"{recording.path}: {until}")
    return problems
