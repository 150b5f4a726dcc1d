"""Which bins a known part of a recording dominates: what an attribution can be checked against."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from actprobe.frontends.base import FrontEnd
from actprobe.frontends.sound import Sonifier

Floats = NDArray[np.float32]

RANGE_DB = 60.0  # under the loudest bin of an excerpt; what is fainter is nobody's


def dominant_part(frontend: FrontEnd, parts: Mapping[str, Floats]) -> dict[str, NDArray[np.bool_]]:
    """Say which bins of an example each part dominates.

    A part dominates a bin if its power in that band and frame exceeds that of all others together. A bin that
    is 60 dB fainter than the loudest of the excerpt is dominated by none.

    Parameters
    ----------
    frontend : FrontEnd
        Says how sound is cut into frames and bands.
    parts : mapping
        Name -> float32, shape [samples], as long as the example and at the front end's rate.

    Returns
    -------
    dict
        Name -> bool, shape [time, mel].

    Raises
    ------
    UsageError
        The front end does not say how it cuts sound, as that of a network of waveforms.
    """
    sonifier = Sonifier(frontend)
    exponent = 2 / sonifier.framing.power
    frames = frontend.example_shape[0]
    power = {name: sonifier.analyse(samples)[:frames] ** exponent for name, samples in parts.items()}
    total = np.sum(list(power.values()), axis=0)
    there = total > total.max() * 10 ** (-RANGE_DB / 10)
    return {name: (each > total - each) & there for name, each in power.items()}


def share_of_positive(values: Floats, mask: NDArray[np.bool_]) -> float:
    """Give the share of the positive values of an attribution in some bins, NaN where none is positive.

    ``values`` and ``mask`` have shape [time, mel].
    """
    positive = np.maximum(values, 0.0, dtype=np.float64)
    total = float(positive.sum())
    return float(positive[mask].sum()) / total if total > 0 else float("nan")
