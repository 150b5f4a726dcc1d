"""How a neuron is excited: what can be chosen, checked at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from actprobe.errors import UsageError

ASCENT, LATENT = METHODS = ("ascent", "latent")
MEAN, NOISE = STARTS = ("mean", "noise")


@dataclass(frozen=True)
class ExcitationSettings:
    """How to search for the input that excites a neuron.

    - ``steps`` of Adam; the ``learning_rate`` of the first, as a share of the range that recordings reach,
      falls to 0 along half a cosine.
    - ``time_weight``, ``mel_weight``: weights of the total variation along time and mel.
    - ``jitter_frames``: each gradient is that of an input shifted by so many frames at most.
    - ``start``: ``mean``, the mean excerpt of the recordings, or ``noise``, uniform between the bounds.
    - ``seed``: of noise and shifts.
    """

    steps: int = 256
    learning_rate: float = 0.05
    time_weight: float = 50.0
    mel_weight: float = 50.0
    jitter_frames: int = 3
    start: str = MEAN
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if self.steps < 1:
            raise UsageError(f"steps={self.steps}: at least 1")
        for name in ("time_weight", "mel_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name}={value}: 0 or more")
        if self.jitter_frames < 0:
            raise UsageError(f"jitter_frames={self.jitter_frames}: 0 or more")
        if self.start not in STARTS:
            raise UsageError(f"there is no start {self.start!r}; there is {', '.join(STARTS)}")
