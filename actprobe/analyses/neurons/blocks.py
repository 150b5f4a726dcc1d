"""Shards -> blocks -> one memory-mapped file per layer: memory does not grow with the recordings.

A block holds the rows of 64 recordings and is named by what it was made of, so that a run that goes on
reads only the shards of blocks that changed. From the blocks come the files that analyses map into
memory, [units, neurons] for each layer; ``index.json`` names them and is written last.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from actprobe.analyses.neurons.merged import EXTREMES, Array, Merged, open_merged
from actprobe.batch.shards import Shard, ShardStore
from actprobe.corpora import Recording
from actprobe.errors import CorpusError
from actprobe.provenance import atomic_path, digest, write_json, write_npz

BLOCK = 64
FORMAT = 2  # raise when blocks and files of before must not be read any more


def merge(
    store: ShardStore,
    recordings: Sequence[Recording],
    directory: Path,
    index: dict[str, Any],
    table: pd.DataFrame,
) -> Merged:
    """Merge the shards of a run.

    Parameters
    ----------
    store : ShardStore
        The shards.
    recordings : sequence of Recording
        Those that are usable, in the order of the corpus.
    directory : Path
        Gets the folder ``merged``.
    index : dict
        ``model``, ``unit``, ``layers``, ``random_seeds``, ``example_seconds`` and ``run_key``.
    table : pandas.DataFrame
        One row a recording: ``path``, ``seconds``, ``examples``, and a column for each feature.

    Raises
    ------
    CorpusError
        A recording or its shard changed while the run was going on.
    """
    merged = directory / "merged"
    blocks = merged / "blocks"
    blocks.mkdir(parents=True, exist_ok=True)
    parts = [recordings[i : i + BLOCK] for i in range(0, len(recordings), BLOCK)]
    paths = [_block(store, part, blocks, index) for part in parts]
    folder = digest([FORMAT, index, table.to_csv(index=False), [path.name for path in paths]])
    target = merged / folder
    if not (target / "units.parquet").exists():
        _assemble(paths, target, index, table)
    write_json(merged / "index.json", {**index, "features": _features(table), "folder": folder})
    kept = {*paths, target, blocks, merged / "index.json"}
    for old in (*merged.iterdir(), *blocks.iterdir()):
        if old not in kept:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    return open_merged(directory)


def _block(store: ShardStore, recordings: Sequence[Recording], blocks: Path, index: dict[str, Any]) -> Path:
    """Put the shards of some recordings into one file."""
    states = []
    for recording in recordings:
        status = store.path(recording).stat()
        states.append([recording.name, status.st_size, status.st_mtime_ns])
    path = blocks / f"{digest([FORMAT, index['run_key'], states])}.npz"
    if not path.exists():
        shards = [_rows(store.needed(recording)) for recording in recordings]
        arrays = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
        write_npz(path, arrays)
    return path


def _rows(shard: Shard) -> dict[str, Array]:
    """Name what a block has of a recording: a row, or one for each of its examples."""
    starts = shard.arrays["starts"]
    rows = {"counts": np.array([len(starts)])}
    for name, values in shard.arrays.items():
        kind, _, layer = name.partition("/")
        by_example = kind in ("starts", "feature") or kind.startswith("each_")
        rows[name] = values if by_example else values[np.newaxis]
        if kind in ("max_at", "min_at"):
            rows[f"{kind.removesuffix('_at')}_seconds/{layer}"] = starts[values][np.newaxis]
    return rows


def _assemble(paths: Sequence[Path], target: Path, index: dict[str, Any], table: pd.DataFrame) -> None:
    """Make the memory-mapped files of blocks, one layer at a time."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    units = _units(paths, index, table)
    each = "each_" if index["unit"] == "excerpt" else ""
    networks = ["mean", *(f"random{i}" for i in range(len(index["random_seeds"])))]
    for number, layer in enumerate(index["layers"]):
        for name in networks:
            _stack(paths, f"{each}{name}/{layer}", target / f"{number}-{name}.npy", len(units))
        for name in EXTREMES:
            _stack(paths, f"{name}/{layer}", target / f"{number}-{name}.npy", len(table))
    np.save(target / "starts.npy", _column(paths, "starts"))
    for name, frame in (("recordings", table), ("units", units)):
        with atomic_path(target / f"{name}.parquet") as temporary:
            frame.to_parquet(temporary, index=False)


def _features(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table.columns if name not in ("path", "seconds", "examples")]


def _column(paths: Sequence[Path], name: str) -> Array:
    pieces = []
    for path in paths:
        with np.load(path, allow_pickle=False) as block:
            pieces.append(block[name])
    return np.concatenate(pieces)


def _stack(paths: Sequence[Path], name: str, target: Path, rows: int) -> None:
    mapped: Any = None
    first = 0
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as block:
                values = block[name]
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            path.unlink(missing_ok=True)
            raise CorpusError(path, f"is damaged ({error}); run again") from error
        if mapped is None:
            shape = (rows, values.shape[1])
            mapped = np.lib.format.open_memmap(target, "w+", values.dtype, shape)  # type: ignore[no-untyped-call]
        mapped[first : first + len(values)] = values
        first += len(values)
    mapped.flush()


def _units(paths: Sequence[Path], index: dict[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    features = _features(table)
    recording = np.arange(len(table))
    if index["unit"] == "recording":
        frame = table[["path"]].assign(recording=recording)
        frame["example"] = pd.array([None] * len(table), "Int64")
        frame["start_seconds"] = 0.0
        frame["seconds"] = table["seconds"]
        return frame.join(table[features].astype(np.float64))
    counts = _column(paths, "counts")
    recording = np.repeat(recording, counts)
    frame = table[["path"]].iloc[recording].reset_index(drop=True).assign(recording=recording)
    frame["example"] = pd.array(np.concatenate([np.arange(count) for count in counts]), "Int64")
    frame["start_seconds"] = _column(paths, "starts")
    left = table["seconds"].to_numpy(np.float64)[recording] - frame["start_seconds"]
    frame["seconds"] = np.minimum(index["example_seconds"], left)
    with np.load(paths[0], allow_pickle=False) as block:
        by_example = [name for name in features if f"feature/{name}" in block.files]
    for name in features:
        known = _column(paths, f"feature/{name}") if name in by_example else table[name].to_numpy()[recording]
        frame[name] = np.asarray(known, np.float64)
    return frame
