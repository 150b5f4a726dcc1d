"""dissection.csv and dissection_concepts.csv: every unit with every concept, and what each concept found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.causal.dissection.masks import MaskShards
from actprobe.analyses.causal.dissection.overlap import Overlap, overlap
from actprobe.analyses.causal.dissection.settings import DissectionSettings
from actprobe.corpora import Recording
from actprobe.corpora.grouping import group_numbers
from actprobe.statistics.criteria import Q_LIMIT

DISSECTION_COLUMNS = (
    "layer", "unit", "concept", "threshold", "iou", "iou_null", "p", "q", "n", "random_weights", "detector",
    "iou_max",
)  # fmt: skip
CONCEPT_COLUMNS = (
    "layer", "concept", "n", "share", "iou_max", "layer_units", "above_iou", "above_iou_null",
    "above_iou_random", "significant", "detectors", "above_random",
)  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """Both tables."""

    units: pd.DataFrame
    concepts: pd.DataFrame


def dissection_tables(
    shards: Sequence[MaskShards],
    recordings: Sequence[Recording],
    known: Mapping[str, Sequence[str]],
    thresholds: Mapping[str, NDArray[np.float32]],
    settings: DissectionSettings,
    group_by: str | None = None,
) -> Tables:
    """Compare the units of each layer with each concept.

    ``known``: concept -> names of the recordings that know it; ``group_by``: column of labels, recordings
    with the same entry are permuted together. A concept that covers no position of a layer
    has no rows there.
    """
    units, concepts = [], []
    for layer in shards:
        for together in _known_together(known):
            within = set(known[together[0]])
            chosen = [recording for recording in recordings if recording.name in within]
            read = layer.reader(chosen, together)
            groups = group_numbers(chosen, group_by)
            found = overlap(read, groups, settings.permutations, settings.seed)
            for column, concept in enumerate(together):
                if found.share[column] > 0:
                    head: dict[str, Any] = {"layer": layer.layer, "concept": concept, "n": len(chosen)}
                    rows = _units(found, column, settings).assign(
                        **head, threshold=thresholds[layer.layer][0]
                    )
                    units.append(rows)
                    concepts.append({**head, **_concept(found, column, rows, settings)})
    order = {name: place for place, name in enumerate(known)}
    return Tables(_laid_out(units, order), _laid_out([pd.DataFrame(concepts)], order, CONCEPT_COLUMNS))


def _known_together(known: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Put the concepts together that the same recordings know."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for concept, names in known.items():
        groups.setdefault(tuple(names), []).append(concept)
    return list(groups.values())


def _units(found: Overlap, column: int, settings: DissectionSettings) -> pd.DataFrame:
    iou, q = found.iou[:, column], found.q[:, column]
    seeds = found.random[:, :, column]
    return pd.DataFrame(
        {
            "unit": np.arange(len(iou)),
            "iou": iou,
            "iou_null": found.iou_null[:, column],
            "p": found.p[:, column],
            "q": q,
            "random_weights": np.median(seeds, axis=0) if len(seeds) else np.full(len(iou), np.nan),
            "detector": (iou > settings.iou_threshold) & (q <= Q_LIMIT),
            "iou_max": found.iou_max[:, column],
        }
    )


def _concept(
    found: Overlap, column: int, rows: pd.DataFrame, settings: DissectionSettings
) -> dict[str, float | int]:
    above, seeds = settings.iou_threshold, found.random[:, :, column]
    permuted = found.permuted[:, :, column]
    strongest = seeds.max() if seeds.size else np.nan
    return {
        "share": float(found.share[column]),
        "iou_max": float(found.iou_max[:, column].max()),
        "layer_units": len(rows),
        "above_iou": int((rows["iou"] > above).sum()),
        "above_iou_null": float((permuted > above).sum(axis=1).mean()) if len(permuted) else np.nan,
        "above_iou_random": float(np.median((seeds > above).sum(axis=1))) if len(seeds) else np.nan,
        "significant": int((rows["q"] <= Q_LIMIT).sum()),
        "detectors": int(rows["detector"].sum()),
        "above_random": int((rows["detector"] & (rows["iou"] > strongest)).sum()) if seeds.size else np.nan,
    }


def _laid_out(
    parts: list[pd.DataFrame], order: Mapping[str, int], columns: Sequence[str] = DISSECTION_COLUMNS
) -> pd.DataFrame:
    """Join rows, layer by layer as they come, and the concepts in their order."""
    if not any(map(len, parts)):
        return pd.DataFrame(columns=list(columns))
    table = pd.concat(parts, ignore_index=True)
    layers = {name: place for place, name in enumerate(dict.fromkeys(table["layer"]))}
    places = pd.DataFrame({"layer": table["layer"].map(layers), "concept": table["concept"].map(order)})
    arranged = places.sort_values(["layer", "concept"], kind="stable").index
    return table.loc[arranged, list(columns)].reset_index(drop=True)
