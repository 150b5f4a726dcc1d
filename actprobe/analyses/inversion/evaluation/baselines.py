"""Inversions that know nothing of the network, for scale: an NRE means little without them.

- ``zero``: the mean of the training data, 0 in normalised units, everywhere;
- ``mean excerpt``: the mean of the evaluated excerpts at every time and band;
- ``excerpt level``: of every excerpt its mean, one number;
- ``excerpt spectrum``: of every excerpt the mean of each band over time, mel numbers;
- ``elu floor``: the excerpt itself, no lower than -1: the best that an inverter can do that ends in an ELU.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError

Floats = NDArray[np.float32]

MEAN_EXCERPT = "mean excerpt"
BASELINES = ("zero", MEAN_EXCERPT, "excerpt level", "excerpt spectrum", "elu floor")
ELU_FLOOR = np.float32(-1.0)


def baseline(name: str, excerpts: Floats, mean_excerpt: Floats) -> Floats:
    """Give what one of `BASELINES` makes of excerpts, [excerpts, time, mel], of mean [time, mel]."""
    match name:
        case "zero":
            made = np.zeros_like(excerpts)
        case "mean excerpt":
            made = np.broadcast_to(mean_excerpt, excerpts.shape)
        case "excerpt level":
            made = np.broadcast_to(excerpts.mean(axis=(1, 2), keepdims=True), excerpts.shape)
        case "excerpt spectrum":
            made = np.broadcast_to(excerpts.mean(axis=1, keepdims=True), excerpts.shape)
        case "elu floor":
            made = np.maximum(excerpts, ELU_FLOOR)
        case _:
            raise UsageError(f"there is no baseline {name!r}; there is {', '.join(BASELINES)}")
    return np.asarray(made, np.float32)
