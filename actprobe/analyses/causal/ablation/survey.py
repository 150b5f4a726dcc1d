"""First pass over the corpus: what the units of each layer are like, for fills and matched controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.batch.prepare import Prepared
from actprobe.batch.recording_job import Arrays, ExcerptJob
from actprobe.batch.shards import ShardStore
from actprobe.corpora import Recording
from actprobe.errors import AudioError
from actprobe.frontends import FrontEnd
from actprobe.models.split import Floats, Halfway, Split

Doubles = NDArray[np.float64]


@dataclass
class CutJob(ExcerptJob):
    """What both passes share: the network cut at each of ``layers``, of whose ``outputs`` it is asked."""

    layers: tuple[str, ...]
    outputs: tuple[str, ...]

    def cut(self, layer: str) -> Split:
        """Cut the network at a layer."""
        return self.handle.model.split(layer, self.outputs)

    def halfway(self, recording: Recording, layer: str, examples: Floats) -> Halfway:
        """Compute a layer; AudioError where it is not finite."""
        found = self.cut(layer).before(examples)
        if not np.isfinite(found.values).all():
            raise AudioError(recording.path, f"{layer} is NaN or infinite for it")
        return found


@dataclass
class SurveyJob(CutJob):
    """Keeps of each recording and layer the mean of the excerpts, moments of the units, and one excerpt."""

    def work(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> Arrays:
        examples = self.examples(recording, prepared, frontend)
        found: dict[str, NDArray[np.float64] | Floats] = {}
        for layer in self.layers:
            values = self.halfway(recording, layer, examples).values
            by_unit = np.moveaxis(values, self.cut(layer).unit_axis, -1)
            by_unit = by_unit.reshape(-1, by_unit.shape[-1]).astype(np.float64)
            found[f"mean/{layer}"] = values.mean(axis=0, dtype=np.float64)
            found[f"moments/{layer}"] = np.stack([by_unit.mean(axis=0), np.square(by_unit).mean(axis=0)])
            found[f"donor/{layer}"] = values[len(values) // 2]
        return found


@dataclass(frozen=True)
class Survey:
    """What the units of a layer are like over the corpus, each recording counting alike.

    - ``mean``: float32 [...], the mean activations in the axes of the network.
    - ``centre``, ``deviation``: float64 [units], mean and standard deviation over recordings and positions.
    """

    mean: Floats
    centre: Doubles
    deviation: Doubles

    def distance(self, fill: str, units: Sequence[int]) -> float:
        """Say how many standard deviations a fill lies from the units' own mean, averaged over the units."""
        if fill != "zero":
            return 0.0
        chosen = [unit for unit in units if self.deviation[unit] > 0]
        if not chosen:
            return float("nan")
        return float(np.mean(np.abs(self.centre[chosen]) / self.deviation[chosen]))


def surveyed(store: ShardStore, recordings: Sequence[Recording], layers: Sequence[str]) -> dict[str, Survey]:
    """Put together what `SurveyJob` has kept."""
    sums: dict[str, list[NDArray[np.float64]]] = {}
    for recording in recordings:
        arrays = store.needed(recording).arrays
        for layer in layers:
            mean, moments = arrays[f"mean/{layer}"], arrays[f"moments/{layer}"]
            known = sums.get(layer)
            sums[layer] = [mean, moments] if known is None else [known[0] + mean, known[1] + moments]
    found = {}
    for layer, (mean, moments) in sums.items():
        centre, square = moments / len(recordings)
        spread_of = np.sqrt(np.maximum(square - centre**2, 0))
        found[layer] = Survey((mean / len(recordings)).astype(np.float32), centre, spread_of)
    return found


def donors(recordings: Sequence[Recording], seed: int) -> Mapping[str, Recording]:
    """Give every recording another one, by a seeded cycle through all; itself where it is the only one."""
    order = np.random.default_rng(seed).permutation(len(recordings))
    after = np.roll(order, -1)
    pairs = zip(order.tolist(), after.tolist(), strict=True)
    return {recordings[one].name: recordings[other] for one, other in pairs}
