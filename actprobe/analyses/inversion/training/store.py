"""What a training reads: log-mel frames of every recording, memory-mapped, and its excerpts in them.

An example is some rows of a file that follow each other, so neighbouring excerpts share the rows of their
frames. Features of excerpts are kept in the same way, see
`actprobe.analyses.inversion.training.feature_cache`.

Files are made once, aside, and named after all that decides them, so that trainings may share a folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.corpora.labelled import LabelledRecording
from actprobe.errors import AudioError, CorpusError
from actprobe.frontends import FrontEnd
from actprobe.frontends.frames import FrameFrontEnd
from actprobe.provenance import atomic_path, digest
from actprobe.training.batches import Rows

__all__ = ["Excerpts", "FrameStore"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Excerpts:
    """Where the excerpts of a corpus begin.

    Parameters
    ----------
    recording : numpy.ndarray
        int64, shape [excerpts]: number of the recording in the store.
    start : numpy.ndarray
        int64, shape [excerpts]: frame within the recording.
    """

    recording: Ints
    start: Ints

    def __len__(self) -> int:
        """Count the excerpts."""
        return len(self.start)

    def take(self, which: Any) -> Excerpts:
        """Take some of them.

        Parameters
        ----------
        which : slice or numpy.ndarray
            Which.

        Returns
        -------
        Excerpts
            Those.
        """
        return Excerpts(self.recording[which], self.start[which])


class FrameStore:
    """Normalised log-mel frames of recordings in one memory-mapped file.

    Parameters
    ----------
    folder : Path
        Where the file is or will be.
    recordings : sequence of LabelledRecording
        What it holds. A recording that cannot be read or whose frames hold NaN is left out with a warning,
        and so is one that is shorter than an example, unless the front end repeats such recordings.
    frontend : FrontEnd
        Waveform -> frames or examples.

    Attributes
    ----------
    names : list of str
        The recordings that are in it.
    problems : list of str
        One line for each that is not.

    Raises
    ------
    CorpusError
        None of them can be used.
    """

    def __init__(self, folder: Path, recordings: Sequence[LabelledRecording], frontend: FrontEnd) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.frontend = folder, frontend
        self.example_frames, self.bands = frontend.example_shape
        self.by_frames = isinstance(frontend, FrameFrontEnd)
        self.key = digest(
            [frontend.describe(), [[str(each.path), *_stamp(each.path)] for each in recordings]]
        )
        data, index = folder / f"frames-{self.key}.f32", folder / f"frames-{self.key}.json"
        if not index.exists():
            self._write(data, index, recordings)
        found = json.loads(index.read_text())
        self.names: list[str] = found["names"]
        self.problems: list[str] = found["problems"]
        if not self.names:
            where = recordings[0].path.parent if recordings else folder
            reason = self.problems[0] if self.problems else "there is none"
            raise CorpusError(where, f"none of the {len(recordings)} recordings can be used ({reason})")
        self.lengths: Ints = np.asarray(found["lengths"], np.int64)
        self.firsts: Ints = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.values = np.memmap(data, np.float32, "r").reshape(-1, self.bands)

    def _write(self, data: Path, index: Path, recordings: Sequence[LabelledRecording]) -> None:
        names, lengths, problems = [], [], []
        with atomic_path(data) as temporary:
            with temporary.open("wb") as file:
                for number, recording in enumerate(recordings):
                    if number % 100 == 0:
                        logging.info("frames: %d of %d recordings", number, len(recordings))
                    try:
                        frames = self._frames_of(recording)
                    except AudioError as error:
                        problems.append(str(error))
                        logging.warning("left out: %s", error)
                        continue
                    file.write(frames.tobytes())
                    names.append(recording.name)
                    lengths.append(len(frames))
            if not names:
                temporary.write_bytes(bytes(4 * self.bands))  # nothing maps an empty file
        with atomic_path(index) as temporary:
            temporary.write_text(json.dumps({"names": names, "lengths": lengths, "problems": problems}))

    def _frames_of(self, recording: LabelledRecording) -> Floats:
        frontend = self.frontend
        samples = recording.mixture(frontend.sample_rate)
        if len(samples) < frontend.example_samples and frontend.padding != "repeat":
            seconds, needed = (n / frontend.sample_rate for n in (len(samples), frontend.example_samples))
            raise AudioError(recording.path, f"{seconds:.2f} s are less than an excerpt ({needed:.2f} s)")
        if not len(samples):
            raise AudioError(recording.path, "holds no samples")
        if isinstance(frontend, FrameFrontEnd):
            frames = frontend.frames(samples)
        else:
            frames = frontend.examples(samples).reshape(-1, self.bands)
        if not np.isfinite(frames).all():
            raise AudioError(recording.path, "its log-mel frames hold NaN or infinity")
        return np.ascontiguousarray(frames, np.float32)

    def frames_of(self, number: int) -> Floats:
        """Give the frames of a recording.

        Parameters
        ----------
        number : int
            Of the recording.

        Returns
        -------
        numpy.ndarray
            float32, shape [frames, mel].
        """
        first = self.firsts[number]
        return np.asarray(self.values[first : first + self.lengths[number]])

    def excerpts(self, hop: int) -> Excerpts:
        """List the excerpts: every ``hop`` frames while one frame is left behind them, as published.

        Front ends that make separate examples give these.

        Parameters
        ----------
        hop : int
            Frames between starts.

        Returns
        -------
        Excerpts
            In the order of the recordings.
        """
        if self.by_frames:
            starts = [np.arange(0, max(length - self.example_frames, 1), hop) for length in self.lengths]
        else:
            starts = [np.arange(0, length, self.example_frames) for length in self.lengths]
        recording = np.repeat(np.arange(len(starts)), [len(each) for each in starts])
        return Excerpts(recording, np.concatenate(starts).astype(np.int64))

    def rows(self, excerpts: Excerpts) -> Rows:
        """Give excerpts as rows of the frames.

        Parameters
        ----------
        excerpts : Excerpts
            Of this store.

        Returns
        -------
        Rows
            Of shape [time, mel].
        """
        first = self.firsts[excerpts.recording] + excerpts.start
        return Rows(self.values, first, self.example_frames, (self.example_frames, self.bands))


def _stamp(path: Path) -> tuple[int, int]:
    if not path.is_file():
        return -1, -1
    status = path.stat()
    return status.st_size, status.st_mtime_ns
