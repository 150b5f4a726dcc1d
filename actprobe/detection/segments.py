"""Training examples: segments sampled from the spectra of the recordings, mixed and varied.

A segment of 115 + 9 k frames holds k + 1 excerpts, 9 frames apart: the network pools by 3 twice, so that
run over the whole segment it gives exactly the predictions of these excerpts. Segments begin anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.detection import augmentation
from actprobe.detection.spectra import CENTRE, POOLING, SpectraStore, Spectrum, Track
from actprobe.frontends.logmel import EXCERPT_FRAMES, FLOOR, MELS

THREADS = 2  # that make segments, beside those of the training

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """How segments are sampled and varied.

    - ``stretch``, ``shift``: largest change of time and of pitch; 0.3 is 30 %.
    - ``filter_db``: largest gain of the random filter.
    - ``level_db``: largest change of the whole level.
    - ``mixtures``: part of all segments that comes from recordings known as mixtures only, when there are
      both kinds.

    For recordings whose voice and accompaniment are separate: ``voice_level_db``, standard deviation of the
    level of voice to accompaniment; ``voiceless``, part of the segments that is the accompaniment alone;
    ``other_accompaniment``, part of the segments whose voice sounds over another recording's accompaniment.
    """

    stretch: float = 0.3
    shift: float = 0.3
    filter_db: float = 10.0
    level_db: float = 6.0
    voice_level_db: float = 4.0
    voiceless: float = 0.12
    other_accompaniment: float = 0.3
    mixtures: float = 0.35


NO_AUGMENTATION = Augmentation(0, 0, 0, 0, 0, 0, 0)


class Segments:
    """Segments sampled at random; segment number i is always the same.

    Each has ``excerpts`` excerpts, 9 frames apart, of the training recordings in ``store``. ``seed`` and the
    number of the segment seed whatever is random in it.
    """

    def __init__(self, store: SpectraStore, excerpts: int, augment: Augmentation, seed: int) -> None:
        self.store, self.excerpts, self.augment, self.seed = store, excerpts, augment, seed
        self.frames = EXCERPT_FRAMES + POOLING * (excerpts - 1)
        factors = augmentation.shift_factors(augment.shift, augmentation.SHIFT_STEPS if augment.shift else 1)
        self._banks = augmentation.shifted_filter_banks(factors if augment.shift else np.ones(1))
        self._centres_hz = augmentation.band_centres_hz()
        self._stemmed = [track for track in store.tracks if "voice" in track.stems]
        self._mixed = [track for track in store.tracks if "mixture" in track.stems]

    def __getitem__(self, number: int) -> tuple[Floats, Floats]:
        """Make a segment by its number.

        Log-mel frames, float32 [frames, 80], and labels of its excerpts, float32 [excerpts], 0 or 1.
        """
        augment = self.augment
        rng = np.random.default_rng([self.seed, number])
        factor = 1 + rng.uniform(-augment.stretch, augment.stretch)
        positions = np.arange(self.frames) * factor
        frames = int(positions[-1]) + 2
        from_mixtures = bool(self._mixed) and (not self._stemmed or rng.random() < augment.mixtures)
        track = _choose(rng, self._mixed if from_mixtures else self._stemmed)
        start = _start(rng, track, frames)
        if from_mixtures:
            spectrum = self.store.read(track, "mixture", start, start + frames)
            sung = True
        else:
            spectrum, sung = self._mix(rng, track, start, frames)
        magnitudes = np.abs(spectrum) * augmentation.decibels(
            rng.uniform(-augment.level_db, augment.level_db)
        )
        bank = self._banks[rng.integers(len(self._banks))]
        bands = augmentation.log_mel_frames(
            augmentation.stretch(magnitudes, np.asarray(positions, np.float64)), bank
        )
        if augment.filter_db:
            gains = augmentation.filter_gains_db(rng, augment.filter_db, self._centres_hz)
            bands = np.maximum(bands + gains * np.float32(np.log(10) / 20), np.float32(np.log(FLOOR)))
        centres = start + np.rint(positions[CENTRE : CENTRE + POOLING * self.excerpts : POOLING]).astype(int)
        inside = (centres >= 0) & (centres < track.frames)
        labels = track.labels[np.clip(centres, 0, track.frames - 1)] & inside & sung
        return bands, labels.astype(np.float32)

    def _mix(self, rng: np.random.Generator, track: Track, start: int, frames: int) -> tuple[Spectrum, bool]:
        augment, read = self.augment, self.store.read
        accompaniment = read(track, "accompaniment", start, start + frames)
        kind = rng.random()
        if kind < augment.voiceless:
            return accompaniment / 2, False
        gain = augmentation.decibels(np.clip(rng.normal(0, 1), -2.5, 2.5) * augment.voice_level_db)
        if kind < augment.voiceless + augment.other_accompaniment:
            other = _choose(rng, self._stemmed)
            first = _start(rng, other, frames)
            replaced = read(other, "accompaniment", first, first + frames)
            level, wanted = _level(replaced), _level(accompaniment)
            accompaniment = replaced * np.float32(wanted / level if level and wanted else 1.0)
        mixed = (accompaniment + gain * read(track, "voice", start, start + frames)) / 2
        return mixed.astype(np.complex64, copy=False), True

    def describe(self) -> dict[str, Any]:
        """Say how segments are sampled, JSON-able, for provenance."""
        return {
            "tracks": len(self.store.tracks),
            "frames": sum(track.frames for track in self.store.tracks),
            "sung": float(np.mean(np.concatenate([track.labels for track in self.store.tracks]))),
            "excerpts_per_segment": self.excerpts,
            "seed": self.seed,
            **asdict(self.augment),
        }


class SegmentBatches:
    """Batches of segments in the order of their numbers, see `actprobe.training.batches.Source`."""

    unit: ClassVar[str] = "excerpts"

    def __init__(self, segments: Segments, batch_size: int) -> None:
        self.segments, self.batch_size = segments, batch_size
        self.units_per_step = batch_size * segments.excerpts
        frames = sum(track.frames for track in segments.store.tracks)
        self.steps_per_pass = max(1, frames // (POOLING * self.units_per_step))
        self.first_step = 0

    def endless(self) -> Any:
        """Give the batches from `first_step` on, without end.

        Returns
        -------
        tf.data.Dataset
            Dicts of ``frames`` [batch, frames, 80] and ``labels`` [batch, excerpts], float32.
        """
        tf, segments = backend.tf, self.segments

        def read(number: Any) -> tuple[Floats, Floats]:
            return segments[self.first_step * self.batch_size + int(number)]

        def made(number: Any) -> dict[str, Any]:
            bands, labels = tf.numpy_function(read, [number], (tf.float32, tf.float32), stateful=False)
            return {
                "frames": tf.ensure_shape(bands, [segments.frames, MELS]),
                "labels": tf.ensure_shape(labels, [segments.excerpts]),
            }

        numbers = tf.data.Dataset.range(np.iinfo(np.int64).max)
        found = numbers.map(made, num_parallel_calls=THREADS, deterministic=True)
        return found.batch(self.batch_size, drop_remainder=True).prefetch(4)


def _choose(rng: np.random.Generator, tracks: Sequence[Track]) -> Track:
    """Choose a track in proportion to its length."""
    ends = np.cumsum([track.frames for track in tracks])
    return tracks[int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))]


def _start(rng: np.random.Generator, track: Track, frames: int) -> int:
    """Choose where to begin, so that every frame of the track may be a centre."""
    return int(rng.integers(-CENTRE, max(track.frames - frames + CENTRE, -CENTRE) + 1))


def _level(spectrum: Spectrum) -> float:
    return float(np.sqrt(np.mean(np.abs(spectrum) ** 2)))
