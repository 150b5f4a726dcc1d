"""Intervals over recordings: what a figure could have been had other recordings been sampled.

The bootstrap of Efron (1979), percentile interval: recordings, not excerpts, are sampled with replacement,
since excerpts of one recording resemble one another. All figures of an evaluation use the same resamples, so
that the interval of a difference of two methods is that of a paired comparison.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
FEWEST = 3  # recordings below which there is no interval

Doubles = NDArray[np.float64]


def resample(recordings: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Doubles:
    """Sample recordings with replacement.

    Returns
    -------
    numpy.ndarray
        float64, shape [resamples, recordings]: how often each recording was sampled.
    """
    rng = np.random.default_rng(seed)
    chances = np.full(recordings, 1 / recordings)
    return np.asarray(rng.multinomial(recordings, chances, size=resamples), np.float64)


def percentile_interval(values: Doubles, recordings: int, level: float = LEVEL) -> tuple[float, float]:
    """Give the interval between the percentiles of resampled statistics, NaN for fewer than 3 recordings.

    ``values``: float64 [resamples]; NaN where a resample gave none. ``level``: share of the resamples within.
    """
    finite = values[np.isfinite(values)]
    if recordings < FEWEST or not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def ratio(weights: Doubles, above: Doubles, below: Doubles) -> Doubles:
    """Divide weighted sums over recordings; NaN where the denominator is 0.

    ``weights``, float64 [..., recordings], say how often each recording is there; ``above`` and ``below``,
    float64 [recordings], are each recording's share of numerator and denominator. float64 [...].
    """
    denominator = weights @ below
    return np.asarray((weights @ above) / np.where(denominator != 0, denominator, np.nan), np.float64)
