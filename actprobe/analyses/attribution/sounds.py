"""What the network used, as sound: the positive part of an attribution as a mask on the recording."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.masks import soft_mask
from actprobe.frontends import FrontEnd

Floats = NDArray[np.float32]

FULL_PERCENTILE = 99.0  # of the positive part: from there on a bin passes unchanged
SMOOTHED_SECONDS = 0.01  # over which the mask of samples is averaged


def masked_sound(frontend: FrontEnd, values: Floats, samples: Floats) -> Floats:
    """Make audible what speaks for the target: ``values`` [time, mel] as a mask on ``samples``.

    The recording's own short-time spectrum and phase are kept; each bin is multiplied by the mask. UsageError
    where the front end does not say how it cuts sound into bands.
    """
    mask = soft_mask(values, FULL_PERCENTILE)
    if frontend.keeps_phase:
        width = max(1, round(SMOOTHED_SECONDS * frontend.sample_rate))
        window = np.hanning(width + 2)[1:-1]
        mask = np.convolve(mask[:, 0], window / window.sum(), mode="same")[:, np.newaxis].astype(np.float32)
    return frontend.masked(mask, samples)
