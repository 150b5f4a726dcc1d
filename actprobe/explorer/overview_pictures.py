"""The pictures of the overview: what the strongest finding of a run looks like, as places in a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from actprobe.analyses.inversion.figures import SHARED_RANGE
from actprobe.analyses.inversion.inverting.result import InversionResult
from actprobe.analyses.maps.gallery import Item, read_gallery
from actprobe.analyses.neurons.merged import open_merged
from actprobe.explorer.assets import Assets
from actprobe.explorer.attribution_part import strip_of
from actprobe.explorer.drawings import Axis, labelled, lines, points
from actprobe.explorer.findings import best_match, levels_of, mean_excerpt, strongest
from actprobe.explorer.inversion_part import INPUT, INVERTER, excerpt_name, interval_of
from actprobe.explorer.maps_part import side_of
from actprobe.explorer.reading import ShownRun

DOTS = 400  # of a scatter, at most
LEFT, RIGHT = 62.0, 412.0  # of what is drawn
PLOT = (184.0, 12.0)  # bottom and top of a scatter
STRIP = 244.0  # middle of the strip of correlations
ABOVE, BELOW = (18.0, 134.0), (164.0, 280.0)  # top and bottom of a feature and of a map
NRE_PLOT = (226.0, 12.0)
SHARES = (206.0, 12.0)


def picture_of(run: ShownRun, runs: Sequence[ShownRun], assets: Assets) -> dict[str, Any] | None:
    """Give the picture of a run for the template: its ``kind``, a ``label``, and places.

    ``runs`` are all of the page. None when the run has nothing to draw.
    """
    match run.kind:
        case "neurons":
            return _scatter(run)
        case "maps":
            return _matches(run, assets)
        case "inversion":
            return _strip(run, [each for each in runs if each.kind == "evaluation"], assets)
        case "attribution":
            return strip_of(run, assets)
        case "evaluation":
            return _errors(run)
        case "tuning":
            return _shares(run)
        case _:
            return None


def _scatter(run: ShownRun) -> dict[str, Any] | None:
    """Draw the strongest neuron against its feature, and its r beside the null and random weights."""
    best = strongest(run.table)
    if best is None:
        return None
    layer, number, feature = str(best["layer"]), int(best["neuron"]), str(best["feature"])
    merged = open_merged(run.folder)
    values = np.asarray(merged.features[feature], np.float64)
    activity = np.asarray(merged.activity[layer][:, number], np.float64)
    known = np.flatnonzero(np.isfinite(values) & np.isfinite(activity))
    shown = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), DOTS)).round().astype(int))]
    across, upwards = Axis.around(values[known], LEFT, RIGHT), Axis.around(activity[known], *PLOT)
    unit = run.record["features"][feature].get("unit", "")
    null, random = levels_of(run, layer, feature)
    r = Axis(-1.0, 1.0, LEFT, RIGHT)
    bounded = bool(np.isfinite(best["r_low"]))
    return {
        "kind": "scatter",
        "label": f"Neuron {number} of {layer} against {feature}, r = {best['r']:.2f}",
        "name": f"{layer}/{number}",
        "address": run.address("neuron", f"{layer}/{number}", feature),
        "feature": feature,
        "dots": points(
            [across.at(value) for value in values[shown]], [upwards.at(value) for value in activity[shown]]
        ),
        "across": across.ticks,
        "upwards": upwards.ticks,
        "xlabel": f"{feature} ({unit})" if unit else feature,
        "unit": merged.unit,
        "middle": STRIP,
        "r": r.at(float(best["r"])),
        "interval": [r.at(float(best[end])) for end in ("r_low", "r_high")] if bounded else None,
        "null": None if null is None else [r.at(-null), r.at(null)],
        "null_95": null,
        "random": [r.at(each) for each in random],
        "strip": r.ticks,
    }


def _matches(run: ShownRun, assets: Assets) -> dict[str, Any] | None:
    """Draw the best match: the feature above the map, with a line for each pair of keypoints."""
    chosen = _best_drawn(run)
    if chosen is None:
        return None
    item, feature = chosen
    side = next(each for each in item.sides if each.feature == feature)
    seconds, x = Axis(item.start, item.end, LEFT, RIGHT), Axis(0.0, 1.0, LEFT, RIGHT)
    above, below = Axis(0.0, 1.0, *ABOVE), Axis(0.0, 1.0, *BELOW)
    drawn = {
        agrees: [
            (x.at(each[0]), above.at(each[1]), x.at(each[2]), below.at(each[3]))
            for each in side.matches
            if bool(each[5]) is agrees
        ]
        for agrees in (True, False)
    }
    upright = [labelled(side.ticks, Axis(0.0, 1.0, bottom, top)) for top, bottom in (ABOVE, BELOW)]
    return {
        "kind": "matches",
        "label": (
            f"{feature} above channel {item.channel} of {item.layer}; {len(drawn[True])} of "
            f"{len(side.matches)} matches agree"
        ),
        "name": f"{item.layer}/{item.channel}",
        "address": run.address("map", f"{item.layer}/{item.channel}", feature),
        "feature": f"{feature} ({side.unit})" if side.unit else feature,
        "negative": side.negative,
        "recording": item.recording,
        "pictures": side_of(run, item, side, assets),
        "above": ABOVE,
        "below": BELOW,
        "agree": lines(drawn[True]),
        "differ": lines(drawn[False]),
        "counts": (len(drawn[True]), len(side.matches)),
        "upright": [*upright[0], *upright[1]],
        "axis": side.axis,
        "across": seconds.ticks,
    }


def _best_drawn(run: ShownRun) -> tuple[Item, str] | None:
    """Choose the best match, or the best of those that the run has drawn."""
    drawn = {
        (item.layer, item.channel, side.feature): (item, side.feature)
        for item in reversed(read_gallery(run.folder))
        for side in item.sides
    }
    keys = zip(run.table["layer"], run.table["channel"], run.table["feature"], strict=True)
    best = best_match(run.table[[key in drawn for key in keys]])
    return None if best is None else drawn[best["layer"], best["channel"], best["feature"]]


def _strip(run: ShownRun, evaluations: Sequence[ShownRun], assets: Assets) -> dict[str, Any]:
    """Draw the input and its inversions, with the NRE of each where it was evaluated, or its error."""
    if not isinstance(run.result, InversionResult):
        raise TypeError(f"{run.folder} holds no inversion")
    panels = run.result.pictures.panels
    low, high = np.percentile(panels[INPUT], SHARED_RANGE)
    methods = {each["layer"]: each["method"] for each in run.record.get("inverters", [])}
    shown = []
    for name, values in panels.items():
        levels = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
        picture = np.rint(255 * levels).astype(np.uint8).T[::-1]
        error = run.record["layers"].get(name, {}).get("error")
        nre = _nre(evaluations, run.model, name, methods.get(name, INVERTER))
        told = "" if error is None else f"error {error:.2f}"
        shown.append(
            {
                "layer": name,
                "path": assets.picture(picture, f"{run.key}-{name}"),
                "told": told if nre is None else f"NRE {nre:.2f}",
            }
        )
    return {
        "kind": "strip",
        "label": f"An excerpt and its inversions: {', '.join(panel['layer'] for panel in shown)}",
        "address": run.address("excerpt", excerpt_name(run)),
        "excerpt": excerpt_name(run),
        "panels": shown,
        "evaluated": any(panel["told"].startswith("NRE") for panel in shown),
    }


def _nre(evaluations: Sequence[ShownRun], model: str, layer: str, method: str) -> float | None:
    """Find the NRE of a layer and method of a network in the first evaluation that has it."""
    for run in evaluations:
        table = run.table
        rows = table[(table["layer"] == layer) & (table["method"] == method)]
        if run.model == model and len(rows):
            return float(rows["nre"].iloc[0])
    return None


def _shares(run: ShownRun) -> dict[str, Any]:
    """Draw the share of each layer that each factor explains, with and without random weights."""
    table = run.frame("tuning_layers.csv")
    layers, factors = (list(dict.fromkeys(table[name])) for name in ("layer", "factor"))
    across = Axis(0.0, float(len(factors)), LEFT + 30, RIGHT)
    upwards = Axis(float(len(layers)), 0.0, *SHARES)
    width, height = across.at(1) - across.at(0), upwards.at(1) - upwards.at(0)
    cells = [
        {
            "x": across.at(factors.index(row["factor"])),
            "y": upwards.at(layers.index(row["layer"])),
            "share": row["share"] if row["share"] == row["share"] else None,
            "random": row["random"] if row["random"] == row["random"] else None,
        }
        for row in table.to_dict("records")
    ]
    return {
        "kind": "shares",
        "label": f"Shares of {len(layers)} layers of {run.model} that {len(factors)} factors explain",
        "cells": cells,
        "width": width,
        "height": height,
        "across": [(across.at(i + 0.5), name.replace("_", " ")) for i, name in enumerate(factors)],
        "upwards": [(upwards.at(i + 0.5), name) for i, name in enumerate(layers)],
        "bottom": SHARES[0],
    }


def _errors(run: ShownRun) -> dict[str, Any]:
    """Draw the NRE of every layer and method, with intervals, and that of the mean excerpt."""
    table, detail = run.table, run.frame("nre_detail.csv")
    layers, methods = (list(dict.fromkeys(table[name])) for name in ("layer", "method"))
    mean = mean_excerpt(run)
    ends = [*table["nre"], mean or 0.0]
    rows = []
    for row in table.to_dict("records"):
        interval = interval_of(detail, str(row["layer"]), str(row["method"]))
        ends += interval or ()
        rows.append((str(row["layer"]), str(row["method"]), float(row["nre"]), interval))
    upwards = Axis(0.0, 1.06 * max(ends), *NRE_PLOT)
    across = Axis(-0.5, len(layers) - 0.5, LEFT, RIGHT)
    return {
        "kind": "errors",
        "label": f"NRE of {len(layers)} layers of {run.model}",
        "methods": methods,
        "dots": [
            {
                "method": methods.index(method),
                "x": across.at(layers.index(layer) + 0.12 * (methods.index(method) - (len(methods) - 1) / 2)),
                "y": upwards.at(nre),
                "interval": interval and [upwards.at(end) for end in interval],
            }
            for layer, method, nre, interval in rows
        ],
        "across": [(across.at(place), layer) for place, layer in enumerate(layers)],
        "upwards": upwards.ticks,
        "mean": None if mean is None else upwards.at(mean),
        "mean_excerpt": mean,
    }
