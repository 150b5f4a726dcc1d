"""The networks as the explorer shows them: every layer, its receptive field, and what runs found there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from actprobe.errors import UsageError
from actprobe.explorer.inversion_part import interval_of
from actprobe.explorer.reading import ShownRun
from actprobe.models import Layer, LayerTable, layers_of
from actprobe.models.record import layer_table
from actprobe.statistics.criteria import beats_null, follows

WIDE, HIGH, THIN = 110.0, 54.0, 5.0  # points of the drawing of a layer; THIN is the least side


def layers_part(runs: Sequence[ShownRun]) -> list[dict[str, Any]]:
    """Describe the networks of some runs layer by layer.

    Returns
    -------
    list of dict
        For each network its model and its layers with what was found there; those of which no run recorded
        the layers, and that actprobe does not know by name, are left out.
    """
    described = []
    for model in dict.fromkeys(run.model for run in runs if run.model):
        of_model = [run for run in runs if run.model == model]
        table = _table(model, of_model)
        if table is None:
            continue
        several = {run.kind for run in runs if sum(run.kind == each.kind for each in runs) > 1}
        analysed = {str(layer) for run in of_model for layer in run.record.get("layers", [])}
        shown = [layer for name, layer in table.items() if layer.kind != "pre-activation" or name in analysed]
        longest = max((layer.shape[0] for layer in shown if layer.is_map), default=1)
        highest = max((layer.shape[1] for layer in shown if layer.is_map), default=1)
        described.append(
            {
                "model": model,
                "layers": [
                    {
                        "name": layer.name,
                        "shape": _shape(layer),
                        "picture": _picture(layer, longest, highest),
                        "sight": _sight(layer),
                        "found": [
                            fact for run in of_model for fact in _found(run, layer.name, run.kind in several)
                        ],
                    }
                    for layer in shown
                ],
            }
        )
    return described


def _table(model: str, runs: Sequence[ShownRun]) -> LayerTable | None:
    """Read the layers as a run recorded them; runs of before did not, but their networks have a name."""
    for run in runs:
        if run.record.get("layer_table"):
            return layer_table(model, run.record["layer_table"])
    try:
        return layers_of(model)
    except UsageError:
        return None


def _shape(layer: Layer) -> str:
    if not layer.is_map:
        return f"{layer.neurons} units"
    return f"{layer.shape[0]} frames by {layer.shape[1]} bands, {layer.shape[2]} channels"


def _picture(layer: Layer, longest: int, highest: int) -> dict[str, float]:
    """Give the sides of the drawing: time to the right, frequency upwards, channels as sheets behind."""
    if not layer.is_map:
        length = WIDE * min(1.0, 0.2 + 0.8 * float(np.log2(max(2, layer.neurons)) / 12))
        return {"width": round(length, 1), "height": THIN, "sheets": 1}
    return {
        "width": round(max(THIN, WIDE * layer.shape[0] / longest), 1),
        "height": round(max(THIN, HIGH * layer.shape[1] / highest), 1),
        "sheets": int(np.clip(np.log2(max(1, layer.neurons)), 1, 8)),
    }


def _sight(layer: Layer) -> str:
    low, high = layer.receptive_field_hz
    if np.isnan(layer.receptive_field_seconds):
        return f"{layer.kind}; receptive field unknown"
    if not layer.is_map:
        return f"{layer.kind}; receptive field {layer.receptive_field_seconds:.2f} s, all bands"
    band = "of unknown width" if np.isnan(low) else f"{low:.0f} Hz wide"
    if f"{low:.0f}" != f"{high:.0f}":
        band += f" at the bottom of the spectrum, {high:.0f} Hz at its top"
    return (
        f"{layer.kind}; receptive field {layer.receptive_field_seconds * 1000:.0f} ms and a band {band}; "
        f"positions are {layer.hop_seconds * 1000:.1f} ms apart"
    )


def _found(run: ShownRun, layer: str, several: bool) -> list[dict[str, Any]]:
    """Say what a run found in a layer, and over which corpus where several runs are of its kind."""
    where = f" ({run.corpus_name})" if several else ""
    match run.kind:
        case "neurons":
            facts = _neurons_found(run, layer)
        case "maps":
            facts = _maps_found(run, layer)
        case "evaluation":
            return _nre_found(run, layer)
        case _:
            return []
    for fact in facts:
        fact["text"] += where
        if several and "link" in fact:
            fact["link"] += f"&run={run.place}"
    return facts


def _neurons_found(run: ShownRun, layer: str) -> list[dict[str, Any]]:
    facts: list[dict[str, Any]] = []
    for feature, rows in _of_layer(run, layer).groupby("feature", sort=False):
        if rows["r"].isna().all():
            facts.append({"text": f"{feature}: nothing to compare"})
            continue
        best = rows.iloc[int(rows["r"].abs().fillna(-1).argmax())]
        follow = int(follows(rows).sum())
        strongest = f"the strongest is {best['neuron']}, r = {best['r']:.2f}"
        text = f"{feature}: {follow} of {len(rows)} neurons correlate with it; {strongest}"
        link = run.address("neuron", f"{layer}/{best['neuron']}", str(feature))
        facts.append({"text": text, "share": follow / len(rows), "link": link})
    return facts


def _maps_found(run: ShownRun, layer: str) -> list[dict[str, Any]]:
    facts = []
    for feature, rows in _of_layer(run, layer).groupby("feature", sort=False):
        above = int(beats_null(rows).sum())
        excess = (rows["score"] - rows["score_null"]).fillna(-np.inf)
        best = rows.iloc[int(excess.argmax())]
        text = f"{feature}: {above} of {len(rows)} maps match it better than that of other recordings"
        link = run.address("map", f"{layer}/{best['channel']}", str(feature))
        facts.append({"text": text, "share": above / len(rows), "link": link})
    return facts


def _of_layer(run: ShownRun, layer: str) -> pd.DataFrame:
    return run.table[run.table["layer"] == layer]


def _nre_found(run: ShownRun, layer: str) -> list[dict[str, Any]]:
    detail = run.frame("nre_detail.csv")
    facts = []
    for row in _of_layer(run, layer).to_dict("records"):
        interval = interval_of(detail, layer, str(row["method"]))
        told = "" if interval is None else f" (95 %: {interval[0]:.2f} to {interval[1]:.2f})"
        text = f"inversion, {row['method']}: NRE {row['nre']:.3f}{told} on {run.corpus_name}"
        low, high = interval or (None, None)
        facts.append(
            {"text": text, "nre": float(row["nre"]), "low": low, "high": high, "link": "#part=inversion"}
        )
    return facts
