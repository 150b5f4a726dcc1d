"""How inverters are evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from actprobe.analyses.inversion.evaluation.excerpts import SHORT
from actprobe.errors import UsageError


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate; see `actprobe.evaluate_inverters`.

    Parameters
    ----------
    draws, per_recording : int
        Draws, and excerpts of each recording in one.
    short : str
        ``skip`` or ``pad`` recordings shorter than an excerpt.
    comparator : str or None
        Layer of ``comparator_nre``; None for the network's own.
    threshold : float or None
        What the detector's output must reach to count as sung; None for that of its card, or 0.5.
    reference : str or None
        Method that others are compared with.
    gradient_layers : list of str or None
        Layers to invert by optimisation, an empty list for all that are inverted at all; None for none.
    gradient_steps, gradient_excerpts : int
        Steps of it, and excerpts of each recording's first draw that it is judged on.
    batch_size : int
        Excerpts that go through the networks together.
    seed : int
        Of the draws, the order and the resamples.

    Raises
    ------
    UsageError
        A number out of range, or no such way with short recordings.
    """

    draws: int = 10
    per_recording: int = 8
    short: str = "skip"
    comparator: str | None = None
    threshold: float | None = None
    reference: str | None = None
    gradient_layers: list[str] | None = None
    gradient_steps: int = 300
    gradient_excerpts: int = 1
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        for name in ("draws", "per_recording", "gradient_steps", "gradient_excerpts", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)}: at least 1")
        if self.short not in SHORT:
            raise UsageError(f"short={self.short!r} is none of {', '.join(SHORT)}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"threshold={self.threshold}: a number from 0 to 1")
