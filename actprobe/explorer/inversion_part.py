"""Evaluations and inverted excerpts as the explorer shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from actprobe.analyses.inversion.evaluation.measures import between_methods
from actprobe.analyses.inversion.inverting.result import InversionResult
from actprobe.explorer.assets import Assets, packed
from actprobe.explorer.clips import Clips
from actprobe.explorer.reading import ShownRun
from actprobe.plotting import band_ticks, colour_table

INPUT = "input"
INVERTER = "inverter"  # what tables call inverters of which nothing else is known


def inversion_part(
    evaluations: Sequence[dict[str, Any]],
    excerpts: Sequence[dict[str, Any]],
    assets: Assets,
    clips: Clips,
) -> dict[str, Any] | None:
    """Write the data of the inversion part and give what the template needs; None without a run.

    Evaluations come from `errors_of`, excerpts from `excerpt_of`: inversions of the same excerpt by several
    methods become one.
    """
    if not evaluations and not excerpts:
        return None
    paths: list[dict[str, Any]] = []
    for excerpt in _joined(excerpts):
        for panel in excerpt["panels"]:
            panel["sounds"] = {what: clips.whole(path) for what, path in panel["sounds"].items()}
        name = f"{excerpt['model']} {excerpt['title']}"
        listed = {"title": excerpt["title"], "model": excerpt["model"], "voice": excerpt["voice"]}
        paths.append({**listed, "path": assets.data(f"excerpt-{len(paths)}-{name}", excerpt)})
    value = {"nre": evaluations, "excerpts": paths, "colours": packed(colour_table(), "uint8")}
    return {
        "data": assets.data("inversion", value),
        "nre": bool(evaluations),
        "excerpts": bool(excerpts),
    }


def interval_of(detail: pd.DataFrame, layer: str, method: str) -> tuple[float, float] | None:
    """Find the interval of an NRE over recordings in nre_detail.csv; None when it was not measured."""
    if detail.empty:
        return None
    rows = detail[
        (detail["layer"] == layer)
        & (detail["method"] == method)
        & (detail["class"] == "all")
        & (detail["measure"] == "nre")
        & (detail["against"] == "")
    ]
    if rows.empty or rows[["low", "high"]].iloc[0].isna().any():
        return None
    return float(rows["low"].iloc[0]), float(rows["high"].iloc[0])


def errors_of(run: ShownRun) -> dict[str, Any]:
    """Read the NRE of every layer and method of an evaluation, their differences, and the baselines."""
    table, detail = run.table, run.frame("nre_detail.csv")
    rows = []
    for row in table.to_dict("records"):
        low, high = interval_of(detail, str(row["layer"]), str(row["method"])) or (None, None)
        rows.append(
            {"layer": row["layer"], "method": row["method"], "nre": row["nre"], "low": low, "high": high}
        )
    found: dict[str, Any] = {
        "model": run.model,
        "corpus": run.corpus_name,
        "methods": list(dict.fromkeys(table["method"])),
        "layers": list(dict.fromkeys(table["layer"])),
        "nre": rows,
        "baselines": [],
        "differences": [],
    }
    if not detail.empty:
        nre = detail[(detail["measure"] == "nre") & (detail["class"] == "all")]
        found["baselines"] = _records(nre[nre["layer"] == ""], ["method", "value"])
        against = between_methods(nre)
        found["differences"] = _records(against, ["layer", "method", "against", "value", "low", "high"])
    return found


def _records(table: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table[columns].to_dict("records")]


def excerpt_name(run: ShownRun) -> str:
    """Name an excerpt by its recording and its beginning: ``song.mp3 at 2.00 s``."""
    return f"{Path(run.corpus).name} at {float(run.record.get('start_seconds', 0)):.2f} s"


def excerpt_of(run: ShownRun) -> dict[str, Any]:
    """Read an excerpt and its inversions: a panel for each, with paths of their sounds."""
    if not isinstance(run.result, InversionResult):
        raise TypeError(f"{run.folder} holds no inversion")
    pictures = run.result.pictures
    times, bands = pictures.times, pictures.bands_hz
    facts = run.record.get("layers", {})
    output, threshold = facts.get(INPUT, {}).get("output"), run.record.get("threshold")
    start = float(run.record.get("start_seconds", times[0]))
    methods = {each["layer"]: each["method"] for each in run.record.get("inverters", [])}
    return {
        "model": run.model,
        "title": excerpt_name(run),
        "recording": run.corpus,
        "start": start,
        "end": start + float(run.record.get("span_seconds", times[-1] - times[0])),
        "ticks": [[(place + 0.5) / len(bands), label] for place, label in band_ticks(bands)],
        "voice": None if None in (output, threshold) else bool(output >= threshold),
        "panels": [
            {
                "layer": name,
                "method": None if name == INPUT else methods.get(name, INVERTER),
                "output": facts.get(name, {}).get("output"),
                "error": facts.get(name, {}).get("error"),
                "values": packed(picture),
                "sounds": _sounds(run, name),
            }
            for name, picture in pictures.panels.items()
        ],
    }


def _joined(excerpts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put inversions of the same excerpt by several methods into one, layer by layer."""
    joined: dict[tuple[Any, ...], dict[str, Any]] = {}
    for excerpt in excerpts:
        shape = tuple(excerpt["panels"][0]["values"]["shape"])
        key = (excerpt["model"], excerpt["recording"], excerpt["start"], shape)
        if key in joined:
            joined[key]["panels"] += [panel for panel in excerpt["panels"] if panel["layer"] != INPUT]
        else:
            joined[key] = excerpt
    for excerpt in joined.values():
        layers = list(dict.fromkeys(panel["layer"] for panel in excerpt["panels"]))
        excerpt["panels"].sort(key=lambda panel: layers.index(panel["layer"]))
    return list(joined.values())


def _sounds(run: ShownRun, name: str) -> dict[str, Path]:
    """Find the sounds of a panel: with an estimated phase, with the phase of the recording, the recording."""
    stem = name.replace("/", "-")
    files = {"estimated": f"{stem}.wav", "original": f"{stem}-own-phase.wav"}
    if name == INPUT:
        files["recording"] = "original.wav"
    paths = {what: run.folder / "sounds" / file for what, file in files.items()}
    return {what: path for what, path in paths.items() if path.is_file()}
