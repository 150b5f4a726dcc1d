"""Attributions and their scores as the explorer shows them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.attribution.figures import INPUT_RANGE, scaled_to_one
from actprobe.analyses.attribution.passages import Passage, passages_of
from actprobe.analyses.attribution.store import INPUT, read_recording
from actprobe.explorer.assets import Assets, packed
from actprobe.explorer.clips import Clips
from actprobe.explorer.reading import ShownRun
from actprobe.plotting import SIGNED, band_ticks, colour_table

SHARE, POSITIVE = "share_", "share_positive"


def attribution_part(
    attributed: Sequence[list[dict[str, Any]]],
    scores: Sequence[dict[str, Any]],
    excited: str | None,
    assets: Assets,
    clips: Clips,
) -> dict[str, Any] | None:
    """Write the data of the attribution part and give what the template needs; None without a run.

    What is attributed comes from `passages_shown`, scores from `scores_of`; ``excited`` is the list of
    excited neurons.
    """
    if not attributed and not scores and excited is None:
        return None
    listed: list[dict[str, Any]] = []
    for number, passage in enumerate(passage for run in attributed for passage in run):
        for panel in passage["panels"]:
            panel["sound"] = None if panel["sound"] is None else clips.whole(panel["sound"])
        if passage["figure"] is not None:
            target = assets.folder / f"attribution-{number}.png"
            shutil.copyfile(passage["figure"], target)
            passage["figure"] = f"assets/{target.name}"
        path = assets.data(f"attribution-{number}-{passage['name']}", passage)
        listed.append({"name": passage["name"], "title": passage["title"], "path": path})
    value = {
        "passages": listed,
        "scores": list(scores),
        "colours": packed(colour_table(), "uint8"),
        "signed": packed(colour_table(SIGNED), "uint8"),
    }
    return {
        "data": assets.data("attribution", value),
        "passages": bool(listed),
        "scores": bool(scores),
        "excited": excited is not None,
    }


def passage_name(run: ShownRun, shown: dict[str, Any]) -> str:
    """Name a passage by its recording, its beginning, and the target."""
    return f"{shown['recording']} at {shown['start_seconds']:.2f} s, {run.record['title']}"


def passages_shown(run: ShownRun) -> list[dict[str, Any]]:
    """Read the passages that a run has drawn: a panel for the input and for each method.

    Values of a method are scaled so that its 99.5th percentile is 1. Of a network of waveforms there are no
    pictures over time and frequency: the run's own figure stands in their place.
    """
    found = []
    for shown in run.record["shown"]:
        arrays, passage = _passage_of(run, shown)
        bands, times = arrays["bands_hz"], passage.times
        rows = _rows_of(run, shown, passage)
        hop = float(times[1] - times[0]) if len(times) > 1 else 1.0
        values = {INPUT: passage.join(arrays[INPUT])}
        values |= {name: scaled_to_one(passage.join(arrays[name])) for name in run.record["methods"]}
        name = passage_name(run, shown)
        found.append(
            {
                "name": f"{run.model}/{name}",
                "title": f"{run.model}: {name}",
                "start": float(times[0]) - hop / 2,
                "end": float(times[-1]) + hop / 2,
                "ticks": [[(place + 0.5) / len(bands), label] for place, label in band_ticks(bands)],
                "output": _mean(rows["output"]),
                "figure": run.folder / "figures" / shown["figure"] if len(bands) == 1 else None,
                "panels": [_panel(run, shown, each, drawn, rows) for each, drawn in values.items()],
            }
        )
    return found


def _passage_of(run: ShownRun, shown: dict[str, Any]) -> tuple[dict[str, NDArray[Any]], Passage]:
    """Read the arrays of a recording, and find in them a passage that was drawn."""
    arrays = read_recording(run.folder / "attributions.npz", shown["recording"])
    passages = passages_of(arrays["times"], bool(run.record["joined"]))
    starts = [float(arrays["start_seconds"][passage.first]) for passage in passages]
    return arrays, passages[int(np.argmin(np.abs(np.subtract(starts, shown["start_seconds"]))))]


def _rows_of(run: ShownRun, shown: dict[str, Any], passage: Passage) -> pd.DataFrame:
    """Give the rows of attributions.csv of a passage that was drawn."""
    table = run.table[run.table["recording"] == shown["recording"]]
    first = shown["start_seconds"] - 1e-6
    inside = table["start_seconds"].between(first, passage.times[-1], inclusive="left")
    return pd.DataFrame(table[inside])


def _shares(rows: pd.DataFrame, method: str) -> dict[str, float | None]:
    """Average the shares of known parts of a method."""
    of_method = rows[rows["method"] == method]
    names = [str(name) for name in of_method if str(name).startswith(SHARE) and name != POSITIVE]
    return {name[len(SHARE) :]: _mean(of_method[name]) for name in names}


def _panel(
    run: ShownRun, shown: dict[str, Any], name: str, values: NDArray[np.float32], rows: pd.DataFrame
) -> dict[str, Any]:
    sound = shown.get("sounds", {}).get("original" if name == INPUT else name)
    path = None if sound is None else run.folder / "sounds" / sound
    return {
        "name": name,
        "values": packed(values) if values.shape[1] > 1 else None,
        "shares": {} if name == INPUT else _shares(rows, name),
        "sound": path if path is not None and path.is_file() else None,
    }


def _mean(values: pd.Series) -> float | None:
    known = pd.to_numeric(values, errors="coerce").dropna()
    return float(known.mean()) if len(known) else None


def scores_of(run: ShownRun) -> dict[str, Any]:
    """Read the scores of an evaluation of attributions, with their intervals and controls."""
    columns = [
        "method", "metric", "fill", "n", "value", "low", "high", "random", "input_magnitude", "random_weights"
    ]  # fmt: skip
    rows = run.table[columns].astype(object).where(run.table[columns].notna(), None)
    return {
        "title": f"{run.model} on {run.corpus_name}",
        "metrics": list(dict.fromkeys(run.table["metric"])),
        "fills": [str(fill) for fill in dict.fromkeys(run.table["fill"].fillna(""))],
        "rows": [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")],
    }


def strip_of(run: ShownRun, assets: Assets) -> dict[str, Any] | None:
    """Give the overview's picture of a run: its first passage and the attribution of every method."""
    if not run.record["shown"]:
        return None
    shown = run.record["shown"][0]
    arrays, passage = _passage_of(run, shown)
    of_input = passage.join(arrays[INPUT])
    if of_input.shape[1] == 1:
        return None
    rows = _rows_of(run, shown, passage)
    low, high = np.percentile(of_input, INPUT_RANGE)
    panels = [_drawn(run, assets, INPUT, (of_input - low) / max(high - low, 1e-9), None)]
    for method in run.record["methods"]:
        values = scaled_to_one(passage.join(arrays[method]))
        drawn = _drawn(run, assets, method, (values + 1) / 2, colour_table(SIGNED))
        shares = {part: share for part, share in _shares(rows, method).items() if share is not None}
        told = [f"{share:.0%} on {part}" for part, share in shares.items()]
        panels.append({**drawn, "layer": method.replace("_", " "), "told": ", ".join(told[:1])})
    return {
        "kind": "attributed",
        "label": f"An excerpt and its attributions: {', '.join(panel['layer'] for panel in panels)}",
        "address": run.address("attribution", passage_name(run, shown)),
        "excerpt": passage_name(run, shown),
        "panels": panels,
    }


def _drawn(
    run: ShownRun, assets: Assets, name: str, levels: NDArray[Any], colours: NDArray[np.uint8] | None
) -> dict[str, Any]:
    picture = np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8).T[::-1]
    return {"layer": name, "path": assets.picture(picture, f"{run.key}-{name}", colours), "told": ""}
