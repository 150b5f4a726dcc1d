"""Concepts of sound: where in an excerpt there is voice, an onset, a pitch class, a label, ...

A family of concepts is one function that takes a `Scene` and gives masks by name, nothing for what is not
known of the recording. Masks are bool [excerpts, frames], for what holds for all bands, or [excerpts, frames,
bands].
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.causal.dissection.grid import frame_times
from actprobe.audio import Waveform
from actprobe.corpora import Recording
from actprobe.corpora.label_tracks import BAND, Track
from actprobe.corpora.labelled_folders import labelled
from actprobe.corpora.parts import known_parts
from actprobe.errors import FeatureError, UsageError
from actprobe.features.maps import compute_maps
from actprobe.features.pitch_class import PITCH_CLASSES
from actprobe.features.rhythm import onset_times
from actprobe.features.separation import harmonic_and_percussive
from actprobe.frontends import FrontEnd
from actprobe.frontends.base import cut_out
from actprobe.frontends.dominance import dominant_part
from actprobe.frontends.excerpts import sounds_at
from actprobe.frontends.sound import Sonifier

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Masks = dict[str, Mask]

PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
OCTAVES_HZ = (63, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)
ONSET_SECONDS = 0.05  # to either side of an onset; what evaluations of onset detection allow
SILENCE_DB = 50.0  # under the loudest moment of the recording
SHORTEST_SECONDS = 0.02  # of sound whose level is taken
LABELS = "COLUMN=LABEL"
MOST_CLASSES = 100  # a track with more holds values and not labels


@dataclass(frozen=True, eq=False)
class Scene:
    """The excerpts of a recording, as concepts see them.

    ``samples``: float32, at the front end's rate; ``starts``: the first sample of each excerpt; ``tracks``:
    labels over time by the name of their column.
    """

    recording: Recording
    frontend: FrontEnd
    samples: Floats
    starts: NDArray[np.int64]
    tracks: Mapping[str, Track]

    @cached_property
    def waveform(self) -> Waveform:
        """The recording at its own rate."""
        return self.recording.waveform()

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """Seconds at the centres of the frames, from the start of the recording, [excerpts, frames]."""
        begins = self.starts[:, np.newaxis] / self.frontend.sample_rate
        return np.asarray(begins + frame_times(self.frontend), np.float64)

    @cached_property
    def bands_hz(self) -> NDArray[np.float64]:
        """Centres of the bands."""
        return np.asarray(self.frontend.band_edges_hz()[1:-1], np.float64)

    def dominated(self, parts: Mapping[str, Floats]) -> Masks:
        """Say which bins each of some sounds, at the front end's rate, dominates."""
        length = self.frontend.example_samples
        found = [
            dominant_part(self.frontend, {name: cut_out(part, first, length) for name, part in parts.items()})
            for first in self.starts.tolist()
        ]
        return {name: np.stack([each[name] for each in found]) for name in parts}


def _voice(scene: Scene, names: Collection[str]) -> Masks:
    recording = labelled(scene.recording)
    return {"voice": recording.labels_at(scene.times)} if recording.known else {}


def _parts(scene: Scene, names: Collection[str]) -> Masks:
    parts = known_parts(scene.recording, scene.frontend.sample_rate)
    return scene.dominated({f"part_{name}": part for name, part in parts.items()}) if len(parts) > 1 else {}


def _onsets(scene: Scene, names: Collection[str]) -> Masks:
    onsets = np.concatenate([[-np.inf], onset_times(scene.waveform), [np.inf]])
    after = np.searchsorted(onsets, scene.times).clip(1)
    around = np.minimum(scene.times - onsets[after - 1], onsets[after] - scene.times)
    return {"onsets": around <= ONSET_SECONDS}


def _separated(scene: Scene, names: Collection[str]) -> Masks:
    rate = scene.frontend.sample_rate
    parts = harmonic_and_percussive(scene.waveform)
    sounds = [Waveform(part, scene.waveform.sample_rate).resample(rate).samples for part in parts]
    return scene.dominated(dict(zip(("harmonic", "percussive"), sounds, strict=True)))


