"""Figures of neuron runs, after Figure 2 of Slizovskaia, Gómez and Haro (2018), and of their comparison."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from actprobe.analyses.neurons.found import Comparison, NeuronFindings
from actprobe.plotting import BLUE, ORANGE, TWO_COLUMNS, new_figure, save_figure, set_title, styled
from actprobe.statistics.criteria import weights_named

NEURON_COLOUR, FEATURE_COLOUR = BLUE, ORANGE  # the feature is also dashed, to hold in black and white
DOTS = 4000  # of a scatter, at most about
MANY_DOTS = 1000  # that are rasterised in a PDF
PALE = 0.6  # numbers on cells above this are black
NUMBER_INCHES = 0.26  # width of a number on a cell


def best_neurons(table: pd.DataFrame, feature: str, count: int) -> list[dict[str, Any]]:
    """Pick the neurons of neurons.csv whose correlation with a feature is the strongest, in either direction.

    Returns
    -------
    list of dict
        Rows of the table, the strongest first, so many at most; constant neurons never.
    """
    rows = table[(table["feature"] == feature) & table["r"].notna()]
    order = rows["r"].abs().sort_values(ascending=False, kind="stable").index[:count]
    return [{str(key): value for key, value in row.items()} for row in rows.loc[order].to_dict("records")]


def draw_neurons(run: NeuronFindings, directory: Path, count: int) -> list[Path]:
    """Draw the best neurons of each feature, see `neuron_figure`.

    The folder gets a PNG and a PDF a neuron, named by feature, rank, layer and neuron. Those of an earlier
    run are removed. The paths are those of the PNGs.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for earlier in (*directory.glob("*.png"), *directory.glob("*.pdf")):
        earlier.unlink()
    paths = []
    for feature in run.features:
        for rank, row in enumerate(best_neurons(run.table, feature, count), start=1):
            path = directory / f"{_plain(feature)}-{rank}-{_plain(row['layer'])}-{row['neuron']}.png"
            save_figure(neuron_figure(run, row), path)
            paths.append(path)
    return paths


@styled
def cka_figure(found: Comparison) -> Figure:
    """Draw linear CKA of all pairs of layers of two runs, the plain estimate and the debiased one."""
    rows, columns = (list(dict.fromkeys(found.cka[name])) for name in ("layer_a", "layer_b"))
    cell = min(0.4, 0.4 * TWO_COLUMNS / max(len(columns), 1))
    figure = new_figure(TWO_COLUMNS, max(cell * len(rows), 1.0) + 1.2)
    axes = figure.subplots(1, 2, sharey=True)
    titles = {"cka": "linear CKA", "cka_debiased": "linear CKA, debiased"}
    for place, (column, title) in zip(axes, titles.items(), strict=True):
        table = found.cka.pivot_table(
            index="layer_a", columns="layer_b", values=column, sort=False, dropna=False
        )
        values = table.reindex(index=rows, columns=columns).to_numpy(float)
        image = place.imshow(values, vmin=0, vmax=1, origin="lower", aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value) and cell > NUMBER_INCHES:
                colour = "black" if value > PALE else "white"
                place.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour)
        place.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
        place.set_title(title)
        place.set_xlabel(found.names[1])
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set_ylabel(found.names[0])
    figure.colorbar(image, ax=axes, label="1: equal up to rotation\nand scale")
    set_title(figure, f"Layers over the {found.recordings} recordings of both runs")
    return figure


