"""One npz a recording, whole or absent, written with bounded memory.

Examples go through the network a few at a time, and what comes out is appended to one file per layer before
these are put together.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.batch.growing_npz import GrowingArray, add_array
from actprobe.batch.ledger import LedgerRow
from actprobe.batch.prepare import Prepared
from actprobe.batch.shards import file_stem
from actprobe.corpora import Recording
from actprobe.corpora.fingerprint import fingerprint
from actprobe.models import Layer
from actprobe.provenance import atomic_path, canonical_json

SCRATCH_SUFFIX = ".layers"

Activations = Mapping[str, NDArray[np.float32]]
Evaluate = Callable[[NDArray[np.float32]], Iterator[Activations]]


class ActivationStore:
    """The npz files of one run."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder.absolute()
        self.key = key
        for leftover in self.folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        for scratch in self.folder.glob(f".*{SCRATCH_SUFFIX}"):
            shutil.rmtree(scratch, ignore_errors=True)

    def path(self, recording: Recording) -> Path:
        """Say where the npz of a recording is."""
        return self.folder / f"{file_stem(recording)}.npz"

    def finished(self, recording: Recording) -> LedgerRow | None:
        """Give the ledger's row of a recording whose file is there and still right."""
        try:
            with np.load(self.path(recording), allow_pickle=False) as archive:
                facts = json.loads(str(archive["facts"]))
            if facts["run_key"] == self.key and facts["source"] == fingerprint(recording):
                return LedgerRow(path=recording.name, status="ok", **facts["ledger"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            pass
        return None

    def write(
        self,
        recording: Recording,
        prepared: Prepared,
        examples: NDArray[np.float32],
        layers: Sequence[Layer],
        evaluate: Evaluate,
        facts: Mapping[str, Any],
    ) -> LedgerRow:
        """Compute and write a recording's file, whole or not at all; ``facts`` are those of all files."""
        row, count = prepared.row, len(examples)
        self._check_space(count, layers, examples.shape[1:])
        source = fingerprint(recording)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".", suffix=SCRATCH_SUFFIX) as scratch:
            parts = {layer.name: GrowingArray(Path(scratch, str(i))) for i, layer in enumerate(layers)}
            try:
                for activations in evaluate(examples):
                    for name, part in parts.items():
                        part.append(activations[name])
            finally:
                for part in parts.values():
                    part.file.close()
            own = {"run_key": self.key, "source": source, "ledger": row.facts()}
            target = self.path(recording)
            with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
                for layer in layers:
                    parts[layer.name].into(archive, layer.name, (count, *layer.shape))
                    if layer.is_map:
                        add_array(archive, f"{layer.name}/times", layer.times())
                add_array(archive, "times", prepared.starts)
                add_array(archive, *_input(examples, facts.get("windows")))
                add_array(archive, "facts", np.array(canonical_json({**facts, **own})))
        return row

    def _check_space(self, examples: int, layers: Sequence[Layer], example_shape: tuple[int, ...]) -> None:
        shapes = [example_shape, *(layer.shape for layer in layers)]
        needed = 2 * examples * sum(4 * math.prod(shape) for shape in shapes)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise OSError(
                f"{needed / 1e9:.1f} GB are needed while it is written, {free / 1e9:.1f} GB are free"
            )


def _input(examples: NDArray[np.float32], windows: Sequence[int] | None) -> tuple[str, NDArray[np.float32]]:
    """Name what the network was given: examples, or the frames of which they are windows."""
    if windows is None:
        return "examples", examples
    hop = windows[1]
    return "frames", np.concatenate([*examples[:, :hop], examples[-1, hop:]])
