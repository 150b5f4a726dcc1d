"""Excited inputs as the explorer shows them: on the page of a neuron, and in a list of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actprobe.analyses.inversion.exciting.result import ExcitationResult
from actprobe.analyses.inversion.figures import SHARED_RANGE
from actprobe.analyses.inversion.pictures import pictures_of
from actprobe.explorer.assets import Assets, packed
from actprobe.explorer.clips import Clips
from actprobe.explorer.reading import ShownRun
from actprobe.plotting import band_ticks, colour_table


def excitation_part(runs: Sequence[list[dict[str, Any]]], assets: Assets, clips: Clips) -> str | None:
    """Write the data of excited neurons, from `excited_of`, and give the path of their list; None without."""
    neurons = {each["name"]: each for run in runs for each in run}
    if not neurons:
        return None
    listed = []
    for name, neuron in neurons.items():
        for panel in neuron["panels"]:
            panel["sound"] = None if panel["sound"] is None else clips.whole(panel["sound"])
        listed.append({"name": name, "path": assets.data(f"excited-{name}", neuron)})
    return assets.data("excited", {"neurons": listed, "colours": packed(colour_table(), "uint8")})


def excited_of(run: ShownRun) -> list[dict[str, Any]]:
    """Read the neurons of a run: for each method start, excited input and control, and the best excerpt."""
    if not isinstance(run.result, ExcitationResult):
        raise TypeError(f"{run.folder} holds no excitation")
    ways, sounds = run.record["ways"], run.result.sounds
    found = []
    for number, neuron in enumerate(run.result.neurons):
        rows = run.table.iloc[number * len(ways) : (number + 1) * len(ways)].to_dict("records")
        of_neuron = sounds.get(neuron, {})
        panels = [_panel("best", "best excerpt", rows[0]["best_excerpt_value"], of_neuron.get("original"))]
        for way, row in zip(ways, rows, strict=True):
            panels += [
                _panel(f"{way}/start", f"{way}: start", row["value_start"], None),
                _panel(way, way, row["value"], of_neuron.get(way)),
                _panel(f"{way}/random_weights", f"{way}: control", row["random_weights_value"], None),
            ]
        arrays = {"times": run.result.arrays["times"], "bands_hz": run.result.arrays["bands_hz"]}
        arrays |= {panel["key"]: run.result.arrays[f"{neuron}/{panel['key']}"] for panel in panels}
        pictures = pictures_of(arrays, [panel["key"] for panel in panels])
        low, high = np.percentile(np.stack(list(pictures.panels.values())), SHARED_RANGE)
        for panel in panels:
            panel["values"] = packed(pictures.panels[panel["key"]])
        label = f" ({rows[0]['label']})" if rows[0]["label"] else ""
        found.append(
            {
                "name": f"{run.model}/{neuron}",
                "title": f"{run.model} {neuron}{label}",
                "best": f"{Path(rows[0]['best_recording']).name} at {rows[0]['best_start_seconds']:.2f} s",
                "range": [float(low), float(high)],
                "start": float(pictures.times[0]),
                "end": float(pictures.times[-1]),
                "ticks": [
                    [(place + 0.5) / len(pictures.bands_hz), tick]
                    for place, tick in band_ticks(pictures.bands_hz)
                ],
                "panels": panels,
            }
        )
    return found


def _panel(key: str, title: str, value: Any, sound: Path | None) -> dict[str, Any]:
    there = sound is not None and sound.is_file()
    return {"key": key, "title": title, "value": float(value), "sound": sound if there else None}
