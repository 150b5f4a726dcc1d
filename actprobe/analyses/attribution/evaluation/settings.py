"""How attributions are evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from actprobe.analyses.attribution.fills import FILLS, MEAN_SPECTRUM
from actprobe.batch.opening import chosen_names
from actprobe.errors import UsageError


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate; see `actprobe.evaluate_attributions`.

    UsageError: a number out of range, no fill, or one that does not exist.
    """

    fills: tuple[str, ...] = (MEAN_SPECTRUM, "minimum")
    excerpts: int = 4
    random_seeds: int = 1
    removal_steps: int = 10
    cascade: int = 8
    concept: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        chosen_names("fill", self.fills, FILLS)
        lowest = {"excerpts": 1, "random_seeds": 1, "removal_steps": 2, "cascade": 0}
        for name, low in lowest.items():
            if getattr(self, name) < low:
                raise UsageError(f"{name}={getattr(self, name)}: at least {low}")
