"""What a run keeps of each recording: blocks of excerpts, then a row that says it is finished."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.batch.growing_npz import GrowingArray, add_array, read_rows
from actprobe.batch.shards import Shard, ShardStore, file_stem, read_shard, write_shard
from actprobe.corpora import Recording
from actprobe.errors import CorpusError, UsageError
from actprobe.provenance import atomic_path

INPUT = "input"
BLOCKS = "blocks"


@dataclass(frozen=True)
class Block:
    """Some excerpts of a recording.

    - ``arrays``: `INPUT` and each method -> float32 [excerpts, time, mel].
    - ``starts_seconds``: float64 [excerpts].
    - ``rows``: those of attributions.csv.
    """

    arrays: dict[str, NDArray[np.float32]]
    starts_seconds: NDArray[np.float64]
    rows: list[dict[str, Any]]


class AttributionStore(ShardStore):
    """The shards of one run; a recording's own shard is written after its blocks."""

    def save_block(self, recording: Recording, number: int, block: Block) -> None:
        """Keep a block of a recording, by its number from 0."""
        facts = {"rows": block.rows}
        arrays: dict[str, NDArray[Any]] = {**block.arrays, "starts_seconds": block.starts_seconds}
        write_shard(self._block_path(recording, number), Shard(facts, arrays))

    def blocks(self, recording: Recording) -> Iterator[Block]:
        """Read the blocks of a finished recording; CorpusError where one has been damaged or taken away."""
        for number in range(int(self.needed(recording).arrays[BLOCKS])):
            path = self._block_path(recording, number)
            shard = read_shard(path)
            if shard is None:
                raise CorpusError(path, "is damaged: remove the folder shards and run again")
            arrays = dict(shard.arrays)
            starts = arrays.pop("starts_seconds")
            yield Block(arrays, starts, shard.facts["rows"])

    def _block_path(self, recording: Recording, number: int) -> Path:
        return self.directory / f"{file_stem(recording)}.{number:05d}.npz"


def write_attributions(
    path: Path,
    store: AttributionStore,
    recordings: Sequence[Recording],
    *,
    first_frame_seconds: float,
    hop_seconds: float,
    bands_hz: NDArray[np.float64],
) -> None:
    """Put the blocks of all recordings together as attributions.npz, with bounded memory.

    ``input`` and each method, [excerpt, time, mel]; ``recordings``, their names; ``recording``, [excerpt],
    the number of each excerpt's recording among them; ``start_seconds``, [excerpt]; ``times``, [excerpt,
    time], seconds in the recording at the centre of each frame; ``bands_hz``, [mel], the centre of each band.
    """
    owners: list[int] = []
    starts: list[NDArray[np.float64]] = []
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", suffix=".attributions") as scratch:
        growing: dict[str, GrowingArray] = {}
        shape: tuple[int, ...] = ()
        for number, recording in enumerate(recordings):
            for block in store.blocks(recording):
                owners += [number] * len(block.starts_seconds)
                starts.append(block.starts_seconds)
                for name, values in block.arrays.items():
                    if name not in growing:
                        growing[name] = GrowingArray(Path(scratch, str(len(growing))))
                    growing[name].append(values)
                    shape = values.shape[1:]
        for array in growing.values():
            array.file.close()
        start_seconds = np.concatenate(starts)
        frames = first_frame_seconds + hop_seconds * np.arange(shape[0])
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, array in growing.items():
                array.into(archive, name, (len(owners), *shape))
            add_array(archive, "recordings", np.array([recording.name for recording in recordings]))
            add_array(archive, "recording", np.array(owners, np.int64))
            add_array(archive, "start_seconds", start_seconds)
            add_array(archive, "times", start_seconds[:, np.newaxis] + frames)
            add_array(archive, "bands_hz", bands_hz)


def read_recording(path: Path, recording: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of one recording out of attributions.npz, and ``bands_hz``; nothing else is loaded.

    UsageError where that recording is not in it.
    """
    with np.load(path, allow_pickle=False) as archive:
        names, owners = archive["recordings"].tolist(), archive["recording"]
        found = {"bands_hz": archive["bands_hz"]}
        others = [name for name in archive.files if name not in ("recordings", "recording", "bands_hz")]
    if recording not in names:
        raise UsageError(f"no recording {recording!r} was attributed; there is {', '.join(names[:10])}")
    first, end = np.searchsorted(owners, names.index(recording) + np.arange(2)).tolist()
    with zipfile.ZipFile(path) as file:
        return found | {name: read_rows(file, name, first, end) for name in others}


def known_rows(store: AttributionStore, recordings: Sequence[Recording]) -> list[dict[str, Any]]:
    """Collect the rows of attributions.csv."""
    return [row for recording in recordings for block in store.blocks(recording) for row in block.rows]
