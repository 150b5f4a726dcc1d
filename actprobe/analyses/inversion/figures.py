"""Figures of inversions, after figures 5 and 6 of Mishra, Sturm and Dixon (ISMIR 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from actprobe.analyses.inversion.evaluation.readout.ridge import READOUT
from actprobe.analyses.inversion.pictures import Pictures
from actprobe.plotting import (
    OKABE_ITO,
    ONE_COLUMN,
    TWO_COLUMNS,
    band_ticks,
    new_figure,
    set_title,
    styled,
)

MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # tell methods apart in grey
LABEL_APART = 0.06  # of the height of the axes
MANY_LAYERS = 10
SHARED_RANGE = (0.5, 99.5)  # percentiles of the input
TICK_HEIGHT = 0.14  # inches


@styled
def nre_figure(nre: pd.DataFrame, detail: pd.DataFrame, order: Sequence[str] = ()) -> Figure:
    """Draw the NRE of every layer, a line for each method, with intervals over recordings.

    The linear readout is a dashed grey line. The tables are nre.csv and nre_detail.csv; ``order`` is that of
    the layers, by default as they come.
    """
    there = list(dict.fromkeys(nre["layer"]))
    layers = sorted(there, key=list(order).index) if order else there
    figure = new_figure(ONE_COLUMN if len(layers) <= MANY_LAYERS else TWO_COLUMNS, 2.9)
    axes = figure.subplots()
    place = {layer: i for i, layer in enumerate(layers)}
    shown = detail[(detail["measure"] == "nre") & (detail["class"] == "all") & (detail["against"] == "")]
    methods = list(dict.fromkeys(nre["method"]))
    for i, method in enumerate(methods):
        rows = shown[(shown["method"] == method) & (shown["layer"] != "")]
        rows = rows.sort_values("layer", key=lambda names: names.map(place))
        x = np.array([place[layer] for layer in rows["layer"]]) + 0.06 * (i - (len(methods) - 1) / 2)
        value, low, high = (rows[name].to_numpy(np.float64) for name in ("value", "low", "high"))
        reach = np.nan_to_num(np.maximum([value - low, high - value], 0))
        look: dict[str, Any] = {"color": OKABE_ITO[i % len(OKABE_ITO)], "marker": MARKERS[i % len(MARKERS)]}
        if method == READOUT:
            look = {"color": "0.35", "marker": "_", "linestyle": "--"}
        axes.errorbar(x, value, yerr=reach, capsize=2, label=method, **look)
    baselines = shown[shown["layer"] == ""]
    top = float(max(axes.get_ylim()[1], 1.05 * baselines["value"].max() if len(baselines) else 0.0))
    axes.set_ylim(0, top)
    beneath = -1.0
    for name, value in sorted(
        zip(baselines["method"], baselines["value"], strict=True), key=lambda at: at[1]
    ):
        axes.axhline(value, color="0.45", linewidth=0.6, linestyle=(0, (4, 3)))
        beneath = max(value, beneath + LABEL_APART * max(top, value))
        axes.annotate(
            f"{name} {value:.2f}", (1, beneath), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va="center", color="0.3", annotation_clip=False,
        )  # fmt: skip
    axes.set_xticks(range(len(layers)), layers, rotation=45)
    axes.set(xlabel="layer, from the input to the output", ylabel="NRE")
    axes.set_xlim(-0.5, len(layers) - 0.5)
    figure.legend(loc="outside lower center", ncols=3)
    if len(nre):
        first = nre.iloc[0]
        set_title(
            figure,
            f"{first['model']} on {first['corpus']}: {first['draws']} samples of {first['excerpts']} "
            "excerpts; bars: 95 % intervals over recordings",
        )
    return figure


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
