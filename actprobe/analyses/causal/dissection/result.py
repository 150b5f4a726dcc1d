"""A finished dissection, as Python and notebooks see it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from actprobe.analyses.causal.dissection.examples import Example, restored
from actprobe.analyses.causal.dissection.figures import count_figure, unit_figure
from actprobe.batch.result import Result
from actprobe.models.layer_table import read_unit

EXAMPLES = "dissection_examples.npz"


class DissectionResult(Result):
    """Units of a network and the concepts that they detect: what `actprobe.dissect` returns.

    ``table`` is dissection.csv.

    Examples
    --------
    >>> found = actprobe.load_run("DISSECTION")
    >>> found.table["layer"].unique().tolist()
    ['mp3']
    >>> figure = found.plot("mp3/9")
    """

    KIND = "dissection"
    TABLE = "dissection.csv"

    @cached_property
    def concepts(self) -> pd.DataFrame:
        """dissection_concepts.csv: what was found of each concept in each layer."""
        return self.frame("dissection_concepts.csv")

    @cached_property
    def examples(self) -> list[Example]:
        """The excerpts that were drawn, each with the masks of a unit and of its concept."""
        return restored(self.record["examples"], self.read_npz(EXAMPLES))

    @property
    def detectors(self) -> pd.DataFrame:
        """The rows of ``table`` that are detectors, the highest IoU first."""
        return self.table[self.table["detector"]].sort_values("iou", ascending=False, kind="stable")

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints."""
        above, quantile = self.record["iou_threshold"], self.record["quantile"]
        lines = [f"detector: IoU above {above:g} and q at most 0.05 under permutation of the recordings"]
        for layer, concepts in self.concepts.groupby("layer", sort=False):
            table = self.table[self.table["layer"] == layer]
            units = table.groupby("unit")
            passing = int((units["iou"].max() > above).sum())
            detecting = int(units["detector"].any().sum())
            lines.append(
                f"{layer}: {passing} of {len(units)} units exceed IoU {above:g} with some concept, "
                f"{detecting} {'is a detector' if detecting == 1 else 'are detectors'}"
            )
            found = concepts[(concepts["above_iou"] > 0) | (concepts["significant"] > 0)]
            lines += [_of_concept(row, table, above) for row in found.itertuples()]
            rest = [name for name in concepts["concept"] if name not in set(found["concept"])]
            lines += [f"  no unit: {', '.join(rest)}"] if rest else []
            nowhere = [name for name in self.record["known"] if name not in set(concepts["concept"])]
            lines += [f"  covers no position: {', '.join(nowhere)}"] if nowhere else []
        dense = self.concepts[self.concepts["iou_max"] <= above]
        if len(dense):
            names = ", ".join(dict.fromkeys(dense["concept"]))
            lines.append(
                f"IoU cannot reach {above:g} with quantile {quantile:g} for {names}: such a concept covers "
                "too many positions; use q or a higher quantile"
            )
        if self.record["not_there"]:
            lines.append(f"not known for any recording: {', '.join(self.record['not_there'])}")
        failed = self.recordings[self.recordings["status"] == "failed"]
        return "\n".join([*lines, *(f"left out: {row.path}: {row.reason}" for row in failed.itertuples())])

    def plot(self, unit: str | None = None) -> Figure:
        """Draw how many units detect which concept, or one unit beside its controls.

        Parameters
        ----------
        unit : str, optional
            ``LAYER/NUMBER``; with an example if the run has drawn one of it. By default all layers.

        Returns
        -------
        matplotlib.figure.Figure
            A panel for each layer; or the IoU of the unit with every concept.

        Raises
        ------
        UsageError
            No such unit.
        """
        title = str(self.record["title"])
        if unit is None:
            return count_figure(self.concepts, title)
        sizes = {str(layer): int(rows["unit"].max()) + 1 for layer, rows in self.table.groupby("layer")}
        layer, number = read_unit(unit, sizes, "unit")
        shown = next((each for each in self.examples if (each.layer, each.unit) == (layer, number)), None)
        return draw_unit(
            self.table, layer, number, self.record["iou_threshold"], shown, self.record["frames"], title
        )


def draw_unit(
    table: pd.DataFrame,
    layer: str,
    unit: int,
    iou_threshold: float,
    example: Example | None,
    frames: dict[str, list[float]],
    title: str,
) -> Figure:
    """Draw a unit; ``frames`` are the edges of the bands and the centres of the frames of an example."""
    rows = table[(table["layer"] == layer) & (table["unit"] == unit)]
    return unit_figure(rows, iou_threshold, example, **frames, title=f"{layer}/{unit}: {title}")


def _of_concept(row: Any, table: pd.DataFrame, above: float) -> str:
    """Say what was found of a concept in a layer."""
    told = f"{row.detectors} detector{'' if row.detectors == 1 else 's'}"
    if row.detectors and pd.notna(row.above_random):
        told += f", {row.above_random} above all units with random weights"
    controls = []
    if np.isfinite(row.above_iou_null):
        controls.append(f"{row.above_iou_null:.3g} under permutation")
    if np.isfinite(row.above_iou_random):
        controls.append(f"{row.above_iou_random:.3g} with random weights")
    passing = f"{row.above_iou}" + (f" ({', '.join(controls)})" if controls else "")
    of_concept = table[table["concept"] == row.concept]
    best = of_concept.sort_values(["detector", "iou"], ascending=False, kind="stable").iloc[0]
    return (
        f"  {row.concept}: {told}; IoU above {above:g}: {passing}; q <= 0.05: {row.significant}; "
        f"best: unit {best['unit']}, IoU {best['iou']:.3f}, null {best['iou_null']:.3f}"
    )
