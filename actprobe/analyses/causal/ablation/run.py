"""`ablate`: what the outputs of a network lose without units."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from absl import logging

from actprobe.analyses.causal.ablation.figures import curve_figure, unit_figure
from actprobe.analyses.causal.ablation.followers import Followers
from actprobe.analyses.causal.ablation.passes import Passes
from actprobe.analyses.causal.ablation.result import AblationResult
from actprobe.analyses.causal.ablation.sets import UnitSet, default_sizes, unit_sets
from actprobe.analyses.causal.ablation.settings import FILLS, AblationSettings
from actprobe.analyses.causal.ablation.survey import Survey, SurveyJob
from actprobe.analyses.causal.ablation.tables import ablation_tables
from actprobe.analyses.causal.ablation.truth import known_truth
from actprobe.batch.executors import DEFAULT, parse_executor
from actprobe.batch.opening import chosen_names, head_start, output_folder
from actprobe.batch.result import Result
from actprobe.batch.tables import write_parquet
from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.labelled_corpus import open_part
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.models.target import Target, read_target
from actprobe.plotting import save_figure
from actprobe.provenance import run_record, write_csv, write_json


def ablate(
    model: Model | ModelSource,
    corpus: CorpusLike,
    *,
    layers: Sequence[str],
    fills: Sequence[str] = ("mean",),
    outputs: Sequence[str] | None = None,
    neurons: Result | str | os.PathLike[str] | None = None,
    features: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    labels: str | None = None,
    split: str | None = None,
    excerpts: int = 8,
    random_sets: int = 200,
    permutations: int = 1000,
    seed: int = 0,
    executor: str = DEFAULT,
    output_dir: str | Path,
) -> AblationResult:
    """Ablate the units of some layers, and measure what the outputs and their agreement with labels lose.

    The network is cut at each layer: what comes before is computed once, what comes after for every unit
    alone and, with a neuron run, for the k units that follow a feature most, for the k that follow it least,
    and for random sets of k other units of similar variance. A killed run goes on where it was.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`; it may be PyTorch's.
    corpus : str, Path, list, pandas.DataFrame or Corpus
        What `actprobe.open_corpus` takes.
    layers : sequence of str
        Layers whose units are ablated, each by itself; of a map its channels.
    fills : sequence of str, optional
        What stands in place of a unit: ``mean``, its mean activation over the corpus at each position;
        ``zero``; ``resample``, its activation in an excerpt of another recording.
    outputs : sequence of str, optional
        Outputs by label or as ``LAYER/UNIT``; by default all.
    neurons : NeuronResult, str or Path, optional
        A finished `actprobe.neurons` of this network: which units follow which features.
    features : sequence of str, optional
        Features of that run; by default all.
    sizes : sequence of int, optional
        Numbers k of units that are ablated together; by default 1, 2, 4 ... up to a third of the layer.
    labels : str, optional
        Column of the corpus with the truth: 0 and 1, or ``COLUMN=CLASS``, for a single output, or classes
        that are called like outputs. By default columns that are called like outputs; for a network with a
        single output and a corpus that says where somebody sings, that.
    split : str, optional
        ``train``, ``valid`` or ``test``: the part of a labelled corpus; by default all of it.
    excerpts : int, optional
        Excerpts of each recording, spread evenly.
    random_sets : int, optional
        Random sets for each k and feature; 0 for none.
    permutations : int, optional
        Sign flips behind p and q of single units; 0 for none.
    seed : int, optional
        Seed of the random sets, the donors of ``resample``, the sign flips and the intervals.
    executor : str, optional
        As for `actprobe.neurons`.
    output_dir : str or Path
        Gets ablation.csv, ablation_sets.parquet, recordings.csv, run.json and the folders figures and shards.

    Returns
    -------
    AblationResult
        ``table``, ``sets``, ``recordings`` and ``plot("LAYER", "FEATURE")``.

    Raises
    ------
    UsageError
        A layer, fill, output, feature or executor that does not exist; a layer that no output is computed
        from; a network that cannot be cut, such as stored activations; a number out of range.
    CorpusError
        The corpus or the neuron run cannot be read, or no recording could be used; recordings.csv is written
        all the same.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.ablate(
    ...     model, "FOLDER", layers=["fc8"], neurons="NEURONS", features=["loudness"], output_dir="ABLATION"
    ... )
    >>> curve = found.plot("fc8", "loudness")
    """
    began = time.time()
    chosen = [layer.name for layer in model.layers.select(layers)]
    chosen_names("fill", fills, FILLS)
    settings = AblationSettings(
        tuple(fills), excerpts, tuple(sizes or ()), random_sets, permutations, seed
    )  # fmt: skip
    if not model.computes:
        raise UsageError("stored activations cannot be ablated: that needs the network itself")
    targets = _targets(model, outputs)
    parse_executor(executor)
    followers = None if neurons is None else Followers(neurons, chosen, features)
    if followers is None and (features or sizes):
        raise UsageError("features and sizes choose units by a neuron run: give it as neurons")
    recordings = open_part(corpus, split, "optional")
    known_truth(recordings, targets, labels)
    folder = output_folder(output_dir)
    head_start(executor, len(recordings), SurveyJob.__module__)
    network = model.open()
    logging.info("%s on %d recordings of %s", network, len(recordings), recordings.source)
    if followers is not None:
        followers.check(network)
    passes = Passes(network, recordings, chosen, targets, settings, executor, folder)
    usable, surveys = passes.survey()
    sets = {layer: _sets(survey, layer, followers, settings) for layer, survey in surveys.items()}
    usable = passes.ablate(usable, surveys, sets)
    truth = known_truth(usable, targets, labels)
    found = [
        passes.found(usable, truth, layer, fill, sets[layer], surveys[layer])
        for layer in chosen
        for fill in settings.fills
    ]
    table, of_sets = ablation_tables(found, targets, settings)
    _draw(folder, network.name, table, len(usable))
    write_parquet(folder / "ablation_sets.parquet", of_sets, passes.key)
    write_csv(folder / "ablation.csv", table)
    arguments = {
        "corpus": recordings.source, "layers": chosen, **asdict(settings),
        "outputs": None if outputs is None else list(outputs),
        "neurons": None if followers is None else str(followers.folder),
        "features": None if followers is None else followers.features, "labels": labels, "split": split,
        "executor": executor, "output_dir": str(folder),
    }  # fmt: skip
    record = {
        **passes.decides, **network_record(network), "corpus": recordings.source, "mono": recordings.mono,
        "recordings": len(recordings), "failed": len(recordings) - len(usable), "run_key": passes.key,
    }  # fmt: skip
    write_json(folder / "run.json", run_record("ablate", began, arguments, record))
    return AblationResult.load(folder)


def _targets(model: Model | ModelSource, outputs: Sequence[str] | None) -> list[Target]:
    if outputs is None:
        return [Target(each.layer, each.unit, each.mel, each.label) for each in model.outputs]
    if isinstance(outputs, str) or not outputs:
        raise UsageError(f"outputs={outputs!r}: give a list")
    found = []
    for text in outputs:
        target = read_target(model, text)
        by_label = target.label.lower() == text.lower()  # what is named by its label is the output itself
        found.append(target.probability_of(model) if by_label else target)
    if len(set(found)) < len(found):
        raise UsageError(f"an output is named more than once: {', '.join(map(str, found))}")
    return found


def _sets(
    survey: Survey, layer: str, followers: Followers | None, settings: AblationSettings
) -> list[UnitSet]:
    units = len(survey.deviation)
    strengths = {} if followers is None else followers.strengths(layer, units)
    sizes = settings.sizes or default_sizes(units)
    for feature, strength in strengths.items():
        known = int((~np.isnan(strength)).sum())
        if lacking := [size for size in settings.sizes if 2 * size > known]:
            logging.warning(
                "%s: left out sizes %s: only %d units vary with %s known, and two sets do not fit",
                layer, ", ".join(map(str, lacking)), known, feature,
            )  # fmt: skip
    return unit_sets(units, strengths, survey.deviation, sizes, settings.random_sets, settings.seed)


def _draw(folder: Path, name: str, table: pd.DataFrame, recordings: int) -> None:
    """Draw the first output of every layer and fill, by its first metric or by itself."""
    for (layer, fill), rows in table.groupby(["layer", "fill"], sort=False):
        first = rows.iloc[0]
        rows = rows[(rows["target"] == first["target"]) & (rows["metric"] == first["metric"])]
        title = f"{name} {layer}, fill {fill}: {first['label'] or first['target']}, {recordings} recordings"
        stem = f"{str(layer).replace('/', '-')}-{fill}"
        save_figure(unit_figure(rows, first["metric"], title), folder / "figures" / f"{stem}-units.png")
        features = [feature for feature in dict.fromkeys(rows["feature"]) if feature]
        if features:
            curve = curve_figure(rows, first["metric"], features, title)
            save_figure(curve, folder / "figures" / f"{stem}-curves.png")
