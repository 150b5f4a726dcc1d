"""`evaluate_inverters`: how well the layers of a network are inverted, over a corpus.

What takes long is the pass, which goes on from its shards after a kill. Reading and sampling are done anew,
which takes seconds, and give the same excerpts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from absl import logging

from actprobe.analyses.inversion.evaluation.candidates import GRADIENT, Clock, candidates
from actprobe.analyses.inversion.evaluation.excerpts import sample_corpus
from actprobe.analyses.inversion.evaluation.measures import evaluation_tables
from actprobe.analyses.inversion.evaluation.result import EvaluationResult
from actprobe.analyses.inversion.evaluation.scores import score_inversions
from actprobe.analyses.inversion.evaluation.settings import EvaluationSettings
from actprobe.analyses.inversion.figures import nre_figure
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
    batch_size: int = 32,
    seed: int = 0,
    output_dir: str | Path,
) -> EvaluationResult:
    """Evaluate inverters on a corpus: the normalised reconstruction error (NRE) of every layer, and more.

    The protocol is that of Mishra, Sturm and Dixon (ISMIR 2018): the mean distance of an inversion from its
    excerpt, divided by the mean distance of two excerpts. A killed run goes on where it was when it is called
    again.

    Parameters
    ----------
    model : Model
        The network whose layers are inverted.
    corpus : str, Path, list, pandas.DataFrame or Corpus
        What `actprobe.open_corpus` takes; labels of singing are used where there are some.
    inverters : str, Path, Inverter or list of these, optional
        Folders, files, catalog entries, ``METHOD:LAYER=FILE``; a text may list several, separated by commas.
        By default the catalog's inverters for the network's weights.
    methods : sequence of str, optional
        Methods to evaluate; by default all of the inverters'. ``gradient`` is inversion by optimisation,
        which is slow and needs no inverter.
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
        Steps of ``gradient``, and excerpts of each recording that it inverts.
    batch_size : int, optional
        Excerpts that go through the networks together.
    seed : int, optional
        Of the draws, the order and the resamples.
    output_dir : str or Path
        Gets nre.csv, nre_detail.csv, recordings.csv, figures/nre.png, run.json and the folder shards.

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
    >>> found.table[["layer", "method", "nre"]].shape
    (2, 3)
    """
    began = time.time()
    named = None if layers == ALL else [layer.name for layer in model.layers.select(layers)]
    chosen = list(methods or ())
    settings = EvaluationSettings(
        draws, excerpts_per_recording, short, comparator, threshold, reference,
        (named or []) if GRADIENT in chosen else None,
        gradient_steps, gradient_excerpts, batch_size, seed,
    )  # fmt: skip
    if comparator is not None:
        model.layers.select([comparator])
    opened = open_labelled(corpus, "optional")
    recordings, corpus_name = opened.recordings, opened.name
    if split is not None:
        recordings, corpus_name = opened.split(split), f"{opened.name} {split}"
        if not recordings:
            raise CorpusError(opened.source, f"holds no recordings for {split}")
    folder = output_folder(output_dir)
    sources = _sources(model, inverters, chosen, named) if inverters else None
    network = model.open()
    if not network.computes:
        raise UsageError(
            f"{network.name} is known by its stored activations alone: those of inversions are not among them"
        )
    if sources is None:
        sources = _sources(network, inverters, chosen, named)
    methods_there = [*dict.fromkeys(source.method for source in sources), *({GRADIENT} & set(chosen))]
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
    with Progress(len(sampled.excerpts), "excerpts") as bar:
        scores = score_inversions(
            network,
            sampled.excerpts,
            inversions,
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
    record |= {
        "layers": evaluated,
        "normaliser_by_draw": [float(pairs.normaliser()) for pairs in sampled.pairs],
        "different_excerpts": len(sampled.excerpts),
        "seconds_per_excerpt": clock.seconds(),
    }
    arguments = {
        "corpus": opened.source, "inverters": record["inverters"], "methods": methods and chosen,
        "layers": named or ALL, "split": split, "output_dir": str(folder), **asdict(settings),
    }  # fmt: skip
    record |= network_record(network)
    write_json(folder / "run.json", run_record("evaluate_inverters", began, arguments, record))
    return EvaluationResult.load(folder)


def _sources(
    model: Model | ModelSource, inverters: InverterSources, methods: list[str], layers: list[str] | None
) -> list[Source]:
    """Find the inverters of some methods and layers, which can be done before the network is opened."""
    sources = [] if methods == [GRADIENT] else find_sources(model, inverters)
    if methods:
        sources = [source for source in sources if source.method in methods]
    if not sources and GRADIENT not in methods:
        raise UsageError("there is no inversion to evaluate")
    return sources_of(model, sources, layers) if sources else []


def _ledger(rows: Sequence[LedgerRow]) -> pd.DataFrame:
    return ledger_frame(rows, ())[list(LEDGER)]
