"""Map runs as the explorer shows them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from actprobe.analyses.maps.gallery import PICTURES, Item, Side, read_gallery
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
            "drawn": [
                {**vars(item), "sides": [side_of(run, item, side, assets) for side in item.sides]}
                for item in read_gallery(run.folder)
            ],
        },
    )


def side_of(run: ShownRun, item: Item, side: Side, assets: Assets) -> dict[str, Any]:
    """Give a map of the gallery beside a feature, with the paths of both pictures from the page."""
    name = f"{run.key}-{item.feature}-{item.rank}-{side.feature}"
    pictures = {each: assets.picture(getattr(side, each), f"{name}-{each}") for each in PICTURES}
    return {**vars(side), **pictures}
