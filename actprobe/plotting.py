"""What the figures of all analyses share: colours, places of round frequencies, and how they are saved."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.provenance import atomic_path

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, BLACK = OKABE_ITO = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 4000, 8000)
TICKS_APART = 0.05  # of the axis
CHARACTERS_AN_INCH = 10  # of a title

Tick = tuple[float, str]


class _ShownFigure(Figure):
    """A figure that a notebook shows without pyplot, which would keep every figure in memory."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=100)
        return content.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Make a figure, sizes in inches, whose parts keep out of each other's way."""
    return _ShownFigure(figsize=(width, height), layout="constrained")


def hertz_ticks(
    places_of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    low: float,
    high: float,
    apart: float = TICKS_APART,
) -> list[Tick]:
    """Say where round frequencies are on an axis, none so close to another that labels overlap.

    Parameters
    ----------
    places_of : callable
        Hz -> places on the axis; NaN where there is none.
    low, high : float
        Ends of the axis.
    apart : float, optional
        Share of the axis that is between two at least.

    Returns
    -------
    list of tuple
        Place and label, upwards.
    """
    found: list[Tick] = []
    for hertz, place in zip(TICKS_HZ, places_of(np.array(TICKS_HZ, np.float64)), strict=True):
        free = not found or place - found[-1][0] > apart * (high - low)
        if low <= place <= high and free:
            found.append((float(place), f"{hertz}"))
    return found


def band_ticks(centres_hz: NDArray[np.float64], apart: float = TICKS_APART) -> list[Tick]:
    """Say where round frequencies are on an axis of bands with these centres, upwards.

    Band k is at k, from k - 0.5 to k + 0.5; ``apart`` as in `hertz_ticks`.
    """
    bands = np.arange(len(centres_hz), dtype=np.float64)

    def places_of(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.interp(hertz, centres_hz, bands, left=np.nan, right=np.nan))

    return hertz_ticks(places_of, -0.5, len(bands) - 0.5, apart)


def set_title(figure: Figure, title: str) -> None:
    """Write a title over a figure, in as many lines as its width needs."""
    width = int(CHARACTERS_AN_INCH * figure.get_figwidth())
    lines = [textwrap.fill(line, max(width, 20)) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=11)


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure as a PNG, whole or not at all, making its folder; equal figures give equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": "actprobe"})
