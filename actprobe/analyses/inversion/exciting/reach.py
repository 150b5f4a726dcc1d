"""What recordings reach: the range of every band or unit, and the mean excerpt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError

PERCENTILES = (1.0, 99.0)

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Reach:
    """The range of values, [..., unit], over recordings.

    ``low``, float32 [unit], is the median over recordings of the 1st percentile, since digital silence, which
    some have, is far below all sound; ``high`` is the highest 99th percentile of a recording. ``mean``,
    float32 [..., unit], is the mean excerpt, in which all recordings count alike.
    """

    low: Floats
    high: Floats
    mean: Floats = field(repr=False)

    @property
    def width(self) -> Floats:
        """Give the range of each unit, [unit]."""
        return self.high - self.low

    def at(self, shares: Any) -> Any:
        """Give the values at shares of the range, 0 to 1; arrays or tensors of the shape of ``mean``."""
        return self.low + self.width * shares

    def shares(self, values: Floats) -> Floats:
        """Give values as shares of the range, from 0 to 1; 0 where a unit never changes."""
        width = np.where(self.width > 0, self.width, 1)
        return np.asarray(np.clip((values - self.low) / width, 0, 1), np.float32)

    def share_within(self, values: Floats) -> float:
        """Say which share of values lies within the range, up to rounding."""
        slack = 1e-4 * max(float(self.width.max(initial=0.0)), 1e-6)
        return float(((values >= self.low - slack) & (values <= self.high + slack)).mean())

    def arrays(self, name: str) -> dict[str, Floats]:
        """Give it as arrays of a shard."""
        return {f"{name}/low": self.low, f"{name}/high": self.high, f"{name}/mean": self.mean}


def reach_of(values: Floats) -> Reach:
    """Give the reach of one recording, of values [excerpts, ..., unit]."""
    low, high = np.percentile(values.reshape(-1, values.shape[-1]), PERCENTILES, axis=0)
    mean = values.mean(axis=0, dtype=np.float64)
    return Reach(low.astype(np.float32), high.astype(np.float32), mean.astype(np.float32))


def merge_reaches(name: str, shards: Sequence[Mapping[str, NDArray[Any]]]) -> Reach:
    """Merge the reaches of recordings; a UsageError where nothing in it ever changes."""
    low = np.median([shard[f"{name}/low"] for shard in shards], axis=0).astype(np.float32)
    high = np.max([shard[f"{name}/high"] for shard in shards], axis=0)
    mean = np.zeros(shards[0][f"{name}/mean"].shape, np.float64)
    for shard in shards:
        mean += shard[f"{name}/mean"]
    if not (high > low).any():
        raise UsageError(f"{name}: all values of all recordings are {low.flat[0]:g}, which bounds nothing")
    return Reach(low, high, (mean / len(shards)).astype(np.float32))
