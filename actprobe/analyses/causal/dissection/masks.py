"""The masks of a corpus as the passes have left them: thresholds of units, masks of units and of concepts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from actprobe.batch.shards import ShardStore
from actprobe.corpora import Recording
from actprobe.errors import UsageError

MERGED_VALUES = 1 << 22  # of samples of one layer that are merged at a time

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def unit_thresholds(
    store: ShardStore, recordings: Sequence[Recording], layers: Sequence[str], networks: int, quantile: float
) -> dict[str, Floats]:
    """Find the threshold of every unit, float32 [networks, units] by layer.

    It is the smallest value that at most a share ``quantile`` of the sampled positions of all recordings
    exceeds. UsageError: the corpus has so few positions that this is none.
    """
    names = [f"{layer}/sample/{number}" for layer in layers for number in range(networks)]
    counts = dict.fromkeys(names, 0)
    for recording in recordings:
        arrays = store.needed(recording).arrays
        counts = {name: count + len(arrays[name]) for name, count in counts.items()}
    above = {name: min(int(quantile * count + 1e-9), count - 1) for name, count in counts.items()}
    for name, number in above.items():
        if number < 1:
            raise UsageError(
                f"quantile={quantile} of the {counts[name]} positions of {name.split('/sample/')[0]} is less "
                f"than one: take more recordings, more excerpts or a higher quantile"
            )
    highest = {name: _Highest(number + 1) for name, number in above.items()}
    for recording in recordings:
        arrays = store.needed(recording).arrays
        for name, each in highest.items():
            each.add(arrays[name])
    found = {name: each.lowest() for name, each in highest.items()}
    return {
        layer: np.stack([found[f"{layer}/sample/{number}"] for number in range(networks)]) for layer in layers
    }


class _Highest:
    """The highest values of each unit, so many of them, of samples that are added one after the other."""

    def __init__(self, count: int) -> None:
        self.count, self.waiting = count, 0
        self.parts: list[Floats] = []

    def add(self, values: Floats) -> None:
        """Take in values, [positions, units]."""
        self.parts.append(values)
        self.waiting += values.size
        if self.waiting > MERGED_VALUES:
            self._merge()

    def lowest(self) -> Floats:
        """Give the lowest of the highest values, [units]."""
        self._merge()
        return np.asarray(self.parts[0].min(axis=0), np.float32)

    def _merge(self) -> None:
        together = np.concatenate(self.parts)
        kept = min(self.count, len(together))
        self.parts = [np.partition(together, len(together) - kept, axis=0)[len(together) - kept :]]
        self.waiting = 0


@dataclass(frozen=True, eq=False)
class RecordingMasks:
    """The masks of a recording in a layer.

    ``units``: for each network a sparse matrix [units, positions]; ``concepts``: bool [concepts, positions];
    ``inside``: bool [positions], those within the recording.
    """

    units: list[sparse.csr_array]
    concepts: Mask
    inside: Mask


@dataclass(frozen=True)
class MaskShards:
    """Reads the masks of a layer from the shards of both passes."""

    survey: ShardStore
    masks: ShardStore
    layer: str
    networks: int

    def reader(
        self, recordings: Sequence[Recording], concepts: Sequence[str]
    ) -> Callable[[int], RecordingMasks]:
        """Give what reads the masks of the recordings by their number."""
        return lambda number: self.read(recordings[number], concepts)

    def read(self, recording: Recording, concepts: Sequence[str]) -> RecordingMasks:
        """Read the masks of a recording that knows these concepts."""
        survey, masks = self.survey.needed(recording).arrays, self.masks.needed(recording).arrays
        positions = int(survey[f"{self.layer}/positions"])
        names = survey["concepts"].tolist()
        packed = survey[f"{self.layer}/masks"][[*(names.index(name) for name in concepts), -1]]
        rows = np.unpackbits(packed, axis=1, count=positions).astype(np.bool_)
        units = []
        for number in range(self.networks):
            indices, indptr = (masks[f"{self.layer}/{number}/{name}"] for name in ("indices", "indptr"))
            shape = (len(indptr) - 1, positions)
            units.append(sparse.csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=shape))
        return RecordingMasks(units, rows[:-1], rows[-1])
