"""The tables of an evaluation: every metric with an interval over recordings, beside its controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.attribution.evaluation.metrics import OF_PROBABILITIES
from actprobe.analyses.attribution.evaluation.randomisation import RANDOMISATION
from actprobe.analyses.attribution.evaluation.scoring import (
    CHANCE,
    MAGNITUDE,
    METRICS,
    RANDOM,
    VARIANTS,
    WEIGHTS,
    RecordingScores,
)
from actprobe.analyses.attribution.evaluation.truth import TRUTH
from actprobe.statistics.intervals import RESAMPLES, percentile_interval, ratio, resample

SCORE_COLUMNS = (
    "method", "metric", "fill", "n", "value", "low", "high", RANDOM, MAGNITUDE, WEIGHTS,
)  # fmt: skip
DIFFERENCE_COLUMNS = ("method", "metric", "fill", "against", "n", "difference", "low", "high", "better")
RANDOMISATION_COLUMNS = ("method", "layers_randomised", "layer", "signed", "absolute", "partial", "n")
# +1: high values are good, -1: low ones. Sparseness, complexity and randomisation have no better side.
GOOD_SIDE = {
    "deletion": -1, "insertion": 1, "average_drop": -1, "average_gain": 1, "average_increase": 1,
    "input_fidelity": 1, "faithfulness": 1, **dict.fromkeys(TRUTH, 1),
}  # fmt: skip
DIGITS = 12  # sums in another order differ behind them

Doubles = NDArray[np.float64]


class Estimates:
    """Means over excerpts, with intervals from resampled recordings.

    ``found`` has one entry for each recording; all figures use the same resamples.
    """

    def __init__(self, found: Sequence[RecordingScores], resamples: int, seed: int) -> None:
        self._owners = np.concatenate([np.full(each.scores.shape[-1], i) for i, each in enumerate(found)])
        self._recordings = len(found)
        once = np.ones((1, len(found)))
        self._weights = np.concatenate([once, resample(len(found), resamples=resamples, seed=seed)])

    def of(self, values: Doubles) -> tuple[int, float, float, float]:
        """Give n (recordings that have a value), mean and interval of values [excerpts], NaN left out."""
        there = np.isfinite(values)
        sums = np.bincount(self._owners[there], values[there], self._recordings).astype(np.float64)
        counts = np.bincount(self._owners[there], minlength=self._recordings).astype(np.float64)
        n = int((counts > 0).sum())
        means = ratio(self._weights, sums, counts)
        low, high = percentile_interval(means[1:], n)
        return n, round(float(means[0]), DIGITS), round(low, DIGITS), round(high, DIGITS)


def score_tables(
    found: Sequence[RecordingScores],
    methods: Sequence[str],
    fills: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make attribution_scores.csv and attribution_differences.csv.

    Metrics of probabilities are NaN where some output was none. There are no rows of truth where no part is
    known.
    """
    scores = np.concatenate([each.scores for each in found], axis=-1)
    chance = np.concatenate([each.chance for each in found], axis=-1)
    if not all(each.bounded for each in found):
        scores[:, :, :, [METRICS.index(name) for name in OF_PROBABILITIES]] = np.nan
    estimates = Estimates(found, resamples, seed)
    knows_truth = bool(np.isfinite(chance).any())
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for i, method in enumerate(methods):
        for m, metric in enumerate(METRICS):
            if metric in TRUTH and not knows_truth:
                continue
            for j, fill in enumerate(fills):
                variants = scores[i, j, :, m]
                name = {"method": method, "metric": metric, "fill": fill}
                rows.append(name | _row(estimates, variants))
                if metric in GOOD_SIDE:
                    nothing = chance[TRUTH.index(metric)] if metric in TRUTH else None
                    differences += [name | row for row in _differences(estimates, metric, variants, nothing)]
    rows += _control_rows(estimates, scores, chance, fills, knows_truth)
    return (
        pd.DataFrame(rows, columns=list(SCORE_COLUMNS)),
        pd.DataFrame(differences, columns=list(DIFFERENCE_COLUMNS)),
    )


def cascade_table(curves: Sequence[Doubles], methods: Sequence[str], layers: Sequence[str]) -> pd.DataFrame:
    """Make attribution_randomisation.csv of similarities [methods, layers, 3], one for each recording."""
    rows = []
    for i, method in enumerate(methods):
        for depth, layer in enumerate(layers):
            values = np.stack([each[i, depth] for each in curves])
            there = np.isfinite(values)
            sums = np.where(there, values, 0).sum(axis=0)
            means = np.divide(sums, there.sum(axis=0), out=np.full(3, np.nan), where=there.any(axis=0))
            rows.append((method, depth + 1, layer, *means.round(DIGITS), int(there.any(axis=1).sum())))
    return pd.DataFrame(rows, columns=list(RANDOMISATION_COLUMNS))


def _row(estimates: Estimates, variants: Doubles) -> dict[str, Any]:
    """Lay out a method, [variants, excerpts]; several random weights count together."""
    n, value, low, high = estimates.of(variants[0])
    first = 1 + len(VARIANTS)
    controls = [estimates.of(each)[1] for each in variants[1:first]]
    weights = [estimates.of(each)[1] for each in variants[first:]]
    known = [each for each in weights if np.isfinite(each)]
    return {
        "n": n, "value": value, "low": low, "high": high,
        **dict(zip(VARIANTS, controls, strict=True)),
        WEIGHTS: float(np.mean(known)) if known else np.nan,
    }  # fmt: skip


def _differences(
    estimates: Estimates, metric: str, variants: Doubles, chance: Doubles | None
) -> list[dict[str, Any]]:
    """Subtract each control from the method, excerpt by excerpt; of random weights the best of the seeds."""
    first = 1 + len(VARIANTS)
    side = GOOD_SIDE[metric]
    compared = {name: [each] for name, each in zip(VARIANTS, variants[1:first], strict=True)}
    compared[WEIGHTS] = list(variants[first:])
    if chance is not None:
        compared[CHANCE] = [chance]
    rows = []
    for name, controls in compared.items():
        found = [estimates.of(variants[0] - control) for control in controls]
        n, value, low, high = min(found, key=lambda each: np.nan_to_num(side * each[1], nan=np.inf))
        better = bool(low > 0 if side > 0 else high < 0)
        rows.append(
            {"against": name, "n": n, "difference": value, "low": low, "high": high, "better": better}
        )
    return rows


def _control_rows(
    estimates: Estimates, scores: Doubles, chance: Doubles, fills: Sequence[str], knows_truth: bool
) -> list[dict[str, Any]]:
    """Give the controls that are the same for every method rows of their own."""
    rows = []
    for number, name in enumerate(VARIANTS, 1):
        for m, metric in enumerate(METRICS):
            if metric in RANDOMISATION or (metric in TRUTH and not knows_truth):
                continue
            for j, fill in enumerate(fills):
                n, value, low, high = estimates.of(scores[0, j, number, m])
                rows.append({
                    "method": name, "metric": metric, "fill": fill, "n": n, "value": value, "low": low,
                    "high": high,
                })  # fmt: skip
    for values, metric in zip(chance, TRUTH if knows_truth else (), strict=False):
        for fill in fills:
            n, value, low, high = estimates.of(values)
            rows.append({
                "method": CHANCE, "metric": metric, "fill": fill, "n": n, "value": value, "low": low,
                "high": high,
            })  # fmt: skip
    return rows