def _pitch_classes(scene: Scene, names: Collection[str]) -> Masks:
    found = compute_maps(scene.waveform, ["hpcp"])["hpcp"]
    third = found.values.shape[1] // PITCH_CLASSES
    around = np.roll(found.values, third // 2, axis=1)  # the bins of a class lie around its own
    classes = around.reshape(len(around), PITCH_CLASSES, third).sum(axis=2)
    strongest = np.where(classes.any(axis=1), classes.argmax(axis=1), -1)
    places = np.searchsorted((found.times_seconds[1:] + found.times_seconds[:-1]) / 2, scene.times)
    return {f"pitch_class_{name}": strongest[places] == k for k, name in enumerate(PITCHES)}


def _bands(scene: Scene, names: Collection[str]) -> Masks:
    sonifier = Sonifier(scene.frontend)
    frames, exponent = scene.frontend.example_shape[0], 2 / sonifier.framing.power
    sounds = sounds_at(scene.frontend, scene.samples, scene.starts)
    power = np.stack([sonifier.analyse(sound)[:frames] ** exponent for sound in sounds])
    inside = (scene.times >= 0) & (scene.times < len(scene.samples) / scene.frontend.sample_rate)
    found = {}
    for name in names or octaves(scene.frontend):
        low, high = band_of(name)
        rows = (scene.bands_hz >= low) & (scene.bands_hz < high)
        level = power[:, :, rows].sum(axis=2)
        loud = level > np.median(level[inside] if inside.any() else level)
        found[name] = loud[:, :, np.newaxis] & rows
    return found


def _silence(scene: Scene, names: Collection[str]) -> Masks:
    rate = scene.frontend.sample_rate
    half = max(scene.frontend.frame_length, round(SHORTEST_SECONDS * rate)) // 2
    sums = np.concatenate([[0.0], np.cumsum(np.square(scene.samples, dtype=np.float64))])

    def level(centres: NDArray[np.int64]) -> NDArray[np.float64]:
        low, high = (np.clip(centres + side, 0, len(sums) - 1) for side in (-half, half))
        return np.asarray((sums[high] - sums[low]) / np.maximum(high - low, 1), np.float64)

    loudest = level(np.arange(0, len(scene.samples), max(half, 1))).max()
    here = level(np.rint(scene.times * rate).astype(np.int64))
    return {"silence": here < loudest * 10 ** (-SILENCE_DB / 10)}


def _labels(scene: Scene, names: Collection[str]) -> Masks:
    found: Masks = {}
    for name in names or label_names([scene.tracks]):
        column, _, wanted = name.partition("=")
        if not scene.tracks:
            continue
        mask = np.zeros((*scene.times.shape, len(scene.bands_hz)), np.bool_)
        track = scene.tracks.get(column)
        for row, value in enumerate(track.values if track else ()):
            if track and value == wanted:
                during = (scene.times >= track.starts[row]) & (scene.times < track.ends[row])
                mask |= during[:, :, np.newaxis] & _rows(scene, row)
        found[name] = mask
    return found


def _rows(scene: Scene, row: int) -> Mask:
    """Say which bands a row of a label track is about: all where it names none."""
    cells = [scene.tracks[name].values[row] if name in scene.tracks else "" for name in BAND]
    low, high = (float(cell or default) for cell, default in zip(cells, ("-inf", "inf"), strict=True))
    return np.asarray((scene.bands_hz >= low) & (scene.bands_hz < high))


@dataclass(frozen=True)
class Family:
    """Concepts that are found together.

    ``pattern``: that of their names; ``find``: takes the scene and the names that are wanted, none for all;
    ``spectral``: whether the front end has to say how it cuts sound; ``loads``: what of `actprobe.backend` it
    takes long to load.
    """

    pattern: str
    find: Callable[[Scene, Collection[str]], Masks]
    spectral: bool = False
    loads: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """Say whether a concept is of the family."""
        return re.fullmatch(self.pattern, name) is not None


FAMILIES = {
    "part_NAME": Family(r"part_.+", _parts, spectral=True),
    "voice": Family("voice", _voice),
    "onsets": Family("onsets", _onsets, loads=("essentia",)),
    "harmonic, percussive": Family("harmonic|percussive", _separated, spectral=True),
    "silence": Family("silence", _silence),
    "band_LOW_HIGH": Family(r"band_\d+_\d+", _bands, spectral=True),
    "pitch_class_C to pitch_class_B": Family(
        r"pitch_class_([A-G]|[ACDFG]#)", _pitch_classes, loads=("essentia",)
    ),
    LABELS: Family(r"[^=]+=.+", _labels),
}  # fmt: skip


def band_of(name: str) -> tuple[float, float]:
    """Read ``band_LOW_HIGH``, in Hz."""
    low, high = name.split("_")[1:]
    return float(low), float(high)


def octaves(frontend: FrontEnd) -> list[str]:
    """Name the octaves that hold a band of a front end."""
    centres = np.asarray(frontend.band_edges_hz()[1:-1], np.float64)
    octaves = itertools.pairwise(OCTAVES_HZ)
    return [f"band_{low}_{high}" for low, high in octaves if ((centres >= low) & (centres < high)).any()]


def label_names(tracks: Collection[Mapping[str, Track]]) -> list[str]:
    """Name the labels of label tracks, sorted: ``COLUMN=LABEL``; a column of many values holds no labels."""
    values: dict[str, set[str]] = {}
    for of_recording in tracks:
        for column, track in of_recording.items():
            if column not in BAND:
                values.setdefault(column, set()).update(filter(None, track.values))
    few = {column: found for column, found in values.items() if len(found) <= MOST_CLASSES}
    return sorted(f"{column}={value}" for column, found in few.items() for value in found)


def families_of(
    names: Sequence[str] | None, frontend: FrontEnd, labels: Collection[str]
) -> dict[str, list[str]]:
    """Say which families have to be asked, and for which names; none for all that there are.

    ``names`` None asks for every concept of which something may be known. UsageError: a name that no family
    has, a label that is in no label track, or a concept for which the front end lacks what it takes.
    """
    refusal = _spectral_refusal(frontend)
    if names is None:
        wanted: dict[str, list[str]] = {
            family: [] for family, each in FAMILIES.items() if not (each.spectral and refusal)
        }
        return (
            {**wanted, LABELS: sorted(labels)}
            if labels
            else {key: wanted[key] for key in wanted if key != LABELS}
        )
    asked: dict[str, list[str]] = {}
    for name in names:
        family = next((key for key, each in FAMILIES.items() if each.has(name)), None)
        if family is None:
            raise UsageError(f"there is no concept {name!r}; there is {', '.join(FAMILIES)}")
        if family == LABELS and name not in labels:
            raise UsageError(f"no label track has {name!r}; there is {', '.join(labels) or 'no label track'}")
        if family == "band_LOW_HIGH":
            low, high = band_of(name)
            centres = np.asarray(frontend.band_edges_hz()[1:-1], np.float64)
            if not ((centres >= low) & (centres < high)).any():
                raise UsageError(
                    f"{name}: no band of the front end has its centre from {low:g} to {high:g} Hz"
                )
        if FAMILIES[family].spectral and refusal:
            raise UsageError(f"{name} needs spectra: {refusal}")
        asked.setdefault(family, []).append(name)
    return asked


def find_concepts(scene: Scene, families: Mapping[str, Sequence[str]]) -> tuple[Masks, list[FeatureError]]:
    """Find the masks of a recording; a feature that fails leaves its concepts unknown."""
    found: Masks = {}
    failed = []
    for family, names in families.items():
        try:
            masks = FAMILIES[family].find(scene, names)
        except FeatureError as error:
            failed.append(error)
            continue
        found |= {name: mask for name, mask in masks.items() if not names or name in names}
    return found, failed


def _spectral_refusal(frontend: FrontEnd) -> str:
    try:
        Sonifier(frontend)
    except UsageError as error:
        return str(error)
    return ""
