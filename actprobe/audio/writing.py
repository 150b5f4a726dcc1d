"""Sound files that analyses write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from actprobe.provenance import atomic_path

LOUDEST = 0.99


def write_wav(path: Path, samples: NDArray[np.float32], sample_rate: int) -> float:
    """Write a sound as 16-bit wav, made softer if it would clip, and say what it was multiplied by."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    gain = LOUDEST / peak if peak > LOUDEST else 1.0
    with atomic_path(path) as temporary:
        soundfile.write(temporary, samples * gain, sample_rate, subtype="PCM_16", format="WAV")
    return gain
