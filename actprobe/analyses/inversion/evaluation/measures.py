"""The measures of an evaluation, for all excerpts and by class, with intervals over recordings.

`evaluation_tables` gives two tables. The first is nre.csv: the figure of the paper for each layer and method,
see `actprobe.analyses.inversion.evaluation.nre`. The second is nre_detail.csv, a row for each of these
measures, for all excerpts, for those in the centre of which somebody sings (vocal) and for the others,
with a 95 % interval over recordings:

- ``nre``; those of the two classes are divided by the N of all excerpts, so that they can be compared;
- ``feature_nre``: the same in feature space, the mean distance of the layer's features of the inversion from
  those of the excerpt by the mean distance of the features of two excerpts; 0 when the layer cannot tell them
  apart;
- ``comparator_nre``: that in the layer of the comparator;
- ``agreement``: how often the outputs for both lie on the same side of the detector's threshold;
  ``balanced_agreement``: the mean of that over the excerpts it calls sung and those it does not, 0.5 for an
  inversion that tells nothing; ``kappa``: Cohen's; ``probability_difference``: mean absolute; ``called_sung``
  and ``called_sung_inverted``: how often the excerpts and the inversions are called sung;
- ``output_correlation`` in their place for networks with more than one output.

Of a method that was trained several times there is the mean over its trainings; the resamples choose among
these, too, and ``nre_trainings_std`` is their standard deviation.

Rows with ``against`` are differences to another method over the excerpts that both were judged on: a paired
comparison, real when the interval leaves 0 out. The other is the reference, and in further rows
the linear readout, which is itself compared with no method. The NRE of each is compared with that of the mean
excerpt, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.inversion.evaluation.baselines import BASELINES, MEAN_EXCERPT
from actprobe.analyses.inversion.evaluation.excerpts import NOT_SUNG, SUNG, UNLABELLED, SampledExcerpts
from actprobe.analyses.inversion.evaluation.readout.ridge import READOUT
from actprobe.analyses.inversion.evaluation.scores import Scores
from actprobe.errors import UsageError
from actprobe.statistics.intervals import RESAMPLES, percentile_interval, ratio, resample

NRE_COLUMNS = ("model", "layer", "corpus", "method", "nre", "nre_std", "draws", "excerpts")
DETAIL_COLUMNS = (
    "model", "layer", "corpus", "method", "against", "class", "measure", "value", "low", "high", "recordings",
    "excerpts",
)  # fmt: skip
COMPARED = ("nre", "comparator_nre", "agreement", "balanced_agreement", "probability_difference")
OF_BOTH_CLASSES = ("balanced_agreement", "kappa")  # they mean nothing within one class
DIGITS = 12  # sums in another order differ behind them

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Sample:
    """The excerpts as the tables see them, and resamples of their recordings.

    `weights` has as first row every recording once, then the resamples.
    """

    sampled: SampledExcerpts
    weights: Doubles
    normalisers: list[Doubles]
    times: Doubles
    seed: int

    @property
    def recordings(self) -> int:
        return len(self.sampled.ledger)

    def shares(self, trainings: int) -> Doubles:
        """Weigh the trainings of a method: equally, then as resampled; [1 + resamples, trainings]."""
        chosen = resample(trainings, resamples=len(self.weights) - 1, seed=self.seed + 1)
        return np.concatenate([np.ones((1, trainings)), chosen]) / trainings

    def sums(self, values: Doubles, rows: Mask) -> Doubles:
        """Sum by recording, each excerpt as often as it was sampled; float64 [recordings]."""
        owners, often = self.sampled.owners[rows], self.times[rows]
        return np.asarray(np.bincount(owners, values[rows] * often, minlength=self.recordings), np.float64)

    def mean(self, values: Doubles, rows: Mask) -> Doubles:
        return ratio(self.weights, self.sums(values, rows), self.sums(np.ones_like(values), rows))


def evaluation_tables(
    model: str,
    corpus: str,
    sampled: SampledExcerpts,
    scores: Sequence[Scores],
    *,
    threshold: float = 0.5,
    reference: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the tables of an evaluation, with columns `NRE_COLUMNS` and `DETAIL_COLUMNS`.

    Baselines, which take no layer, are only in the second. ``scores`` is what `score_inversions` found on the
    excerpts. ``threshold`` is what a detector's output must reach to count as sung. ``reference`` is the
    method that others are compared with layer by layer, beside the linear readout; by default ``input`` if it
    is there, otherwise the first. ``resamples`` of the recordings give the intervals. UsageError where no two
    of the excerpts differ.
    """
    sample = _sample(sampled, resamples, seed)
    methods = list(dict.fromkeys(each.method for each in scores if each.layer))
    if reference is None and methods:
        reference = "input" if "input" in methods else methods[0]
    trainings: dict[tuple[str, str], list[Scores]] = {}
    for each in scores:
        trainings.setdefault((each.method, each.layer), []).append(each)
    figures, details = [], []
    for (method, layer), group in trainings.items():
        name = {"model": model, "layer": layer, "corpus": corpus, "method": method}
        everything = np.isfinite(group[0].error)
        if layer:
            by_draw = [_by_draw(sample, each.error, everything) for each in group]
            figures.append(name | _figure(np.mean(by_draw, axis=0), sample, everything))
        for label, rows in _classes(sampled, everything).items():
            for measure, values in _measures_of(sample, group, rows, threshold).items():
                if label != "all" and measure in OF_BOTH_CLASSES:
                    continue
                details.append(
                    name
                    | {"against": "", "class": label, "measure": measure}
                    | _interval(sample, values, rows)
                )
        compared = layer and method != READOUT  # the others are compared with that one
        for other in dict.fromkeys((reference or "", READOUT)) if compared else ():
            if other != method and (other, layer) in trainings:
                rows_of = _differences(sample, group, trainings[other, layer], threshold)
                details += [name | {"against": other} | row for row in rows_of]
        if layer and (MEAN_EXCERPT, "") in trainings:
            rows_of = _differences(sample, group, trainings[MEAN_EXCERPT, ""], threshold)
            details += [name | {"against": MEAN_EXCERPT} | row for row in rows_of if row["measure"] == "nre"]
    return pd.DataFrame(figures, columns=list(NRE_COLUMNS)), pd.DataFrame(
        details, columns=list(DETAIL_COLUMNS)
    )


