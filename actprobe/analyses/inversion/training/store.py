"""What a training reads: log-mel frames of every recording, memory-mapped, and its excerpts in them.

An example is some rows of a file that follow each other, so neighbouring excerpts share the rows of their
frames. Features of excerpts are kept in the same way, see
`actprobe.analyses.inversion.training.feature_cache`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora.labelled import LabelledRecording
from actprobe.errors import AudioError, CorpusError
from actprobe.frontends import FrontEnd
from actprobe.training.batches import Rows
from actprobe.training.frames import RecordingFrames, stamps

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Excerpts:
    """Where the excerpts of a corpus begin.

    ``recording``: int64 [excerpts], its number in the store. ``start``: int64 [excerpts], frame within the
    recording.
    """

    recording: Ints
    start: Ints

    def __len__(self) -> int:
        """Count the excerpts."""
        return len(self.start)


def frames_in(recording: LabelledRecording, frontend: FrontEnd) -> Floats:
    """Compute the normalised log-mel frames of a recording, [frames, mel].

    AudioError, or CorpusError, where it cannot be used, see `FrameStore`.
    """
    frontend = frontend.of(recording.path)
    samples = recording.mixture(frontend.sample_rate)
    if len(samples) < frontend.example_samples and frontend.padding != "repeat":
        seconds, needed = (n / frontend.sample_rate for n in (len(samples), frontend.example_samples))
        raise AudioError(recording.path, f"{seconds:.2f} s are less than an excerpt ({needed:.2f} s)")
    if not len(samples):
        raise AudioError(recording.path, "holds no samples")
    if frontend.windows:
        frames = frontend.frames(samples)
    else:
        frames = frontend.examples(samples).reshape(-1, frontend.example_shape[1])
    if not np.isfinite(frames).all():
        raise AudioError(recording.path, "its frames hold NaN or infinity")
    return np.asarray(frames, np.float32)


class FrameStore(RecordingFrames):
    """Normalised log-mel frames of recordings in one memory-mapped file.

    A recording that cannot be read or whose frames hold NaN is left out with a warning, and so is one that is
    shorter than an example, unless the front end repeats such recordings. CorpusError where none can be used.
    """

    def __init__(self, folder: Path, recordings: Sequence[LabelledRecording], frontend: FrontEnd) -> None:
        self.frontend, self.by_frames = frontend, frontend.windows
        self.example_frames, self.bands = frontend.example_shape
        made_of: list[Any] = [frontend.describe(), stamps(recordings)]
        made_of += [] if self.by_frames else ["examples"]
        super().__init__(
            folder, "frames", made_of, recordings, lambda each: (frames_in(each, frontend), None),
            (self.bands,), np.float32,
        )  # fmt: skip
        if not self.names:
            where = recordings[0].path.parent if recordings else folder
            reason = self.problems[0] if self.problems else "there is none"
            raise CorpusError(where, f"none of the {len(recordings)} recordings can be used ({reason})")

    def excerpts(self, hop: int) -> Excerpts:
        """List the excerpts, in the order of the recordings.

        They begin every ``hop`` frames while one frame is left behind them, as published. Front ends that
        make separate examples give these.
        """
        if self.by_frames:
            starts = [np.arange(0, max(length - self.example_frames, 1), hop) for length in self.lengths]
        else:
            starts = [np.arange(0, length, self.example_frames) for length in self.lengths]
        recording = np.repeat(np.arange(len(starts)), [len(each) for each in starts])
        return Excerpts(recording, np.concatenate(starts).astype(np.int64))

    def rows(self, excerpts: Excerpts) -> Rows:
        """Give excerpts of this store as rows of its frames, [time, mel] each."""
        first = self.firsts[excerpts.recording] + excerpts.start
        return Rows(self.values, first, self.example_frames, (self.example_frames, self.bands))
