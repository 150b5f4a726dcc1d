"""Figures of probes: each target over the layers, beside its controls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actprobe.plotting import (
    BLUE,
    CHARACTERS_AN_INCH,
    GREEN,
    ONE_COLUMN,
    ORANGE,
    TWO_COLUMNS,
    new_figure,
    set_title,
    short_name,
    styled,
)

COLUMNS = 2
AXIS = {"r2": "R2", "auc": "area under the ROC curve"}
LOWEST = -0.5  # R2 that is shown: a probe far worse than the mean is as bad as one a little worse


@styled
def probe_figure(table: pd.DataFrame, targets: Sequence[str], title: str = "") -> Figure:
    """Draw rows of probe.csv, a panel for each target over the layers in their order.

    The target with its 95 % interval over recordings in blue; random weights in orange, the input dashed in
    green, permuted targets dotted in grey.
    """
    columns = min(len(targets), COLUMNS)
    rows = -(-len(targets) // columns)
    longest = max(len(short_name(layer)) for layer in table["layer"])
    height = 1.8 + longest / CHARACTERS_AN_INCH
    figure = new_figure(TWO_COLUMNS if columns > 1 else ONE_COLUMN, height * rows + 0.7)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, target in zip(grid.flat, targets, strict=False):
        _draw(axes, table[table["target"] == target].reset_index(drop=True))
        axes.set_title(target)
    for axes in grid.flat[len(targets) :]:
        axes.set_visible(False)
    entries = {
        label: handle
        for axes in grid.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if entries:
        ncols = 4 if columns > 1 else 2
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=ncols)
    if title:
        set_title(figure, title)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    metric = rows["metric"].iloc[0]
    names = [short_name(layer) for layer in rows["layer"]]
    crowded = len(rows) > 4 or max(map(len, names)) > 10
    axes.set_xticks(places, names, rotation=90 if crowded else 0)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.set_ylabel(AXIS[metric])
    value = rows["value"].to_numpy(np.float64)
    if not np.isfinite(value).any():
        axes.text(0.5, 0.5, "not probed", ha="center", va="center", transform=axes.transAxes, color="0.4")
        axes.set_yticks([])
        return
    floor = LOWEST if metric == "r2" else 0.0
    low, high = (rows[name].clip(lower=floor).fillna(rows["value"]) for name in ("low", "high"))
    shown = value.clip(floor)
    ends = np.maximum([shown - low, high - shown], 0)
    axes.errorbar(places, shown, yerr=ends, color=BLUE, marker="o", capsize=2, label="layer", zorder=3)
    lines = [
        ("permuted", "permuted targets", {"color": "0.5", "linestyle": ":"}),
        ("random_weights", "random weights", {"color": ORANGE, "marker": "^", "markerfacecolor": "white"}),
    ]
    for name, label, style in lines:
        line = rows[name].to_numpy(np.float64)
        if np.isfinite(line).any():
            axes.plot(places, line.clip(floor), label=label, zorder=2, **style)  # type: ignore[arg-type]
    of_input = float(rows["input"].iloc[0])
    if np.isfinite(of_input):
        axes.axhline(max(of_input, floor), color=GREEN, linestyle=(0, (4, 2)), label="input", zorder=1)
    lowest, highest = axes.get_ylim()
    axes.set_ylim(max(lowest, floor - 0.05), min(highest, 1.02))
