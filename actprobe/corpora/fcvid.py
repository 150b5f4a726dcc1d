"""FCVID, musical performance: 5147 videos of YouTube in twelve classes of instruments and ensembles.

Origin: Yu-Gang Jiang, Zuxuan Wu, Jun Wang, Xiangyang Xue and Shih-Fu Chang, "Exploiting feature and class
relationships in video categorization with regularized deep neural networks", IEEE TPAMI 40(2), 2018;
http://bigvid.fudan.edu.cn/FCVID/. The part with instruments, as Olga Slizovskaia, Emilia Gomez and Gloria
Haro used it ("Musical instrument recognition in user-generated videos using a multimodal convolutional
neural network architecture", ICMR 2017), is listed in ``datasets/fcvid_dataset.csv`` of
Veleslavia/ICMR2017. Size: 5147 videos, 269 to 585 a class. Licence: the videos belong to those who put
them on YouTube; the owners of FCVID hand the set out for research on request. Nothing is downloaded here.

Layout: the table (``./CLASS/YOUTUBE_ID,CLASS_ID`` a line, no header) and, in the same folder, audio or video
as ``CLASS/YOUTUBE_ID.*`` (``.wav``, ``.mp4``, ``.avi``, ...), where CLASS is such as ``pianoPerformance``.

The class is read from the path. The list ``FCVID.categories`` of that repository is alphabetical and does not
go with the class ids: by it id 1 would be a cello, and it is a trumpet.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path, PurePosixPath

import numpy as np

from actprobe.corpora.folder import AUDIO_SUFFIXES, Recording
from actprobe.corpora.label_files import read_text
from actprobe.errors import CorpusError

TABLE = "fcvid_dataset.csv"
VIDEOS = 5147
# In the order of the class ids, which is that of the outputs of the network trained on them.
CLASSES = (
    "accordion",
    "trumpet",
    "flute",
    "chamberMusic",
    "symphonyOrchestra",
    "guitar",
    "violin",
    "saxophone",
    "harmonica",
    "rockBand",
    "cello",
    "piano",
)
FOLDER_ENDING = "Performance"
SPLIT_SEED = 10
HELD_OUT = 0.3


def open_fcvid(folder: str | Path, split: str | None = None) -> list[Recording]:
    """List the videos of the table: those of a split of Slizovskaia et al., or by default all.

    ``folder`` holds the table and the folders of the classes, or is the table itself. The recordings are in
    the order of the table, whether the file is there or not, so that a run can say what is missing. Labels:
    ``instrument`` (one of `CLASSES`), ``youtube_id`` and, for the whole table only, ``split``. CorpusError:
    no table, an invalid line, a class id that contradicts the path, or not one file of the table.
    """
    folder = Path(folder)
    table = folder if folder.suffix.lower() == ".csv" else folder / TABLE
    rows = _read(table)
    splits = _splits(len(rows)) if len(rows) == VIDEOS else [""] * len(rows)
    present = _files(table.parent, {place.parent.as_posix() for place, _ in rows})
    recordings = []
    for (place, class_id), belongs in zip(rows, splits, strict=True):
        labels = {
            "instrument": CLASSES[class_id],
            "youtube_id": place.name,
            **({"split": belongs} if belongs else {}),
        }
        name = place.as_posix()
        path = present.get(name, table.parent / f"{name}.wav")
        recordings.append(Recording(path.relative_to(table.parent).as_posix(), path, labels))
    if not present.keys() & {place.as_posix() for place, _ in rows}:
        raise CorpusError(table.parent, f"holds none of the {len(rows)} files that {table.name} names")
    chosen = [one for one in recordings if split in (None, one.labels.get("split"))]
    if not chosen:
        raise CorpusError(table, f"holds nothing for {split}")
    return chosen


def _read(table: Path) -> list[tuple[PurePosixPath, int]]:
    rows: list[tuple[PurePosixPath, int]] = []
    seen: set[PurePosixPath] = set()
    lines = csv.reader(read_text(table).splitlines())
    for number, cells in enumerate(lines, 1):
        if not cells:
            continue
        try:
            place, class_id = PurePosixPath(cells[0].strip()), int(cells[1])
            folder, _ = place.parts
            by_path = CLASSES.index(folder.removesuffix(FOLDER_ENDING))
        except (ValueError, IndexError):
            raise CorpusError(table, f"line {number} is not: ./CLASS/YOUTUBE_ID,CLASS_ID") from None
        if by_path != class_id:
            raise CorpusError(table, f"line {number}: class id {class_id} is not that of {folder}, {by_path}")
        if place in seen:
            raise CorpusError(table, f"line {number}: {place} is named twice")
        seen.add(place)
        rows.append((place, class_id))
    if not rows:
        raise CorpusError(table, "names no video")
    return rows


def _files(folder: Path, classes: set[str]) -> dict[str, Path]:
    """Find the audio and video files, by class and YouTube id."""
    return {
        f"{name}/{path.stem.rstrip('.')}": path  # the program of Slizovskaia et al. wrote ID..wav
        for name in sorted(classes)
        if (folder / name).is_dir()
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in AUDIO_SUFFIXES
    }


def _splits(count: int) -> list[str]:
    """Make the splits as scikit-learn's train_test_split does: 0.3, then half of that, both seeded 10."""
    order = np.random.RandomState(SPLIT_SEED).permutation(count)
    held_out = order[: math.ceil(HELD_OUT * count)]
    halves = np.random.RandomState(SPLIT_SEED).permutation(len(held_out))
    test = halves[: math.ceil(0.5 * len(held_out))]
    splits = ["train"] * count
    for index in held_out:
        splits[index] = "valid"
    for index in held_out[test]:
        splits[index] = "test"
    return splits
