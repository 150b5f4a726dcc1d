"""Figures of inversions, after figure 6 of Mishra, Sturm and Dixon (ISMIR 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from actprobe.analyses.inversion.pictures import Pictures
from actprobe.plotting import (
    ONE_COLUMN,
    TWO_COLUMNS,
    band_ticks,
    new_figure,
    set_title,
    styled,
)

SHARED_RANGE = (0.5, 99.5)  # percentiles of the input
TICK_HEIGHT = 0.14  # inches


@styled
def inversion_figure(
    pictures: Pictures,
    titles: Mapping[str, str],
    *,
    long: bool = False,
    scale: str = "shared",
    title: str = "",
    columns: int = 3,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw an excerpt and its inversions.

    - ``pictures``: the first panel is the input.
    - ``titles``: name of each panel -> what stands over it.
    - ``long``: the panels are spans of several excerpts, drawn one below the other.
    - ``scale``: ``shared`` is one colour scale for all, from percentile 0.5 to 99.5 of the input; ``panel``
      is one for each, from its least to its greatest value, as in the paper, and then colours do not show
      level.
    - ``columns``: panels beside each other at most.
    - ``limits``: ends of the shared scale in place of those percentiles.
    """
    panels, times, bands_hz = pictures.panels, pictures.times, pictures.bands_hz
    columns = 1 if long else min(columns, len(panels))
    rows = -(-len(panels) // columns)
    height = 1.25 if long else 1.6
    figure = new_figure(TWO_COLUMNS if long or columns > 1 else ONE_COLUMN, height * rows + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    low, high = limits or np.percentile(next(iter(panels.values())), SHARED_RANGE)
    hop = (times[-1] - times[0]) / max(len(times) - 1, 1) or 1.0
    extent = (times[0] - hop / 2, times[-1] + hop / 2, -0.5, len(bands_hz) - 0.5)
    image = None
    for axes, (name, picture) in zip(grid.flat, panels.items(), strict=False):
        ends = {"vmin": low, "vmax": high} if scale == "shared" else {}
        image = axes.imshow(
            picture.T, origin="lower", aspect="auto", extent=extent, **ends,
        )  # fmt: skip
        axes.set_title(titles[name])
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    ticks = band_ticks(bands_hz, TICK_HEIGHT / height)
    grid[0, 0].set_yticks([place for place, _ in ticks], [label for _, label in ticks])
    for axes in grid[:, 0]:
        axes.set_ylabel("frequency (Hz)")
    for column in range(columns):
        filled = [i for i in range(rows) if i * columns + column < len(panels)]
        grid[filled[-1], column].set_xlabel("time (s)")
        grid[filled[-1], column].xaxis.set_tick_params(labelbottom=True)
    if scale == "shared" and image is not None:
        bar = figure.colorbar(image, ax=grid, extend="both", shrink=0.8, aspect=30)
        bar.set_label(pictures.unit)
    if title:
        set_title(figure, title)
    return figure
