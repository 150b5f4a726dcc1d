"""The layer table of a user's own network, from what was found in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models.adapters.taps import Tap, Taps
from actprobe.models.layer_table import Layer, LayerTable
from actprobe.models.output import Output, labelled, output_layer_of
from actprobe.models.receptive_field import as_layer

UNKNOWN = float("nan")


def table_of(
    taps: Taps, shapes: Mapping[str, tuple[int, ...]], frontend: FrontEnd, network: str
) -> LayerTable:
    """Give the rows of all names whose tensors have a place, [time, mel, channel] or [unit]."""
    rows: list[Layer] = []
    edges = frontend.band_edges_hz() if frontend.known else None
    by_name: dict[str, Layer] = {}
    for name in taps.order:
        other = taps.aliases.get(name, name)
        if other in by_name:
            row = replace(by_name[other], name=name, kind="pre-activation")
        elif other in shapes:
            row = _row(taps.by_name[other], shapes[other], frontend, edges)
            if name != other:
                row = replace(row, name=name, kind="pre-activation")
        else:
            continue
        rows.append(row)
        by_name[name] = row
    return LayerTable(network, rows)


def _row(tap: Tap, shape: tuple[int, ...], frontend: FrontEnd, edges: NDArray[np.float64] | None) -> Layer:
    if tap.state is None or edges is None:
        nowhere = (UNKNOWN, UNKNOWN)
        return Layer(tap.name, tap.kind, shape, UNKNOWN, UNKNOWN, UNKNOWN, nowhere, nowhere, tap.name)
    return replace(as_layer(frontend, edges, tap.name, tap.state, tap.name, tap.kind), shape=shape)


def outputs_of(layers: LayerTable, labels: Sequence[str] | None) -> tuple[Output, ...] | None:
    """Label the output units; None without labels."""
    if labels is None:
        return None
    last = layers[output_layer_of(layers)]
    if len(labels) != last.neurons or isinstance(labels, str):
        raise UsageError(
            f"{layers.network} has {last.neurons} output units ({last.name}): give as many labels, not "
            f"outputs={labels!r}"
        )
    return labelled(last.name, labels)
