"""An evaluation from recordings to files: draws, one pass of all inversions, tables.

What takes long is the pass, which goes on from its shards after a kill. Reading and drawing are done anew,
which takes seconds, and give the same excerpts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.inversion.evaluation.baselines import BASELINES, baseline
from actprobe.analyses.inversion.evaluation.excerpts import Drawn, draw_corpus
from actprobe.analyses.inversion.evaluation.scores import Inversion, Scores, score_inversions
from actprobe.analyses.inversion.evaluation.statistics import evaluate
from actprobe.analyses.inversion.inverting.gradient import GradientInverter, GradientSettings
from actprobe.analyses.inversion.networks.inverter import Inverter
from actprobe.analyses.inversion.networks.sources import Source, invertible_layers, recorded
from actprobe.corpora.labelled import LabelledRecording
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.provenance import digest, write_csv

__all__ = ["Evaluation", "EvaluationSettings", "evaluate_inverters"]

Floats = NDArray[np.float32]

GRADIENT = "gradient"
SVD_COMPARATOR = "conv5"
LEDGER = ("path", "status", "reason", "warning", "seconds", "examples")


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate.

    Parameters
    ----------
    draws, per_recording : int
        See `actprobe.analyses.inversion.evaluation.nre.draw_excerpts`.
    short : str
        ``skip`` or ``pad`` recordings shorter than an excerpt.
    comparator : str or None
        Layer of ``comparator_nre``; None for conv5 of svd and none of other networks.
    threshold : float or None
        What the detector's output must reach to count as sung; None for that of its card, or 0.5.
    reference : str or None
        Method that others are compared with.
    gradient_layers : list of str or None
        Layers to invert by optimisation, an empty list for all that are inverted at all; None for none.
    gradient_steps, gradient_excerpts : int
        Steps of it, and excerpts of each recording's first draw that it is judged on.
    batch_size : int
        Excerpts that go through the networks together.
    seed : int
        Of the draws, the order and the resamples.
    """

    draws: int = 10
    per_recording: int = 8
    short: str = "skip"
    comparator: str | None = None
    threshold: float | None = None
    reference: str | None = None
    gradient_layers: list[str] | None = None
    gradient_steps: int = 300
    gradient_excerpts: int = 1
    batch_size: int = 32
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found.

    Parameters
    ----------
    nre, detail, recordings : pandas.DataFrame
        nre.csv, nre_detail.csv and recordings.csv.
    drawn : Drawn
        The excerpts.
    scores : list of Scores
        Of every way to invert.
    provenance : dict
        What made the numbers, JSON-able.
    """

    nre: pd.DataFrame
    detail: pd.DataFrame
    recordings: pd.DataFrame
    drawn: Drawn
    scores: list[Scores]
    provenance: dict[str, Any]


def evaluate_inverters(
    model: Model,
    corpus: str,
    recordings: Sequence[LabelledRecording],
    inverters: Sequence[tuple[Source, Inverter]],
    settings: EvaluationSettings,
    output_dir: Path,
    *,
    labelled: bool = True,
    progress: Callable[[int, str], AbstractContextManager[Any]],
) -> Evaluation:
    """Evaluate inverters on a corpus and write the tables.

    Parameters
    ----------
    model : Model
        The network that they invert.
    corpus : str
        Name of the corpus.
    recordings : sequence of LabelledRecording
        The corpus.
    inverters : sequence of tuple
        Where each is from, and the inverter.
    settings : EvaluationSettings
        How.
    output_dir : Path
        Gets nre.csv, nre_detail.csv, recordings.csv and the folder shards.
    labelled : bool, optional
        Whether the recordings' labels mean something.
    progress : callable
        (total, what) -> context whose ``advance(count)`` is told what was finished.

    Returns
    -------
    Evaluation
        The tables and what they are made of.

    Raises
    ------
    CorpusError
        Fewer than two excerpts; recordings.csv is written all the same.
    UsageError
        Nothing to evaluate, or a layer that the network does not have.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    comparator = settings.comparator or (SVD_COMPARATOR if model.name == "svd" else None)
    if comparator is not None:
        comparator = model.layers[comparator].name
    threshold = model.threshold if settings.threshold is None else settings.threshold
    scratch = output_dir / "shards"
    scratch.mkdir(exist_ok=True)
    with progress(len(recordings), "recordings") as bar:
        drawn = draw_corpus(
            model.frontend,
            recordings,
            labelled=labelled,
            draws=settings.draws,
            per_recording=settings.per_recording,
            seed=settings.seed,
            short=settings.short,
            folder=scratch,
            advance=bar.advance,
            ledger=lambda notes: write_csv(output_dir / "recordings.csv", _ledger(notes)),
        )
    clock = _Clock()
    inversions = [
        Inversion(
            source.method,
            inverter.layer,
            clock.timed(source.method, inverter.layer, inverter),
            inverter.weights.sha256 or str(inverter.weights),
        )
        for source, inverter in inverters
    ]
    inversions += _by_gradient(model, drawn, inversions, settings, clock)
    if not inversions:
        raise UsageError("there is no inversion to evaluate")
    mean_excerpt = _mean(drawn.excerpts)
    inversions += [
        Inversion(name, "", partial(baseline, name, mean_excerpt=mean_excerpt), name) for name in BASELINES
    ]
    about: dict[str, Any] = {
        "model": model.name,
        "weights": {**vars(model.weights)},
        "frontend": model.frontend.describe(),
        "corpus": corpus,
        "settings": asdict(settings) | {"comparator": comparator, "threshold": threshold},
        "output": model.output_layer,
        "inverters": [recorded(source, inverter) for source, inverter in inverters],
    }
    drawn_from = [(note.path, note.seconds, note.examples) for note in drawn.notes]
    identity = digest([about["frontend"], drawn_from, settings.draws, settings.per_recording, settings.seed])
    with progress(len(drawn.excerpts), "excerpts") as bar:
        scores = score_inversions(
            model,
            drawn.excerpts,
            inversions,
            comparator=comparator,
            batch_size=settings.batch_size,
            seed=settings.seed,
            folder=scratch,
            identity=identity,
            advance=bar.advance,
        )
    nre, detail = evaluate(
        model.name,
        corpus,
        drawn,
        scores,
        threshold=threshold,
        reference=settings.reference,
        seed=settings.seed,
    )
    write_csv(output_dir / "nre.csv", nre)
    write_csv(output_dir / "nre_detail.csv", detail)
    normalisers = [float(pairs.normaliser()) for pairs in drawn.pairs]
    about |= {
        "normaliser_by_draw": normalisers,
        "different_excerpts": len(drawn.excerpts),
        "seconds_per_excerpt": clock.seconds(),
    }
    return Evaluation(nre, detail, _ledger(drawn.notes), drawn, scores, about)


