"""IRMAS: excerpts of music with the instruments that predominate in them.

Origin: Juan J. Bosch, Jordi Janer, Ferdinand Fuhrmann and Perfecto Herrera, "A comparison of sound
segregation techniques for predominant instrument recognition in musical audio signals", ISMIR 2012;
https://doi.org/10.5281/zenodo.1290750. Size: 6705 excerpts of 3 s to train on, from more than 2000
recordings (388 to 778 an instrument); 2874 of 5 to 20 s to test with; 44.1 kHz, 16 bit, stereo wav. Licence:
CC BY-NC-SA 3.0; its authors ask not to hand it on.

Layout, as its archives unpack: ``IRMAS-TrainingData/CODE/*.wav``, one folder for each of the codes of
`INSTRUMENTS`, names such as ``[pia][nod][jaz_blu]1234__1.wav`` (instrument, drums or none, genre; the last
two not always); ``IRMAS-TestingData-Part1/`` to ``Part3/``, perhaps with ``Part1/`` and so on within, where
``NAME.txt`` beside ``NAME.wav`` has one code a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from actprobe.corpora.folder import AUDIO_SUFFIXES, Recording
from actprobe.corpora.label_files import read_text
from actprobe.errors import CorpusError

INSTRUMENTS = {
    "cel": "cello",
    "cla": "clarinet",
    "flu": "flute",
    "gac": "acoustic guitar",
    "gel": "electric guitar",
    "org": "organ",
    "pia": "piano",
    "sax": "saxophone",
    "tru": "trumpet",
    "vio": "violin",
    "voi": "voice",
}
GENRES = ("cla", "cou_fol", "jaz_blu", "lat_sou", "pop_roc")
DRUMS = {"dru": "yes", "nod": "no"}
TRAINING = "IRMAS-TrainingData"
TESTING = "IRMAS-TestingData-Part*"


def open_irmas(folder: str | Path, split: str | None = None) -> list[Recording]:
    """List the excerpts of a split, ``train`` or ``test``, or by default of both, sorted by name.

    ``folder`` holds the folders of the training and testing data, or is one of these. Labels: ``instrument``
    (codes, several with semicolons between them in the testing data), ``split``, and for training data
    ``genre`` (one of `GENRES`) and ``drums`` (``yes`` or ``no``), empty where not annotated. Testing data
    with a label file that cannot be read has an empty ``instrument``, and a warning is logged. CorpusError
    where there is no excerpt.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CorpusError(folder, "is not a folder")
    found: list[Recording] = []
    if split in (None, "train"):
        found += _training(folder)
    if split in (None, "test"):
        found += _testing(folder)
    if not found:
        what = (
            f"excerpts for {split}"
            if split
            else "excerpts: no IRMAS-TrainingData/ and no IRMAS-TestingData-Part1/"
        )
        raise CorpusError(folder, f"holds no IRMAS {what}")
    return sorted(found, key=lambda recording: recording.name)


def _training(folder: Path) -> Iterator[Recording]:
    place = folder / TRAINING if (folder / TRAINING).is_dir() else folder
    for code in INSTRUMENTS:
        if (place / code).is_dir():
            for path in (place / code).iterdir():
                if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
                    # The folder tells the instrument: "cla" in a name may be a clarinet or classical music.
                    marks = re.findall(r"\[(\w+)\]", path.stem)[1:]
                    labels = {
                        "instrument": code,
                        "genre": next((mark for mark in marks if mark in GENRES), ""),
                        "drums": next((DRUMS[mark] for mark in marks if mark in DRUMS), ""),
                        "split": "train",
                    }
                    yield Recording(path.relative_to(folder).as_posix(), path, labels)


def _testing(folder: Path) -> Iterator[Recording]:
    places = [place for place in folder.glob(TESTING) if place.is_dir()]
    if folder.match(TESTING):
        places = [folder]
    for place in places:
        for path in place.rglob("*"):
            if path.suffix.lower() in AUDIO_SUFFIXES and path.with_suffix(".txt").is_file():
                labels = {"instrument": _instruments(path.with_suffix(".txt")), "genre": "", "drums": ""}
                yield Recording(path.relative_to(folder).as_posix(), path, {**labels, "split": "test"})


def _instruments(path: Path) -> str:
    try:
        codes = [line.strip() for line in read_text(path).splitlines() if line.strip()]
        unknown = [code for code in codes if code not in INSTRUMENTS]
        if unknown or not codes:
            raise CorpusError(path, f"{unknown[0]!r} is no instrument" if unknown else "names no instrument")
    except CorpusError as error:
        logging.warning("instrument is unknown: %s", error)
        return ""
    return ";".join(dict.fromkeys(codes))
