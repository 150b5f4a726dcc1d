"""Tuning from responses, float64 [variants, doses, neurons]: what a dose explains, and how.

Variants are those of a stimulus, or recordings. The share of a neuron's variance that the dose explains is
that of a two-way analysis of variance without repetition: r2 leaves the differences between variants out, the
share of a layer holds them against it. Under the null the doses of a variant could be exchanged: they are
permuted within each variant, for all neurons alike, and the largest r2 of all neurons is kept (maxT; Westfall
and Young 1993), which gives family-wise p and false discovery rate (`BestOfK`). With n variants and no effect
r2 is 1 / n on average.

Selectivity is the sparseness of Vinje and Gallant (Science 287, 2000), (1 - A) / (1 - 1 / doses) with
A = mean(r)^2 / mean(r^2), of the responses r above the lowest: 0 for a flat curve, 1 for one dose alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from actprobe.analyses.causal.tuning.factors import Factor
from actprobe.statistics.correlation import constant_neurons, scaled
from actprobe.statistics.intervals import FEWEST, LEVEL, percentile_interval, resample
from actprobe.statistics.permutation import BestOfK, tally

Floats = NDArray[np.float64]

RESAMPLES = 1000
VALUES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Curves:
    """What one factor does to the neurons of one layer; [neurons] or [doses, neurons].

    ``r2`` is NaN with fewer than two variants, and all is NaN for constant neurons and those that are not
    finite throughout. ``mean``, ``low``, ``high``: the curve with its 95 % interval over variants.
    ``deviation``: standard deviation over variants and doses. ``share``: part of that variance.
    """

    mean: Floats
    low: Floats
    high: Floats
    preferred: Floats
    selectivity: Floats
    monotonicity: Floats
    r2: Floats
    share: Floats
    deviation: Floats


@dataclass(frozen=True)
class LayerShare:
    """Share of a layer's variance that the dose explains, its interval over variants, and its null."""

    share: float
    low: float
    high: float
    null_95: float
    p: float


@dataclass(frozen=True)
class Variances:
    """Sums of squares of the usable neurons: of the dose, within variants and in total, each [neurons]."""

    usable: NDArray[np.bool_]
    dose: Floats
    within: Floats
    total: Floats


def variances(responses: Floats) -> Variances:
    """Divide the variance of responses, [variants, doses, neurons]."""
    usable = usable_neurons(responses)
    x = responses[:, :, usable]
    x = x - x.mean(axis=(0, 1))
    inside = x - x.mean(axis=1, keepdims=True)
    dose = len(x) * np.square(inside.mean(axis=0)).sum(axis=0)
    return Variances(
        usable, dose, np.square(inside).sum(axis=(0, 1)), np.square(x).sum(axis=(0, 1))
    )  # fmt: skip


def usable_neurons(responses: Floats) -> NDArray[np.bool_]:
    """Find the neurons that are finite throughout and vary."""
    flat = responses.reshape(-1, responses.shape[-1])
    finite = np.isfinite(flat).all(axis=0)
    usable = np.zeros(len(finite), np.bool_)
    usable[finite] = ~constant_neurons(flat[:, finite])
    return usable


def curves(responses: Floats, factor: Factor, doses: Sequence[float], *, seed: int = 0) -> Curves:
    """Describe the tuning of every neuron."""
    found = variances(responses)
    usable = found.usable
    x = responses[:, :, usable]
    mean = x.mean(axis=0)
    count = x.shape[0] * x.shape[1]
    r2 = _divided(found.dose, found.within) if len(x) > 1 else np.full(len(found.dose), np.nan)
    low, high = _interval(x, seed)
    described = {
        "mean": mean, "low": low, "high": high,
        "preferred": preferred(mean, factor, doses), "selectivity": selectivity(mean),
        "monotonicity": monotonicity(mean), "r2": r2, "share": _divided(found.dose, found.total),
        "deviation": np.sqrt(found.total / count),
    }  # fmt: skip
    return Curves(**{name: _among(usable, values) for name, values in described.items()})


def preferred(mean: Floats, factor: Factor, doses: Sequence[float]) -> Floats:
    """Find the dose of the highest mean response, [doses, neurons].

    Where that is not the first or the last, it is refined: the vertex of the parabola through it and its
    neighbours, on the factor's axis.
    """
    places = factor.axis(doses)
    best = mean.argmax(axis=0)
    inside = np.flatnonzero((best > 0) & (best < len(places) - 1))
    found = places[best].copy()
    k = best[inside]
    left, middle, right = (mean[k + step, inside] for step in (-1, 0, 1))
    before, after = places[k] - places[k - 1], places[k + 1] - places[k]
    rise, fall = (middle - left) / before, (middle - right) / after  # both at least 0
    with np.errstate(invalid="ignore"):
        shift = (rise * after - fall * before) / (2 * (rise + fall))
    found[inside] += np.nan_to_num(shift)
    return factor.value(found)


def selectivity(mean: Floats) -> Floats:
    """Say how few doses a neuron responds to, from mean responses [doses, neurons]; see the module."""
    above = scaled(mean - mean.min(axis=0))
    with np.errstate(invalid="ignore"):
        activity = above.mean(axis=0) ** 2 / np.square(above).mean(axis=0)
    return np.asarray((1 - activity) / (1 - 1 / len(mean)))


