"""Figures of an ablation: every unit of a layer alone, and curves over the number of units."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actprobe.analyses.causal.ablation.sets import LEAST, RANDOM, TOP, UNIT
from actprobe.plotting import BLACK, BLUE, ONE_COLUMN, ORANGE, TWO_COLUMNS, new_figure, set_title, styled

SHOWN_UNITS = 40  # those that change most
METRIC_NAMES = {
    "auc": "AUC", "balanced_accuracy": "balanced accuracy", "average_precision": "average precision",
}  # fmt: skip
LOOKS = {TOP: (ORANGE, "most"), LEAST: (BLUE, "least")}


def axis_name(metric: str) -> str:
    """Name what is drawn: the change of a metric, or of the output itself where there is none."""
    return f"change of {METRIC_NAMES.get(metric, metric)}" if metric else "change of the output"


@styled
def unit_figure(rows: pd.DataFrame, metric: str, title: str) -> Figure:
    """Draw the change without each unit alone, with intervals; what is filled has a q of 0.05 at most.

    ``rows`` are those of one layer, fill, output and metric.
    """
    value, low, high, q = _columns(metric)
    shown = rows[rows["kind"] == UNIT].dropna(subset=[value])
    shown = shown.reindex(shown[value].abs().sort_values(ascending=False).index)[:SHOWN_UNITS]
    figure = new_figure(TWO_COLUMNS if len(shown) > SHOWN_UNITS // 2 else ONE_COLUMN, 2.4)
    axes = figure.add_subplot()
    places = np.arange(len(shown))
    sizes = shown[value].to_numpy(np.float64)
    ends = np.abs(shown[[low, high]].to_numpy(np.float64).T - sizes)
    axes.errorbar(places, sizes, yerr=np.nan_to_num(ends), fmt="none", ecolor=BLACK, elinewidth=0.6)
    found = shown[q].to_numpy(np.float64) <= 0.05
    axes.scatter(places[found], sizes[found], color=ORANGE, zorder=3, s=12, label="q <= 0.05")
    axes.scatter(
        places[~found], sizes[~found], facecolor="white", edgecolor=ORANGE, zorder=3, s=12, label="q > 0.05"
    )
    axes.axhline(0, color=BLACK, linewidth=0.6)
    axes.set_xticks(places, shown["units"].tolist(), rotation=90 if len(shown) > 16 else 0)
    axes.set_xlabel("unit, the largest change first")
    axes.set_ylabel(axis_name(metric))
    axes.legend(loc="best")
    set_title(figure, title)
    return figure


@styled
def curve_figure(rows: pd.DataFrame, metric: str, features: list[str], title: str) -> Figure:
    """Draw the change over k: the units that follow a feature most and least, and the band of random sets.

    ``rows`` are those of one layer, fill, output and metric.
    """
    figure = new_figure(min(TWO_COLUMNS, ONE_COLUMN * len(features)), 2.4)
    panels = figure.subplots(1, len(features), sharey=True, squeeze=False)[0]
    for axes, feature in zip(panels, features, strict=True):
        _curve(axes, rows[rows["feature"] == feature], metric, feature)
    panels[0].set_ylabel(axis_name(metric))
    panels[-1].legend(loc="best")
    set_title(figure, title)
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, metric: str, feature: str) -> None:
    value, low, high, _ = _columns(metric)
    random = rows[rows["kind"] == RANDOM].sort_values("k")
    if len(random):
        axes.fill_between(
            random["k"], random[low], random[high], color="#cccccc", linewidth=0, label="random sets, 95 %"
        )
        axes.plot(random["k"], random[value], color="#777777", linewidth=0.8)
    for kind, (colour, word) in LOOKS.items():
        chosen = rows[rows["kind"] == kind].sort_values("k")
        sizes = chosen[value].to_numpy(np.float64)
        ends = np.nan_to_num(np.abs(chosen[[low, high]].to_numpy(np.float64).T - sizes))
        axes.errorbar(
            chosen["k"], sizes, yerr=ends, color=colour, marker="o", capsize=2, elinewidth=0.8,
            label=f"follow it {word}",
        )  # fmt: skip
    axes.axhline(0, color=BLACK, linewidth=0.6)
    ks = sorted(set(rows["k"]))
    axes.set_xscale("log", base=2)
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    axes.set_xlabel("units ablated")
    axes.set_title(feature.replace("_", " "))


def _columns(metric: str) -> tuple[str, str, str, str]:
    """Name the columns of value, ends of the interval, and q."""
    if metric:
        return "metric_change", "metric_low", "metric_high", "metric_q"
    return "change", "low", "high", "q"
