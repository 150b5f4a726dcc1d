"""Evaluations and inverted excerpts as the explorer shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.errors import CorpusError
from actprobe.explorer.assets import Assets, packed
from actprobe.explorer.clips import Clips
from actprobe.explorer.reading import RunFolder
from actprobe.plotting import band_ticks

__all__ = ["errors_of", "excerpt_name", "excerpt_of", "interval_of", "inversion_part"]

COLOURS = "cividis"  # its lightness rises evenly: right in grey, and for colour-blind readers
NOT_SONOGRAMS = ("times", "bands_hz")
INPUT = "input"
INVERTER = "inverter"  # what tables call inverters of which nothing else is known


def inversion_part(
    evaluations: Sequence[dict[str, Any]],
    excerpts: Sequence[dict[str, Any]],
    assets: Assets,
    clips: Clips,
) -> dict[str, Any] | None:
    """Write the data of the inversion part.

    Parameters
    ----------
    evaluations : sequence of dict
        What `errors_of` gives.
    excerpts : sequence of dict
        What `excerpt_of` gives; inversions of the same excerpt by several methods become one.
    assets : Assets
        Gets the data.
    clips : Clips
        Gets the sounds.

    Returns
    -------
    dict or None
        What the template needs; None without a run.
    """
    if not evaluations and not excerpts:
        return None
    paths: list[dict[str, Any]] = []
    for excerpt in _joined(excerpts):
        for panel in excerpt["panels"]:
            panel["sounds"] = {what: clips.whole(path) for what, path in panel["sounds"].items()}
        name = f"{excerpt['model']} {excerpt['title']}"
        heard = {"title": excerpt["title"], "model": excerpt["model"], "voice": excerpt["voice"]}
        paths.append({**heard, "path": assets.data(f"excerpt-{len(paths)}-{name}", excerpt)})
    value = {"nre": evaluations, "excerpts": paths, "colours": packed(_colours(), "uint8")}
    return {
        "data": assets.data("inversion", value),
        "nre": bool(evaluations),
        "excerpts": bool(excerpts),
    }


def interval_of(detail: pd.DataFrame, layer: str, method: str) -> tuple[float, float] | None:
    """Find the interval of an NRE over recordings.

    Parameters
    ----------
    detail : pandas.DataFrame
        nre_detail.csv.
    layer, method : str
        Which.

    Returns
    -------
    tuple of float or None
        Low and high; None when the run did not measure it.
    """
    if detail.empty:
        return None
    rows = detail[
        (detail["layer"] == layer)
        & (detail["method"] == method)
        & (detail["class"] == "all")
        & (detail["measure"] == "nre")
        & detail["against"].isna()
    ]
    if rows.empty or rows[["low", "high"]].iloc[0].isna().any():
        return None
    return float(rows["low"].iloc[0]), float(rows["high"].iloc[0])


def errors_of(run: RunFolder) -> dict[str, Any]:
    """Read how well layers are inverted.

    Parameters
    ----------
    run : RunFolder
        An evaluation.

    Returns
    -------
    dict
        NRE of every layer and method, their differences, and what needs no inverter to get as near.
    """
    table, detail = run.table("nre.csv"), run.table("nre_detail.csv")
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
        found["baselines"] = _records(nre[nre["layer"].isna()], ["method", "value"])
        against = nre[nre["against"].notna() & nre["layer"].notna()]
        found["differences"] = _records(against, ["layer", "method", "against", "value", "low", "high"])
    return found


def _records(table: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table[columns].to_dict("records")]


def excerpt_name(run: RunFolder) -> str:
    """Name an excerpt by its recording and its beginning.

    Parameters
    ----------
    run : RunFolder
        Inversions of an excerpt.

    Returns
    -------
    str
        Such as ``song.mp3 at 2.00 s``.
    """
    return f"{Path(run.corpus).name} at {float(run.record.get('start_seconds', 0)):.2f} s"


def excerpt_of(run: RunFolder) -> dict[str, Any]:
    """Read an excerpt and its inversions.

    Parameters
    ----------
    run : RunFolder
        Inversions of an excerpt.

    Returns
    -------
    dict
        Where it is, and a panel for the input and each inversion, with paths of their sounds.

    Raises
    ------
    CorpusError
        inversion.npz is damaged.
    """
    path = run.directory / "inversion.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise CorpusError(path, f"is not a readable inversion ({error})") from error
    times, bands = arrays["times"], arrays["bands_hz"]
    facts = run.record.get("layers", {})
    said, threshold = facts.get(INPUT, {}).get("output"), run.record.get("threshold")
    start = float(run.record.get("start_seconds", times[0]))
    methods = {each["layer"]: each["method"] for each in run.record.get("inverters", [])}
    return {
        "model": run.model,
        "title": excerpt_name(run),
        "recording": run.corpus,
        "start": start,
        "end": start + float(run.record.get("span_seconds", times[-1] - times[0])),
        "ticks": [[(place + 0.5) / len(bands), label] for place, label in band_ticks(bands)],
        "voice": None if None in (said, threshold) else bool(said >= threshold),
        "panels": [
            {
                "layer": name,
                "method": None if name == INPUT else methods.get(name, INVERTER),
                "output": facts.get(name, {}).get("output"),
                "error": facts.get(name, {}).get("error"),
                "values": packed(sonogram),
                "sounds": _sounds(run, name),
            }
            for name, sonogram in arrays.items()
            if name not in NOT_SONOGRAMS
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


def _sounds(run: RunFolder, name: str) -> dict[str, Path]:
    """Find what can be heard of a panel: the phase looked for, the recording's own, or the recording."""
    stem = name.replace("/", "-")
    files = {"found": f"{stem}.wav", "own": f"{stem}-own-phase.wav"}
    if name == INPUT:
        files["recording"] = "original.wav"
    paths = {what: run.directory / "sounds" / file for what, file in files.items()}
    return {what: path for what, path in paths.items() if path.is_file()}


def _colours() -> NDArray[np.float64]:
    table = np.asarray(matplotlib.colormaps[COLOURS](np.arange(256)), np.float64)[:, :3]
    return np.asarray(np.rint(table * 255))
