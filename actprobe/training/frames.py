"""Frames of every recording of a corpus in one memory-mapped file, made once for the same recordings.

Data and index are each written whole or not at all, the index last, and named after all that decides them, so
that trainings may share a folder and a killed run begins them anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.corpora.fingerprint import fingerprint
from actprobe.corpora.labelled import LabelledRecording
from actprobe.errors import AudioError, CorpusError
from actprobe.provenance import atomic_path, digest, write_json

Ints = NDArray[np.int64]


class RecordingFrames:
    """Frames of recordings, one recording after the other, in a memory-mapped file.

    The file names in ``folder`` begin with ``stem``. ``made_of`` is all that decides the frames, JSON-able,
    with the `stamps` of the recordings. ``frames_in`` takes a recording and gives frames [frames, *shape] and
    a JSON-able note for the index; a recording for which it raises AudioError or CorpusError is left out with
    a warning. ``shape`` is that of a frame, ``dtype`` that of the file.

    Attributes: ``key``, digest of ``made_of``; ``numbers``, ``names`` and ``notes``, which of the recordings
    are in it, what they are called, and the notes on them; ``problems``, a line for each that is not;
    ``lengths`` and ``firsts``, int64 [recordings], frames of each and where they begin; ``values``, the file,
    [frames, *shape].
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        made_of: Any,
        recordings: Sequence[LabelledRecording],
        frames_in: Callable[[LabelledRecording], tuple[NDArray[Any], Any]],
        shape: tuple[int, ...],
        dtype: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.key = folder, digest(made_of)
        dtype = np.dtype(dtype)
        data = folder / f"{stem}-{self.key}.{dtype.kind}{8 * dtype.itemsize}"
        index = folder / f"{stem}-{self.key}.json"
        if not (index.exists() and data.exists()):
            self._write(stem, data, index, recordings, frames_in, np.zeros((1, *shape), dtype))
        found = json.loads(index.read_text("utf-8"))
        self.names: list[str] = found["names"]
        self.problems: list[str] = found["problems"]
        self.numbers: list[int] = found.get("numbers", [])
        self.notes: list[Any] = found.get("notes", [])
        self.lengths: Ints = np.asarray(found["lengths"], np.int64)
        self.firsts: Ints = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        self.values = np.memmap(data, dtype, "r").reshape(-1, *shape)

    @staticmethod
    def _write(
        stem: str,
        data: Path,
        index: Path,
        recordings: Sequence[LabelledRecording],
        frames_in: Callable[[LabelledRecording], tuple[NDArray[Any], Any]],
        nothing: NDArray[Any],
    ) -> None:
        numbers, lengths, notes, problems = [], [], [], []
        with atomic_path(data) as temporary:
            with temporary.open("wb") as file:
                for number, recording in enumerate(recordings):
                    if number % 100 == 0:
                        logging.info("%s: %d of %d recordings", stem, number, len(recordings))
                    try:
                        frames, note = frames_in(recording)
                    except (AudioError, CorpusError) as error:
                        problems.append(str(error))
                        logging.warning("left out: %s", error)
                        continue
                    file.write(np.ascontiguousarray(frames, nothing.dtype).tobytes())
                    numbers.append(number)
                    lengths.append(len(frames))
                    notes.append(note)
            if not numbers:
                temporary.write_bytes(nothing.tobytes())  # nothing maps an empty file
        names = [recordings[number].name for number in numbers]
        held = {"numbers": numbers, "names": names, "lengths": lengths, "notes": notes}
        write_json(index, {**held, "problems": problems})

    def frames_of(self, number: int) -> NDArray[Any]:
        """Give the frames of the recording that is at this place in the file."""
        first = self.firsts[number]
        return np.asarray(self.values[first : first + self.lengths[number]])


def stamps(recordings: Sequence[LabelledRecording]) -> list[list[Any]]:
    """Say which state of which files recordings are, JSON-able, see `fingerprint`."""
    return [[str(each.path), *fingerprint(each)] for each in recordings]
