"""The first pass over the corpus: the keypoints of every recording's features, without a network.

A feature's keypoints are found once and serve all channels, and the recordings that take it for their null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.grid import MapGrid
from actprobe.analyses.maps.images import feature_image
from actprobe.analyses.maps.keypoints import Keypoints, detect, no_keypoints
from actprobe.analyses.maps.segments import Positions
from actprobe.analyses.maps.settings import MapSettings
from actprobe.batch.jobs import StageSeconds
from actprobe.batch.ledger import LedgerRow
from actprobe.batch.prepare import prepare_recording
from actprobe.batch.shards import Shard, ShardStore
from actprobe.corpora import Recording
from actprobe.features import FeatureMap
from actprobe.features.maps import try_maps


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class FeatureKeypoints:
    """The keypoints of one feature of a recording, on one layer's pixels.

    Parameters
    ----------
    axis : str
        ``hertz`` or ``pitch class``.
    segments : list of Keypoints
        One for each segment of the recording.
    widths : list of int
        Columns of each segment's image.
    """

    axis: str
    segments: list[Keypoints] = field(repr=False)
    widths: list[int]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Lay it out as named arrays for a file."""
        return {
            "points": np.concatenate([part.points for part in self.segments]),
            "sizes": np.concatenate([part.sizes for part in self.segments]),
            "descriptors": np.concatenate([part.descriptors for part in self.segments]),
            "counts": np.array([len(part) for part in self.segments], np.int64),
            "widths": np.array(self.widths, np.int64),
            "axis": np.array(self.axis),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> FeatureKeypoints:
        """Read what `to_arrays` gave."""
        ends = np.cumsum(arrays["counts"])[:-1]
        parts = [np.split(arrays[name], ends) for name in ("points", "sizes", "descriptors")]
        segments = [Keypoints(*part) for part in zip(*parts, strict=True)]
        return cls(str(arrays["axis"]), segments, [int(width) for width in arrays["widths"]])


def feature_keypoints(
    feature: FeatureMap, grid: MapGrid, places: Sequence[Positions | None]
) -> FeatureKeypoints:
    """Find the keypoints of a feature on a layer's pixels, whose images are made of one place a segment."""
    found = [
        no_keypoints() if place is None else detect(feature_image(feature, grid, place.columns))
        for place in places
    ]
    widths = [0 if place is None else len(place.columns) for place in places]
    return FeatureKeypoints(feature.axis, found, widths)


@dataclass(frozen=True)
class _Found:
    """The keypoints of a recording's features, ready to be kept."""

    row: LedgerRow
    arrays: dict[str, NDArray[Any]]
    seconds: StageSeconds


@dataclass(frozen=True)
class FeatureJob:
    """Finds the keypoints of the features of every recording; a feature that fails costs only itself."""

    settings: MapSettings

    def prepare(self, recording: Recording) -> _Found:
        cv2.setNumThreads(1)
        settings = self.settings
        began = perf_counter()
        waveform = recording.waveform()
        decoded = perf_counter() - began
        prepared = prepare_recording(recording, settings.frontend, waveform=waveform)
        prepared.seconds.decode += decoded
        began = perf_counter()
        found, failed = try_maps(waveform, settings.features)
        if not found:
            raise failed[0]
        prepared = prepared.lacking(failed)
        arrays: dict[str, NDArray[Any]] = {}
        places = settings.places(prepared)
        layer_of = {grid: layer for layer, grid in settings.grids.items()}
        for number, (grid, layer) in enumerate(layer_of.items()):
            of_layer = [segment.get(layer) for segment in places]
            for name, feature in found.items():
                parts = feature_keypoints(feature, grid, of_layer).to_arrays()
                arrays.update({f"{number}/{name}/{part}": array for part, array in parts.items()})
        prepared.seconds.features = perf_counter() - began
        return _Found(prepared.row, arrays, prepared.seconds)

    def consumer(self, store: ShardStore) -> _Keeper:
        return _Keeper(store)


class _Keeper:
    """Writes what the first pass found."""

    def __init__(self, store: ShardStore) -> None:
        self.store = store
        self.seconds = StageSeconds()

    def add(self, recording: Recording, prepared: _Found) -> list[LedgerRow]:
        self.seconds.add(prepared.seconds)
        self.store.save(recording, Shard(prepared.row.facts(), prepared.arrays))
        return [prepared.row]

    def flush(self) -> list[LedgerRow]:
        return []


def kept_keypoints(shard: Shard, settings: MapSettings) -> dict[tuple[MapGrid, str], FeatureKeypoints]:
    """Read what the first pass kept of a usable recording.

    Returns
    -------
    dict
        Pixels and name of a feature that did not fail -> its keypoints.
    """
    found = {}
    for number, grid in enumerate(dict.fromkeys(settings.grids.values())):
        for feature in settings.features:
            prefix = f"{number}/{feature.name}/"
            parts = {
                name.removeprefix(prefix): array
                for name, array in shard.arrays.items()
                if name.startswith(prefix)
            }
            if parts:
                found[grid, feature.name] = FeatureKeypoints.from_arrays(parts)
    return found
