"""The stems of recordings on disk, from which training examples are mixed.

16-bit samples at one sample rate, memory-mapped: an hour of a stem takes 160 MB at 22050 Hz.
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
from actprobe.training.frames import RecordingFrames, stamps

FULL_SCALE = 32767

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sound:
    """A recording in a store.

    ``stems`` maps the name of a stem to its first sample in the store; ``samples`` counts those of each stem.
    """

    recording: LabelledRecording
    stems: dict[str, int]
    samples: int


class SoundStore(RecordingFrames):
    """Stems of recordings in one memory-mapped file, made once for the same recordings.

    ``sample_rate`` in Hz is that of all. A recording that cannot be read is left out with a warning;
    CorpusError where none can.
    """

    def __init__(self, folder: Path, recordings: Sequence[LabelledRecording], sample_rate: int) -> None:
        self.sample_rate = sample_rate
        made_of = [sample_rate, stamps(recordings)]
        super().__init__(folder, "sounds", made_of, recordings, self._samples_in, (), np.int16)
        if not self.names:
            raise CorpusError(folder, "none of the recordings could be read")
        self.sounds = []
        for place, (number, stems) in enumerate(zip(self.numbers, self.notes, strict=True)):
            samples = int(self.lengths[place]) // len(stems)
            firsts = {stem: int(self.firsts[place]) + samples * i for i, stem in enumerate(stems)}
            self.sounds.append(Sound(recordings[number], firsts, samples))

    def _samples_in(self, recording: LabelledRecording) -> tuple[NDArray[Any], list[str]]:
        return stem_samples(recording, self.sample_rate)

    def read(self, sound: Sound, stem: str, start: int, count: int) -> Floats:
        """Read samples of a stem, counted from its beginning; beyond its ends there is silence.

        float32 [count].
        """
        out = np.zeros(count, np.float32)
        first, last = max(start, 0), min(start + count, sound.samples)
        if first < last:
            at = sound.stems[stem]
            out[first - start : last - start] = self.values[at + first : at + last]
            out /= FULL_SCALE
        return out


def stem_samples(recording: LabelledRecording, sample_rate: int) -> tuple[NDArray[np.int16], list[str]]:
    """Read the stems of a recording, one after the other, and give their names.

    AudioError, or CorpusError, where it cannot be used.
    """
    stems = recording.stems(sample_rate)
    found = np.concatenate(list(stems.values()))
    if not len(found):
        raise AudioError(recording.path, "holds no samples")
    return np.rint(np.clip(found, -1, 1) * FULL_SCALE).astype(np.int16), list(stems)
