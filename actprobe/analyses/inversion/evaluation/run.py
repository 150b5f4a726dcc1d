"""`evaluate_inverters`: how well the layers of a network are inverted, over a corpus.

What takes long is the pass, which goes on from its shards after a kill. Reading and sampling are done anew,
which takes seconds, and give the same excerpts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from absl import logging

from actprobe.analyses.inversion.evaluation.candidates import (
    GRADIENT,
    OPTIMISED,
    ORACLE,
    Clock,
    baselines,
    candidates,
)
from actprobe.analyses.inversion.evaluation.excerpts import sample_corpus
from actprobe.analyses.inversion.evaluation.figures import difference_figure, nre_figure
from actprobe.analyses.inversion.evaluation.measures import between_methods, evaluation_tables
from actprobe.analyses.inversion.evaluation.readout.opening import open_readout
from actprobe.analyses.inversion.evaluation.readout.readout import LinearReadout
from actprobe.analyses.inversion.evaluation.readout.recordings import recordings_to_fit
from actprobe.analyses.inversion.evaluation.readout.ridge import READOUT
from actprobe.analyses.inversion.evaluation.result import EvaluationResult
from actprobe.analyses.inversion.evaluation.scores import score_inversions
from actprobe.analyses.inversion.evaluation.settings import EvaluationSettings
from actprobe.analyses.inversion.networks.sources import (
    InverterSources,
    Source,
    find_sources,
    open_sources,
    recorded,
    sources_of,
)
from actprobe.batch.identity import made_by
from actprobe.batch.ledger import LedgerRow, ledger_frame
from actprobe.batch.opening import output_folder
from actprobe.batch.progress import Progress
from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.fingerprint import fingerprint
from actprobe.corpora.labelled_corpus import open_labelled
from actprobe.errors import CorpusError, UsageError
from actprobe.models import Model
from actprobe.models.layer_table import ALL
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.plotting import save_figure
from actprobe.provenance import digest, run_record, write_csv, write_json

NONE = "none"  # for ``readout``
LEDGER = ("path", "status", "reason", "warning", "seconds", "examples")


def evaluate_inverters(
    model: Model | ModelSource,
    corpus: CorpusLike,
    *,
    inverters: InverterSources = None,
    methods: Sequence[str] | None = None,
    reference: str | None = None,
    layers: Sequence[str] = ALL,
    split: str | None = None,
    draws: int = 10,
    excerpts_per_recording: int = 8,
    short: str = "skip",
    comparator: str | None = None,
    threshold: float | None = None,
    gradient_steps: int = 300,
    gradient_excerpts: int = 1,
    readout: CorpusLike | None = None,
    readout_excerpts: int = 4096,
    batch_size: int = 32,
    seed: int = 0,
    output_dir: str | Path,
) -> EvaluationResult:
    """Evaluate inverters on a corpus: the normalised reconstruction error (NRE) of every layer, and more.

    The protocol is that of Mishra, Sturm and Dixon (ISMIR 2018): the mean distance of an inversion from its
    excerpt, divided by the mean distance of two excerpts. Beside the inverters there is for each layer the
    method ``linear readout``, ridge regression from the layer's features to the excerpt: an inverter that is
    no better than it has not been trained. A killed run goes on where it was when it is called again.

    Parameters
    ----------
    model : Model
        The network whose layers are inverted.
    corpus : str, Path, list, pandas.DataFrame or Corpus
        What `actprobe.open_corpus` takes; labels of singing are used where there are some.
    inverters : str, Path, Inverter or list of these, optional
        Folders, files, catalog entries, ``METHOD:LAYER=FILE``; a text may list several, separated by commas.
        A method that is there several times was trained with several seeds: its figures are means over them,
        its intervals count them, and two methods with as many trainings are paired in their order.
        By default the catalog's inverters for the network's weights.
    methods : sequence of str, optional
        Methods to evaluate; by default all of the inverters'. ``gradient`` is inversion by optimisation,
        which is slow and needs no inverter. ``oracle`` is the same, started at the excerpt's own mean
        spectrum, which an inverter does not know.
    reference : str, optional
        Method that the others are compared with; by default ``input``, or the first.
    layers : sequence of str, optional
        Names of layers; or ``all`` that have an inverter.
    split : str, optional
        ``train``, ``valid`` or ``test``: the part of the corpus; by default all of it.
    draws, excerpts_per_recording : int, optional
        Draws, and excerpts of each recording in one.
    short : str, optional
        ``skip`` recordings shorter than an excerpt, or ``pad`` them.
    comparator : str, optional
        Layer of ``comparator_nre``; by default ``model.default_comparator``.
    threshold : float, optional
        What the output of a detector must reach to count as sung; by default ``model.threshold``.
    gradient_steps, gradient_excerpts : int, optional
        Steps of ``gradient`` and ``oracle``, and excerpts of each recording that they invert.
    readout : str, Path, list, pandas.DataFrame or Corpus, optional
        Corpus for the linear readout, which is fitted on its recordings for training; those for validation
        choose the strength of the penalty. By default those of ``corpus``, if ``split`` leaves them out of
        the evaluation and there are some of both; otherwise it is cross-fitted on the evaluated excerpts, in
        five folds of whole recordings, together if they share a singer, artist or song. ``none``: no linear
        readout.
    readout_excerpts : int, optional
        Excerpts that the linear readout is fitted on.
    batch_size : int, optional
        Excerpts that go through the networks together.
    seed : int, optional
        Of the draws, the order and the resamples.
    output_dir : str or Path
        Gets nre.csv, nre_detail.csv, recordings.csv, figures/nre.png, figures/differences.png where methods
        were compared, run.json and the folder shards.

    Returns
    -------
    EvaluationResult
        ``table`` (nre.csv), ``detail``, ``recordings`` and ``plot()``.

    Raises
    ------
    UsageError
        No such layer, no inverter for it, nothing to evaluate, or a number out of range.
    CorpusError
        The corpus cannot be read, or holds fewer than two excerpts; recordings.csv is written all the same.
    WeightsError
        An inverter that was refused.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.evaluate_inverters(
    ...     model, "FOLDER", layers=["fc7", "fc8"], draws=2, output_dir="NRE"
    ... )
    >>> found.table["method"].tolist()
    ['inverter', 'inverter', 'linear readout', 'linear readout']
    """
    began = time.time()
    named = None if layers == ALL else [layer.name for layer in model.layers.select(layers)]
    chosen = list(methods or ())
    settings = EvaluationSettings(
        draws, excerpts_per_recording, short, comparator, threshold, reference,
        (named or []) if GRADIENT in chosen else None, (named or []) if ORACLE in chosen else None,
        gradient_steps, gradient_excerpts, readout_excerpts, batch_size, seed,
    )  # fmt: skip
    if comparator is not None:
        model.layers.select([comparator])
    opened = open_labelled(corpus, "optional")
    recordings, corpus_name = opened.recordings, opened.name
    if split is not None:
        recordings, corpus_name = opened.split(split), f"{opened.name} {split}"
        if not recordings:
            raise CorpusError(opened.source, f"holds no recordings for {split}")
    left_out = isinstance(readout, str) and readout == NONE
    given = None if left_out else recordings_to_fit(readout, opened, recordings)
    folder = output_folder(output_dir)
    sources = _sources(model, inverters, chosen, named) if inverters else None
    network = model.open()
    if not network.computes:
        raise UsageError(
            f"{network.name} is known by its stored activations alone: those of inversions are not among them"
        )
    if sources is None:
        sources = _sources(network, inverters, chosen, named)
    methods_there = list(dict.fromkeys(source.method for source in sources))
    methods_there += [method for method in OPTIMISED if method in chosen] + [READOUT] * (not left_out)
    if reference is not None and reference not in methods_there:
        raise UsageError(f"reference={reference} is not evaluated; there is {', '.join(methods_there)}")
    inverting = open_sources(network, sources, None)
    logging.info("%s on %d recordings of %s", network, len(recordings), opened.source)

    compared = comparator or network.default_comparator
    compared = None if compared is None else network.layers[compared].name
    threshold = network.threshold if threshold is None else threshold
    scratch = folder / "shards"
    scratch.mkdir(exist_ok=True)
    with Progress(len(recordings), "recordings") as bar:
        sampled = sample_corpus(
            network.frontend,
            recordings,
            draws=draws,
            per_recording=excerpts_per_recording,
            seed=seed,
            short=short,
            folder=scratch,
            advance=bar.advance,
            keep_ledger=lambda rows: write_csv(folder / "recordings.csv", _ledger(rows)),
        )
    clock = Clock()
    inversions = candidates(network, sampled, inverting, settings, clock)
    inverted = [name for name in network.layers if name in {each.layer for each in inversions}]
    record = made_by(
        network,
        corpus=corpus_name,
        mono=opened.mono,
        settings=asdict(settings) | {"comparator": compared, "threshold": threshold},
        output=network.output_layer,
        inverters=[recorded(source, inverter) for source, inverter in inverting],
    )
    sampled_from = [
        (*fingerprint(recording), row.seconds, row.examples)
        for recording, row in zip(recordings, sampled.ledger, strict=True)
    ]
    identity = digest([record["frontend"], sampled_from, draws, excerpts_per_recording, seed])
    with ExitStack() as stack:
        linear: LinearReadout | str = f"readout={NONE}"
        if not left_out:
            linear = open_readout(
                network, inverted, sampled, recordings, given, count=readout_excerpts, seed=seed,
                batch_size=batch_size, folder=scratch, identity=identity, needed=readout is not None,
            )  # fmt: skip
        if isinstance(linear, str):
            logging.info("no linear readout: %s", linear)
            record["readout"] = {"left_out": linear}
        else:
            stack.enter_context(linear)
            inversions += linear.inversions()
            record["readout"] = linear.facts
        bar = stack.enter_context(Progress(len(sampled.excerpts), "excerpts"))
        scores = score_inversions(
            network,
            sampled.excerpts,
            [*inversions, *baselines(sampled)],
            comparator=compared,
            batch_size=batch_size,
            seed=seed,
            folder=scratch,
            identity=identity,
            advance=bar.advance,
        )
    nre, detail = evaluation_tables(
        network.name, corpus_name, sampled, scores, threshold=threshold, reference=reference, seed=seed
    )
    write_csv(folder / "nre_detail.csv", detail)
    write_csv(folder / "nre.csv", nre)
    evaluated = [name for name in network.layers if name in set(nre["layer"])]
    save_figure(nre_figure(nre, detail, evaluated), folder / "figures" / "nre.png")
    if len(between_methods(detail)):
        save_figure(difference_figure(detail, evaluated), folder / "figures" / "differences.png")
    record |= {
        "layers": evaluated,
        "normaliser_by_draw": [float(pairs.normaliser()) for pairs in sampled.pairs],
        "different_excerpts": len(sampled.excerpts),
        "seconds_per_excerpt": clock.seconds(),
    }
    arguments = {
        "corpus": opened.source, "inverters": record["inverters"], "methods": methods and chosen,
        "readout": NONE if left_out else given.source if given and readout is not None else None,
        "layers": named or ALL, "split": split, "output_dir": str(folder), **asdict(settings),
    }  # fmt: skip
    record |= network_record(network)
    write_json(folder / "run.json", run_record("evaluate_inverters", began, arguments, record))
    return EvaluationResult.load(folder)


def _sources(
    model: Model | ModelSource, inverters: InverterSources, methods: list[str], layers: list[str] | None
) -> list[Source]:
    """Find the inverters of some methods and layers, which can be done before the network is opened."""
    optimised = set(OPTIMISED) & set(methods)
    sources = [] if methods and optimised == set(methods) else find_sources(model, inverters, trainings=True)
    if methods:
        sources = [source for source in sources if source.method in methods]
    if not sources and not optimised:
        raise UsageError("there is no inversion to evaluate")
    return sources_of(model, sources, layers) if sources else []


def _ledger(rows: Sequence[LedgerRow]) -> pd.DataFrame:
    return ledger_frame(rows, ())[list(LEDGER)]
