"""`neurons`: which neurons follow which hand-crafted features, over a corpus of recordings."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe import features as hand_crafted
from actprobe.analyses.neurons.blocks import merge
from actprobe.analyses.neurons.dependence import dependences
from actprobe.analyses.neurons.figures import draw_neurons
from actprobe.analyses.neurons.found import NeuronFindings
from actprobe.analyses.neurons.job import NeuronJob
from actprobe.analyses.neurons.merged import Merged
from actprobe.analyses.neurons.playlists import best_of_layers, write_playlists
from actprobe.analyses.neurons.result import NeuronResult
from actprobe.analyses.neurons.summary import neuron_summary
from actprobe.analyses.neurons.table import neuron_table
from actprobe.batch.executors import DEFAULT, parse_executor, run_job
from actprobe.batch.handle import ModelHandle
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.jobs import StageSeconds
from actprobe.batch.ledger import ledger_frame, refuse_unknown, usable_recordings
from actprobe.batch.opening import corpus_or_phantom, head_start, output_folder
from actprobe.batch.prepare import UNITS
from actprobe.batch.shards import ShardStore
from actprobe.batch.tables import write_parquet
from actprobe.corpora import Corpus, Recording
from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.grouping import group_numbers, refuse_unknown_column
from actprobe.errors import UsageError
from actprobe.features.labels import Plan, resolve
from actprobe.features.own import import_features, own_sources
from actprobe.features.registry import packages, refuse_too_short
from actprobe.models import Model
from actprobe.models.layer_table import read_unit
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.provenance import run_record, write_csv, write_json
from actprobe.statistics.clusters import ENOUGH
from actprobe.statistics.correlation import constant_neurons

FORMAT = 3  # raise when shards of before must not be read any more


def neurons(
    model: Model | ModelSource,
    corpus: CorpusLike | None = None,
    *,
    layers: Sequence[str],
    features: Sequence[str] = ("onset_rate", "loudness"),
    output_dir: str | Path,
    unit: str = "recording",
    permutations: int = 1000,
    random_seeds: int = 3,
    given: str | None = None,
    group_by: str | None = None,
    executor: str = DEFAULT,
    batch_size: int | None = None,
    figures: int = 3,
    playlists: int = 0,
    playlist_neurons: Sequence[str] | None = None,
    features_from: str | Path | None = None,
) -> NeuronResult:
    """Compare every neuron of some layers with hand-crafted features over a corpus.

    A neuron is a unit of a dense layer, or a channel averaged over its map. A killed run goes on where it
    was when it is called again: recordings finished before are not computed again as long as the model, front
    end, features, versions and the recording itself are the same.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`.
    corpus : str, Path, list, pandas.DataFrame or Corpus, optional
        What `actprobe.open_corpus` takes; by default the phantom corpus, written into the folder.
    layers : sequence of str
        Names of layers, see ``model.layers``; or ``all``: every layer but pre-activations.
    features : sequence of str, optional
        Scalar features, and columns of the corpus' labels.
    output_dir : str or Path
        Gets neurons.csv, neurons.parquet, neurons_detail.csv, layers.csv, recordings.csv, run.json and the
        folders figures, playlists, merged and shards.
    unit : str, optional
        ``recording``: a neuron's mean over the recording against the recording's feature. ``excerpt``: its
        value in every example against the feature of that segment.
    permutations : int, optional
        Permutations of the recordings behind ``p_max``; 0 leaves it empty.
    random_seeds : int, optional
        Controls: the same network with as many sets of random weights; 0 leaves ``r_random`` empty.
    given : str, optional
        One of the features: partial correlations of the others given this one.
    group_by : str, optional
        A column of the corpus' labels, such as the song or the singer: recordings that share it are permuted
        together and do not count as independent. One without an entry stands for itself.
    executor : str, optional
        ``local:N``: N processes decode and describe beside the network. ``dask:N`` or ``dask://HOST:PORT``: a
        cluster.
    batch_size : int, optional
        Examples that go through the network together; by default ``model.batch_size``.
    figures : int, optional
        Neurons that are drawn for each feature, the best first.
    playlists : int, optional
        Excerpts at each end of a playlist; 0 for no playlists.
    playlist_neurons : sequence of str, optional
        Neurons with a playlist, ``LAYER/NUMBER``; by default the best of each layer and feature.
    features_from : str or Path, optional
        Python file with decorated features of your own; it is run.

    Returns
    -------
    NeuronResult
        ``table``, ``recordings``, ``plot("LAYER/12", "onset_rate")`` and the other tables.

    Raises
    ------
    UsageError
        A layer, feature, unit or executor that does not exist, or a feature that is not defined for sound as
        short as an excerpt.
    CorpusError
        The corpus cannot be read, or no recording could be used or has any of the features; recordings.csv is
        written all the same.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.neurons(
    ...     model, "FOLDER", layers=["fc8"], features=["onset_rate", "loudness"], output_dir="NEURONS"
    ... )
    >>> found.table.shape[0]  # 64 units, two features
    128
    >>> strongest = found.table.sort_values("p_max").head()
    """
    began = time.time()
    chosen = model.layers.select(layers)
    sizes = {layer.name: layer.neurons for layer in chosen}
    named = [read_unit(name, sizes) for name in playlist_neurons or ()]
    parse_executor(executor)
    counts = {"permutations": permutations, "random_seeds": random_seeds, "figures": figures}
    for name, count in {**counts, "playlists": playlists}.items():
        if count < 0:
            raise UsageError(f"{name}={count}: a number, or 0 for none")
    if unit not in UNITS:
        raise UsageError(f"there is no unit {unit!r}; there is {', '.join(UNITS)}")
    if features_from is not None:
        import_features(features_from)
    recordings = corpus_or_phantom(corpus, model, Path(output_dir))
    plan = resolve(features, recordings)
    if given is not None and given not in plan.names:
        raise UsageError(f"given={given} is not among the features: {', '.join(plan.names)}")
    if group_by is not None:
        refuse_unknown_column(group_by, recordings)
    if unit == "excerpt":
        refuse_too_short(map(hand_crafted.get_feature, plan.scalars), model.example_seconds)
    folder = output_folder(output_dir)
    head_start(executor, len(recordings), NeuronJob.__module__, *packages(plan.scalars))
    opened = model.open()
    logging.info("%s on %d recordings of %s", opened, len(recordings), recordings.source)
    if random_seeds and not opened.computes:
        logging.info("no controls with random weights: %s is %s", opened.name, opened.what)
        random_seeds = 0
    settings = _Settings(plan, unit, permutations, random_seeds, given, group_by, executor, batch_size)
    found, merged = _compute(opened, recordings, list(sizes), settings, folder)
    draw_neurons(found, folder / "figures", figures)
    if playlists:
        wanted = named or best_of_layers(found.table)
        write_playlists(merged, recordings, folder / "playlists", wanted, playlists)
    arguments = {
        "corpus": recordings.source, "layers": list(sizes), "features": list(features),
        "output_dir": str(folder), "unit": unit, "permutations": permutations, "random_seeds": random_seeds,
        "given": given, "group_by": group_by, "executor": executor, "batch_size": batch_size,
        "figures": figures, "playlists": playlists, "playlist_neurons": list(playlist_neurons or ()) or None,
        "features_from": None if features_from is None else str(features_from),
    }  # fmt: skip
    record = run_record("neurons", began, arguments, found.record)
    write_json(folder / "run.json", {**record, **neuron_summary(found).counts})
    return NeuronResult.load(folder)


@dataclass(frozen=True)
class _Settings:
    """What was asked for, checked; see `neurons`."""

    plan: Plan
    unit: str
    permutations: int
    random_seeds: int
    given: str | None
    group_by: str | None
    executor: str
    batch_size: int | None


def _compute(
    model: Model, corpus: Corpus, layers: Sequence[str], settings: _Settings, folder: Path
) -> tuple[NeuronFindings, Merged]:
    """Take the corpus through the network and its controls, and write the tables."""
    plan = settings.plan
    computed = tuple(hand_crafted.get_feature(name) for name in plan.scalars)
    job = NeuronJob(
        handle=ModelHandle(model),
        layers=tuple(layers),
        features=computed,
        unit=settings.unit,
        batch_size=settings.batch_size or model.batch_size,
        random_seeds=tuple(model.control_seeds(settings.random_seeds)),
        evaluation=model.evaluation(layers),
    )
    decides = made_by(
        model,
        layers=list(layers),
        features=hand_crafted.describe(computed),
        feature_sources=own_sources(computed),
        evaluation=job.evaluation,
        batch_size=job.batch_size,
        unit=job.unit,
        random_seeds=list(job.random_seeds),
        format=FORMAT,
    )
    key = run_key(decides, model.weights)
    store = ShardStore(folder / "shards", key)
    stages = StageSeconds()
    least = model.example_seconds
    rows = run_job(job, corpus, store, settings.executor, stages=stages, least_seconds=least)
    rows = [
        replace(row, features=plan.of(i, row.features)) if row.status == "ok" else row
        for i, row in enumerate(rows)
    ]
    ledger = ledger_frame(rows, plan.names)
    write_csv(folder / "recordings.csv", ledger)
    usable = usable_recordings(corpus, rows, corpus.source)
    known = ledger.loc[ledger["status"] == "ok", ["path", "seconds", "examples", *plan.names]]
    unknown = [name for name in plan.names if known[name].isna().all()]
    refuse_unknown(rows, plan.names, unknown, corpus.source)
    if len(usable) < ENOUGH:
        logging.warning("%d usable recordings are too few for a correlation with an interval", len(usable))
    index = {
        "model": model.name,
        "run_key": key,
        "unit": job.unit,
        "layers": list(layers),
        "random_seeds": list(job.random_seeds),
        "example_seconds": model.example_seconds,
    }
    merged = merge(store, usable, folder, index, known.reset_index(drop=True))
    features = _told_apart(merged.features, plan.labels)
    groups = _groups(merged, usable, settings.group_by)
    marks = np.arange(len(merged.units)) if groups is None else groups
    depending = dependences(merged.activity, features, marks, usable, merged.groups)
    for dependence in depending:
        logging.warning("%s", dependence)
    tables = neuron_table(
        model.name,
        merged.activity,
        features,
        groups=groups,
        random_activity=merged.random_activity,
        permutations=settings.permutations,
        given=settings.given,
    )
    write_csv(folder / "neurons.csv", tables.neurons)
    write_parquet(folder / "neurons.parquet", tables.neurons, key)
    write_csv(folder / "neurons_detail.csv", tables.detail)
    write_csv(folder / "layers.csv", tables.layers)
    record = {
        **decides,
        **network_record(model),
        "features": plan.describe(),
        "corpus": corpus.source,
        "mono": corpus.mono,
        "permutations": settings.permutations,
        "given": settings.given,
        "group_by": settings.group_by,
        "dependences": [{**dependence.describe(), "warning": str(dependence)} for dependence in depending],
        "run_key": key,
        "stages": asdict(stages),
    }
    results = (tables.neurons, tables.detail, tables.layers, ledger, merged.activity, merged.features)
    return NeuronFindings(*results, record), merged


def _told_apart(
    features: Mapping[str, NDArray[np.float64]], labels: Container[str]
) -> dict[str, NDArray[np.float64]]:
    """Count labels of nearly one size, such as Unix times, from the smallest.

    Of activations and features differences below a millionth are rounding; a label is exact.
    """
    found = dict(features)
    for name, values in features.items():
        known = values[~np.isnan(values)]
        if name in labels and len(known) and constant_neurons(known[:, np.newaxis])[0]:
            found[name] = values - known.min()
    return found


def _groups(merged: Merged, usable: Sequence[Recording], group_by: str | None) -> NDArray[np.int64] | None:
    """Number the units that belong together; None where every unit stands for itself."""
    if group_by is None:
        return merged.groups if merged.unit == "excerpt" else None
    return np.asarray(group_numbers(usable, group_by)[merged.groups], np.int64)
