"""Map runs as the explorer shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from actprobe.errors import CorpusError
from actprobe.explorer.assets import Assets, packed
from actprobe.explorer.reading import ShownRun

NUMBERS = ("score", "score_null", "p", "q", "matches", "consistency", "distance")


def maps_part(run: ShownRun, assets: Assets) -> str:
    """Write the data of a map run and its pictures; returns the path by which the page asks for them."""
    table = run.table
    layers, features = list(dict.fromkeys(table["layer"])), list(dict.fromkeys(table["feature"]))
    return assets.data(
        run.key,
        {
            "title": run.title,
            "model": run.model,
            "layers": layers,
            "features": features,
            "table": {
                "layer": packed(pd.Categorical(table["layer"], layers).codes, "uint8"),
                "feature": packed(pd.Categorical(table["feature"], features).codes, "uint8"),
                "channel": packed(table["channel"], "int32"),
                "n": packed(table["n"], "int32"),
                **{name: packed(table[name]) for name in NUMBERS},
            },
            "drawn": _drawn(run, assets),
        },
    )


def _drawn(run: ShownRun, assets: Assets) -> list[dict[str, Any]]:
    """Read the gallery of the best maps; empty when the run was asked for no figures."""
    folder = run.folder / "gallery"
    path = folder / "gallery.json"
    if not path.exists():
        return []
    try:
        items: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
        for item in items:
            for side in item["sides"]:
                for picture in ("feature_picture", "map_picture"):
                    name = Path(side[picture]).name
                    side[picture] = assets.file(folder / name, f"{run.key}-{name}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(path, f"is not a readable gallery ({error})") from error
    return items
