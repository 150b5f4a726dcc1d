"""What a dissection is asked for, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models.layer_table import ALL, Layer, LayerTable
from actprobe.models.positions import place_refusal


@dataclass(frozen=True)
class DissectionSettings:
    """Numbers of a dissection, as `actprobe.dissect` takes them; UsageError for one that is out of range."""

    excerpts: int
    quantile: float
    iou_threshold: float
    permutations: int
    random_seeds: int
    seed: int

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        least = {"excerpts": 1, "permutations": 0, "random_seeds": 0, "seed": 0}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise UsageError(f"{name}={getattr(self, name)}: a number, at least {lowest}")
        if not 0 < self.quantile < 1:
            raise UsageError(f"quantile={self.quantile}: a share of the positions, between 0 and 1")
        if not 0 <= self.iou_threshold < 1:
            raise UsageError(f"iou_threshold={self.iou_threshold}: from 0 to below 1")


def map_layers(table: LayerTable, names: Sequence[str]) -> list[str]:
    """Look up the layers to dissect; ``all`` are the maps whose positions lie somewhere in the sound.

    UsageError: a layer that the network does not have, that is no map, or whose positions are unknown.
    """
    refused = {layer.name: map_refusal(layer) for layer in table.select(names)}
    if names == ALL:
        refused = {name: why for name, why in refused.items() if not why}
    for name, why in refused.items():
        if why:
            raise UsageError(f"{name} cannot be dissected: {why}")
    if not refused:
        raise UsageError(f"{table.network} has no layer that can be dissected")
    return list(refused)


def map_refusal(layer: Layer) -> str:
    """Say why the masks of a layer cannot be compared with concepts; empty where they can."""
    if not layer.is_map:
        return "it has one value an example, which is no map over time (see actprobe.probe, actprobe.neurons)"
    return place_refusal(layer)


def refuse_unplaced(name: str, frontend: FrontEnd) -> None:
    """Refuse a network of which only activations are stored, without the examples and what they are."""
    bands = len(frontend.band_edges_hz()) - 2
    if bands != frontend.example_shape[1]:
        raise UsageError(
            f"{name} is stored without its examples, by which concepts are placed: store them as `examples`"
        )
