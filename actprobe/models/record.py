"""A network as run.json describes it, so that a run can be shown without the network at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from actprobe.models.layer_table import Layer, LayerTable
from actprobe.models.model import Model


def network_record(model: Model) -> dict[str, Any]:
    """Describe a network, JSON-able: what is not known, such as a receptive field, is None.

    Keys: ``model``, ``weights``, ``frontend``, ``opened_from`` (what `frontend_of` makes the front end of a
    network of the catalog from), ``outputs`` (layer, unit, label, meaning, mel) and ``layer_table``, the rows
    of `LayerTable.rows`.
    """
    return {
        "model": model.name,
        "weights": {**vars(model.weights)},
        "frontend": model.frontend.describe(),
        "opened_from": model.opened_from,
        "outputs": [asdict(output) for output in model.outputs],
        "layer_table": [{name: _known(cell) for name, cell in row.items()} for row in model.layers.rows()],
    }


def layer_table(model: str, rows: Sequence[Mapping[str, Any]]) -> LayerTable:
    """Rebuild a layer table from the rows of run.json."""
    return LayerTable(model, [_layer(row) for row in rows])


def _known(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _layer(row: Mapping[str, Any]) -> Layer:
    names = (
        "hop_seconds", "first_seconds", "receptive_field_seconds", "hop_hz_min", "hop_hz_max",
        "receptive_field_hz_min", "receptive_field_hz_max",
    )  # fmt: skip
    hop, first, field, *hertz = (math.nan if row[name] is None else float(row[name]) for name in names)
    lowest = row.get("first_hz")
    return Layer(
        name=str(row["name"]),
        kind=str(row["kind"]),
        shape=tuple(int(side) for side in str(row["shape"]).split("x")),
        hop_seconds=hop,
        first_seconds=first,
        receptive_field_seconds=field,
        hop_hz=(hertz[0], hertz[1]),
        receptive_field_hz=(hertz[2], hertz[3]),
        tensor=str(row["name"]),
        first_hz=math.nan if lowest is None else float(lowest),
    )
