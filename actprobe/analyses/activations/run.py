"""`activations`: every recording's activations of some layers, one npz each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from actprobe.analyses.activations.job import ActivationJob
from actprobe.analyses.activations.result import ActivationResult
from actprobe.analyses.activations.store import ActivationStore
from actprobe.batch.executors import DEFAULT, parse_executor, run_job
from actprobe.batch.handle import ModelHandle
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.ledger import ledger_frame, usable_recordings
from actprobe.batch.opening import head_start, output_folder
from actprobe.corpora import open_corpus
from actprobe.corpora.corpus import CorpusLike
from actprobe.errors import UsageError
from actprobe.frontends.stored_files import OWN_NAMES
from actprobe.models import Model
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.provenance import run_record, write_csv, write_json

FORMAT = 2  # raise when files of before must be computed again


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
    head_start(executor, len(recordings), ActivationJob.__module__)
    opened = model.open()
    logging.info("%s on %d recordings of %s", opened, len(recordings), recordings.source)
    job = ActivationJob(ModelHandle(opened), tuple(names), batch_size)
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