def between_methods(detail: pd.DataFrame) -> pd.DataFrame:
    """Select the differences of two methods from nre_detail.csv, without those to a baseline."""
    return detail[(detail["against"] != "") & ~detail["against"].isin(BASELINES)]


def _sample(sampled: SampledExcerpts, resamples: int, seed: int) -> _Sample:
    recordings = len(sampled.ledger)
    usable = np.flatnonzero(np.bincount(sampled.owners, minlength=recordings) > 0)
    weights = np.zeros((1 + resamples, recordings))
    weights[0] = 1
    weights[1:, usable] = resample(len(usable), resamples=resamples, seed=seed)
    normalisers = [pairs.normaliser(weights) for pairs in sampled.pairs]
    if not all(each[0] > 0 for each in normalisers):
        raise UsageError("no two of the excerpts of a draw differ: there is nothing to normalise by")
    times = np.zeros(len(sampled.excerpts))
    for rows in sampled.draws:
        np.add.at(times, rows, 1)
    return _Sample(sampled, weights, normalisers, times, seed)


def _draws_of(sample: _Sample, judged: Mask) -> list[int]:
    """Draws that a method was judged on: one that was tried on one draw meets others only by chance."""
    met = [int(judged[draw].sum()) for draw in sample.sampled.draws]
    return [number for number, count in enumerate(met) if 2 * count > max(met)]


def _by_draw(sample: _Sample, errors: Doubles, rows: Mask) -> list[Doubles]:
    """NRE of each draw that the method was judged on: [1 + resamples], the first of all recordings."""
    found = []
    for number in _draws_of(sample, np.isfinite(errors)):
        draw, normaliser = sample.sampled.draws[number], sample.normalisers[number]
        picked = draw[rows[draw]]
        if len(picked):
            owners = sample.sampled.owners[picked]
            above = np.asarray(np.bincount(owners, errors[picked], minlength=sample.recordings), np.float64)
            below = np.bincount(owners, minlength=sample.recordings).astype(np.float64)
            found.append(ratio(sample.weights, above, below) / normaliser)
    return found


def _figure(by_draw: Doubles, sample: _Sample, rows: Mask) -> dict[str, Any]:
    values = np.array([each[0] for each in by_draw])
    used = _draws_of(sample, rows)
    excerpts = sum(int(rows[sample.sampled.draws[number]].sum()) for number in used)
    return {
        "nre": float(values.mean()),
        "nre_std": float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
        "draws": len(used),
        "excerpts": excerpts // len(used),
    }


def _classes(sampled: SampledExcerpts, rows: Mask) -> dict[str, Mask]:
    classes = {"all": rows}
    if not (sampled.sung == UNLABELLED).all():
        classes |= {"vocal": rows & (sampled.sung == SUNG), "nonvocal": rows & (sampled.sung == NOT_SUNG)}
    return {name: mask for name, mask in classes.items() if mask.any()}


