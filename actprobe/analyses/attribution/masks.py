"""The positive part of an attribution as a mask on its excerpt: for sound, and for metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def soft_mask(values: Floats, full_percentile: float = 100.0) -> Floats:
    """Make a mask from 0 to 1 of the positive values of an attribution, float32 [time, mel].

    They are divided by a percentile of theirs, by default their maximum, and limited to 1; zeros where
    nothing is positive.
    """
    positive = np.maximum(values, 0.0)
    there = positive[positive > 0]
    if not len(there):
        return np.zeros_like(values, np.float32)
    return np.asarray(np.minimum(positive / np.percentile(there, full_percentile), 1.0), np.float32)