def _by_gradient(
    model: Model,
    drawn: Drawn,
    inversions: Sequence[Inversion],
    settings: EvaluationSettings,
    clock: _Clock,
) -> list[Inversion]:
    """Inversion by optimisation, on the first excerpts of each recording's first draw."""
    if settings.gradient_layers is None:
        return []
    layers = settings.gradient_layers or list(dict.fromkeys(each.layer for each in inversions))
    layers = layers or invertible_layers(model)
    first = drawn.draws[0]
    rows = np.zeros(len(drawn.excerpts), np.bool_)
    for owner in np.unique(drawn.owners[first]):
        rows[first[drawn.owners[first] == owner][: settings.gradient_excerpts]] = True
    search = GradientSettings(steps=settings.gradient_steps, seed=settings.seed)
    found = []
    for layer in [each.name for each in model.layers.select(layers)]:
        inverter = GradientInverter(model, layer, search)
        found.append(
            Inversion(GRADIENT, layer, clock.timed(GRADIENT, layer, inverter), digest(asdict(search)), rows)
        )
    return found


class _Clock:
    """How long inversions take."""

    def __init__(self) -> None:
        self._calls: dict[str, list[tuple[int, float]]] = {}

    def timed(
        self, method: str, layer: str, invert: Callable[[NDArray[Any]], Floats]
    ) -> Callable[[NDArray[Any]], Floats]:
        calls = self._calls.setdefault(f"{method} {layer}", [])

        def call(features: NDArray[Any]) -> Floats:
            began = perf_counter()
            inverted = invert(features)
            calls.append((len(features), perf_counter() - began))
            return inverted

        return call

    def seconds(self) -> dict[str, float]:
        """Seconds for each excerpt in this run; the first call, which traces, counts only if alone."""
        found = {}
        for name, calls in self._calls.items():
            counted = calls[1:] or calls
            if counted:
                found[name] = sum(took for _, took in counted) / sum(count for count, _ in counted)
        return found


def _mean(excerpts: Floats) -> Floats:
    """Mean over all excerpts, some at a time."""
    total = np.zeros(excerpts.shape[1:])
    for start in range(0, len(excerpts), 256):
        total += excerpts[start : start + 256].sum(axis=0, dtype=np.float64)
    return np.asarray(total / len(excerpts), np.float32)


def _ledger(notes: Sequence[Any]) -> pd.DataFrame:
    rows = [{**vars(note), "status": "failed" if note.reason else "ok"} for note in notes]
    frame = pd.DataFrame(rows, columns=list(LEDGER))
    return frame.astype({"seconds": "Float64", "examples": "Int64"})
