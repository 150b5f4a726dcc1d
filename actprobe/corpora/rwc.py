"""RWC Popular: a hundred songs made for research, through mirdata.

Origin: Masataka Goto, Hiroki Hashiguchi, Takuichi Nishimura and Ryuichi Oka, "RWC Music Database: Popular,
Classical and Jazz Music Databases", ISMIR 2002. Labels of singing: Matthias Mauch, Hiromasa Fujihara,
Kazuyoshi Yoshii and Masataka Goto, "Timbre and melody features for the recognition of vocal activity and
instrumental solos in polyphonic music", ISMIR 2011. Size: 100 songs, 6.8 hours, 44.1 kHz stereo. Licence:
AIST hands out the audio to those who sign its agreement; mirdata fetches the labels, never the audio.

The labels name who is in front from each time on: ``m:...``, ``f:...`` and ``g:...`` (male, female, group)
sing; ``b`` (background) and instruments do not. There is no official split: every fifth song is for testing,
the one before it for validation.

Needs mirdata (``pip install actprobe[corpora]``), which knows the layout of the folder: see
``mirdata.initialize("rwc_popular").download()``.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora import labelled
from actprobe.corpora.label_files import joined_intervals
from actprobe.corpora.labelled import LabelledRecording
from actprobe.errors import CorpusError
from actprobe.extras import require

SINGING = ("m", "f", "g")


def open_rwc(folder: str | Path, split: str | None = None) -> list[LabelledRecording]:
    """List the songs with labels of singing, in the order of mirdata; at least one.

    The folder is what mirdata calls data_home; one that it cannot read is a `CorpusError`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CorpusError(folder, "is not a folder")
    songs = []
    for number, track in enumerate(_tracks(folder), 1):
        belongs = {0: "test", 4: "valid"}.get(number % 5, "train")
        labels = Path(track.voca_inst_path or "")
        if split not in (None, belongs) or not labels.is_file():
            continue
        activity = _activity(track, labels)
        sung = _sung(np.asarray(activity.intervals, np.float64), list(activity.events))
        singer = str(track.artist or "")
        songs.append(LabelledRecording(track.track_id, Path(track.audio_path), sung, belongs, singer))
    if not songs:
        raise CorpusError(folder, "holds no labels of singing" + (f" for {split}" if split else ""))
    return songs


def _tracks(folder: Path) -> list[Any]:
    require("corpora", "RWC")
    mirdata = importlib.import_module("mirdata")
    try:
        dataset = mirdata.initialize("rwc_popular", data_home=str(folder))
        return [dataset.track(name) for name in sorted(dataset.track_ids)]
    except (OSError, ValueError, KeyError) as error:
        raise CorpusError(folder, f"mirdata cannot read it ({error})") from error


def _activity(track: Any, labels: Path) -> Any:
    try:
        return track.vocal_instrument_activity
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise CorpusError(labels, f"mirdata cannot read it ({error})") from error


def _sung(intervals: NDArray[np.float64], events: list[str]) -> NDArray[np.float64]:
    """Keep the intervals in which somebody sings, joined where they touch."""
    return joined_intervals(
        interval
        for interval, event in zip(intervals.tolist(), events, strict=True)
        if event.split(":")[0].strip().lower() in SINGING
    )


def validate(folder: str | Path) -> list[str]:
    """Read every song and say what is wrong: a line for each that is missing or damaged."""
    return labelled.validate(open_rwc(folder))
