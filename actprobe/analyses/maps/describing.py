"""The first pass of a map run: the keypoints of every recording's features, without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
from numpy.typing import NDArray

from actprobe.analyses.maps.grid import MapGrid
from actprobe.analyses.maps.recording import FeatureKeypoints, feature_keypoints
from actprobe.analyses.maps.settings import MapSettings
from actprobe.audio import load_audio
from actprobe.batch.jobs import StageSeconds
from actprobe.batch.ledger import LedgerRow
from actprobe.batch.prepare import prepare_recording
from actprobe.batch.shards import Shard, ShardStore
from actprobe.corpora import Recording
from actprobe.features import compute_maps

__all__ = ["FeatureJob", "kept_keypoints"]


@dataclass(frozen=True)
class _Described:
    """A recording's features, ready to be kept."""

    row: LedgerRow
    arrays: dict[str, NDArray[Any]]
    seconds: StageSeconds


@dataclass(frozen=True)
class FeatureJob:
    """The first pass: keypoints of the features.

    Parameters
    ----------
    settings : MapSettings
        What decides the images.
    """

    settings: MapSettings

    def prepare(self, recording: Recording) -> _Described:
        """Compute a recording's features and find their keypoints, without TensorFlow.

        Parameters
        ----------
        recording : Recording
            A recording of the corpus.

        Returns
        -------
        _Described
            What the consumer keeps.
        """
        cv2.setNumThreads(1)
        settings = self.settings
        waveform = load_audio(recording.path)
        prepared = prepare_recording(recording, settings.frontend, waveform=waveform)
        found = compute_maps(waveform, settings.features)
        arrays: dict[str, NDArray[Any]] = {}
        places = settings.places(prepared)
        layer_of = {grid: layer for layer, grid in settings.grids.items()}
        for number, (grid, layer) in enumerate(layer_of.items()):
            of_layer = [stretch.get(layer) for stretch in places]
            for name, feature in found.items():
                parts = feature_keypoints(feature, grid, of_layer).to_arrays()
                arrays.update({f"{number}/{name}/{part}": array for part, array in parts.items()})
        return _Described(prepared.row, arrays, prepared.seconds)

    def consumer(self, store: ShardStore) -> _Keeper:
        """Make what writes the shards.

        Parameters
        ----------
        store : ShardStore
            Where they go.

        Returns
        -------
        _Keeper
            A new one.
        """
        return _Keeper(store)


class _Keeper:
    """Writes what the first pass found."""

    def __init__(self, store: ShardStore) -> None:
        self.store = store
        self.seconds = StageSeconds()

    def add(self, recording: Recording, prepared: _Described) -> list[LedgerRow]:
        self.seconds.add(prepared.seconds)
        self.store.save(recording, Shard(prepared.row.facts(), prepared.arrays))
        return [prepared.row]

    def flush(self) -> list[LedgerRow]:
        return []


def kept_keypoints(
    store: ShardStore, recording: Recording, settings: MapSettings
) -> dict[tuple[MapGrid, str], FeatureKeypoints]:
    """Read what the first pass kept of a recording.

    Parameters
    ----------
    store : ShardStore
        Shards of the first pass.
    recording : Recording
        A usable recording.
    settings : MapSettings
        What decided the images.

    Returns
    -------
    dict
        Pixels and name of the feature -> its keypoints.

    Raises
    ------
    CorpusError
        The recording has changed since.
    """
    shard = store.needed(recording)
    found = {}
    for number, grid in enumerate(dict.fromkeys(settings.grids.values())):
        for feature in settings.features:
            prefix = f"{number}/{feature.name}/"
            parts = {
                name.removeprefix(prefix): array
                for name, array in shard.arrays.items()
                if name.startswith(prefix)
            }
            found[grid, feature.name] = FeatureKeypoints.from_arrays(parts)
    return found
