"""Figures of evaluations: the error of every layer, and what one method is better by than another.

The first is figure 5 of Mishra, Sturm and Dixon (ISMIR 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actprobe.analyses.inversion.evaluation.measures import between_methods
from actprobe.analyses.inversion.evaluation.readout.ridge import READOUT
from actprobe.plotting import OKABE_ITO, ONE_COLUMN, TWO_COLUMNS, new_figure, set_title, styled

MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # tell methods apart in grey
LABEL_APART = 0.06  # of the height of the axes
BESIDE = 0.06  # of the distance of two layers, between methods
MANY_LAYERS = 10
SHOWN = {
    "nre": "NRE",
    "comparator_nre": "error in the comparator",
    "balanced_agreement": "balanced agreement",
}  # of differences, with what stands over the panel


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
    shown = detail[(detail["measure"] == "nre") & (detail["class"] == "all") & (detail["against"] == "")]
    methods = list(dict.fromkeys(nre["method"]))
    for i, method in enumerate(methods):
        rows = shown[(shown["method"] == method) & (shown["layer"] != "")]
        _errorbars(axes, rows, layers, i, len(methods))
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
            f"excerpts; bars: 95 % intervals over {_resampled(detail)}",
        )
    return figure


@styled
def difference_figure(detail: pd.DataFrame, order: Sequence[str] = ()) -> Figure:
    """Draw what each method has more or less than another, layer by layer, with paired intervals.

    ``detail`` is nre_detail.csv; a row of panels for each method that others are compared with, a panel for
    each of `SHOWN` that was measured. ``order`` is that of the layers, by default as they come. ValueError
    where no two methods were compared.
    """
    rows = between_methods(detail)
    rows = rows[(rows["class"] == "all") & rows["measure"].isin(SHOWN)]
    if not len(rows):
        raise ValueError("no two methods were compared")
    there = list(dict.fromkeys(rows["layer"]))
    layers = sorted(there, key=list(order).index) if order else there
    others = list(dict.fromkeys(rows["against"]))
    measures = [name for name in SHOWN if name in set(rows["measure"])]
    methods = list(dict.fromkeys(rows["method"]))
    figure = new_figure(ONE_COLUMN if len(measures) == 1 else TWO_COLUMNS, 0.7 + 1.8 * len(others))
    grid = figure.subplots(len(others), len(measures), squeeze=False, sharex=True)
    for line, other in zip(grid, others, strict=True):
        for axes, measure in zip(line, measures, strict=True):
            shown = rows[(rows["against"] == other) & (rows["measure"] == measure)]
            axes.axhline(0, color="0.45", linewidth=0.6)
            for i, method in enumerate(methods):
                _errorbars(axes, shown[shown["method"] == method], layers, i, len(methods))
            axes.set_xticks(range(len(layers)), layers, rotation=90)
            axes.set_xlim(-0.5, len(layers) - 0.5)
            if other == others[0]:
                axes.set_title(SHOWN[measure])
        line[0].set_ylabel(f"minus {other}")
    handles, labels = grid[0][0].get_legend_handles_labels()
    for axes in grid.flat[1:]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles, labels = [*handles, handle], [*labels, label]
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    first = rows.iloc[0]
    over = _resampled(detail)
    set_title(figure, f"{first['model']} on {first['corpus']}; bars: paired 95 % intervals over {over}")
    return figure


def _resampled(detail: pd.DataFrame) -> str:
    """What intervals are over: recordings, and trainings where a method has several."""
    return "recordings and seeds" if "nre_trainings_std" in set(detail["measure"]) else "recordings"


def _errorbars(axes: Axes, rows: pd.DataFrame, layers: Sequence[str], number: int, count: int) -> None:
    """Draw a line with intervals, method ``number`` of ``count``."""
    if not len(rows):
        return
    rows = rows.sort_values("layer", key=lambda names: names.map(list(layers).index))
    x = np.array([layers.index(layer) for layer in rows["layer"]]) + BESIDE * (number - (count - 1) / 2)
    value, low, high = (rows[name].to_numpy(np.float64) for name in ("value", "low", "high"))
    reach = np.nan_to_num(np.maximum([value - low, high - value], 0))
    method = str(rows["method"].iloc[0])
    look: dict[str, Any] = {
        "color": OKABE_ITO[number % len(OKABE_ITO)], "marker": MARKERS[number % len(MARKERS)]
    }  # fmt: skip
    if method == READOUT:
        look = {"color": "0.35", "marker": "_", "linestyle": "--"}
    axes.errorbar(x, value, yerr=reach, capsize=2, label=method, **look)
