"""The activation run: every recording's activations of some layers, one npz each.

Memory does not grow with the recording: examples go through the network a few at a time, and what
comes out is appended to one file per layer before these are put together.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.batch.executors import DEFAULT, run_job
from actprobe.batch.handle import ModelHandle, run_key
from actprobe.batch.ledger import LedgerRow, ledger_frame, usable_recordings
from actprobe.batch.prepare import Prepared, failed_row, prepare_recording
from actprobe.batch.shards import file_stem, fingerprint
from actprobe.corpora import Recording
from actprobe.errors import UsageError
from actprobe.models import Layer, Model
from actprobe.models.networks import svd
from actprobe.provenance import atomic_path, canonical_json, versions, write_csv

__all__ = ["ActivationRun", "run_activations"]

FORMAT = 1  # raise when files of before must be computed again
BATCH_BYTES = 32 << 20  # of the largest layer, for the examples that go through the network together
PIECE_BYTES = 16 << 20
OWN_NAMES = ("times", "facts")
SCRATCH_SUFFIX = ".layers"

Activations = Mapping[str, NDArray[np.float32]]
Evaluate = Callable[[NDArray[np.float32]], Iterator[Activations]]


@dataclass(frozen=True)
class ActivationRun:
    """What an activation run wrote.

    Parameters
    ----------
    recordings : pandas.DataFrame
        recordings.csv: the ledger, one row a recording, and in the column ``file`` its npz.
    files : tuple of Path
        The npz of every usable recording.
    provenance : dict
        What made the numbers, JSON-able, for run.json.
    """

    recordings: pd.DataFrame
    files: tuple[Path, ...]
    provenance: dict[str, Any]


def run_activations(
    model: Model,
    corpus: str | Path,
    recordings: Sequence[Recording],
    *,
    layers: Sequence[str],
    output_dir: Path,
    batch_size: int = 32,
    executor: str = DEFAULT,
) -> ActivationRun:
    """Write the activations of some layers for every recording of a corpus.

    The npz of a recording holds for each layer an array of that name, float32, [examples, time, mel,
    channel] for a map and [examples, unit] for a vector; ``times``, the seconds from the start of the
    recording to that of each example; for a map ``LAYER/times``, the seconds from the start of an
    example to the centre of each time position; and ``facts``, JSON that says what made the numbers.
    A position's time in the recording is the sum of the two. Layers of the singing voice detector are
    computed densely where its examples are one frame apart.

    A killed run goes on where it was: a recording's file is whole or absent, and it is not computed
    again while the model, front end, layers, versions and the recording itself are the same.

    Parameters
    ----------
    model : Model
        The network.
    corpus : str or Path
        What the recordings came from, for messages.
    recordings : sequence of Recording
        The corpus.
    layers : sequence of str
        Layer names.
    output_dir : Path
        Gets the npz files and recordings.csv.
    batch_size : int, optional
        Examples that go through the network together, at most; fewer where its layers are large.
    executor : str, optional
        Who does the work, see `actprobe.batch.executors`.

    Returns
    -------
    ActivationRun
        The ledger, the files and their provenance.

    Raises
    ------
    CorpusError
        No recording could be used; recordings.csv is written all the same.
    UsageError
        A layer that does not exist.
    """
    selected = model.layers.select(layers)
    if {layer.name for layer in selected} & set(OWN_NAMES):
        raise UsageError(f"a layer named {' or '.join(OWN_NAMES)} cannot be written: rename it")
    job = _ActivationJob(ModelHandle(model), tuple(layer.name for layer in selected), batch_size)
    provenance = {
        "model": model.name,
        "weights": {**vars(model.weights)},
        "frontend": model.frontend.describe(),
        "layers": [layer.name for layer in selected],
        "evaluation": job.manner(model),
        "versions": versions(),
        "format": FORMAT,
    }
    key = run_key(provenance, model.weights)
    output_dir.mkdir(parents=True, exist_ok=True)
    for leftover in output_dir.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
    for scratch in output_dir.glob(f".*{SCRATCH_SUFFIX}"):
        shutil.rmtree(scratch, ignore_errors=True)
    store = _Store(output_dir.absolute(), key)
    ordered = run_job(job, recordings, store, executor)
    ledger = ledger_frame(ordered, ())
    ledger["file"] = [
        store.path(recording).name if row.status == "ok" else ""
        for recording, row in zip(recordings, ordered, strict=True)
    ]
    write_csv(output_dir / "recordings.csv", ledger)
    usable = usable_recordings(recordings, ordered, corpus)
    files = tuple(output_dir / store.path(recording).name for recording in usable)
    return ActivationRun(ledger, files, {**provenance, "run_key": key})


@dataclass
class _ActivationJob:
    """What is to be done with every recording; see `actprobe.batch.executors.Job`."""

    handle: ModelHandle
    layers: tuple[str, ...]
    batch_size: int
    _evaluate: Evaluate | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_evaluate": None}

    def prepare(self, recording: Recording) -> Prepared:
        return prepare_recording(recording, self.handle.frontend)

    def consumer(self, store: _Store) -> _ActivationConsumer:
        model = self.handle.model
        if self._evaluate is None:
            self._evaluate = self._evaluator(model)
        return _ActivationConsumer(model, model.layers.select(self.layers), self._evaluate, store)

    def manner(self, model: Model) -> str:
        """Say how examples go through the network, for provenance."""
        return "dense" if self._is_dense(model) else f"batches of {self._batch(model)}"

    def _is_dense(self, model: Model) -> bool:
        return model.layers is svd.LAYERS and getattr(model.frontend, "hop", None) == 1

    def _batch(self, model: Model) -> int:
        largest = max(4 * math.prod(layer.shape) for layer in model.layers)
        return max(1, min(self.batch_size, BATCH_BYTES // largest))

    def _evaluator(self, model: Model) -> Evaluate:
        if not self._is_dense(model):
            batch = self._batch(model)
            return lambda examples: model.iter_activations(examples, self.layers, batch_size=batch)
        from actprobe.models.dense import DenseEvaluation

        dense = DenseEvaluation(model, self.layers)

        def densely(examples: NDArray[np.float32]) -> Iterator[Activations]:
            frames = np.concatenate([examples[:, 0], examples[-1, 1:]])
            return (activations for _, activations in dense.chunks(frames))

        return densely


@dataclass
class _ActivationConsumer:
    model: Model
    layers: Sequence[Layer]
    evaluate: Evaluate
    store: _Store

    def add(self, recording: Recording, prepared: Prepared) -> list[LedgerRow]:
        """Write a recording's file; a fault, of the disk too, is that of this recording."""
        try:
            examples = self.model.frontend.examples(prepared.samples)
            return [self.store.write(recording, prepared, examples, self.layers, self.evaluate)]
        except Exception as error:  # one bad recording must not stop the batch
            return [failed_row(recording, error)]

    def flush(self) -> list[LedgerRow]:
        """Nothing is left: every recording is written at once."""
        return []


