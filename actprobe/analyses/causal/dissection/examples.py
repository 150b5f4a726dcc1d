"""Examples of what was found: the excerpt in which a unit and its concept have most in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.causal.dissection.grid import Grid
from actprobe.analyses.causal.dissection.masks import MaskShards
from actprobe.batch.prepare import prepare_recording
from actprobe.corpora import Recording
from actprobe.frontends import FrontEnd
from actprobe.frontends.excerpts import examples_at, some_starts
from actprobe.statistics.criteria import Q_LIMIT

EXAMPLES = 3  # units of a layer that are shown


@dataclass(frozen=True, eq=False)
class Example:
    """An excerpt with the masks of a unit and of a concept, all [frames, bands]."""

    layer: str
    unit: int
    concept: str
    recording: str
    start_seconds: float
    mel_spectrogram: NDArray[np.float32] = field(repr=False)
    unit_mask: NDArray[np.bool_] = field(repr=False)
    concept_mask: NDArray[np.bool_] = field(repr=False)

    def told(self) -> dict[str, Any]:
        """Give what is no array, for run.json."""
        return {name: value for name, value in asdict(self).items() if name not in ARRAYS}


ARRAYS = ("mel_spectrogram", "unit_mask", "concept_mask")


def best_units(table: pd.DataFrame, count: int = EXAMPLES) -> pd.DataFrame:
    """Choose units of each layer to show: detectors, then those that are above their null, furthest first.

    Each unit is there once, with the concept that it has most of.
    """
    ranked = table.assign(excess=table["iou"] - table["iou_null"].fillna(0), beyond=table["q"] <= Q_LIMIT)
    order = ["detector", "beyond", "excess"]
    ranked = ranked[ranked["iou"] > 0].sort_values(order, ascending=False, kind="stable")
    return ranked.drop_duplicates(["layer", "unit"]).groupby("layer", sort=False).head(count)


def find_examples(
    rows: pd.DataFrame,
    shards: Mapping[str, MaskShards],
    recordings: Sequence[Recording],
    known: Mapping[str, Sequence[str]],
    grids: Mapping[str, Grid],
    frontend: FrontEnd,
    excerpts: int,
) -> list[Example]:
    """Find for each unit and concept the excerpt in which their masks intersect most."""
    found = []
    for layer, unit, concept in zip(rows["layer"], rows["unit"].astype(int), rows["concept"], strict=True):
        grid, within = grids[layer], set(known[concept])
        best, where = 0, None
        for recording in recordings:
            if recording.name not in within:
                continue
            masks = shards[layer].read(recording, [concept])
            columns = masks.units[0][[unit]].indices
            counts = np.bincount(columns[masks.concepts[0][columns]] // grid.cells)
            if len(counts) and counts.max() > best:
                best, where = int(counts.max()), (recording, int(counts.argmax()), masks)
        if where is not None:
            recording, excerpt, masks = where
            part = slice(excerpt * grid.cells, (excerpt + 1) * grid.cells)
            shape = len(grid.along_time), len(grid.along_mel)
            of_unit = np.zeros(masks.inside.shape, np.bool_)
            of_unit[masks.units[0][[unit]].indices] = True
            bound = frontend.of(recording.path)
            samples = prepare_recording(recording, frontend).samples
            start = some_starts(bound, len(samples), excerpts)[[excerpt]]
            found.append(
                Example(
                    layer, unit, concept, recording.name, float(start[0] / bound.sample_rate),
                    examples_at(bound, samples, start)[0],
                    grid.on_example(of_unit[part].reshape(shape)),
                    grid.on_example(masks.concepts[0][part].reshape(shape)),
                )
            )  # fmt: skip
    return found


def stored(examples: Sequence[Example]) -> dict[str, NDArray[Any]]:
    """Lay the arrays of examples out for an npz."""
    return {
        f"{number}/{name}": getattr(each, name) for number, each in enumerate(examples) for name in ARRAYS
    }


def restored(told: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]) -> list[Example]:
    """Read examples that were stored."""
    found = []
    for number, each in enumerate(told):
        whole: dict[str, Any] = {**each, **{name: arrays[f"{number}/{name}"] for name in ARRAYS}}
        found.append(Example(**whole))
    return found