def _measures(sample: _Sample, scores: Scores, rows: Mask, threshold: float) -> dict[str, Doubles]:
    """Every measure that has a meaning: [1 + resamples]."""
    found = {"nre": np.mean(_by_draw(sample, scores.error, rows), axis=0)}
    everything = np.isfinite(scores.error)
    for name, errors, pairs in (
        ("feature_nre", scores.layer_error, scores.layer_pairs),
        ("comparator_nre", scores.comparator_error, scores.comparator_pairs),
    ):
        judged, paired = rows & np.isfinite(errors), everything & np.isfinite(pairs)
        if judged.any() and paired.any():
            between = sample.mean(pairs, paired)
            found[name] = sample.mean(errors, judged) / np.where(between > 0, between, np.nan)
    binary = rows & np.isfinite(scores.output_original)
    if binary.any():
        found |= _agreement(sample, scores, binary, threshold)
    vectors = rows & np.isfinite(scores.correlation)
    if vectors.any():
        found["output_correlation"] = sample.mean(scores.correlation, vectors)
    return found


def _measures_of(
    sample: _Sample, trainings: Sequence[Scores], rows: Mask, threshold: float
) -> dict[str, Doubles]:
    """Every measure, over all trainings of a method: [1 + resamples]."""
    each_of = [_measures(sample, each, rows, threshold) for each in trainings]
    shares = sample.shares(len(trainings))
    found = {
        name: np.sum(shares * np.stack([each[name] for each in each_of], axis=1), axis=1)
        for name in each_of[0]
    }
    if len(trainings) > 1:
        found["nre_trainings_std"] = np.std([each["nre"] for each in each_of], axis=0, ddof=1)
    return found


def _agreement(sample: _Sample, scores: Scores, rows: Mask, threshold: float) -> dict[str, Doubles]:
    sung, still_sung = scores.output_original >= threshold, scores.output_inverted >= threshold

    def share(which: Mask) -> Doubles:
        return sample.mean(which.astype(np.float64), rows)

    both, neither = share(sung & still_sung), share(~sung & ~still_sung)
    before, after = share(sung), share(still_sung)
    agreement = both + neither
    by_chance = before * after + (1 - before) * (1 - after)
    with np.errstate(invalid="ignore", divide="ignore"):
        balanced = (both / before + neither / (1 - before)) / 2
        kappa = (agreement - by_chance) / (1 - by_chance)
    return {
        "agreement": agreement,
        "balanced_agreement": np.where(np.isfinite(balanced), balanced, np.nan),
        "kappa": np.where(np.isfinite(kappa), kappa, np.nan),
        "probability_difference": sample.mean(np.abs(scores.output_original - scores.output_inverted), rows),
        "called_sung": before,
        "called_sung_inverted": after,
    }


def _interval(sample: _Sample, values: Doubles, rows: Mask) -> dict[str, Any]:
    recordings = len(np.unique(sample.sampled.owners[rows]))
    low, high = percentile_interval(values[1:], recordings)
    return {
        "value": round(float(values[0]), DIGITS),
        "low": round(low, DIGITS),
        "high": round(high, DIGITS),
        "recordings": recordings,
        "excerpts": int(rows.sum()),
    }


def _differences(
    sample: _Sample, one: Sequence[Scores], other: Sequence[Scores], threshold: float
) -> list[dict[str, Any]]:
    """Rows of one method's measures less another's, over what both were judged on.

    Where both were trained equally often their trainings are paired, in the order of the list.
    """
    common = np.isfinite(one[0].error) & np.isfinite(other[0].error)
    rows = []
    for label, mask in _classes(sample.sampled, common).items():
        measured = [
            _measures_of(sample, [_only(each, common) for each in method], mask, threshold)
            for method in (one, other)
        ]
        rows += [
            {"class": label, "measure": measure}
            | _interval(sample, measured[0][measure] - measured[1][measure], mask)
            for measure in COMPARED
            if measure in measured[0] and not (label != "all" and measure in OF_BOTH_CLASSES)
        ]
    return rows


def _only(scores: Scores, rows: Mask) -> Scores:
    """Forget what lies outside some rows."""
    kept: Callable[[Doubles], Doubles] = lambda values: np.where(rows, values, np.nan)  # noqa: E731
    columns = {name: kept(values) for name, values in vars(scores).items() if isinstance(values, np.ndarray)}
    return Scores(scores.method, scores.layer, **columns)
