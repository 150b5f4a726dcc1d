"""What was computed of all recordings, put together from their shards when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.causal.probing.job import FEATURE, STARTS
from actprobe.analyses.causal.probing.targets import Units
from actprobe.batch.ledger import LedgerRow
from actprobe.batch.shards import ShardStore
from actprobe.corpora import Recording

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """The units of a run, recordings or excerpts of them.

    ``recording`` [units]: the place of their recording in the corpus. ``kept``: the usable recordings, by
    that place, with their rows of the ledger.
    """

    store: ShardStore
    kept: dict[int, tuple[Recording, LedgerRow]]
    unit: str
    example_seconds: float
    recording: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        store: ShardStore,
        recordings: Sequence[Recording],
        rows: Sequence[LedgerRow],
        unit: str,
        example_seconds: float,
    ) -> Seen:
        """Find the units; CorpusError where a recording has changed while the run was going on."""
        both = enumerate(zip(recordings, rows, strict=True))
        kept = {place: (recording, row) for place, (recording, row) in both if row.status == "ok"}
        sizes = [len(store.needed(recording).arrays[STARTS]) for recording, _ in kept.values()]
        places = np.array([*kept], np.int64)
        return cls(
            store, kept, unit, example_seconds, places if unit == "recording" else np.repeat(places, sizes)
        )

    def read(self, name: str) -> NDArray[np.float32]:
        """Read an array of all shards, [units, neurons]; of a recording, the mean over its excerpts."""
        blocks = []
        for recording, _ in self.kept.values():
            with np.load(self.store.path(recording), allow_pickle=False) as archive:
                block = archive[name]
            blocks.append(block.mean(axis=0, keepdims=True) if self.unit == "recording" else block)
        return np.concatenate(blocks)

    def units(self, features: Sequence[str]) -> Units:
        """Say when the units are, and what their features are."""
        if self.unit == "recording":
            values = {
                name: np.array([row.features.get(name, np.nan) for _, row in self.kept.values()], np.float64)
                for name in features
            }
            return Units(self.recording, np.full(len(self.recording), np.nan), values)
        shards = [(self.store.needed(recording).arrays, row) for recording, row in self.kept.values()]
        middles = []
        for arrays, row in shards:
            middle = arrays[STARTS] + self.example_seconds / 2
            middles.append(np.where(middle < (row.seconds or 0.0), middle, np.nan))
        values = {
            name: np.concatenate([arrays[f"{FEATURE}/{name}"] for arrays, _ in shards]) for name in features
        }
        return Units(self.recording, np.concatenate(middles), values)
