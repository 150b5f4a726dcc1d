"""How much of an attribution is left when the weights of the network are random.

Adebayo and others: Sanity checks for saliency maps, NeurIPS 2018. An attribution that looks the same for
random weights follows the input, not what the network has learned. A low similarity is necessary, not
sufficient: noise has it, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

INPUT = 1e-9  # 1 - r^2 below which an attribution is the input's magnitude
RANDOMISATION = ("randomisation_signed", "randomisation_absolute", "randomisation_partial")


def similarities(values: Sequence[Floats], magnitude: Floats) -> Doubles:
    """Compare several attributions of the same excerpts, each [excerpts, time, mel], with one another.

    float64 [3, attributions, attributions, excerpts]: Spearman's rank correlation over the bins of an
    excerpt: of the values; of their absolute values; and of these without what both have of the ``magnitude``
    of the input, |x - fill|, as a partial correlation (r_ab - r_ac r_bc) / sqrt((1 - r_ac^2) (1 - r_bc^2)) of
    the ranks. NaN where one of them is constant, and for the partial correlation where one of them is the
    magnitude itself.
    """
    signed = _correlations([_ranks(each) for each in values])
    absolute = _correlations([_ranks(np.abs(each)) for each in (*values, magnitude)])
    of_input = absolute[:-1, -1]
    absolute = absolute[:-1, :-1]
    rest = 1 - np.square(of_input)
    rest = rest[:, np.newaxis] * rest
    above = absolute - of_input[:, np.newaxis] * of_input
    partial = np.divide(above, np.sqrt(np.abs(rest)), out=np.full(rest.shape, np.nan), where=rest > INPUT)
    return np.stack([signed, absolute, partial])


def _ranks(values: Floats) -> Doubles:
    """Rank the bins of each excerpt, [excerpts, bins]; centre the ranks, and divide by their length."""
    ranks = rankdata(values.reshape(len(values), -1), axis=1)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.divide(ranks, lengths, out=np.full(ranks.shape, np.nan), where=lengths > 0)


def _correlations(ranks: Sequence[Doubles]) -> Doubles:
    """Correlate every two, [attributions, attributions, excerpts]."""
    stacked = np.stack(ranks, axis=1)
    return np.moveaxis(stacked @ np.swapaxes(stacked, 1, 2), 0, -1)
