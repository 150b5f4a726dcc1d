"""Causal tests as the explorer shows them: the evidence on each neuron, and what each run found."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.explorer.assets import Assets
from actprobe.explorer.reading import ShownRun, read_from

CURVES = 6  # of a neuron that are shown, the factors that explain most of it
FIGURES = 8  # of a run that are shown, the first ones
TITLES = {
    "tuning": "Tuning curves",
    "dissection": "Dissection",
    "ablation": "Ablation",
    "probe": "Probes",
}
READING = {
    "tuning": "Share of each layer's variance that a factor explains when only this factor changes, with "
    "trained and with random weights, and tuning curves of the neurons that respond most.",
    "dissection": "A unit is a detector of a concept if the positions where its map is high overlap with the "
    "concept (IoU) above a threshold and more than under permutation of the recordings.",
    "ablation": "Change of the outputs without units: each unit alone, and the units that follow a feature "
    "most and least beside random sets of similar variance (grey).",
    "probe": "How well a linear model predicts each target from each layer, beside permuted targets, random "
    "weights and the input.",
}
COMPARED = ("r2", "q", "random", "preferred")


def causal_part(runs: Sequence[ShownRun], table: pd.DataFrame, assets: Assets) -> dict[str, Any] | None:
    """Write the data of the causal tests and give what the template needs; None without a run of them.

    ``table`` is that of `evidence`.
    """
    own = [run for kind in TITLES for run in runs if run.kind == kind]
    if not own:
        return None
    neurons = {
        f"{model}/{layer}": assets.data(f"causal-{model}-{layer}", _of_layer(own, model, layer))
        for model, layer in dict.fromkeys(
            (run.model, str(layer)) for run in own if run.kind != "probe" for layer in run.table["layer"]
        )
    }
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return {
        "data": assets.data("causal", {"neurons": neurons, "evidence": rows}),
        "evidence": len(table) > 0,
        "runs": [read_from(run, lambda run: _shown(run, assets)) for run in own],
    }


def _shown(run: ShownRun, assets: Assets) -> dict[str, Any]:
    summary = [line for line in str(getattr(run.result, "summary", "")).splitlines() if line]
    figures = sorted((run.folder / "figures").glob("*.png"))
    return {
        "kind": run.kind,
        "title": f"{TITLES[run.kind]}: {run.title}",
        "reading": READING[run.kind],
        "summary": [line for line in summary if not line.startswith("left out: ")],
        "figures": [_figure(run, figure, assets) for figure in figures[:FIGURES]],
        "more": max(0, len(figures) - FIGURES),
    }


def _figure(run: ShownRun, figure: Path, assets: Assets) -> dict[str, str]:
    target = assets.folder / f"{run.key}-{figure.name}"
    shutil.copyfile(figure, target)
    return {"path": f"assets/{target.name}", "name": figure.stem.replace("-", " ").replace("_", " ")}


def _of_layer(runs: Sequence[ShownRun], model: str, layer: str) -> dict[str, Any]:
    """Put together what the neurons of a layer did, by the number of the neuron."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        if run.model == model:
            read_from(run, partial(_add, found, layer))
    return found


def _add(found: dict[str, dict[str, Any]], layer: str, run: ShownRun) -> None:
    rows = run.table[run.table["layer"] == layer]
    match run.kind:
        case "tuning":
            _add_curves(found, run, rows)
        case "dissection":
            columns = ["concept", "iou", "iou_null", "q", "random_weights", "detector"]
            for unit, of_unit in rows.groupby("unit", sort=False):
                best = of_unit.sort_values("iou", ascending=False)[:CURVES]
                _entry(found, unit)["concepts"] += _records(best[columns])
        case "ablation":
            columns = [
                "fill", "target", "label", "metric", "change", "low", "high", "q", "metric_change",
                "metric_low", "metric_high", "metric_q",
            ]  # fmt: skip
            shown = rows[rows["kind"] == "unit"].groupby("units", sort=False).head(CURVES)
            for unit, record in zip(shown["units"], _records(shown[columns]), strict=True):
                _entry(found, unit)["ablated"].append(record)
        case _:
            pass


def _add_curves(found: dict[str, dict[str, Any]], run: ShownRun, rows: pd.DataFrame) -> None:
    curves = run.frame("tuning_curves.parquet")
    curves = curves[curves["layer"] == rows["layer"].iloc[0]] if len(rows) else curves[:0]
    places = curves.groupby(["neuron", "factor"], sort=False).indices
    drawn = {name: curves[name].to_numpy(np.float64) for name in ("dose", "mean", "low", "high")}
    described = run.record["factors"]
    for neuron in rows["neuron"].unique():
        _entry(found, neuron)
    known = rows[rows["r2"].notna()].sort_values("r2", ascending=False, kind="stable")
    for row in known.groupby("neuron", sort=False).head(CURVES).to_dict("records"):
        place, about = places[row["neuron"], row["factor"]], described[row["factor"]]
        _entry(found, row["neuron"])["curves"].append(
            {
                "factor": row["factor"],
                "unit": about["unit"],
                "log": about["log"],
                **{name: row[name] for name in COMPARED},
                **{name: _rounded(values[place]) for name, values in drawn.items()},
            }
        )


def _entry(found: dict[str, dict[str, Any]], neuron: Any) -> dict[str, Any]:
    return found.setdefault(str(neuron), {"curves": [], "concepts": [], "ablated": []})


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{each:.5g}") for each in values]


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    known = rows.astype(object).where(rows.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in known.to_dict("records")]
