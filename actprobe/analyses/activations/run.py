"""`activations`: every recording's activations of some layers, one npz each."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe import scratch
from actprobe.analyses.activations.result import ActivationResult
from actprobe.analyses.activations.store import Activations, ActivationStore, Evaluate
from actprobe.batch.executors import DEFAULT, parse_executor, run_job
from actprobe.batch.handle import ModelHandle
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.ledger import LedgerRow, failed_row, ledger_frame, usable_recordings
from actprobe.batch.opening import head_start, output_folder
from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.corpora import Recording, open_corpus
from actprobe.corpora.corpus import CorpusLike
from actprobe.errors import UsageError
from actprobe.frontends.stored_files import OWN_NAMES, file_facts
from actprobe.models import Layer, Model
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.provenance import run_record, write_csv, write_json

FORMAT = 2  # raise when files of before must be computed again
BATCH_BYTES = 32 << 20  # of the largest layer, for the examples that go through the network together


def activations(
    model: Model | ModelSource,
    corpus: CorpusLike,
    *,
    layers: Sequence[str],
    output_dir: str | Path,
    batch_size: int = 32,
    executor: str = DEFAULT,
) -> ActivationResult:
    """Write the activations of some layers for every recording of a corpus.

    The npz of a recording holds for each layer an array of that name, float32, [examples, time, mel,
    channel] for a map and [examples, unit] for a vector; ``times``, the seconds from the start of the
    recording to that of each example; for a map ``LAYER/times``, the seconds from the start of an
    example to the centre of each time position; what the network was given, as ``examples``, [examples,
    time, mel], or as ``frames``, [frames, mel], of which examples are windows; and ``facts``, JSON with the
    provenance. A position's time in the recording is the sum of the two. Where examples overlap
    much, layers are computed densely if that is possible. Memory does not grow with the length of a
    recording. `actprobe.open_activations` reads the files in place of the network.

    A killed run goes on where it was: a recording's file is whole or absent, and it is not computed
    again while the model, front end, layers, versions and the recording itself are the same.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`.
    corpus : str, Path, list, pandas.DataFrame or Corpus
        What `actprobe.open_corpus` takes.
    layers : sequence of str
        Names of layers, see ``model.layers``; or ``all``: every layer but pre-activations.
    output_dir : str or Path
        Gets the npz files, recordings.csv and run.json.
    batch_size : int, optional
        Examples that go through the network together, at most; fewer where its layers are large.
    executor : str, optional
        ``local:N``: N processes decode beside the network. ``dask:N`` or ``dask://HOST:PORT``: a cluster.

    Returns
    -------
    ActivationResult
        ``table`` is recordings.csv, whose column ``file`` names each npz; ``found["song.wav"]`` opens one.

    Raises
    ------
    UsageError
        A layer or executor that does not exist.
    CorpusError
        The corpus cannot be read, or no recording could be used; recordings.csv is written all the same.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.activations(
    ...     model, "FOLDER", layers=["mp3", "fc8"], output_dir="ACTIVATIONS"
    ... )
    >>> found["red_1.wav"]["fc8"].shape[-1]
    64
    """
    began = time.time()
    names = [layer.name for layer in model.layers.select(layers)]
    if set(names) & set(OWN_NAMES):
        raise UsageError(f"a layer named {' or '.join(OWN_NAMES)} cannot be written: rename it")
    parse_executor(executor)
    recordings = open_corpus(corpus)
    folder = output_folder(output_dir)
    head_start(executor, len(recordings), _ActivationJob.__module__)
    opened = model.open()
    logging.info("%s on %d recordings of %s", opened, len(recordings), recordings.source)
    job = _ActivationJob(ModelHandle(opened), tuple(names), batch_size)
    decides = made_by(opened, layers=names, evaluation=job.manner(opened), format=FORMAT)
    store = ActivationStore(folder, run_key(decides, opened.weights))
    rows = run_job(job, recordings, store, executor, least_seconds=opened.example_seconds)
    ledger = ledger_frame(rows, ())
    ledger["file"] = [
        store.path(recording).name if row.status == "ok" else ""
        for recording, row in zip(recordings, rows, strict=True)
    ]
    write_csv(folder / "recordings.csv", ledger)
    usable = usable_recordings(recordings, rows, recordings.source)
    arguments = {
        "corpus": recordings.source, "layers": names, "output_dir": str(folder), "batch_size": batch_size,
        "executor": executor,
    }  # fmt: skip
    made = {**decides, **network_record(opened), "corpus": recordings.source, "mono": recordings.mono}
    made["run_key"] = store.key
    counts = {"opened": str(opened), "recordings": len(rows), "failed": len(rows) - len(usable)}
    write_json(
        folder / "run.json",
        {**run_record("activations", began, arguments, made), **counts},
    )
    return ActivationResult.load(folder)


@dataclass
class _ActivationJob:
    """What is to be done with every recording; see `actprobe.batch.jobs.Job`."""

    handle: ModelHandle
    layers: tuple[str, ...]
    batch_size: int
    _evaluate: Evaluate | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_evaluate": None}

    def prepare(self, recording: Recording) -> Prepared:
        return prepare_recording(recording, self.handle.frontend)

    def consumer(self, store: ActivationStore) -> _ActivationConsumer:
        model = self.handle.model
        if self._evaluate is None:
            self._evaluate = self._evaluator(model)
        return _ActivationConsumer(model, model.layers.select(self.layers), self._evaluate, store)

    def manner(self, model: Model) -> str:
        """Say how examples go through the network, for provenance."""
        way = model.evaluation(self.layers)
        return f"batches of {self._batch(model)}" if way == "batches" else way

    def _batch(self, model: Model) -> int:
        largest = max(4 * math.prod(layer.shape) for layer in model.layers.values())
        return max(1, min(self.batch_size, BATCH_BYTES // largest))

    def _evaluator(self, model: Model) -> Evaluate:
        if model.evaluation(self.layers) != "dense":
            batch = self._batch(model)
            return lambda examples: model.iter_activations(examples, self.layers, batch_size=batch)
        dense, hop = model.dense(self.layers), model.frontend.hop

        def densely(examples: NDArray[np.float32]) -> Iterator[Activations]:
            last = examples[-1, hop:]
            frames = scratch.array((len(examples) * hop + len(last), examples.shape[2]), np.float32)
            np.concatenate([*examples[:, :hop], last], out=frames)
            return (piece for _, piece in dense.chunks(frames, hop))

        return densely


@dataclass
class _ActivationConsumer:
    model: Model
    layers: Sequence[Layer]
    evaluate: Evaluate
    store: ActivationStore

    def add(self, recording: Recording, prepared: Prepared) -> list[LedgerRow]:
        """Write a recording's file; a fault, of the disk too, is that of this recording."""
        try:
            examples = self.model.frontend.of(recording.path).examples(prepared.samples)
            facts = file_facts(self.model.frontend)
            return [self.store.write(recording, prepared, examples, self.layers, self.evaluate, facts)]
        except Exception as error:  # one bad recording must not stop the batch
            return [failed_row(recording, error)]

    def flush(self) -> list[LedgerRow]:
        """Nothing is left: every recording is written at once."""
        return []
