"""The second pass over the corpus: activation maps against the features of their recording and its partners.

A map is looked at once, and its keypoints serve all features and partners.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from actprobe.analyses.maps.feature_pass import FeatureKeypoints, kept_keypoints
from actprobe.analyses.maps.geometry import layer_tolerance
from actprobe.analyses.maps.grid import MapGrid
from actprobe.analyses.maps.images import map_images
from actprobe.analyses.maps.keypoints import detect
from actprobe.analyses.maps.pairs import COUNTS, Pair, compare
from actprobe.analyses.maps.segments import Positions
from actprobe.analyses.maps.settings import MapSettings
from actprobe.batch.handle import ModelHandle
from actprobe.batch.jobs import StageSeconds
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.batch.shards import Shard, ShardStore
from actprobe.corpora import Recording
from actprobe.corpora.fingerprint import fingerprint
from actprobe.errors import ActprobeError, CorpusError
from actprobe.models import Model

MATCH_FIELDS = np.dtype(
    [
        ("feature", "<i4"), ("channel", "<i4"), ("stretch", "<i4"), ("map_keypoint", "<i4"),
        ("feature_keypoint", "<i4"), ("distance", "<f4"), ("agrees", "?"), ("negative", "?"),
    ]
)  # fmt: skip

Mapper = Callable[..., Iterable[Any]]
Counts = dict[str, NDArray[np.float64]]  # layer -> [recordings, features, 1 + partners, channels, 6]


def partners_of(recordings: Sequence[Recording], count: int, seed: int) -> dict[str, tuple[Recording, ...]]:
    """Choose for every recording, by its name, the others whose features stand for the null.

    Recordings stand in a circle, in an order given by the seed and their names; the partners of one are those
    behind it, fewer where there are fewer other recordings. So every recording is a partner as often as it
    has partners, and one that is added or fails changes the partners of few others.
    """
    circle = sorted(
        recordings, key=lambda one: (hashlib.sha256(f"{seed} {one.name}".encode()).digest(), one.name)
    )
    count = min(count, len(circle) - 1)
    return {
        recording.name: tuple(circle[(place + step) % len(circle)] for step in range(1, count + 1))
        for place, recording in enumerate(circle)
    }


class CountStore(ShardStore):
    """Shards of the second pass, which stand only while a recording's partners are the same."""

    def __init__(self, directory: Path, key: str, partners: Mapping[str, Sequence[Recording]]) -> None:
        super().__init__(directory, f"maps-{key}")
        self.partners = {name: tuple(others) for name, others in partners.items()}

    def state(self, recording: Recording) -> list[Any]:
        """Fingerprints of a recording and of its partners, its own first."""
        return [fingerprint(one) for one in (recording, *self.partners[recording.name])]

    def counts(self, recordings: Sequence[Recording], layers: Sequence[str]) -> Counts:
        """Read what was counted, in the order of the recordings; CorpusError when one has changed since."""
        found: Counts = {}
        for i, recording in enumerate(recordings):
            shard = self.needed(recording)
            for layer in layers:
                if layer not in found:
                    found[layer] = np.empty((len(recordings), *shard.arrays[layer].shape))
                found[layer][i] = shard.arrays[layer]
        return found


@dataclass(frozen=True)
class ChannelJob:
    """Compares all channels of every recording with features.

    Parameters
    ----------
    handle : ModelHandle
        The network.
    settings : MapSettings
        What decides the images.
    features : ShardStore
        Shards of the first pass.
    threads : int
        Threads that find and match keypoints.
    keep_matches : bool
        Whether the shards keep every match with a recording's own features.
    """

    handle: ModelHandle
    settings: MapSettings
    features: ShardStore
    threads: int
    keep_matches: bool

    def prepare(self, recording: Recording) -> Prepared:
        return prepare_recording(recording, self.settings.frontend)

    def consumer(self, store: CountStore) -> _Comparer:
        return _Comparer(self, store)


class _Comparer:
    """Compares one recording after the other, its channels in threads."""

    def __init__(self, job: ChannelJob, store: CountStore) -> None:
        self.job = job
        self.store = store
        self.seconds = StageSeconds()

    def add(self, recording: Recording, prepared: Prepared) -> list[LedgerRow]:
        self.seconds.add(prepared.seconds)
        try:
            return [self._compare(recording, prepared)]
        except ActprobeError as error:
            return [failed_row(recording, error)]

    def flush(self) -> list[LedgerRow]:
        return []

    def _compare(self, recording: Recording, prepared: Prepared) -> LedgerRow:
        settings, model = self.job.settings, self.job.handle.model
        described = [
            self.job.features.needed(one) for one in (recording, *self.store.partners[recording.name])
        ]
        choices = [kept_keypoints(shard, settings) for shard in described]
        features = {
            grid: [[choice.get((grid, feature.name)) for choice in choices] for feature in settings.features]
            for grid in settings.grids.values()
        }
        began = perf_counter()
        examples = model.frontend.of(recording.path).examples(prepared.samples)
        self.seconds.frontend += perf_counter() - began
        arrays: dict[str, NDArray[Any]] = {}
        matches: dict[str, list[NDArray[Any]]] = {layer: [] for layer in settings.grids}
        faults: Counter[str] = Counter()
        with _channels_in_threads(self.job.threads) as mapper:
            for number, places in enumerate(settings.places(prepared)):
                began = perf_counter()
                activations = activations_at(model, examples, places)
                self.seconds.network += perf_counter() - began
                for layer, values in activations.items():
                    faults[layer] += int((~np.isfinite(values)).any(axis=(0, 1)).sum())
                    counts, kept = count_segment(
                        values, places[layer], settings.grids[layer], features[settings.grids[layer]],
                        number, mapper=mapper, keep_matches=self.job.keep_matches,
                    )  # fmt: skip
                    arrays[layer] = arrays.get(layer, 0) + counts
                    matches[layer].append(kept)
        missing = [layer for layer in settings.grids if layer not in arrays]
        if missing:
            raise CorpusError(recording.path, f"is too short for a position of {missing[0]}")
        if self.job.keep_matches:
            arrays.update({f"{layer}/matches": np.concatenate(kept) for layer, kept in matches.items()})
        warnings = [
            f"{count} maps of {layer} hold NaN or infinity" for layer, count in faults.items() if count
        ]
        row = replace(
            prepared.row,
            warning=described[0].facts["warning"],  # with the features that it lacks
            again=any(shard.facts.get("again", False) for shard in described),
        ).warned(*warnings)
        began = perf_counter()
        self.store.save(recording, Shard(row.facts(), arrays))
        self.seconds.shards += perf_counter() - began
        return row