def monotonicity(mean: Floats) -> Floats:
    """Correlate mean responses, [doses, neurons], with the order of the doses (Spearman)."""
    ranks = stats.rankdata(mean, axis=0) - (len(mean) + 1) / 2
    order = np.arange(len(mean)) - (len(mean) - 1) / 2
    return _divided(order @ ranks, np.sqrt(np.square(ranks).sum(axis=0) * np.square(order).sum()))


def permuted(responses: Floats, *, permutations: int = 1000, seed: int = 0) -> tuple[BestOfK, Floats]:
    """Permute the doses within each variant.

    Gives what r2 the best neuron reaches, and the share of the layer in each permutation, [permutations];
    nothing with fewer than two variants.
    """
    found = variances(responses)
    varying = found.within > 0
    if not permutations or len(responses) < 2 or not varying.any():
        return BestOfK.of(np.empty((0, 0))), np.empty(0)
    x = responses[:, :, found.usable][:, :, varying]
    count, doses, neurons = x.shape
    x = x - x.mean(axis=1, keepdims=True)
    x = (x / np.sqrt(found.within[varying])).reshape(count * doses, neurons)
    weights = found.within[varying] / found.total.sum()
    rng = np.random.default_rng(seed)
    step = max(1, VALUES_AT_ONCE // (doses * max(neurons, count * doses)))
    maxima, shares, counts = [], [], tally(np.empty(0))
    for start in range(0, permutations, step):
        batch = min(step, permutations - start)
        order = rng.permuted(np.broadcast_to(np.arange(doses), (batch, count, doses)), axis=2)
        dealt = np.zeros((batch, doses, count, doses))
        np.put_along_axis(dealt, order.transpose(0, 2, 1)[..., np.newaxis], 1.0, axis=3)
        means = dealt.reshape(batch * doses, count * doses) @ x
        r2 = np.square(means).reshape(batch, doses, neurons).sum(axis=1) / count
        maxima.append(r2.max(axis=1))
        shares.append(r2 @ weights)
        counts += tally(r2)
    return BestOfK.tallied(maxima, counts), np.concatenate(shares)


def share_of(responses: Floats) -> float:
    """Give the share of a layer's variance that the dose explains; NaN where nothing varies."""
    found = variances(_together(responses))
    total = found.total.sum()
    return float(found.dose.sum() / total) if total > 0 else float("nan")


def layer_share(responses: Floats, null: Floats, *, seed: int = 0) -> LayerShare:
    """Give that share with its interval over variants; ``null`` are those of `permuted`."""
    share = share_of(responses)
    low, high = percentile_interval(_resampled(_together(responses), seed), len(responses))
    if not len(null) or np.isnan(share):
        return LayerShare(share, low, high, float("nan"), float("nan"))
    p = (1 + np.count_nonzero(null >= share - 1e-12)) / (1 + len(null))
    return LayerShare(share, low, high, float(np.quantile(null, LEVEL)), float(p))


def _together(responses: Floats) -> Floats:
    """Bring a layer to a largest value of about 1, all neurons alike."""
    finite = np.abs(responses[np.isfinite(responses)])
    exponent = -int(np.frexp(finite.max())[1]) if finite.size else 0
    return np.asarray(np.ldexp(responses, exponent))


def _resampled(responses: Floats, seed: int) -> Floats:
    """Resample the variants: the share of each resample, NaN where it has one variant alone.

    A variant that is there twice is not compared with itself, which would count its noise as an effect.
    """
    usable = usable_neurons(responses)
    count, doses = responses.shape[:2]
    if count < FEWEST or not usable.any():
        return np.empty(0)
    x = responses[:, :, usable]
    means = x.mean(axis=1)
    inside = (x - means[:, np.newaxis]).reshape(count, -1)
    alike = inside @ inside.T
    own = np.diag(alike)
    apart = np.square(means[:, np.newaxis] - means).sum(axis=2) * doses
    weights = resample(count, resamples=RESAMPLES, seed=seed)
    pairs = count**2 - np.square(weights).sum(axis=1)  # of two different variants
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(pairs > 0, count * (count - 1) / pairs, np.nan)
        others = alike - np.diag(own)
        dose = (weights @ own + scale * ((weights @ others) * weights).sum(axis=1)) / count
        between = scale * ((weights @ apart) * weights).sum(axis=1) / (2 * count)
        return np.asarray(np.clip(dose / (weights @ own + between), 0, 1))


def _interval(x: Floats, seed: int) -> tuple[Floats, Floats]:
    """Interval of mean responses over variants, [doses, neurons] each; NaN below three."""
    count, doses, neurons = x.shape
    low, high = np.full((2, doses, neurons), np.nan)
    if count < FEWEST:
        return low, high
    weights = resample(count, resamples=RESAMPLES, seed=seed) / count
    step = max(1, VALUES_AT_ONCE // (RESAMPLES * doses))
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    for start in range(0, neurons, step):
        part = slice(start, start + step)
        values = weights @ x[:, :, part].reshape(count, -1)
        low[:, part], high[:, part] = np.quantile(values, ends, axis=0).reshape(2, doses, -1)
    return low, high


def _divided(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0))


def _among(usable: NDArray[np.bool_], values: Floats) -> Floats:
    """Put the values of usable neurons, on the last axis, among all."""
    full = np.full((*values.shape[:-1], len(usable)), np.nan)
    full[..., usable] = values
    return full
