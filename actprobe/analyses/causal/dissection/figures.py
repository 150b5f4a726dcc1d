"""Figures of dissections: how many units detect what, and single units with an example."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from actprobe.analyses.causal.dissection.examples import Example
from actprobe.plotting import BLUE, ORANGE, SKY, TWO_COLUMNS, band_ticks, new_figure, set_title, styled
from actprobe.statistics.criteria import Q_LIMIT

COLUMNS = 3
LINE = 0.15  # inches of a concept
HEAD = 0.9
LEAST = 1.4  # of a panel
LONGEST = 30  # characters of a recording's name
EXAMPLE_HEIGHT = 2.2
SIGNIFICANT = f"q ≤ {Q_LIMIT}, whatever the IoU"


@styled
def count_figure(concepts: pd.DataFrame, title: str = "") -> Figure:
    """Draw how many units of each layer detect each concept, from dissection_concepts.csv.

    Light bars are units with an IoU above the threshold, dark ones those that are above the null as well;
    circles are units that are above the null, whatever their IoU; crosses are the mean under permutation,
    triangles the median of the random weights.
    """
    layers, names = (list(dict.fromkeys(concepts[column])) for column in ("layer", "concept"))
    columns = min(COLUMNS, max(len(layers), 1))
    rows = max(-(-len(layers) // columns), 1)
    figure = new_figure(TWO_COLUMNS, rows * max(HEAD + LINE * len(names), LEAST) + 0.8)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, layer in zip(grid.flat, layers, strict=False):
        _draw_counts(axes, concepts[concepts["layer"] == layer].set_index("concept").reindex(names))
        axes.set_title(layer)
    for axes in grid.flat[len(layers) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("units")
    grid[0, 0].set_yticks(range(len(names)), names)
    grid[0, 0].set_ylim(len(names) - 0.5, -0.5)
    handles = [
        Patch(color=SKY, alpha=0.5, label="IoU above the threshold"),
        Patch(color=BLUE, label=f"detectors: and q ≤ {Q_LIMIT}"),
        Line2D([], [], color=BLUE, marker="o", markerfacecolor="none", linestyle="", label=SIGNIFICANT),
        Line2D([], [], color=ORANGE, marker="x", linestyle="", label="above it under permutation (mean)"),
        Line2D([], [], color="0.3", marker="^", linestyle="", label="above it with random weights"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    if title:
        set_title(figure, title)
    return figure


def _draw_counts(axes: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    axes.barh(places, rows["above_iou"].fillna(0), 0.8, color=SKY, alpha=0.5)
    axes.barh(places, rows["detectors"].fillna(0), 0.5, color=BLUE)
    axes.plot(rows["significant"], places, "o", color=BLUE, markerfacecolor="none")
    axes.plot(rows["above_iou_null"], places, "x", color=ORANGE)
    axes.plot(rows["above_iou_random"], places, "^", color="0.3")
    counts = rows[["above_iou", "above_iou_null", "above_iou_random", "significant"]].to_numpy(np.float64)
    axes.set_xlim(0, max(1.0, 1.05 * float(np.nan_to_num(counts).max())))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


@styled
def unit_figure(
    rows: pd.DataFrame,
    iou_threshold: float,
    example: Example | None = None,
    edges_hz: Sequence[float] = (),
    seconds: Sequence[float] = (),
    title: str = "",
) -> Figure:
    """Draw the IoU of a unit with every concept beside its controls, and an example where there is one.

    ``rows`` are those of dissection.csv; ``edges_hz`` and ``seconds`` are the edges of the bands and the
    centres of the frames of the example.
    """
    height = max(HEAD + LINE * len(rows), LEAST if example is None else EXAMPLE_HEIGHT)
    figure = new_figure(TWO_COLUMNS, height + 0.7)
    panels = figure.subplots(
        1, 1 if example is None else 2, squeeze=False, width_ratios=[1, 1.4][: 1 + bool(example)]
    )[0]
    _draw_ious(panels[0], rows, iou_threshold)
    if example is not None:
        _draw_example(panels[1], example, edges_hz, seconds)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    if title:
        set_title(figure, title)
    return figure


def _draw_ious(axes: Axes, rows: pd.DataFrame, iou_threshold: float) -> None:
    places = np.arange(len(rows))
    found = (rows["q"] <= Q_LIMIT).to_numpy()
    axes.barh(places, rows["iou"], 0.6, color=[BLUE if each else "0.75" for each in found])
    axes.plot(rows["iou_null"], places, "x", color=ORANGE, label="under permutation (mean)")
    axes.plot(rows["random_weights"], places, "^", color="0.3", label="random weights")
    axes.axvline(iou_threshold, color="0.45", linewidth=0.6, linestyle=(0, (4, 3)), label="threshold of IoU")
    axes.set_yticks(places, rows["concept"])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("IoU")
    axes.barh([0], [0], color=BLUE, label=f"q ≤ {Q_LIMIT}")


def _draw_example(axes: Axes, example: Example, edges_hz: Sequence[float], seconds: Sequence[float]) -> None:
    times = example.start_seconds + np.asarray(seconds)
    step = times[1] - times[0] if len(times) > 1 else 1.0
    bands = example.mel_spectrogram.shape[1]
    axes.imshow(
        example.mel_spectrogram.T, origin="lower", aspect="auto",
        extent=(times[0] - step / 2, times[-1] + step / 2, -0.5, bands - 0.5), rasterized=True,
    )  # fmt: skip
    _outline(axes, example.concept_mask, times, step, "white", 1.0)
    _outline(axes, example.unit_mask, times, step, ORANGE, 1.2)
    ticks = band_ticks(np.asarray(edges_hz[1:-1], np.float64))
    axes.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
    axes.set_title(f"{Path(example.recording).name[:LONGEST]}: unit (orange), {example.concept} (white)")
    axes.set(xlabel="s", ylabel="Hz")


def _outline(axes: Axes, mask: np.ndarray, times: np.ndarray, step: float, colour: str, width: float) -> None:  # type: ignore[type-arg]
    """Draw around the bins of a mask, along the edges of the bins."""
    frames, bands = mask.shape
    padded = np.pad(mask, 1).astype(np.int8)
    left = times[0] - step / 2
    across, along = np.nonzero(np.diff(padded[:, 1:-1], axis=0)), np.nonzero(np.diff(padded[1:-1], axis=1))
    x = left + step * across[0]
    axes.vlines(x, across[1] - 0.5, across[1] + 0.5, color=colour, linewidth=width)
    begins = left + step * along[0]
    axes.hlines(along[1] - 0.5, begins, begins + step, color=colour, linewidth=width)
    axes.set_xlim(left, left + step * frames)
    axes.set_ylim(-0.5, bands - 0.5)