def _plain(name: str) -> str:
    """Bring a name into a form that a file name can hold and that has no hyphen."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", name)


@styled
def neuron_figure(run: NeuronFindings, found: Mapping[str, Any]) -> Figure:
    """Draw a neuron and a feature, a row of neurons.csv: a scatter, the two aligned curves, and its layer.

    The third part tells what the neuron was picked from: the correlations of all neurons of its layer, those
    of the same layer with random weights, and the 95th percentile of max |r| under permutation.
    """
    values = run.features[found["feature"]]
    known = np.isfinite(values)
    values = values[known]
    activity = np.asarray(run.activity[found["layer"]][:, found["neuron"]], np.float64)[known]
    unit = run.record["features"][found["feature"]].get("unit", "")
    feature_label = f"{found['feature']} ({unit})" if unit else found["feature"]
    neuron_label = f"{found['layer']} neuron {found['neuron']}"
    figure = new_figure(TWO_COLUMNS, 2.9)
    scatter, curves, layer = figure.subplots(1, 3, width_ratios=(1, 1.4, 1))
    _scatter(scatter, values, activity)
    scatter.set(xlabel=feature_label, ylabel="mean activation")
    _curves(curves, values, activity, neuron_label, found["feature"])
    curves.set(xlabel=f"{run.record.get('unit', 'recording')}s, by {found['feature']}")
    curves.xaxis.set_major_locator(MaxNLocator(integer=True))
    _layer(layer, run, found)
    figure.legend(loc="outside lower center", ncols=3)
    interval = (
        f"[{found['r_low']:.2f}, {found['r_high']:.2f}]" if np.isfinite(found["r_low"]) else "no interval"
    )
    chance = f", p_max = {found['p_max']:.2g}" if np.isfinite(found["p_max"]) else ""
    set_title(
        figure,
        f"{run.record['model']}, {weights_named(run.record)}: {neuron_label} and {found['feature']}\n"
        f"r = {found['r']:.3f}, 95 % {interval}, q = {found['q']:.2g} over the layer{chance}, "
        f"n = {found['n']}",
    )
    return figure


def _scatter(axes: Axes, values: NDArray[np.float64], activity: NDArray[np.float64]) -> None:
    shown = slice(None, None, 1 + len(values) // DOTS)
    alpha = 0.7 if len(values) <= MANY_DOTS else 0.25
    axes.scatter(
        values[shown],
        activity[shown],
        s=9,
        color=NEURON_COLOUR,
        alpha=alpha,
        linewidths=0,
        rasterized=len(values) > MANY_DOTS,
    )
    slope, intercept = np.polyfit(values, activity, 1)
    ends = np.array([values.min(), values.max()])
    axes.plot(ends, slope * ends + intercept, color="black")


def _curves(
    axes: Axes, values: NDArray[np.float64], activity: NDArray[np.float64], neuron: str, feature: str
) -> None:
    order = np.argsort(values, kind="stable")
    place = np.arange(1, len(order) + 1)
    marker = "o" if len(order) <= 60 else ""
    width = 1 if len(order) <= 1000 else 0.3
    axes.plot(
        place, _standardise(activity)[order], color=NEURON_COLOUR, linewidth=width, marker=marker,
        markersize=2, label=neuron,
    )  # fmt: skip
    axes.plot(
        place, _standardise(values)[order], color=FEATURE_COLOUR, linewidth=1.2, linestyle="--", label=feature
    )
    axes.set(ylabel="standardised value")


def _layer(axes: Axes, run: NeuronFindings, found: Mapping[str, Any]) -> None:
    """Draw r of all neurons of the layer, of the random controls, and the null of max |r|."""
    rows = (run.detail["layer"] == found["layer"]) & (run.detail["feature"] == found["feature"])
    own = run.table.loc[rows, "r"].dropna()
    controls = run.detail.loc[rows].filter(regex="^r_random_")
    random = controls.to_numpy(np.float64).ravel()
    random = random[np.isfinite(random)]
    bins = [float(edge) for edge in np.linspace(-1, 1, 81)]
    axes.hist(
        own, bins, weights=np.full(len(own), 1 / len(own)), color=NEURON_COLOUR, alpha=0.6,
        label=f"{len(own)} neurons of {found['layer']}",
    )  # fmt: skip
    if len(random):
        axes.hist(
            random, bins, weights=np.full(len(random), 1 / len(random)), histtype="step", color="black",
            label=f"random weights ({controls.shape[1]} seeds)",
        )  # fmt: skip
    null_95 = run.layers[
        (run.layers["layer"] == found["layer"])
        & (run.layers["feature"] == found["feature"])
        & (run.layers["weights"] == "model")
    ]["null_95"].iloc[0]
    if np.isfinite(null_95):
        percentile = "95th percentile of max |r| under permutation"
        axes.axvspan(-null_95, null_95, color="0.88", zorder=0, label=percentile)
    axes.axvline(found["r"], color=FEATURE_COLOUR, linewidth=1.2, linestyle="--", label="r of this neuron")
    limit = min(1.0, 1.15 * np.nanmax(np.abs([found["r"], null_95, own.abs().max(), *random])))
    axes.set(xlim=(-limit, limit), xlabel=f"r with {found['feature']}", ylabel="share of neurons")


def _standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean()) / values.std())
