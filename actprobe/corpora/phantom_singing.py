"""The phantom corpus as recordings with labels of singing, and its stems where they were written.

Data card: see `actprobe.corpora.phantom`. The labels are the truth of the rendering.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from actprobe.corpora import labelled
from actprobe.corpora.folder import STEM
from actprobe.corpora.label_files import as_intervals, read_text
from actprobe.corpora.labelled import LabelledRecording, Stems
from actprobe.corpora.mixing import STEMS
from actprobe.errors import AudioError, CorpusError


def open_phantom(folder: str | Path, split: str | None = None) -> list[LabelledRecording]:
    """List the recordings of a folder that `actprobe.write_phantom` wrote; all of them are for training.

    A folder without their manifest or truth is a `CorpusError`.
    """
    manifest = Path(folder) / "manifest.csv"
    found = []
    for row in csv.DictReader(read_text(manifest).splitlines()):
        try:
            truth = manifest.parent / row["truth"]
            path = manifest.parent / row["path"]
        except (KeyError, TypeError):
            raise CorpusError(manifest, "is not that of a phantom corpus: it has no columns path and truth") from None  # fmt: skip  # noqa: E501
        try:
            sung = as_intervals(json.loads(read_text(truth))["voice_intervals"])
        except (ValueError, KeyError, TypeError):
            raise CorpusError(truth, "is not the truth of a phantom recording") from None
        labels = {name: value for name, value in row.items() if name.startswith(STEM) or name == "kind"}
        found.append(LabelledRecording(row["path"], path, sung, load=load_stems, labels=labels))
    return [each for each in found if split in (None, each.split)]


def load_stems(recording: LabelledRecording, sample_rate: int) -> Stems:
    """Read ``voice`` and ``accompaniment``, whose mean is the recording, or the one of them that there is.

    A recording without a voice or without stems is a ``mixture``. AudioError: a file is missing or damaged.
    """
    kind, files = recording.labels["kind"], {stem: recording.labels.get(f"{STEM}{stem}") for stem in STEMS}
    if not len(recording.sung) or not all(files.values()):
        return labelled.load_mixture(recording, sample_rate)
    stems = {stem: _read(recording.path.parent / str(file), sample_rate) for stem, file in files.items()}
    if kind == "voice":
        return {"voice": stems["voice"]}
    accompaniment = stems["harmonic"] + stems["percussive"]
    return {"accompaniment": 2 * accompaniment, "voice": 2 * stems["voice"]}


def _read(path: Path, sample_rate: int) -> NDArray[np.float32]:
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(path, str(getattr(error, "error_string", error)).rstrip(". ")) from error
    return np.asarray(soxr.resample(samples, rate, sample_rate, quality="HQ"), np.float32)
