"""The two passes over a corpus: what the maps and the concepts are like, then the masks of all units.

The threshold of a unit is a quantile over all recordings, so that masks are known in a second pass. The first
keeps the concepts at the positions of each layer, and of the maps some positions: all of them, if there are
few, else a random sample at the same rate in every recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from actprobe.analyses.causal.dissection.concepts import Scene, find_concepts
from actprobe.analyses.causal.dissection.grid import Grid
from actprobe.batch.prepare import Prepared
from actprobe.batch.recording_job import Arrays, ExcerptJob
from actprobe.batch.shards import ShardStore
from actprobe.corpora import Recording
from actprobe.corpora.fingerprint import fingerprint
from actprobe.corpora.label_tracks import Track
from actprobe.errors import ActprobeError, AudioError
from actprobe.frontends import FrontEnd
from actprobe.provenance import digest

SAMPLED = 16_384  # positions of a recording and layer by which thresholds are found

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass
class MapJob(ExcerptJob):
    """What both passes share: the excerpts of a recording, and the maps of a network and its controls.

    ``grids``: layer -> where its positions lie; ``random_seeds``: those of the controls; ``batch_size``:
    excerpts that go through the network together.
    """

    grids: Mapping[str, Grid]
    random_seeds: tuple[int, ...]
    batch_size: int | None

    def inside(self, layer: str, prepared: Prepared, frontend: FrontEnd) -> Mask:
        """Say which positions of a layer lie in the recording, bool [excerpts, time, mel]."""
        grid = self.grids[layer]
        within = grid.inside(self.starts(prepared, frontend), len(prepared.samples), frontend.sample_rate)
        return np.repeat(within[..., np.newaxis], len(grid.along_mel), axis=2)

    def maps(
        self, recording: Recording, prepared: Prepared, frontend: FrontEnd
    ) -> Iterator[tuple[int, int, str, Floats]]:
        """Compute the maps, some excerpts at a time.

        Yields which network (0 for the trained one, then the controls), the first excerpt, the layer, and
        values [positions, units], the excerpts one behind the other. AudioError where they are not finite.
        """
        examples = self.examples(recording, prepared, frontend)
        for number, network in enumerate(self.networks(self.random_seeds)):
            first = 0
            for batch in network.iter_activations(examples, list(self.grids), batch_size=self.batch_size):
                for layer, values in batch.items():
                    if not np.isfinite(values).all():
                        raise AudioError(recording.path, f"{layer} is NaN or infinite for it")
                    yield number, first, layer, values.reshape(-1, values.shape[-1])
                first += len(values)


@dataclass
class Described(Prepared):
    """A prepared recording and its concepts, bool [excerpts, frames] or [excerpts, frames, bands] by name."""

    masks: dict[str, Mask] = field(default_factory=dict)


@dataclass
class SurveyJob(MapJob):
    """Keeps of each recording and layer the concepts at its positions, and sampled values of the units.

    ``families``: which concepts to look for, see `find_concepts`; ``tracks``: labels by recording;
    ``faults``: recordings whose labels cannot be read, with the reason.
    """

    families: Mapping[str, Sequence[str]]
    tracks: Mapping[str, Mapping[str, Track]]
    faults: Mapping[str, str]
    seed: int

    def prepare(self, recording: Recording) -> Described:
        """Decode a recording and find its concepts, in a process without TensorFlow."""
        if recording.name in self.faults:
            raise ActprobeError(self.faults[recording.name])
        prepared = super().prepare(recording)
        frontend = self.handle.frontend.of(recording.path)
        scene = Scene(
            recording, frontend, prepared.samples, self.starts(prepared, frontend),
            self.tracks.get(recording.name, {}),
        )  # fmt: skip
        masks, failed = find_concepts(scene, self.families)
        prepared = prepared.lacking(failed)
        return Described(
            **{each.name: getattr(prepared, each.name) for each in fields(Prepared)}, masks=masks
        )

    def work(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> Arrays:
        """Bring the concepts to each layer and take the sample of its maps."""
        assert isinstance(prepared, Described)
        names = list(prepared.masks)
        found: dict[str, NDArray[np.generic]] = {"concepts": np.array(names, np.str_)}
        sampled: dict[str, Mask] = {}
        for layer, grid in self.grids.items():
            inside = self.inside(layer, prepared, frontend)
            covered = [(grid.covered(prepared.masks[name]) & inside).ravel() for name in names]
            rows = np.stack([*covered, inside.ravel()])
            found[f"{layer}/masks"] = np.packbits(rows, axis=1)
            found[f"{layer}/positions"] = np.array(inside.size)
            sampled[layer] = self._sample(recording, layer, inside.ravel())
        parts: dict[str, list[Floats]] = {}
        for number, first, layer, values in self.maps(recording, prepared, frontend):
            begin = first * self.grids[layer].cells
            parts.setdefault(f"{layer}/sample/{number}", []).append(
                values[sampled[layer][begin : begin + len(values)]]
            )
        return found | {name: np.concatenate(each) for name, each in parts.items()}

    def _sample(self, recording: Recording, layer: str, inside: Mask) -> Mask:
        """Choose positions at the same rate in every recording, bool [positions]."""
        rate = SAMPLED / (self.excerpts * self.grids[layer].cells)
        if rate >= 1:
            return inside
        places = np.flatnonzero(inside)
        rng = np.random.default_rng([self.seed, *f"{recording.name}/{layer}".encode()])
        chosen = np.zeros(len(inside), np.bool_)
        chosen[rng.choice(places, round(rate * len(places)), replace=False)] = True
        return chosen


@dataclass
class MaskJob(MapJob):
    """Keeps of each recording, layer and network where each unit exceeds its threshold.

    ``thresholds``: layer -> float32 [networks, units]. Positions are numbered through the excerpts, time and
    mel; they are the columns of a sparse matrix with a row for each unit, whose ``indices`` and ``indptr``
    are kept.
    """

    thresholds: Mapping[str, Floats]

    def work(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> Arrays:
        """Compare the maps with the thresholds."""
        inside = {layer: self.inside(layer, prepared, frontend).ravel() for layer in self.grids}
        rows: dict[str, list[NDArray[np.int64]]] = {}
        for number, first, layer, values in self.maps(recording, prepared, frontend):
            begin = first * self.grids[layer].cells
            above = values > self.thresholds[layer][number]
            above &= inside[layer][begin : begin + len(values), np.newaxis]
            units, places = np.nonzero(above.T)
            rows.setdefault(f"{layer}/{number}", []).append(np.stack([units, places + begin]))
        found: dict[str, NDArray[np.generic]] = {}
        for name, parts in rows.items():
            units, places = np.concatenate(parts, axis=1)
            layer = name.rpartition("/")[0]
            shape = (self.thresholds[layer].shape[1], len(inside[layer]))
            matrix = sparse.csr_array((np.ones(len(units), np.bool_), (units, places)), shape=shape)
            matrix.sort_indices()
            found[f"{name}/indices"] = matrix.indices.astype(np.int32)
            found[f"{name}/indptr"] = matrix.indptr.astype(np.int64)
        return found


class SurveyStore(ShardStore):
    """Shards of the first pass, which stand only while the label tracks of a recording are the same."""

    def __init__(self, directory: Path, key: str, tracks: Mapping[str, Mapping[str, Track]]) -> None:
        super().__init__(directory, key)
        self.tracks = tracks

    def state(self, recording: Recording) -> list[Any]:
        """Fingerprint of a recording, and a digest of its labels."""
        tracks = self.tracks.get(recording.name, {})
        told = {
            name: [track.values, *(list(map(str, times.tolist())) for times in (track.starts, track.ends))]
            for name, track in tracks.items()
        }
        return [*fingerprint(recording), *([digest(told)] if told else [])]
