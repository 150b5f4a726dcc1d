"""`probe`: what a linear model reads out of the layers of a network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from absl import logging

from actprobe import features as hand_crafted
from actprobe.analyses.causal.probing.figures import probe_figure
from actprobe.analyses.causal.probing.job import ProbeJob
from actprobe.analyses.causal.probing.result import ProbeResult
from actprobe.analyses.causal.probing.scoring import Design
from actprobe.analyses.causal.probing.seen import Seen
from actprobe.analyses.causal.probing.table import probe_table
from actprobe.analyses.causal.probing.targets import Sources, open_sources
from actprobe.batch.executors import DEFAULT, parse_executor, run_job
from actprobe.batch.handle import ModelHandle
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.ledger import LedgerRow, ledger_frame, usable_recordings
from actprobe.batch.opening import head_start, output_folder
from actprobe.batch.prepare import UNITS
from actprobe.batch.shards import ShardStore
from actprobe.corpora import open_corpus
from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.folder import readable_name
from actprobe.corpora.grouping import group_numbers, refuse_unknown_column
from actprobe.errors import CorpusError, UsageError
from actprobe.features.own import import_features, own_sources
from actprobe.features.registry import packages, refuse_too_short
from actprobe.models import Model
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.plotting import save_figure
from actprobe.provenance import run_record, write_csv, write_json
from actprobe.statistics.clusters import ENOUGH

FORMAT = 1  # raise when shards of before must be computed again
INPUT = "mean and standard deviation over time of each of {} bands of the example"


def probe(
    model: Model | ModelSource,
    corpus: CorpusLike,
    *,
    layers: Sequence[str],
    targets: Sequence[str] = ("onset_rate", "loudness"),
    unit: str = "recording",
    excerpts: int = 8,
    folds: int = 5,
    group_by: str | None = None,
    permutations: int = 200,
    random_seeds: int = 1,
    frame_labels: str | Path | None = None,
    features_from: str | Path | None = None,
    seed: int = 0,
    executor: str = DEFAULT,
    batch_size: int | None = None,
    output_dir: str | Path,
) -> ProbeResult:
    """Read features and labels out of layers by linear models, beside three controls.

    A probe is a ridge regression from all neurons of a layer to a target, cross-validated with recordings
    kept together; the strength of its penalty is chosen inside each training fold. Numbers are judged by R2,
    classes by the area under the ROC curve. The same is done with permuted targets, with the network's random
    weights, and with the mean and standard deviation over time of each band of the input. A killed run goes
    on where it was when it is called again.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`, or stored activations.
    corpus : str, Path, list, pandas.DataFrame or Corpus
        What `actprobe.open_corpus` takes.
    layers : sequence of str
        Names of layers, see ``model.layers``; or ``all``: every layer but pre-activations.
    targets : sequence of str, optional
        Scalar features; columns of the corpus' labels, of numbers or classes (``COLUMN=CLASS`` for one of
        them); ``frames:TRACK``, a track of ``frame_labels``. With ``unit="excerpt"``, ``voice_activity`` is
        whether somebody sings at the middle of the excerpt, where the corpus knows.
    unit : str, optional
        ``recording``: the mean of a neuron over the excerpts against the recording's target. ``excerpt``:
        each excerpt against the target of that segment, or that of its recording.
    excerpts : int, optional
        Excerpts of each recording, spread evenly.
    folds : int, optional
        Parts of the recordings, each predicted by the others.
    group_by : str, optional
        A column of the corpus' labels, such as the song or the singer: recordings that share it are in one
        fold, are permuted together, and do not count as independent. One without an entry stands for itself.
    permutations : int, optional
        Permutations of the recordings' targets behind ``permuted`` and ``p``, at least 20. A target that a
        single layer of L has is only found with 20 L of them.
    random_seeds : int, optional
        Controls: the same network with as many sets of random weights; 0 leaves ``random_weights`` empty.
    frame_labels : str or Path, optional
        A folder with a CSV or JAMS file for each recording, under the recording's name, or a column of the
        corpus that names them. A CSV has a header with ``time``, or ``start`` and ``end``, in seconds, and
        tracks as further columns; a JAMS file has its namespaces as tracks. Their value at the middle of an
        excerpt counts, so they need ``unit="excerpt"``.
    features_from : str or Path, optional
        Python file with decorated features of your own; it is run.
    seed : int, optional
        Seed of folds, permutations and intervals.
    executor : str, optional
        ``local:N``: N processes decode and describe beside the network. ``dask:N`` or ``dask://HOST:PORT``: a
        cluster.
    batch_size : int, optional
        Excerpts that go through the network together; by default ``model.batch_size``.
    output_dir : str or Path
        Gets probe.csv, recordings.csv, run.json and the folders figures and shards.

    Returns
    -------
    ProbeResult
        ``table``, ``best``, ``recordings`` and ``plot("onset_rate")``.

    Raises
    ------
    UsageError
        A layer, target, unit, group or executor that does not exist; a number out of range; fewer recordings
        than folds; a feature that is not defined for sound as short as an excerpt.
    CorpusError
        The corpus or all of its label files cannot be read, no recording could be used, or no target can be
        probed; recordings.csv is written all the same.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.probe(
    ...     model, "FOLDER", layers=["mp3", "fc8"], targets=["loudness"], folds=3, output_dir="PROBES"
    ... )
    >>> found.table[["layer", "metric", "n"]].values.tolist()
    [['mp3', 'r2', 6], ['fc8', 'r2', 6]]
    """
    began = time.time()
    parse_executor(executor)
    asked = {layer.name for layer in model.layers.select(layers)}
    chosen = {name: model.layers[name].neurons for name in model.layers if name in asked}
    if unit not in UNITS:
        raise UsageError(f"there is no unit {unit!r}; there is {', '.join(UNITS)}")
    least = {"excerpts": 1, "folds": 2, "permutations": 20, "random_seeds": 0, "seed": 0}
    numbers = (excerpts, folds, permutations, random_seeds, seed)
    for (name, lowest), count in zip(least.items(), numbers, strict=True):
        if count < lowest:
            raise UsageError(f"{name}={count}: at least {lowest}")
    if features_from is not None:
        import_features(features_from)
    recordings = open_corpus(corpus)
    if group_by is not None:
        refuse_unknown_column(group_by, recordings)
    sources = open_sources(targets, recordings, unit, frame_labels)
    if unit == "excerpt":
        refuse_too_short(map(hand_crafted.get_feature, sources.scalars), model.example_seconds)
    independent = len(np.unique(group_numbers(recordings, group_by)))
    if independent < max(folds, ENOUGH):
        what = f"recordings that differ in {group_by}" if group_by else "recordings"
        raise UsageError(f"folds={folds} needs at least {max(folds, ENOUGH)} {what}, not {independent}")
    folder = output_folder(output_dir)
    head_start(executor, len(recordings), ProbeJob.__module__, *packages(sources.scalars))
    network = model.open()
    logging.info("%s on %d recordings of %s", network, len(recordings), recordings.source)
    if random_seeds and not network.computes:
        logging.info("no control with random weights: %s is %s", network.name, network.what)
        random_seeds = 0
    has_input = network.frontend.has_examples
    job = ProbeJob(
        ModelHandle(network), excerpts, tuple(chosen),
        tuple(map(hand_crafted.get_feature, sources.scalars)), unit, batch_size or network.batch_size,
        tuple(network.control_seeds(random_seeds)),
    )  # fmt: skip
    described = made_by(
        network, layers=list(chosen), features=hand_crafted.describe(job.features),
        feature_sources=own_sources(job.features), unit=unit, excerpts=excerpts, batch_size=job.batch_size,
        random_seeds=list(job.random_seeds), format=FORMAT,
    )  # fmt: skip
    store = ShardStore(folder / "shards", run_key(described, network.weights))
    rows = run_job(job, recordings, store, executor, least_seconds=network.example_seconds)
    rows = [_with_fault(row, sources) for row in rows]
    write_csv(folder / "recordings.csv", ledger_frame(rows, sources.scalars))
    usable = usable_recordings(recordings, rows, recordings.source)
    seen = Seen.of(store, recordings, rows, unit, network.example_seconds)
    read = [source.target(seen.units(sources.scalars)) for source in sources.each]
    table = probe_table(
        chosen, read, group_numbers(recordings, group_by)[seen.recording], seen.read,
        Design(folds, permutations, seed), random_seeds=random_seeds, has_input=has_input,
    )  # fmt: skip
    for target, note in dict(zip(table["target"], table["note"], strict=True)).items():
        if note:
            logging.warning("%s: %s", target, note)
    if table["value"].isna().all():
        first = table.iloc[0]
        raise CorpusError(recordings.source, f"nothing can be probed; {first['target']} {first['note']}")
    title = f"{network.name} on {len(usable)} recordings of {recordings.name}"
    write_figures(table, title, folder / "figures")
    write_csv(folder / "probe.csv", table)
    record = {
        **described, **network_record(network), "title": title, "corpus": recordings.source,
        "mono": recordings.mono, "recordings": len(rows), "failed": len(rows) - len(usable),
        "targets": list(targets), "folds": folds, "group_by": group_by, "permutations": permutations,
        "seed": seed, "stored": not network.computes,
        "input": INPUT.format(network.frontend.example_shape[1]) if has_input else "",
    }  # fmt: skip
    arguments = {
        "corpus": recordings.source, "layers": list(chosen), "targets": list(targets), "unit": unit,
        "excerpts": excerpts, "folds": folds, "group_by": group_by, "permutations": permutations,
        "random_seeds": random_seeds, "frame_labels": None if frame_labels is None else str(frame_labels),
        "features_from": None if features_from is None else str(features_from), "seed": seed,
        "executor": executor, "batch_size": batch_size, "output_dir": str(folder),
    }  # fmt: skip
    write_json(folder / "run.json", run_record("probe", began, arguments, record))
    return ProbeResult.load(folder)


def write_figures(table: pd.DataFrame, title: str, folder: Path) -> None:
    """Save probe.png with all targets and, of several, a figure of each."""
    targets = list(dict.fromkeys(table["target"]))
    save_figure(probe_figure(table, targets, title), folder / "probe.png")
    for target in targets if len(targets) > 1 else ():
        save_figure(probe_figure(table, [target], title), folder / f"probe_{readable_name(target)}.png")


def _with_fault(row: LedgerRow, sources: Sources) -> LedgerRow:
    """Say of a recording that can be used what is wrong with its labels over time."""
    fault = sources.faults.get(row.path)
    return row.warned(fault) if fault and row.status == "ok" else row
