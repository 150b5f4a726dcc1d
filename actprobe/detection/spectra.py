"""Complex spectra of every stem of the training recordings, on disk.

They are complex, so that voice and accompaniment can be mixed at any level and in any pairing exactly as the
waveforms would be; float16 real and imaginary parts, 1.5 kB a frame, memory-mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora.labelled import LabelledRecording
from actprobe.detection.augmentation import log_mel_frames, shifted_filter_banks
from actprobe.errors import AudioError, CorpusError
from actprobe.frontends.logmel import (
    BINS,
    EXCERPT_FRAMES,
    FRAME_HOP,
    FRAME_LENGTH,
    MELS,
    SAMPLE_RATE,
    filter_bank,
)
from actprobe.training.frames import RecordingFrames, stamps

CENTRE = EXCERPT_FRAMES // 2  # 57: the frame of an excerpt that its label is of
POOLING = 9
Floats = NDArray[np.float32]
Spectrum = NDArray[np.complex64]


def frame_times(frames: int) -> NDArray[np.float64]:
    """Give the seconds at the centre of each of so many frames."""
    return (np.arange(frames) * FRAME_HOP + FRAME_LENGTH / 2) / SAMPLE_RATE


def spectra(samples: Floats) -> Spectrum:
    """Compute the complex spectrogram of samples at 22050 Hz, whose magnitudes the front end sees.

    complex64 [frames, 372]; no frame for less than 1024 samples.
    """
    if len(samples) < FRAME_LENGTH:
        return np.zeros((0, BINS), np.complex64)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_LENGTH)[::FRAME_HOP]
    window = np.hanning(FRAME_LENGTH).astype(np.float32)
    blocks = [
        np.fft.rfft(frames[start : start + 4096] * window)[:, :BINS].astype(np.complex64)
        for start in range(0, len(frames), 4096)
    ]
    return np.concatenate(blocks)


def log_mel_of(recording: LabelledRecording) -> Floats:
    """Compute the log-mel frames of a recording as it sounds: float32, shape [frames, 80]."""
    return log_mel_frames(np.abs(spectra(recording.mixture(SAMPLE_RATE))), filter_bank())


@dataclass(frozen=True, eq=False)
class Track:
    """The spectra of one recording.

    ``stems`` maps the name of a stem to its first frame in the store; ``frames`` counts those of each stem;
    ``labels`` are bool [frames].
    """

    name: str
    stems: dict[str, int]
    frames: int
    labels: NDArray[np.bool_]


class SpectraStore(RecordingFrames):
    """Spectra of recordings in one memory-mapped file, made once for the same recordings.

    A recording that cannot be read is left out with a warning; CorpusError where none can.
    """

    def __init__(self, folder: Path, recordings: Sequence[LabelledRecording]) -> None:
        super().__init__(
            folder, "spectra", stamps(recordings), recordings, self.frames_in, (2, BINS), np.float16
        )
        if not self.names:
            raise CorpusError(folder, "none of the recordings could be read")
        self.tracks = []
        for place, (number, stems) in enumerate(zip(self.numbers, self.notes, strict=True)):
            frames = int(self.lengths[place]) // len(stems)
            firsts = {stem: int(self.firsts[place]) + frames * i for i, stem in enumerate(stems)}
            labels = recordings[number].labels_at(frame_times(frames))
            self.tracks.append(Track(self.names[place], firsts, frames, labels))

    @staticmethod
    def frames_in(recording: LabelledRecording) -> tuple[NDArray[Any], list[str]]:
        """Compute the spectra of a recording's stems one after the other; gives them and the stems' names.

        AudioError, or CorpusError, where it cannot be used.
        """
        stems = recording.stems(SAMPLE_RATE)
        found = np.concatenate([spectra(samples) for samples in stems.values()])
        if not len(found):
            raise AudioError(recording.path, "is shorter than a frame")
        return np.stack([found.real, found.imag], 1).astype(np.float16), list(stems)

    def read(self, track: Track, stem: str, start: int, stop: int) -> Spectrum:
        """Read frames of a stem, relative to the track; beyond its ends there is silence.

        complex64 [stop - start, 372].
        """
        out = np.zeros((stop - start, BINS), np.complex64)
        first, last = max(start, 0), min(stop, track.frames)
        if first < last:
            at = track.stems[stem]
            pairs = self.values[at + first : at + last].astype(np.float32)
            out[first - start : last - start].real = pairs[:, 0]
            out[first - start : last - start].imag = pairs[:, 1]
        return out

    def normalization(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute mean and standard deviation of the log-mel bands of all mixtures: float64, [80] each."""
        bank = shifted_filter_banks(np.ones(1))[0]
        total, squares, count = np.zeros(MELS), np.zeros(MELS), 0
        for track in self.tracks:
            mixed = sum(self.read(track, stem, 0, track.frames) for stem in track.stems) / len(track.stems)
            bands = log_mel_frames(np.abs(mixed), bank).astype(np.float64)
            total += bands.sum(0)
            squares += (bands**2).sum(0)
            count += len(bands)
        mean = total / count
        return mean, np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
