"""Figures of evaluated attributions: scores beside their controls, and cascading randomisation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actprobe.analyses.attribution.evaluation.scoring import CHANCE, MAGNITUDE, RANDOM, WEIGHTS
from actprobe.analyses.attribution.evaluation.tables import GOOD_SIDE
from actprobe.plotting import OKABE_ITO, TWO_COLUMNS, new_figure, set_title, styled

CONTROLS = {RANDOM: ("x", "random"), MAGNITUDE: ("s", "|x - fill|"), WEIGHTS: ("^", "random weights")}
COLUMNS = 4
MARKERS = ("o", "D", "v", "P")
SIDES = {1: "high is good", -1: "low is good", 0: ""}


@styled
def score_figure(scores: pd.DataFrame, title: str = "") -> Figure:
    """Draw every metric of attribution_scores.csv in a panel, a line for each method.

    Filled marks with 95 % intervals are methods, a colour for each fill; grey marks are their controls; the
    dashed line is chance.
    """
    shown = scores[~scores["method"].isin([RANDOM, MAGNITUDE, CHANCE])]
    methods, metrics, fills = (list(dict.fromkeys(shown[name])) for name in ("method", "metric", "fill"))
    rows = -(-len(metrics) // COLUMNS)
    figure = new_figure(TWO_COLUMNS, rows * (0.9 + 0.1 * len(methods) * len(fills)) + 0.6)
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    for axes, metric in zip(grid.flat, metrics, strict=False):
        _draw_metric(axes, shown[shown["metric"] == metric], methods, fills)
        chance = scores[(scores["method"] == CHANCE) & (scores["metric"] == metric)]["value"]
        if len(chance):
            axes.axvline(chance.iloc[0], color="0.45", linewidth=0.6, linestyle=(0, (4, 3)))
        axes.set_title(metric.replace("_", " "))
        axes.set_xlabel(SIDES[GOOD_SIDE.get(metric, 0)])
    for axes in grid.flat[len(metrics) :]:
        axes.set_visible(False)
    grid[0, 0].set_yticks(range(len(methods)), methods)
    grid[0, 0].set_ylim(len(methods) - 0.5, -0.5)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    if title:
        set_title(figure, title)
    return figure


@styled
def cascade_figure(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw attribution_randomisation.csv: a panel for each similarity, a line for each method."""
    kinds = ("signed", "absolute", "partial")
    figure = new_figure(TWO_COLUMNS, 2.6)
    grid = figure.subplots(1, len(kinds), sharey=True)
    for axes, kind in zip(grid, kinds, strict=True):
        for i, (method, rows) in enumerate(table.groupby("method", sort=False)):
            axes.plot(
                rows["layers_randomised"], rows[kind], color=OKABE_ITO[i % len(OKABE_ITO)],
                marker=MARKERS[i // len(OKABE_ITO) % len(MARKERS)], label=str(method),
            )  # fmt: skip
        first = table.drop_duplicates("layers_randomised")
        axes.set_xticks(first["layers_randomised"], first["layer"], rotation=45)
        axes.axhline(0, color="0.45", linewidth=0.6)
        axes.set_title(kind)
        axes.set_xlabel("randomised down to")
    grid[0].set_ylabel("Spearman correlation")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    if title:
        set_title(figure, title)
    return figure


def _draw_metric(axes: Axes, rows: pd.DataFrame, methods: list[str], fills: list[str]) -> None:
    place = {method: i for i, method in enumerate(methods)}
    for j, fill in enumerate(fills):
        of_fill = rows[rows["fill"] == fill]
        y = np.array([place[each] for each in of_fill["method"]]) + 0.5 * ((j + 0.5) / len(fills) - 0.5)
        for control, (marker, label) in CONTROLS.items():
            axes.plot(
                of_fill[control], y, marker, color="0.55", markerfacecolor="none", markersize=2.5,
                markeredgewidth=0.6, label=label if j == 0 else None,
            )  # fmt: skip
        value, low, high = (of_fill[name].to_numpy(np.float64) for name in ("value", "low", "high"))
        axes.errorbar(
            value, y, xerr=np.nan_to_num(np.maximum([value - low, high - value], 0)),
            color=OKABE_ITO[j % len(OKABE_ITO)], marker=MARKERS[j % len(MARKERS)], linestyle="none",
            label=fill,
        )  # fmt: skip
    if not np.isfinite(rows[["value", *CONTROLS]].to_numpy(np.float64)).any():
        axes.text(0.5, 0.5, "not defined", ha="center", va="center", transform=axes.transAxes, color="0.4")
        axes.set_xticks([])
