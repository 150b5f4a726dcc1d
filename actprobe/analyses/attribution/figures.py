"""Figures of attributions: the input, and over it what speaks for and against the target."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.plotting import (
    BLUE,
    ORANGE,
    SIGNED,
    TWO_COLUMNS,
    Tick,
    band_ticks,
    new_figure,
    set_title,
    styled,
)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Extent = tuple[float, float, float, float]

FULL_PERCENTILE = 99.5  # of the absolute values of a method: drawn opaque
INPUT_RANGE = (0.5, 99.5)  # percentiles
ROW_HEIGHT, MARGINAL_HEIGHT, BAR_HEIGHT = 1.35, 0.4, 0.1  # inches


@styled
def attribution_figure(
    example: Floats,
    attributions: Mapping[str, Floats],
    times: Doubles,
    bands_hz: Doubles,
    *,
    unit: str = "",
    title: str = "",
) -> Figure:
    """Draw an excerpt or a passage and its attributions.

    - ``example``: float32 [time, mel]; of a network of waveforms [samples, 1].
    - ``attributions``: method -> float32 of that shape.
    - ``times``, ``bands_hz``: seconds at the frames, hertz at the bands.

    Each method is scaled by the 99.5th percentile of its absolute values, so that all share one colour scale:
    orange speaks for the target, blue against it. Below and beside each map are its sums over frequency and
    over time.
    """
    heights = [ROW_HEIGHT, *([ROW_HEIGHT, MARGINAL_HEIGHT] * len(attributions)), BAR_HEIGHT]
    figure = new_figure(TWO_COLUMNS, sum(heights) + 0.9)
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[6, 1])
    hop = (times[-1] - times[0]) / max(len(times) - 1, 1) or 1.0
    extent = (times[0] - hop / 2, times[-1] + hop / 2, -0.5, len(bands_hz) - 0.5)
    ticks = band_ticks(bands_hz, 0.14 / ROW_HEIGHT)
    first = figure.add_subplot(grid[0, 0])
    _draw_input(first, example, times, extent, ticks)
    first.set_title(f"input ({unit})" if unit else "input")
    if first.images:
        places = figure.add_subplot(grid[0, 1])
        places.set_axis_off()
        inside = places.inset_axes((0.0, 0.05, 0.12, 0.9))
        figure.colorbar(first.images[0], cax=inside)
    last = first
    for number, (method, values) in enumerate(attributions.items()):
        scaled = scaled_to_one(values)
        axes = figure.add_subplot(grid[1 + 2 * number, 0], sharex=first)
        _draw_over(axes, example, scaled, times, extent, ticks)
        axes.set_title(method)
        axes.tick_params(labelbottom=False)
        over_time = figure.add_subplot(grid[2 + 2 * number, 0], sharex=first)
        _draw_marginal(over_time, times, scaled, axis=1)
        over_time.tick_params(labelbottom=number == len(attributions) - 1)
        last = over_time
        if example.shape[1] > 1:
            over_bands = figure.add_subplot(grid[1 + 2 * number, 1], sharey=axes)
            _draw_marginal(
                over_bands, np.arange(len(bands_hz), dtype=np.float64), scaled, axis=0, upright=True
            )
            over_bands.tick_params(labelleft=False)
    first.tick_params(labelbottom=not attributions)
    last.set_xlabel("time (s)")
    scale = matplotlib.cm.ScalarMappable(Normalize(-1, 1), SIGNED)
    below = figure.add_subplot(grid[len(heights) - 1, 0])
    bar = figure.colorbar(scale, cax=below, orientation="horizontal", ticks=[-1, 0, 1])
    bar.set_ticklabels(["against the target", "0", "for the target"])
    if title:
        set_title(figure, title)
    return figure


def scaled_to_one(values: Floats) -> Floats:
    """Divide an attribution by its full scale, so that methods share one scale of colours."""
    return np.asarray(values / (np.percentile(np.abs(values), FULL_PERCENTILE) or 1.0), np.float32)


def _draw_input(
    axes: Axes,
    example: Floats,
    times: Doubles,
    extent: Extent,
    ticks: list[Tick],
) -> None:
    if example.shape[1] == 1:
        axes.plot(times, example[:, 0], color="0.3", linewidth=0.4, rasterized=True)
        axes.set_ylabel("sample value")
        axes.set_xlim(extent[0], extent[1])
        return
    low, high = np.percentile(example, INPUT_RANGE)
    axes.imshow(example.T, origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high)
    axes.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
    axes.set_ylabel("frequency (Hz)")


def _draw_over(
    axes: Axes,
    example: Floats,
    scaled: Floats,
    times: Doubles,
    extent: Extent,
    ticks: list[Tick],
) -> None:
    """Draw the input in grey and the attribution over it, the more opaque the stronger it is."""
    if example.shape[1] == 1:
        axes.plot(times, example[:, 0], color="0.75", linewidth=0.4, rasterized=True)
        beside = axes.twinx()
        for sign, colour in ((1, ORANGE), (-1, BLUE)):
            part = np.maximum(sign * scaled[:, 0], 0) * sign
            beside.fill_between(times, 0, part, color=colour, linewidth=0, rasterized=True)
        beside.set_yticks([])
        axes.set_yticks([])
        return
    low, high = np.percentile(example, INPUT_RANGE)
    grey = 1 - 0.6 * np.clip((example.T - low) / max(high - low, 1e-9), 0, 1)
    axes.imshow(np.repeat(grey[..., np.newaxis], 3, axis=2), origin="lower", aspect="auto", extent=extent)
    clipped = np.clip(scaled.T, -1, 1)
    colours = SIGNED((np.sign(clipped) + 1) / 2)
    colours[..., 3] = np.abs(clipped)
    axes.imshow(colours, origin="lower", aspect="auto", extent=extent)
    axes.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
    axes.set_ylabel("frequency (Hz)")


def _draw_marginal(
    axes: Axes, places: NDArray[np.float64], scaled: Floats, *, axis: int, upright: bool = False
) -> None:
    """Draw the sums of the positive and of the negative part over an axis."""
    up, down = np.maximum(scaled, 0).sum(axis=axis), np.minimum(scaled, 0).sum(axis=axis)
    for values, colour in ((up, ORANGE), (down, BLUE)):
        if upright:
            axes.fill_betweenx(places, 0, values, color=colour, linewidth=0)
        else:
            axes.fill_between(places, 0, values, color=colour, linewidth=0)
    if upright:
        axes.set_xticks([])
        axes.set_xlabel("sum over time")
    else:
        axes.set_yticks([])
        axes.set_ylabel("sum")
