"""Recordings with labels of singing, from whatever corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actprobe.corpora.folder import Recording
from actprobe.corpora.label_files import Floats, as_intervals
from actprobe.errors import AudioError, CorpusError

SPLITS = ("train", "valid", "test")

Stems = dict[str, NDArray[np.float32]]


def load_mixture(recording: LabelledRecording, sample_rate: int) -> Stems:
    """Read a recording of which only the mixture is known: float32."""
    return {"mixture": recording.waveform(sample_rate).samples}


@dataclass(frozen=True)
class LabelledRecording(Recording):
    """A recording and where somebody sings in it.

    ``sung`` holds the intervals with singing, [intervals, 2], in seconds, ascending and disjoint; ``split``
    is ``train``, ``valid`` or ``test``; ``singer`` is who sings, where the corpus says so. ``load`` takes the
    recording and a sample rate and gives a function from the name of a stem to its samples: ``mixture``, or
    ``accompaniment`` and ``voice``, whose mean is the mixture. ``known``: whether it is known where somebody
    sings; if not, there is no sung interval.
    """

    labels: dict[str, str] = field(default_factory=dict, compare=False, kw_only=True)
    sung: Floats = field(repr=False, compare=False)
    split: str = "train"
    singer: str = ""
    load: Callable[[LabelledRecording, int], Stems] = field(default=load_mixture, repr=False, compare=False)
    known: bool = field(default=True, compare=False)

    def labels_at(self, times_seconds: ArrayLike) -> NDArray[np.bool_]:
        """Say at which times somebody sings; an interval holds its beginning, not its end."""
        times = np.asarray(times_seconds, np.float64)
        if not len(self.sung):
            return np.zeros(times.shape, np.bool_)
        which = np.searchsorted(self.sung[:, 0], times, side="right") - 1
        return np.asarray((which >= 0) & (times < self.sung[np.maximum(which, 0), 1]), np.bool_)

    def close_gaps(self, shortest_seconds: float) -> LabelledRecording:
        """Count gaps under ``shortest_seconds`` between two sung intervals as sung.

        Consonants and quick breaths, mostly.
        """
        closed: list[list[float]] = []
        for start, end in self.sung.tolist():
            if closed and start - closed[-1][1] < shortest_seconds - 1e-9:
                closed[-1][1] = end
            else:
                closed.append([start, end])
        return replace(self, sung=as_intervals(closed))

    def stems(self, sample_rate: int) -> Stems:
        """Read the audio: name of a stem -> samples, see `load`.

        Raises
        ------
        AudioError
            The file is missing or damaged.
        """
        return self.load(self, sample_rate)

    def mixture(self, sample_rate: int) -> NDArray[np.float32]:
        """Read the recording as it sounds: float32, shape [samples], the mean of the stems."""
        stems = list(self.stems(sample_rate).values())
        return np.asarray(np.mean(stems, axis=0), np.float32) if len(stems) > 1 else stems[0]


def validate(recordings: Iterable[LabelledRecording], sample_rate: int = 22_050) -> list[str]:
    """Read every recording and say what is wrong.

    Returns
    -------
    list of str
        One line for every missing or damaged recording and for labels that end long after the audio.
    """
    problems = []
    for recording in recordings:
        try:
            samples = recording.mixture(sample_rate)
        except (AudioError, CorpusError) as error:
            problems.append(str(error))
            continue
        seconds = len(samples) / sample_rate
        labelled_until = float(recording.sung[-1, 1]) if len(recording.sung) else 0.0
        if labelled_until > seconds + 1.0:
            until = f"labels go on to {labelled_until:.2f} s, the audio ends at {seconds:.2f} s"
            problems.append(f"{recording.path}: {until}")
    return problems