class _Store:
    """The npz files of one run."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key

    def path(self, recording: Recording) -> Path:
        return self.folder / f"{file_stem(recording)}.npz"

    def finished(self, recording: Recording) -> LedgerRow | None:
        """Return what the ledger says of a recording whose file is there and still right."""
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
    ) -> LedgerRow:
        """Compute and write a recording's file, whole or not at all."""
        row, count = prepared.row, len(examples)
        self._check_space(count, layers)
        source = fingerprint(recording)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".", suffix=SCRATCH_SUFFIX) as scratch:
            parts = {layer.name: _Part(Path(scratch, str(i))) for i, layer in enumerate(layers)}
            try:
                for activations in evaluate(examples):
                    for name, part in parts.items():
                        part.append(activations[name])
            finally:
                for part in parts.values():
                    part.file.close()
            facts = canonical_json({"run_key": self.key, "source": source, "ledger": row.facts()})
            target = self.path(recording)
            with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
                for layer in layers:
                    parts[layer.name].into(archive, layer.name, (count, *layer.shape))
                    if layer.is_map:
                        _add(archive, f"{layer.name}/times", layer.times())
                _add(archive, "times", prepared.starts)
                _add(archive, "facts", np.array(facts))
        return row

    def _check_space(self, examples: int, layers: Sequence[Layer]) -> None:
        needed = 2 * examples * sum(4 * math.prod(layer.shape) for layer in layers)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise OSError(
                f"{needed / 1e9:.1f} GB are needed while it is written, {free / 1e9:.1f} GB are free"
            )


class _Part:
    """The numbers of one layer, in a file of their own until all are there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("wb")

    def append(self, values: NDArray[np.float32]) -> None:
        """Add the values of some examples, which may be a view larger than memory."""
        step = max(1, PIECE_BYTES // max(1, 4 * math.prod(values.shape[1:])))
        for start in range(0, len(values), step):
            self.file.write(np.ascontiguousarray(values[start : start + step], "<f4").data)

    def into(self, archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> None:
        """Copy the numbers into an npz."""
        if self.path.stat().st_size != 4 * math.prod(shape):
            raise AssertionError(f"{name}: {self.path.stat().st_size} bytes for shape {shape}")
        with _member(archive, name) as member, self.path.open("rb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            numpy_format: Any = np.lib.format  # its functions have no types
            numpy_format.write_array_header_1_0(member, header)
            shutil.copyfileobj(file, member, PIECE_BYTES)
        self.path.unlink()


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a member for writing; its date is fixed, so that equal numbers give equal bytes."""
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def _add(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    image = io.BytesIO()
    np.save(image, array, allow_pickle=False)
    with _member(archive, name) as member:
        member.write(image.getvalue())