@contextmanager
def _channels_in_threads(threads: int) -> Iterator[Mapper]:
    """Give a ``map`` that works in threads, with one thread each for OpenCV and for matrix products."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads, "channels") as pool:
            yield pool.map
    finally:
        cv2.setNumThreads(before)


def activations_at(
    model: Model, examples: NDArray[np.float32], places: Mapping[str, Positions]
) -> dict[str, NDArray[np.float32]]:
    """Compute layers at the positions of one segment's images.

    Parameters
    ----------
    model : Model
        The network.
    examples : numpy.ndarray
        All examples of the recording.
    places : mapping
        Layer name -> what its image is made of.

    Returns
    -------
    dict
        Layer name -> float32, shape [time, mel, channel].
    """
    together: dict[tuple[int, ...], list[str]] = {}
    for layer, place in places.items():
        together.setdefault(place.examples, []).append(layer)
    found = {}
    for chosen, layers in together.items():
        for layer, values in model.activations(examples[list(chosen)], layers).items():
            found[layer] = values[places[layer].row, places[layer].position]
    return found


def count_segment(
    activations: NDArray[np.float32],
    place: Positions,
    grid: MapGrid,
    features: Sequence[Sequence[FeatureKeypoints | None]],
    number: int,
    *,
    mapper: Mapper = map,
    keep_matches: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.void]]:
    """Compare all channels of a layer, on one segment, with features of the recording and of its partners.

    Parameters
    ----------
    activations : numpy.ndarray
        float32, shape [time, mel, channel], at the positions of ``place``.
    place : Positions
        What the images are made of.
    grid : MapGrid
        The layer's pixels.
    features : sequence of sequence of FeatureKeypoints or None
        For each feature those of the recording itself, then those of each partner; None where it failed. A
        partner's segments are taken in turn, and both images are compared as far as the shorter one goes.
    number : int
        Which segment of the recording it is.
    mapper : callable, optional
        Such as ``ThreadPoolExecutor.map``.
    keep_matches : bool, optional
        Whether to give the matches with the recording's own features, too.

    Returns
    -------
    counts : numpy.ndarray
        float64, shape [features, 1 + partners, channels, 6], see `actprobe.analyses.maps.pairs`; NaN where a
        feature failed, and of partners of a recording whose own failed.
    matches : numpy.ndarray
        Shape [matches], of type `MATCH_FIELDS`; empty unless asked for.
    """
    channels = activations.shape[-1]
    counts = np.full((len(features), len(features[0]), channels, len(COUNTS)), np.nan)
    present = []
    for which, choices in enumerate(features):
        for choice, feature in enumerate(choices):
            if choices[0] is not None and feature is not None:
                turn = number % len(feature.segments)
                width = min(len(place.columns), feature.widths[turn])
                present.append((which, choice, feature.axis, width, feature.segments[turn].up_to(width)))
    sights = {(axis, width) for _, _, axis, width, _ in present}
    axes = sorted({axis for axis, _ in sights})

    def one(channel: int) -> list[NDArray[np.void]]:
        activation = np.ascontiguousarray(activations[..., channel])
        images = map_images(activation, place.times_seconds, grid, place.columns, axes)
        found = {axis: detect(image) for axis, image in images.items()}
        seen = {(axis, width): found[axis].up_to(width) for axis, width in sights}
        rows = []
        for which, choice, axis, width, theirs in present:
            pair = compare(seen[axis, width], theirs, layer_tolerance(grid, axis))
            counts[which, choice, channel] = pair.counts
            if keep_matches and choice == 0 and len(pair.matches):
                rows.append(_match_rows(pair, which, channel, number))
        return rows

    kept = [rows for found in mapper(one, range(channels)) for rows in found]
    return counts, np.concatenate(kept) if kept else np.empty(0, MATCH_FIELDS)


def _match_rows(pair: Pair, feature: int, channel: int, segment: int) -> NDArray[np.void]:
    rows = np.empty(len(pair.matches), MATCH_FIELDS)
    rows["feature"], rows["channel"], rows["stretch"] = feature, channel, segment
    rows["map_keypoint"], rows["feature_keypoint"] = pair.matches.first, pair.matches.second
    rows["distance"], rows["agrees"], rows["negative"] = (
        pair.matches.distances, pair.agreement.agrees, pair.negative,
    )  # fmt: skip
    return rows
