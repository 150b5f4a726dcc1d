"""Figures of a map run: matches drawn between feature and activation map, and histograms of each layer.

After Figure 1 of Slizovskaia, Gómez and Haro (2018); theirs shows matches without axes and without telling
which of them agree on where things are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

from actprobe.analyses.maps.gallery import Item, Side
from actprobe.plotting import OKABE_ITO, ORANGE, SKY, TWO_COLUMNS, new_figure, save_figure, set_title, styled
from actprobe.statistics.criteria import weights_named

AGREES, OTHER = ORANGE, SKY
HISTOGRAMS = {
    "keypoints_map": "keypoints of the map",
    "matches": "matches",
    "ratio": "ratio (matches of those possible)",
    "distance": "distance of matched descriptors",
    "consistency": "consistency (share of matches that agree)",
    "score": "score",
}
BINS = 24


def draw_figures(
    record: Mapping[str, Any], table: pd.DataFrame, items: Sequence[Item], directory: Path
) -> None:
    """Draw every map of the gallery beside the feature it was chosen for, and histograms of every layer.

    The folder gets ``match-FEATURE-RANK-LAYER-CHANNEL`` and ``histograms-LAYER``, each as PNG and PDF. Those
    of an earlier run are removed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for earlier in (*directory.glob("match-*"), *directory.glob("histograms-*")):
        earlier.unlink()
    for item in items:
        name = f"match-{item.feature}-{item.rank}-{_plain(item.layer)}-{item.channel}.png"
        save_figure(pair_figure(record, table, item, item.feature), directory / name)
    for layer, rows in table.groupby("layer", sort=False):
        save_figure(_histograms(record, str(layer), rows), directory / f"histograms-{_plain(str(layer))}.png")


def _plain(layer: str) -> str:
    return layer.replace("/", "-")


@styled
def pair_figure(record: Mapping[str, Any], table: pd.DataFrame, item: Item, feature: str) -> Figure:
    """Draw a feature above an activation map, with a line for every match.

    ``record`` is run.json, ``table`` maps.csv; the item has the map beside the feature.
    """
    side = item.side(feature)
    assert side is not None
    own = (table["layer"] == item.layer) & (table["channel"] == item.channel) & (table["feature"] == feature)
    row = table[own].iloc[0]
    figure = new_figure(TWO_COLUMNS, 4.4)
    above, below = figure.subplots(2, 1, sharex=True)
    unit = f" ({side.unit})" if side.unit else ""
    negative = " (negative)" if side.negative else ""
    pictures = (
        (above, side.feature_picture, f"{feature}{unit}"),
        (below, side.map_picture, f"{item.layer}, channel {item.channel}{negative}"),
    )
    for axes, picture, title in pictures:
        extent = (item.start, item.end, 0.0, 1.0)
        axes.imshow(picture, vmin=0, vmax=255, extent=extent, aspect="auto")
        axes.set_title(title, loc="left")
        axes.set_ylabel(side.axis)
        axes.set_yticks([place for place, _ in side.ticks], [label for _, label in side.ticks])
    below.set_xlabel("time (s)")
    agreeing = _draw_matches(figure, item, side)
    inverted = " with the map's negative" if side.negative else ""
    null = f"{row['score_null']:.3f}" if np.isfinite(row["score_null"]) else "unknown"
    q = f"q = {row['q']:.2g} over the layer" if np.isfinite(row["q"]) else "no q"
    title = (
        f"{record['model']}, {weights_named(record)}, {item.recording}: {agreeing} of {len(side.matches)} "
        f"matches{inverted} agree (orange)\nscore {row['score']:.3f} over n = {row['n']} recordings, with "
        f"other recordings' features {null}; {q}"
    )
    set_title(figure, title)
    return figure


def _draw_matches(figure: Figure, item: Item, side: Side) -> int:
    """Draw a line for every match from the feature to the map, those that agree last, and count these."""
    above, below = figure.axes
    matches = np.array(side.matches, np.float64).reshape(-1, 6)
    seconds = item.start + matches[:, (0, 2)] * (item.end - item.start)
    upright = 1 - matches[:, (1, 3)]
    agree = matches[:, 5] == 1
    for which, colour, alpha, width in ((~agree, OTHER, 0.35, 0.5), (agree, AGREES, 0.9, 0.8)):
        ends = np.stack([seconds[which], upright[which]], axis=2)
        lines = _Lines((above, below), ends, colors=colour, alpha=alpha, linewidths=width)
        lines.set_in_layout(False)
        figure.add_artist(lines)
        for end, axes in enumerate((above, below)):
            axes.plot(*ends[:, end].T, marker="o", markersize=2, color=colour, alpha=alpha, linestyle="none")
    return int(agree.sum())


class _Lines(LineCollection):
    """Lines from places in one axes to places in another; ``ends`` has shape [lines, 2 axes, x and y]."""

    def __init__(self, pair: tuple[Axes, Axes], ends: NDArray[np.float64], **style: Any) -> None:
        super().__init__([], transform=IdentityTransform(), **style)
        self.pair, self.ends = pair, ends

    def draw(self, renderer: RendererBase) -> None:
        """Draw them where the axes are by now."""
        points = [axes.transData.transform(self.ends[:, end]) for end, axes in enumerate(self.pair)]
        self.set_segments(np.stack(points, axis=1))
        super().draw(renderer)


@styled
def _histograms(record: Mapping[str, Any], layer: str, rows: pd.DataFrame) -> Figure:
    """Draw how the channels of a layer spread in each metric, feature by feature."""
    figure = new_figure(TWO_COLUMNS, 4.2)
    panels = figure.subplots(2, 3).ravel()
    for panel, (metric, label) in zip(panels, HISTOGRAMS.items(), strict=True):
        known = rows[metric].dropna()
        if len(known) and known.min() < known.max():
            edges = np.linspace(known.min(), known.max(), BINS + 1)
            for number, (feature, of_feature) in enumerate(rows.groupby("feature", sort=False)):
                values = of_feature[metric].dropna()
                colour = OKABE_ITO[number % len(OKABE_ITO)]
                panel.hist(values, edges, histtype="step", color=colour, label=feature)
                if metric == "score":
                    null = of_feature["score_null"].mean()
                    panel.axvline(null, color=colour, linestyle=":")
        panel.set(xlabel=label, ylabel="channels")
    handles, labels = panels[-1].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    set_title(
        figure,
        f"{record['model']}, {weights_named(record)}: {rows['channel'].nunique()} maps of {layer}, "
        f"means over {rows['n'].max()} recordings (dotted: mean score with other recordings' features)",
    )
    return figure
