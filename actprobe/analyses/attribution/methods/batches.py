"""Many variants of each excerpt through the network, in batches: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.explained import Explained

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

Variants = Callable[[NDArray[np.int64], NDArray[np.int64]], Floats]
"""Numbers of excerpts [batch] and of variants [batch] -> examples [batch, time, mel]."""


def values_of_variants(explained: Explained, excerpts: int, variants: int, make: Variants) -> Doubles:
    """Compute the target's value of every variant of every excerpt, float64 [excerpts, variants]."""
    found = np.empty(excerpts * variants, np.float64)
    for numbers in _batches(explained, len(found)):
        found[numbers] = explained.values(make(*np.divmod(numbers, variants)))
    return found.reshape(excerpts, variants)


def sum_of_gradients(explained: Explained, excerpts: int, weights: Doubles, make: Variants) -> Doubles:
    """Add up the weighted gradients at the variants of every excerpt, float64 [excerpts, time, mel].

    ``weights``, [variants], are the same for each excerpt.
    """
    total = np.zeros((excerpts, *explained.model.frontend.example_shape), np.float64)
    for numbers in _batches(explained, excerpts * len(weights)):
        excerpt, variant = np.divmod(numbers, len(weights))
        gradients = explained.gradients(make(excerpt, variant))[1]
        for each in np.unique(excerpt):
            chosen = excerpt == each
            total[each] += np.tensordot(weights[variant[chosen]], gradients[chosen], axes=1)
    return total


def _batches(explained: Explained, count: int) -> list[NDArray[np.int64]]:
    return [
        np.arange(start, min(start + explained.batch_size, count))
        for start in range(0, count, explained.batch_size)
    ]
