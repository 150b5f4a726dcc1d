"""Places of what the overview draws: points, axes and lines, in units of a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

MARGIN = 0.06  # of an axis, on both sides
TICKS = 4
APART = 13.0  # two labels, at least


@dataclass(frozen=True)
class Axis:
    """An axis: values from ``low`` to ``high``, at places from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: ArrayLike, start: float, end: float) -> Axis:
        """Make an axis on which some values have a margin."""
        low, high = float(np.min(values)), float(np.max(values))
        margin = MARGIN * (high - low) or 1.0
        return cls(low - margin, high + margin, start, end)

    def at(self, value: float) -> float:
        """Give the place of a value."""
        return round(self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels of a few round values."""
        values = [float(each) for each in MaxNLocator(TICKS).tick_values(self.low, self.high)]
        return [(self.at(each), f"{each:.6g}") for each in values if self.low <= each <= self.high]


def points(across: Sequence[float], upwards: Sequence[float]) -> str:
    """Give the path of dots at some places: of no length, for a pen with a round end."""
    return "".join(f"M{x:g} {y:g}h0" for x, y in zip(across, upwards, strict=True))


def lines(ends: Sequence[Sequence[float]]) -> str:
    """Give the path of lines, each from x and y to x and y."""
    return "".join("M{:.1f} {:.1f}L{:.1f} {:.1f}".format(*each) for each in ends)


def labelled(places: Sequence[Sequence[Any]], axis: Axis) -> list[tuple[float, str]]:
    """Bring ticks with their labels onto an axis, but for those too close to the one before."""
    found: list[tuple[float, str]] = []
    for place, label in places:
        at = axis.at(float(place))
        if not found or abs(at - found[-1][0]) >= APART:
            found.append((at, str(label)))
    return found
