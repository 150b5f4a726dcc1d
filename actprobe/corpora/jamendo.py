"""Jamendo singing voice corpus of Ramona: 93 songs with labels of singing.

Origin: Mathieu Ramona, Gaël Richard and Bertrand David, "Vocal detection in music with support vector
machines", ICASSP 2008; http://www.mathieuramona.com/wp/data/jamendo/. Size: 93 songs, about 6 hours, stereo
ogg and mp3 of 44.1 kHz, one artist in one split only: 61 to train on, 16 to validate, 16 to test. Licence:
the songs are under Creative Commons licences of Jamendo, each its own; the labels may be used for research.
This is the corpus of Schlüter and Grill (ISMIR 2015) and of Mishra et al. (ISMIR 2018).

Layout, as its archives unpack: audio in ``train/``, ``valid/`` and ``test/`` (or ``audio/train/`` ...);
labels in ``jamendo_lab/``, ``labels/`` or another folder with ``lab`` in its name: ``NAME.lab`` with lines
``start end sing|nosing``. Audio all in ``audio/`` is told apart by lists ``filelists/train``, ``valid`` and
``test``, one file name a line.
"""

from __future__ import annotations

from pathlib import Path

from actprobe.corpora import labelled
from actprobe.corpora.folder import AUDIO_SUFFIXES
from actprobe.corpora.label_files import read_lab, read_text
from actprobe.corpora.labelled import SPLITS, LabelledRecording
from actprobe.errors import CorpusError

SONGS = {"train": 61, "valid": 16, "test": 16}


def open_jamendo(folder: str | Path, split: str | None = None) -> list[LabelledRecording]:
    """List the songs, sorted by name; at least one.

    A folder that is not such, audio whose split nothing tells, or a label file that is none is a
    `CorpusError`.
    """
    folder = Path(folder)
    labels = _label_folder(folder)
    songs = []
    for path, belongs in sorted(_audio(folder).items()):
        lab = labels / f"{path.stem}.lab"
        if split in (None, belongs) and lab.is_file():
            songs.append(LabelledRecording(path.stem, path, read_lab(lab), belongs))
    if not songs:
        raise CorpusError(folder, "holds no labelled songs" + (f" for {split}" if split else ""))
    return songs


def label_folders(folder: Path) -> list[Path]:
    """List the folders within another that may hold label files, going by their names."""
    return sorted(place for place in folder.glob("*lab*") if place.is_dir())


def _label_folder(folder: Path) -> Path:
    found = label_folders(folder)
    if not found:
        raise CorpusError(folder, "is not the Jamendo corpus: it has no jamendo_lab/ or labels/")
    return found[0]


def _audio(folder: Path) -> dict[Path, str]:
    """Find every audio file and its split."""
    found: dict[Path, str] = {}
    for split in SPLITS:
        for place in (folder / split, folder / "audio" / split):
            if place.is_dir():
                found |= {path: split for path in place.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES}
        listed = folder / "filelists" / split
        if listed.is_file():
            names = read_text(listed).splitlines()
            found |= {folder / "audio" / name.strip(): split for name in names if name.strip()}
    if not found:
        raise CorpusError(folder, "has neither train/, valid/ and test/ with audio nor filelists/")
    return found


def validate(folder: str | Path) -> list[str]:
    """Read every song and say what is wrong: a line for each that is missing, damaged or without labels."""
    folder = Path(folder)
    labels, audio = _label_folder(folder), _audio(folder)
    stems = {path.stem for path in audio}
    unlabelled = [
        f"{path}: has no labels in {labels.name}/"
        for path in sorted(audio)
        if not (labels / f"{path.stem}.lab").is_file()
    ]
    orphans = [f"{lab}: its song is missing" for lab in sorted(labels.glob("*.lab")) if lab.stem not in stems]
    return labelled.validate(open_jamendo(folder)) + unlabelled + orphans
