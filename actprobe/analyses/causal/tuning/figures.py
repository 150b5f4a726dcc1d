"""Figures of tuning: the share of every layer and factor, and curves of neurons."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.analyses.causal.tuning.factors import FACTORS
from actprobe.analyses.causal.tuning.tables import is_tuned
from actprobe.plotting import (
    CHARACTERS_AN_INCH,
    ORANGE,
    TWO_COLUMNS,
    new_figure,
    set_title,
    short_name,
    styled,
)
from actprobe.statistics.criteria import Q_LIMIT

Doubles = NDArray[np.float64]

SHOWN_NEURONS = 9
COLUMNS = 3
PANEL_CHARACTERS = 30  # of a name over a panel
CELL_INCHES = 0.22
MOST_NUMBERED = 12  # layers whose shares are written in their cells
LIGHT = 0.6  # of the colour scale: numbers on what is above it are black
PANELS = (("share", "trained weights"), ("random", "random weights"))


@styled
def share_figure(layers: pd.DataFrame, title: str = "") -> Figure:
    """Draw tuning_layers.csv: the share of each layer and factor, beside that with random weights.

    Shares that permutation of the doses reaches in 5 % of cases are in brackets.
    """
    rows, columns = (list(dict.fromkeys(layers[name])) for name in ("factor", "layer"))
    shown = [each for each in PANELS if layers[each[0]].notna().any()] or [PANELS[0]]
    longest = max(len(short_name(each)) for each in columns)
    height = 1.2 + longest / CHARACTERS_AN_INCH + CELL_INCHES * max(len(rows), 4)
    figure = new_figure(TWO_COLUMNS, height)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    highest = float(np.nanmax([layers[name].max() for name, _ in shown], initial=0.01))
    for axes, (name, said) in zip(panels, shown, strict=True):
        grid = _table(layers[name], layers, rows, columns)
        image = axes.imshow(grid, aspect="auto", vmin=0, vmax=highest)
        axes.set_xticks(range(len(columns)), [short_name(each) for each in columns], rotation=90)
        axes.set_yticks(range(len(rows)), [each.replace("_", " ") for each in rows])
        axes.set_title(said)
        if len(columns) <= MOST_NUMBERED:
            weak = _table(~(layers["p"] <= Q_LIMIT), layers, rows, columns) if name == "share" else None
            _write_numbers(axes, grid, highest, weak)
    figure.colorbar(image, ax=list(panels), label="share of variance\nexplained by the factor", pad=0.01)
    if title:
        set_title(figure, title)
    return figure


def _table(values: pd.Series, layers: pd.DataFrame, rows: list[str], columns: list[str]) -> Doubles:
    """Arrange a column of tuning_layers.csv as [factors, layers]; NaN where there is no such pair."""
    grid = np.full((len(rows), len(columns)), np.nan)
    for factor, layer, value in zip(layers["factor"], layers["layer"], values, strict=True):
        grid[rows.index(factor), columns.index(layer)] = value
    return grid


def _write_numbers(axes: Axes, grid: Doubles, highest: float, weak: Doubles | None) -> None:
    """Write shares in percent, in brackets where they are ``weak``."""
    for row, column in np.ndindex(*grid.shape):
        value = grid[row, column]
        if np.isfinite(value):
            text = f"{100 * value:.0f}"
            if weak is not None and weak[row, column]:
                text = f"({text})"
            colour = "black" if value > LIGHT * highest else "white"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=6)


@styled
def curve_figure(neurons: pd.DataFrame, curves: pd.DataFrame, factor: str, title: str = "") -> Figure:
    """Draw tuning curves with intervals, and those of the same neurons with random weights.

    ``neurons``: rows of tuning.csv, one a panel; ``curves``: tuning_curves.parquet. Random weights have other
    activations, so their curve is brought to the mean and the standard deviation of the network's.
    """
    count = len(neurons)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure = new_figure(TWO_COLUMNS * columns / COLUMNS if columns > 1 else 3.5, 1.75 * rows + 0.7)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axes, row in zip(grid.flat, neurons.itertuples(), strict=False):
        at = (curves["layer"] == row.layer) & (curves["neuron"] == row.neuron) & (curves["factor"] == factor)
        _draw_curve(axes, row, curves[at], factor)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    unit = FACTORS[factor].unit
    for column in range(columns):
        below = [axes for axes in grid[:, column] if axes.get_visible()][-1]
        below.set_xlabel(f"{factor.replace('_', ' ')} ({unit})" if unit else factor.replace("_", " "))
        below.tick_params(labelbottom=True)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(2, columns))
    if title:
        set_title(figure, title)
    return figure


def _draw_curve(axes: Axes, neuron: object, curve: pd.DataFrame, factor: str) -> None:
    layer, number, r2, q, preferred, deviation, twin = (
        getattr(neuron, name)
        for name in ("layer", "neuron", "r2", "q", "preferred", "deviation", "deviation_random")
    )
    doses, mean, random = (curve[name].to_numpy(np.float64) for name in ("dose", "mean", "random"))
    axes.fill_between(doses, curve["low"], curve["high"], color=ORANGE, alpha=0.25, linewidth=0)
    axes.plot(doses, mean, color=ORANGE, marker="o", label="mean, 95 % interval over variants")
    if np.isfinite(random).any():
        scale = deviation / twin if twin > 0 else 0.0
        scaled = mean.mean() + (random - random.mean()) * scale
        axes.plot(doses, scaled, color="0.5", linestyle=(0, (4, 2)), label="random weights, scaled")
    if np.isfinite(preferred):
        axes.axvline(preferred, color="0.75", linewidth=0.6, zorder=0)
    if FACTORS[factor].log:
        axes.set_xscale("log", base=2)
        shown = doses[:: -(-len(doses) // 6)]
        axes.set_xticks(shown, [f"{dose:.4g}" for dose in shown])
        axes.minorticks_off()
    told = [f"r2 = {r2:.2f}"] * bool(np.isfinite(r2)) + [f"q = {q:.2g}"] * bool(np.isfinite(q))
    name = short_name(f"{layer}/{number}", PANEL_CHARACTERS)
    axes.set_title("\n".join([name, ", ".join(told)] if told else [name]))


def most_tuned(neurons: pd.DataFrame, factor: str, count: int = SHOWN_NEURONS) -> pd.DataFrame:
    """Choose the neuron of each layer with the highest r2, first those that are tuned.

    Of more layers than ``count`` those with the best neurons are left, in the order of the network.
    """
    rows = neurons[(neurons["factor"] == factor) & neurons["r2"].notna()]
    order = rows.assign(_tuned=is_tuned(rows)).sort_values(["_tuned", "r2"], ascending=False, kind="stable")
    best = order.drop_duplicates("layer").head(count)
    return best.drop(columns="_tuned").sort_index()
