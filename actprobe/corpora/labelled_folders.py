"""Plain folders of audio: with .lab files that say where somebody sings, or without any singing.

A folder of your own (data card: origin, size, licence and citation are yours to state): audio files with a
label file of the same name beside them, or in a folder of their own. Each line of a ``.lab`` file is

    start end label

in seconds, ``sing`` where somebody sings and ``nosing`` elsewhere, as in the Jamendo corpus; what no line
covers counts as not sung. A file named ``splits.csv`` or ``MANIFEST.csv`` in the folder above, with columns
``path`` and ``split``, says what is for training; without one everything is.
"""

from __future__ import annotations

import csv
from pathlib import Path

from actprobe.corpora.folder import AUDIO_SUFFIXES
from actprobe.corpora.label_files import as_intervals, read_lab, read_text
from actprobe.corpora.labelled import SPLITS, LabelledRecording
from actprobe.errors import CorpusError

MANIFESTS = ("splits.csv", "MANIFEST.csv")


def open_labelled_folder(
    folder: str | Path, split: str | None = None, labels: str | Path | None = None
) -> list[LabelledRecording]:
    """List the recordings of a folder that have labels, sorted by name; at least one.

    Label files are beside the audio or in the folder ``labels``. No such folder, no labelled recording in it,
    or a label file that is none is a `CorpusError`.
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
    """List the recordings of a folder in which nobody sings, sorted by name; perhaps none for a split.

    No such folder, or no audio in it, is a `CorpusError`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CorpusError(folder, "is not a folder")
    splits = _read_splits(folder)
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in AUDIO_SUFFIXES]
    if not paths:
        raise CorpusError(folder, "holds no audio file")
    found = [
        LabelledRecording(path.name, path, as_intervals([]), splits.get(path.name, "train")) for path in paths
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
