"""A comparison of two runs as a figure and in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from actprobe.analyses.neurons.compare import Comparison
from actprobe.plotting import save_figure, set_title
from actprobe.statistics.criteria import Q_LIMIT, follows

__all__ = ["ComparisonSummary", "comparison_summary", "draw_comparison"]

NAMED = 10
INCHES_A_LAYER = 0.55
PALE = 0.6  # numbers on cells above this are white


@dataclass(frozen=True)
class ComparisonSummary:
    """A comparison in words and in numbers.

    Parameters
    ----------
    text : str
        Lines for the terminal.
    counts : dict
        Recordings, partners and layers counted, for run.json.
    """

    text: str
    counts: dict[str, Any]


def draw_comparison(found: Comparison, directory: Path) -> Path:
    """Draw linear CKA of all pairs of layers, the plain estimate and the debiased one.

    Parameters
    ----------
    found : Comparison
        What was found.
    directory : Path
        Gets cka.png.

    Returns
    -------
    Path
        The figure.
    """
    directory.mkdir(parents=True, exist_ok=True)
    rows, columns = (list(dict.fromkeys(found.cka[name])) for name in ("layer_a", "layer_b"))
    width, height = INCHES_A_LAYER * len(columns), INCHES_A_LAYER * len(rows)
    figure = Figure(figsize=(2 * max(width, 2) + 3.5, max(height, 1.5) + 2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    titles = {"cka": "linear CKA", "cka_debiased": "linear CKA, debiased"}
    for place, (column, title) in zip(axes, titles.items(), strict=True):
        table = found.cka.pivot_table(
            index="layer_a", columns="layer_b", values=column, sort=False, dropna=False
        )
        values = table.reindex(index=rows, columns=columns).to_numpy(float)
        image = place.imshow(values, cmap="viridis", vmin=0, vmax=1, origin="lower", aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "black" if value > PALE else "white"
                place.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=7)
        place.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
        place.set_title(title, fontsize=10)
        place.set_xlabel(found.names[1])
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set_ylabel(found.names[0])
    figure.colorbar(image, ax=axes, label="1: the same but for rotation and factor", shrink=0.9)
    set_title(figure, f"Layers over the {found.recordings} recordings of both runs")
    path = directory / "cka.png"
    save_figure(figure, path)
    return path


def comparison_summary(found: Comparison) -> ComparisonSummary:
    """Say which layers are alike, how many units have a partner and what could not be matched.

    Parameters
    ----------
    found : Comparison
        What was found.

    Returns
    -------
    ComparisonSummary
        Text and counts.
    """
    lines = [f"{found.recordings} recordings in common; A is {found.names[0]}, B is {found.names[1]}"]
    partners = []
    for (layer_a, layer_b), units in found.alignment.groupby(["layer_a", "layer_b"], sort=False):
        pair = found.cka[(found.cka["layer_a"] == layer_a) & (found.cka["layer_b"] == layer_b)].iloc[0]
        known = units[units["r"].notna()]
        partners.append(
            {
                "layer_a": layer_a,
                "layer_b": layer_b,
                "units": len(units),
                "compared": len(known),
                "with_partner": int(follows(known).sum()),
                "mutual": int((known["mutual"] & follows(known)).sum()),
            }
        )
        lines.append(_line(partners[-1], pair, known))
    for name, mine in (("A", found.only_a), ("B", found.only_b)):
        if mine:
            lines.append(f"{len(mine)} recordings are usable in {name} only:")
            lines += [f"  {path}" for path in mine[:NAMED]]
            if len(mine) > NAMED:
                lines.append(f"  ... and {len(mine) - NAMED} more, see run.json")
    recordings = {"common": found.recordings, "only_a": found.only_a, "only_b": found.only_b}
    return ComparisonSummary("\n".join(lines), {"recordings": recordings, "partners": partners})


def _line(counts: dict[str, Any], pair: pd.Series[Any], known: pd.DataFrame) -> str:
    median = f"{known['r'].abs().median():.2f}" if len(known) else "unknown"
    return (
        f"  {counts['layer_a']:>12} and {counts['layer_b']:<12} CKA {pair['cka']:.3f}, debiased "
        f"{pair['cka_debiased']:+.3f}; {counts['with_partner']} of {counts['compared']} units of A have a "
        f"partner at q <= {Q_LIMIT} ({counts['mutual']} mutual), median |r| {median}"
    )
