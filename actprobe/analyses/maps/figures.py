"""Figures of a map run: matches drawn between feature and activation map, and histograms of each layer.

After Figure 1 of Slizovskaia, Gómez and Haro (2018); theirs shows matches without axes and without telling
which of them agree on where things are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from actprobe.analyses.maps.axes import axis_name, edges, places, span, ticks
from actprobe.analyses.maps.look import MapPair, look_at
from actprobe.analyses.maps.pairs import COUNTS
from actprobe.analyses.maps.run import MapRun
from actprobe.analyses.maps.table import rank_maps
from actprobe.errors import CorpusError
from actprobe.models import Model
from actprobe.plotting import OKABE_ITO, ORANGE, SKY, save_figure, set_title
from actprobe.statistics.criteria import weights_named

__all__ = ["best_pairs", "draw_histograms", "draw_matches", "match_rows"]

AGREES, OTHER = ORANGE, SKY
HISTOGRAMS = ("keypoints_map", "matches", "ratio", "distance", "consistency", "score")
BINS = 24


def best_pairs(run: MapRun, model: Model, count: int) -> list[tuple[dict[str, Any], MapPair]]:
    """Look again at the best maps of each feature, each in the recording in which most agrees.

    Parameters
    ----------
    run : MapRun
        What was found.
    model : Model
        The network.
    count : int
        Maps for each feature.

    Returns
    -------
    list of tuple
        Row of the table, with its ``rank`` for the feature from 1, and pair, feature by feature, the best
        first. A recording that has become unreadable since is left out.
    """
    found = []
    for number, feature in enumerate(run.settings.features):
        rank = 0
        for row in rank_maps(run.table, feature.name, count).to_dict("records"):
            counts = run.counts[row["layer"]][:, number, 0, row["channel"]]
            recording = run.usable[int(np.argmax(counts[:, COUNTS.index("agreeing")]))]
            try:
                pair = look_at(model, recording, run.settings, row["layer"], row["channel"], feature.name)
            except CorpusError:
                continue
            rank += 1
            found.append(({**{str(key): value for key, value in row.items()}, "rank": rank}, pair))
    return found


def match_rows(pairs: list[tuple[dict[str, Any], MapPair]]) -> pd.DataFrame:
    """List the matches of pairs.

    Parameters
    ----------
    pairs : list of tuple
        What `best_pairs` gives.

    Returns
    -------
    pandas.DataFrame
        One row a match: ``recording``, ``layer``, ``channel``, ``feature``, ``negative`` (whether the
        map's negative was matched), ``map_keypoint`` and ``feature_keypoint`` (indices of the
        descriptors), ``distance``, ``agrees``, and where its ends are: ``map_seconds``,
        ``feature_seconds``, ``map_place``, ``feature_place``, in Hz, or in semitones above C as
        ``place_unit`` says.
    """
    parts = []
    for row, pair in pairs:
        matches = pair.pair.matches
        ends = {}
        for side, points in (
            ("map", pair.map_keypoints.points[matches.first]),
            ("feature", pair.feature_keypoints.points[matches.second]),
        ):
            seconds, upright = places(pair, points)
            ends[f"{side}_seconds"] = seconds
            ends[f"{side}_place"] = pair.grid.hertz(upright) if pair.feature.axis == "hertz" else upright % 12
        parts.append(
            pd.DataFrame(
                {
                    "recording": pair.recording,
                    "layer": row["layer"],
                    "channel": row["channel"],
                    "feature": row["feature"],
                    "negative": pair.pair.negative,
                    "map_keypoint": matches.first,
                    "feature_keypoint": matches.second,
                    "distance": matches.distances,
                    "agrees": pair.pair.agreement.agrees,
                    **ends,
                    "place_unit": "Hz" if pair.feature.axis == "hertz" else "semitones above C",
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def draw_matches(run: MapRun, pairs: list[tuple[dict[str, Any], MapPair]], directory: Path) -> list[Path]:
    """Draw pairs: the feature above the activation map, with a line for every match.

    Parameters
    ----------
    run : MapRun
        What was found.
    pairs : list of tuple
        What `best_pairs` gives.
    directory : Path
        Gets one PNG a pair, named by feature, rank, layer and channel. Those of an earlier run are
        removed.

    Returns
    -------
    list of Path
        The figures.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for earlier in directory.glob("match-*.png"):
        earlier.unlink()
    paths = []
    for row, pair in pairs:
        figure = _draw_pair(run, row, pair)
        layer = row["layer"].replace("/", "-")
        paths.append(directory / f"match-{row['feature']}-{row['rank']}-{layer}-{row['channel']}.png")
        save_figure(figure, paths[-1])
    return paths


