"""What an ablation is told beside network, corpus and layers."""

from __future__ import annotations

from dataclasses import dataclass

from actprobe.errors import UsageError

FILLS = ("zero", "mean", "resample")


@dataclass(frozen=True)
class AblationSettings:
    """How units are ablated; see `actprobe.ablate`. UsageError for a number out of range."""

    fills: tuple[str, ...]
    excerpts: int
    sizes: tuple[int, ...]
    random_sets: int
    permutations: int
    seed: int

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        for name, lowest in (("excerpts", 1), ("random_sets", 0), ("permutations", 0), ("seed", 0)):
            if getattr(self, name) < lowest:
                raise UsageError(f"{name}={getattr(self, name)}: at least {lowest}")
        if any(size < 1 for size in self.sizes) or len(set(self.sizes)) < len(self.sizes):
            raise UsageError(f"sizes={list(self.sizes)}: numbers of units, each once and at least 1")
