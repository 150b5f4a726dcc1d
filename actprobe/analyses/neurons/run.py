"""The neuron run: a folder of recordings in, the table of neurons out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from absl import logging
from numpy.typing import NDArray

from actprobe import features as hand_crafted
from actprobe.analyses.neurons.job import NeuronJob, evaluation_of
from actprobe.analyses.neurons.merged import Merged, merge
from actprobe.analyses.neurons.table import neuron_table
from actprobe.batch.executors import DEFAULT, run_job
from actprobe.batch.handle import ModelHandle, run_key
from actprobe.batch.ledger import ledger_frame, usable_recordings
from actprobe.batch.prepare import UNITS, StageSeconds
from actprobe.batch.shards import ShardStore
from actprobe.batch.tables import write_parquet
from actprobe.corpora import Recording
from actprobe.errors import UsageError
from actprobe.features.labels import resolve
from actprobe.features.own import own_sources
from actprobe.models import Model
from actprobe.provenance import versions, write_csv
from actprobe.statistics.correlation import ENOUGH

__all__ = ["NeuronRun", "run_neurons"]

FORMAT = 2  # raise when shards of before must not be read any more


@dataclass(frozen=True)
class NeuronRun:
    """What a neuron run found.

    Parameters
    ----------
    table : pandas.DataFrame
        neurons.csv: one row a layer, feature and neuron.
    detail : pandas.DataFrame
        neurons_detail.csv: the same rows, with what else is known of them.
    layers : pandas.DataFrame
        layers.csv: one row a layer, feature and set of weights.
    recordings : pandas.DataFrame
        recordings.csv: the ledger, one row a recording.
    merged : Merged
        What every neuron did, in files.
    provenance : dict
        What made the numbers, JSON-able, for run.json.
    stages : StageSeconds
        Where the time went.
    """

    table: pd.DataFrame
    detail: pd.DataFrame
    layers: pd.DataFrame
    recordings: pd.DataFrame
    merged: Merged
    provenance: dict[str, Any]
    stages: StageSeconds = field(compare=False)

    @property
    def activity(self) -> dict[str, NDArray[Any]]:
        """Layer name -> [units, neurons], memory maps."""
        return self.merged.activity

    @property
    def features(self) -> dict[str, NDArray[np.float64]]:
        """Feature name -> float64 [units]."""
        return self.merged.features


def run_neurons(
    model: Model,
    corpus: str | Path,
    recordings: Sequence[Recording],
    *,
    layers: Sequence[str],
    features: Sequence[str],
    output_dir: Path,
    batch_size: int | None = None,
    executor: str = DEFAULT,
    unit: str = "recording",
    permutations: int = 1000,
    random_seeds: int = 3,
    given: str | None = None,
    group_by: str | None = None,
) -> NeuronRun:
    """Compare the neurons of some layers with some features over a corpus, and write the tables.

    A killed run goes on where it was: recordings finished before are not computed again as long as
    the model, front end, features, versions and the recording itself are the same.

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
    features : sequence of str
        Scalar features, and columns of the corpus' labels.
    output_dir : Path
        Gets recordings.csv, neurons.csv, neurons.parquet, neurons_detail.csv, layers.csv and the folders
        shards and merged.
    batch_size : int, optional
        Examples that go through the network together; by default ``model.batch_size``.
    executor : str, optional
        Who does the work, see `actprobe.batch.executors`.
    unit : str, optional
        ``recording``: a neuron's mean over the recording against the recording's feature. ``excerpt``: its
        value in every example against the feature of that stretch.
    permutations : int, optional
        Permutations of the recordings behind ``p_max``; 0 leaves it empty.
    random_seeds : int, optional
        Controls: the same network with as many sets of random weights; 0 leaves ``r_random`` empty.
    given : str, optional
        One of the features: partial correlations of the others given this one.
    group_by : str, optional
        A column of the corpus' labels, such as the song or the singer: recordings that share it are permuted
        together and do not count as independent. One without an entry stands for itself.

    Returns
    -------
    NeuronRun
        Tables, the values behind them and their provenance.

    Raises
    ------
    CorpusError
        No recording could be used; recordings.csv is written all the same.
    UsageError
        A layer, feature, unit or executor that does not exist.
    """
    names = [layer.name for layer in model.layers.select(layers)]
    plan = resolve(features, recordings)
    if given is not None and given not in plan.names:
        raise UsageError(f"given={given} is not among the features: {', '.join(plan.names)}")
    if unit not in UNITS:
        raise UsageError(f"there is no unit {unit!r}; there is {', '.join(UNITS)}")
    if group_by is not None and not any(group_by in recording.labels for recording in recordings):
        columns = sorted({column for recording in recordings for column in recording.labels})
        raise UsageError(f"no recording has a label {group_by!r}; there is {', '.join(columns) or 'none'}")
    computed = tuple(hand_crafted.get_feature(name) for name in plan.scalars)
    control_seeds = tuple(itertools.islice(_seeds_beside(model.weights.seed), random_seeds))
    job = NeuronJob(
        handle=ModelHandle(model),
        layers=tuple(names),
        features=computed,
        unit=unit,
        batch_size=batch_size or model.batch_size,
        random_seeds=control_seeds,
        evaluation=evaluation_of(model),
    )
    made_by = {
        "model": model.name,
        "weights": {**vars(model.weights)},
        "frontend": model.frontend.describe(),
        "layers": names,
        "features": hand_crafted.describe(computed),
        "feature_sources": own_sources(computed),
        "versions": versions(),
        "evaluation": job.evaluation,
        "batch_size": job.batch_size,
        "unit": unit,
        "random_seeds": list(control_seeds),
        "format": FORMAT,
    }
    key = run_key(made_by, model.weights)
    provenance = {
        **made_by,
        "features": plan.describe(),
        "corpus": str(Path(corpus).absolute()) if Path(corpus).exists() else str(corpus),
        "permutations": permutations,
        "given": given,
        "group_by": group_by,
        "run_key": key,
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    store = ShardStore(output_dir / "shards", key)
    stages = StageSeconds()
    rows = run_job(job, recordings, store, executor, stages=stages)
    rows = [
        replace(row, features=plan.of(i, row.features)) if row.status == "ok" else row
        for i, row in enumerate(rows)
    ]
    ledger = ledger_frame(rows, plan.names)
    write_csv(output_dir / "recordings.csv", ledger)
    usable = usable_recordings(recordings, rows, corpus)
    if len(usable) < ENOUGH:
        logging.warning("%d usable recordings are too few for a correlation with an interval", len(usable))
    index = {
        "model": model.name,
        "run_key": key,
        "unit": unit,
        "layers": names,
        "random_seeds": list(control_seeds),
        "example_seconds": model.frontend.example_samples / model.frontend.sample_rate,
    }
    known = ledger.loc[ledger["status"] == "ok", ["path", "seconds", "examples", *plan.names]]
    merged = merge(store, usable, output_dir, index, known.reset_index(drop=True))
    tables = neuron_table(
        model.name,
        merged.activity,
        merged.features,
        groups=_groups(merged, usable, group_by),
        random_activity=merged.random_activity,
        permutations=permutations,
        given=given,
    )
    write_csv(output_dir / "neurons.csv", tables.neurons)
    write_parquet(output_dir / "neurons.parquet", tables.neurons, key)
    write_csv(output_dir / "neurons_detail.csv", tables.detail)
    write_csv(output_dir / "layers.csv", tables.layers)
    return NeuronRun(tables.neurons, tables.detail, tables.layers, ledger, merged, provenance, stages)


def _groups(merged: Merged, usable: Sequence[Recording], group_by: str | None) -> NDArray[np.int64] | None:
    """Number the units that belong together; None where every unit stands for itself."""
    if group_by is None:
        return merged.groups if merged.unit == "excerpt" else None
    names = [recording.labels.get(group_by) or f"\0{recording.name}" for recording in usable]
    numbers = np.unique(names, return_inverse=True)[1]
    return np.asarray(numbers[merged.groups], np.int64)


def _seeds_beside(seed: int | None) -> Iterator[int]:
    """Count the seeds of controls: none is that of the network itself."""
    return (number for number in itertools.count(1) if number != seed)