def draw_histograms(run: MapRun, directory: Path) -> list[Path]:
    """Draw how the channels of each layer spread in each metric, feature by feature.

    Parameters
    ----------
    run : MapRun
        What was found.
    directory : Path
        Gets one PNG a layer. Those of an earlier run are removed.

    Returns
    -------
    list of Path
        The figures.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for earlier in directory.glob("histograms-*.png"):
        earlier.unlink()
    paths = []
    for layer, rows in run.table.groupby("layer", sort=False):
        figure = Figure(figsize=(11, 6), layout="constrained")
        panels = figure.subplots(2, 3).ravel()
        for panel, metric in zip(panels, HISTOGRAMS, strict=True):
            known = rows[metric].dropna()
            if len(known) and known.min() < known.max():
                edges = np.linspace(known.min(), known.max(), BINS + 1)
                for number, feature in enumerate(run.settings.features):
                    of_feature = rows[rows["feature"] == feature.name]
                    values = of_feature[metric].dropna()
                    colour = OKABE_ITO[number % len(OKABE_ITO)]
                    panel.hist(
                        values, edges, histtype="step", linewidth=1.6, color=colour, label=feature.name
                    )
                    if metric == "score":
                        null = of_feature["score_null"].mean()
                        panel.axvline(null, color=colour, linestyle=":", linewidth=1.2)
            panel.set(xlabel=_label(metric), ylabel="channels")
            panel.spines[["top", "right"]].set_visible(False)
        handles, labels = panels[-1].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False)
        channels = rows["channel"].nunique()
        set_title(
            figure,
            f"{run.provenance['model']}, {weights_named(run.provenance)}: {channels} maps of {layer}, "
            f"means over {len(run.usable)} recordings (dotted: mean score with other recordings' features)",
        )
        paths.append(directory / f"histograms-{str(layer).replace('/', '-')}.png")
        save_figure(figure, paths[-1])
    return paths


def _draw_pair(run: MapRun, row: dict[str, Any], pair: MapPair) -> Figure:
    figure = Figure(figsize=(12, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    unit = f" ({pair.feature.unit})" if pair.feature.unit else ""
    map_picture, name = pair.map_picture, f"{pair.layer}, channel {pair.channel}"
    if pair.pair.negative and map_picture is not None:
        map_picture, name = np.invert(map_picture), f"{name} (negative)"
    sides = (
        (above, pair.feature_picture, f"{pair.feature.name}{unit}"),
        (below, map_picture, name),
    )
    extent = (*span(pair), *edges(pair))
    marks = ticks(pair)
    for axes, picture, title in sides:
        if picture is not None:
            axes.imshow(picture, cmap="gray", extent=extent, aspect="auto", interpolation="nearest")
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_ylabel(axis_name(pair))
        axes.set_yticks([place for place, _ in marks], [label for _, label in marks])
    below.set_xlabel("time (s)")
    matches, agreement = pair.pair.matches, pair.pair.agreement
    ends = [
        np.stack(places(pair, points), axis=1)
        for points in (
            pair.feature_keypoints.points[matches.second],
            pair.map_keypoints.points[matches.first],
        )
    ]
    for agrees, colour, alpha in ((False, OTHER, 0.35), (True, AGREES, 0.9)):
        for start, end in zip(*(end[agreement.agrees == agrees] for end in ends), strict=True):
            line = ConnectionPatch(
                (start[0], start[1]), (end[0], end[1]), "data", "data", axesA=above, axesB=below,
                color=colour, alpha=alpha, linewidth=1.0 if agrees else 0.7,
            )  # fmt: skip
            line.set_in_layout(False)
            figure.add_artist(line)
            for axes, place in ((above, start), (below, end)):
                axes.plot(*place, marker="o", markersize=3, color=colour, alpha=alpha, linestyle="none")
    inverted = " with the map's negative" if pair.pair.negative else ""
    null = f"{row['score_null']:.3f}" if np.isfinite(row["score_null"]) else "unknown"
    q = f"q = {row['q']:.2g} over the layer" if np.isfinite(row["q"]) else "no q"
    weights = weights_named(run.provenance)
    title = (
        f"{run.provenance['model']}, {weights}, {pair.recording}: {agreement.count} of {len(matches)} "
        f"matches{inverted} agree (orange)\nscore {row['score']:.3f} over n = {row['n']} recordings, with "
        f"other recordings' features {null}; {q}"
    )
    set_title(figure, title)
    return figure


def _label(metric: str) -> str:
    return {
        "keypoints_map": "keypoints of the map",
        "ratio": "ratio (matches of those possible)",
        "distance": "distance of matched descriptors",
        "consistency": "consistency (share of matches that agree)",
    }.get(metric, metric)
