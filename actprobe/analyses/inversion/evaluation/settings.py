"""How inverters are evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from actprobe.analyses.inversion.evaluation.excerpts import SHORT
from actprobe.errors import UsageError

FEWEST_READOUT_EXCERPTS = 100


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate; see `actprobe.evaluate_inverters` for what is not said here.

    - ``per_recording``: excerpts of each recording in a draw.
    - ``comparator``: None for the network's own.
    - ``threshold``: None for that of the detector's card, or 0.5.
    - ``gradient_layers``: layers to invert by optimisation, an empty list for all that are inverted at all;
      None for none.
    - ``oracle_layers``: the same for the optimisation that starts at the mean spectrum.
    - ``gradient_excerpts``: excerpts of each recording's first draw that both are evaluated on.
    - ``readout_excerpts``: excerpts that linear readouts are fitted on.

    UsageError: a number out of range, or an unknown ``short``.
    """

    draws: int = 10
    per_recording: int = 8
    short: str = "skip"
    comparator: str | None = None
    threshold: float | None = None
    reference: str | None = None
    gradient_layers: list[str] | None = None
    oracle_layers: list[str] | None = None
    gradient_steps: int = 300
    gradient_excerpts: int = 1
    readout_excerpts: int = 4096
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        for name in ("draws", "per_recording", "gradient_steps", "gradient_excerpts", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)}: at least 1")
        if self.readout_excerpts < FEWEST_READOUT_EXCERPTS:
            raise UsageError(f"readout_excerpts={self.readout_excerpts}: at least {FEWEST_READOUT_EXCERPTS}")
        if self.short not in SHORT:
            raise UsageError(f"short={self.short!r} is none of {', '.join(SHORT)}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"threshold={self.threshold}: a number from 0 to 1")
