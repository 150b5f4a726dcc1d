"""`evaluate_attributions`: how far the methods of attribution can be believed, over a corpus."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from absl import logging

from actprobe.analyses.attribution.evaluation.figures import cascade_figure, score_figure
from actprobe.analyses.attribution.evaluation.passes import Passes, scores_of, without_truth
from actprobe.analyses.attribution.evaluation.result import AttributionScoresResult
from actprobe.analyses.attribution.evaluation.settings import EvaluationSettings
from actprobe.analyses.attribution.evaluation.tables import cascade_table, score_tables
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.fills import MEAN_SPECTRUM
from actprobe.analyses.attribution.methods.method import MethodSettings
from actprobe.analyses.attribution.methods.registry import METHODS
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.ledger import ledger_frame, usable_recordings
from actprobe.batch.opening import chosen_names, output_folder
from actprobe.batch.shards import ShardStore
from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.labelled_corpus import open_part
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.models.target import read_target
from actprobe.plotting import save_figure
from actprobe.provenance import run_record, write_csv, write_json

FORMAT = 1  # raise when shards of before must be computed again
DEFAULT_METHODS = ("gradient_x_input", "integrated_gradients", "occlusion")


def evaluate_attributions(
    model: Model | ModelSource,
    corpus: CorpusLike,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    target: str | None = None,
    fills: Sequence[str] = (MEAN_SPECTRUM, "minimum"),
    excerpts: int = 4,
    random_seeds: int = 1,
    removal_steps: int = 10,
    cascade: int = 8,
    concept: str | None = None,
    settings: Mapping[str, Any] | MethodSettings | None = None,
    split: str | None = None,
    batch_size: int | None = None,
    output_dir: str | Path,
) -> AttributionScoresResult:
    """Evaluate methods of attribution on a corpus, beside controls that know nothing of the network.

    Every metric is given with a 95 % interval over recordings, for each fill, and for three controls: random
    attribution, the magnitude of the input |x - fill|, and the method on random weights, scored on the
    trained network. A killed run goes on where it was when it is called again.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`.
    corpus : str, Path, list, pandas.DataFrame or Corpus
        What `actprobe.open_corpus` takes. Where parts are known (MIR-1K, columns such as ``stem_voice``) the
        attributions are compared with the bins that a part dominates. No method is given the parts.
    methods : sequence of str, optional
        As for `actprobe.attribute`.
    target : str, optional
        As for `actprobe.attribute`.
    fills : sequence of str, optional
        What stands for an absent part, each evaluated by itself; see `actprobe.attribute`.
    excerpts : int, optional
        Excerpts of each recording, spread evenly.
    random_seeds : int, optional
        Random weights; with k of them a method that follows the input alone is better than all of them in
        one of k + 1 cases.
    removal_steps : int, optional
        Steps in which bins are removed or inserted.
    cascade : int, optional
        Recordings, spread evenly, of which one excerpt each is explained while one layer more gets random
        weights, from the output down; 0 for none.
    concept : str, optional
        The part that is the truth; by default ``voice``, where there is one.
    settings : mapping, optional
        Settings of the methods by name, see `actprobe.attribute`, and the seed of everything random.
    split : str, optional
        ``train``, ``valid`` or ``test``: the part of the corpus; by default all of it.
    batch_size : int, optional
        Excerpts that go through the network together.
    output_dir : str or Path
        Gets attribution_scores.csv, attribution_differences.csv, attribution_randomisation.csv,
        recordings.csv, run.json and the folders figures and shards.

    Returns
    -------
    AttributionScoresResult
        ``table``, ``differences``, ``randomisation``, ``faithful``, ``recordings`` and ``plot()``.

    Raises
    ------
    UsageError
        No such target, method, fill or part; a method that cannot explain the target; a number out of range.
    CorpusError
        The corpus cannot be read, or no recording could be used; recordings.csv is written all the same.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.evaluate_attributions(
    ...     model, "FOLDER", methods=["gradient_x_input"], excerpts=1, output_dir="ATTRIBUTION-SCORES"
    ... )
    >>> found.table[["method", "metric", "fill", "value", "random"]].shape[1]
    5
    """
    began = time.time()
    chosen_settings = MethodSettings.of(settings)
    chosen_names("method", methods, METHODS)
    evaluation = EvaluationSettings(tuple(fills), excerpts, random_seeds, removal_steps, cascade, concept)
    if not model.computes:
        raise UsageError("stored activations cannot be attributed: that needs the network itself")
    aim = read_target(model, target)
    recordings = open_part(corpus, split)
    folder = output_folder(output_dir)
    network = model.open()
    passes = Passes(Explained(network, aim, batch_size=batch_size), methods, chosen_settings, evaluation)
    logging.info("%s, %s on %d recordings of %s", network, aim.title, len(recordings), recordings.source)
    given = asdict(evaluation) | {"methods": list(methods), "settings": asdict(chosen_settings)}
    described = made_by(network, target=str(aim), random_weights=passes.random_seeds, **given, format=FORMAT)
    stores = [
        ShardStore(folder / "shards", run_key({**described, "cascade": part}, network.weights))
        for part in (False, True)
    ]
    rows = passes.score(stores[0], recordings)
    write_csv(folder / "recordings.csv", ledger_frame(rows, ()))
    usable = usable_recordings(recordings, rows, recordings.source)
    scores = scores_of(stores[0], usable)
    table, differences = score_tables(scores, methods, evaluation.fills, seed=chosen_settings.seed)
    curves, layers = passes.cascade(stores[1], usable)
    randomised = cascade_table(curves, methods, layers)
    title = f"{network.name}, {aim.title}, on {len(usable)} recordings of {recordings.name}"
    save_figure(score_figure(table, title), folder / "figures" / "scores.png")
    if curves:
        save_figure(cascade_figure(randomised, title), folder / "figures" / "randomisation.png")
    write_csv(folder / "attribution_randomisation.csv", randomised)
    write_csv(folder / "attribution_differences.csv", differences)
    write_csv(folder / "attribution_scores.csv", table)
    record = {
        **described, **network_record(network), "title": title, "corpus": recordings.source,
        "mono": recordings.mono, "recordings": len(rows), "failed": len(rows) - len(usable),
        "without_truth": without_truth(usable, scores),
    }  # fmt: skip
    arguments = {
        "corpus": recordings.source, "target": target, "split": split, **given, "output_dir": str(folder),
    }  # fmt: skip
    write_json(folder / "run.json", run_record("evaluate_attributions", began, arguments, record))
    return AttributionScoresResult.load(folder)
