"""Neuron runs as the explorer shows them: a table of all neurons and, by the chunk, what each one did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.neurons.figures import best_neurons
from actprobe.analyses.neurons.merged import Merged, open_merged
from actprobe.analyses.neurons.playlists import layer_playlist
from actprobe.explorer.assets import Assets, packed, packed_unit_range
from actprobe.explorer.clips import Clips, Excerpt
from actprobe.explorer.findings import levels_of
from actprobe.explorer.reading import ShownRun

CHUNK = 64  # neurons that travel together
PLAYLIST = 5  # excerpts at each end
DOTS = 2000  # units of a scatter, at most
WITH_SOUND = 10  # neurons of each layer and feature whose playlists are audible
NUMBERS = ("r", "r_low", "r_high", "q", "p_max", "r_random", "l2")


def neurons_part(run: ShownRun, assets: Assets, clips: Clips) -> str:
    """Write the data of a neuron run and the excerpts that its strongest neurons are most active in.

    Returns
    -------
    str
        Path by which the page asks for them.
    """
    table = run.table
    merged = open_merged(run.folder)
    layers = list(dict.fromkeys(table["layer"]))
    names = list(dict.fromkeys(table["feature"]))
    columns = {
        "layer": packed(pd.Categorical(table["layer"], layers).codes, "uint8"),
        "feature": packed(pd.Categorical(table["feature"], names).codes, "uint8"),
        "neuron": packed(table["neuron"], "int32"),
        "n": packed(table["n"], "int32"),
        **{name: packed(table[name]) for name in NUMBERS},
    }
    described = run.record["features"]
    featured = _featured(table, layers, names)
    shown = _shown(len(merged.units))
    wanted: dict[str, Excerpt] = {}
    chunks = {
        layer: {"size": CHUNK, "paths": _chunks(run, merged, layer, shown, featured[layer], assets, wanted)}
        for layer in layers
    }
    made = clips.cut(list(wanted.values()))
    return assets.data(
        run.key,
        {
            "title": run.title,
            "model": run.model,
            "layers": layers,
            "features": [
                {
                    "name": name,
                    "unit": described[name].get("unit", ""),
                    "description": described[name].get("description", ""),
                    "values": packed(merged.features[name][shown]),
                }
                for name in names
            ],
            "recordings": [str(path) for path in merged.recordings["path"]],
            "unit": merged.unit,
            "all_units": len(merged.units),
            "unit_recording": packed(merged.groups[shown], "int32"),
            "unit_seconds": packed(merged.units["start_seconds"].to_numpy(np.float64)[shown]),
            "table": columns,
            "levels": _levels(run),
            "chunks": chunks,
            "clips": {key: made[excerpt] for key, excerpt in wanted.items() if excerpt in made},
        },
    )


def _shown(units: int) -> NDArray[np.int64]:
    """Choose the units that are drawn, evenly where there are more than a plot can show."""
    return np.unique(np.linspace(0, units - 1, min(units, DOTS)).round().astype(np.int64))


def _featured(table: pd.DataFrame, layers: Sequence[str], names: Sequence[str]) -> dict[str, set[int]]:
    """Choose the neurons whose playlists are audible: the strongest of each layer and feature."""
    featured: dict[str, set[int]] = {layer: set() for layer in layers}
    for layer in layers:
        of_layer = table[table["layer"] == layer]
        for name in names:
            featured[layer] |= {int(row["neuron"]) for row in best_neurons(of_layer, name, WITH_SOUND)}
    return featured


def _chunks(
    run: ShownRun,
    merged: Merged,
    layer: str,
    shown: NDArray[np.int64],
    featured: set[int],
    assets: Assets,
    wanted: dict[str, Excerpt],
) -> list[str]:
    """Write what the neurons of a layer did, and note the excerpts that should be audible."""
    activity = merged.activity[layer]
    listed = _playlists(merged, layer)
    paths = []
    for first in range(0, activity.shape[1], CHUNK):
        block = np.ascontiguousarray(activity[:, first : first + CHUNK][shown].T, np.float64)
        ends = {name: values[first : first + CHUNK] for name, values in listed.items()}
        for neuron in sorted(featured & set(range(first, first + CHUNK))):
            wanted.update(_wanted(run, merged, {name: values[neuron] for name, values in listed.items()}))
        dtypes = {"recordings": "int32"}
        lists = {name: packed(values, dtypes.get(name, "float32")) for name, values in ends.items()}
        value = {"activity": packed_unit_range(block), "playlist": {**lists, "length": PLAYLIST}}
        paths.append(assets.data(f"{run.key}-{layer}-{first}", value))
    return paths


def _playlists(merged: Merged, layer: str) -> dict[str, NDArray[Any]]:
    """List what drives every neuron most and least.

    Arrays are [neurons, 2 (most, least), rank]; recording -1 where there are fewer.
    """
    table = layer_playlist(merged, layer, PLAYLIST)
    number = {path: i for i, path in enumerate(merged.recordings["path"])}
    shape = (merged.activity[layer].shape[1], 2, PLAYLIST)
    place = (
        table["neuron"].to_numpy(),
        (table["end"] == "bottom").to_numpy(int),
        table["rank"].to_numpy() - 1,
    )
    found: dict[str, NDArray[Any]] = {"recordings": np.full(shape, -1, np.int32)}
    found["recordings"][place] = table["path"].map(number)
    for name, column in (("starts", "start_seconds"), ("ends", "end_seconds"), ("values", "value")):
        found[name] = np.zeros(shape, np.float32)
        found[name][place] = table[column]
    return found


def _wanted(run: ShownRun, merged: Merged, ends: dict[str, NDArray[Any]]) -> dict[str, Excerpt]:
    """Name the excerpts of one neuron's playlist as the page asks for them."""
    wanted: dict[str, Excerpt] = {}
    for recording, start, stop in zip(
        *(ends[name].ravel() for name in ("recordings", "starts", "ends")), strict=True
    ):
        if recording < 0:
            continue
        path = run.recording_path(str(merged.recordings["path"].iloc[recording]))
        if path is not None:
            wanted[f"{recording}|{round(float(start) * 1000)}"] = (path, float(start), float(stop))
    return wanted


def _levels(run: ShownRun) -> list[dict[str, Any]]:
    """Give the null and the largest r of random weights, by layer and feature."""
    pairs = run.table[["layer", "feature"]].drop_duplicates()
    levels = []
    for layer, feature in pairs.itertuples(index=False):
        null, random = levels_of(run, layer, feature)
        levels.append({"layer": layer, "feature": feature, "null_95": null, "random": random})
    return levels
