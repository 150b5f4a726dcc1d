"""Recordings of your own, with label files that say where somebody sings, or without any singing.

A folder of your own (data card: origin, size, licence and citation are yours to state), a manifest or one
file, as `actprobe.corpora.folder` opens them. A recording's label file has its name and lies beside it, or in
a folder of labels (`actprobe.corpora.voice_activity` says which). Each line of a ``.lab`` file is

    start end label

in seconds, ``sing`` where somebody sings and ``nosing`` elsewhere, as in the Jamendo corpus; what no line
covers counts as not sung. The column ``split`` of a manifest, or of a file named ``splits.csv`` or
``MANIFEST.csv`` in a folder or the one above it, says what is for training; without one everything is.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from absl import logging

from actprobe.corpora.folder import Recording, open_folder
from actprobe.corpora.label_files import Floats, as_intervals, read_text
from actprobe.corpora.labelled import SPLITS, LabelledRecording, Stems
from actprobe.corpora.voice_activity import active_intervals, label_file, sung_intervals
from actprobe.errors import AudioError, CorpusError

LEVEL_RATE = 16_000  # Hz, to find where a voice sounds
MANIFESTS = ("splits.csv", "MANIFEST.csv")


def open_labelled_folder(source: str | Path, split: str | None = None) -> list[LabelledRecording]:
    """List the recordings of a folder, a manifest or one file that have labels; at least one.

    Nothing there, no labelled recording, or a label file that is none is a `CorpusError`.
    """
    found = [with_labels(each) for each in with_splits(source, open_folder(source))]
    found = [each for each in found if each.known and split in (None, each.split)]
    if not found:
        what = "recording with a .lab file beside it" if split is None else f"labelled recording for {split}"
        raise CorpusError(source, f"holds no {what}")
    return found


def open_voiceless_folder(source: str | Path, split: str | None = None) -> list[LabelledRecording]:
    """List the recordings of a folder, a manifest or one file in which nobody sings.

    Perhaps none for a split. Nothing there is a `CorpusError`.
    """
    found = [_labelled(each, as_intervals([])) for each in with_splits(source, open_folder(source))]
    return [recording for recording in found if split in (None, recording.split)]


def open_voices_folder(source: str | Path, split: str | None = None) -> list[LabelledRecording]:
    """List the recordings of a folder, a manifest or one file that are a singing voice alone.

    Where there is no label file, singing is where the voice sounds, see `active_intervals`. Those that cannot
    be read are left out with a warning. Nothing there is a `CorpusError`.
    """
    found = []
    for each in with_splits(source, open_folder(source)):
        recording = with_labels(each)
        if split not in (None, recording.split):
            continue
        try:
            if not recording.known:
                samples = recording.waveform(LEVEL_RATE).samples
                recording = replace(recording, sung=active_intervals(samples, LEVEL_RATE), known=True)
        except AudioError as error:
            logging.warning("left out: %s", error)
            continue
        found.append(replace(recording, load=load_voice))
    return found


def load_voice(recording: LabelledRecording, sample_rate: int) -> Stems:
    """Read a recording that is a voice alone: ``voice``, float32."""
    return {"voice": recording.waveform(sample_rate).samples}


def knows_singing(recording: Recording) -> bool:
    """Say whether it is known where somebody sings in a recording, or a label file is there."""
    if isinstance(recording, LabelledRecording):
        return recording.known
    return label_file(recording) is not None


def labelled(recording: Recording) -> LabelledRecording:
    """Give a recording with what is known of singing in it; CorpusError for a label file that is none."""
    return recording if isinstance(recording, LabelledRecording) else with_labels(recording)


def with_labels(recording: Recording) -> LabelledRecording:
    """Read where somebody sings from the label file of a recording, where there is one."""
    path = label_file(recording)
    return without_labels(recording) if path is None else _labelled(recording, sung_intervals(path))


def without_labels(recording: Recording) -> LabelledRecording:
    """Give a recording of which is not known where somebody sings."""
    return replace(_labelled(recording, as_intervals([])), known=False)


def with_splits(source: str | Path, recordings: Sequence[Recording]) -> list[Recording]:
    """Give the recordings of a folder the label ``split``, where splits.csv or MANIFEST.csv names one.

    What is no folder has its labels already.
    """
    splits = _read_splits(Path(source)) if Path(source).is_dir() else {}
    return [
        replace(each, labels=each.labels | {"split": splits[each.name]}) if each.name in splits else each
        for each in recordings
    ]


def _labelled(recording: Recording, sung: Floats) -> LabelledRecording:
    split = recording.labels.get("split", "")
    belongs = split if split in SPLITS else "train"
    return LabelledRecording(
        recording.name, recording.path, sung, belongs, labels=recording.labels, mono=recording.mono
    )


def _read_splits(folder: Path) -> dict[str, str]:
    """Read the split of each recording under a folder: its name -> split."""
    folder = _plain(folder)
    for path in (parent / name for parent in (folder, folder.parent) for name in MANIFESTS):
        if path.is_file():
            rows = csv.DictReader(read_text(path).splitlines())
            if not {"path", "split"} <= set(rows.fieldnames or ()):
                raise CorpusError(path, "has no columns named path and split")
            splits = {}
            for row in rows:
                place = _plain(path.parent / (row["path"] or ""))
                if place.is_relative_to(folder):
                    if row["split"] not in SPLITS:
                        raise CorpusError(path, f"{row['path']}: split {row['split']!r} is none of {SPLITS}")
                    splits[place.relative_to(folder).as_posix()] = row["split"]
            return splits
    return {}


def _plain(path: Path) -> Path:
    """Make a path absolute without following links: a recording may be one."""
    return Path(os.path.normpath(path.absolute()))
