"""What decides the images of a map run: layers, features, and how recordings are cut into segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from actprobe import features as hand_crafted
from actprobe.analyses.maps.geometry import ENOUGH, POSITIONS, SCALE_OFF
from actprobe.analyses.maps.grid import SMALLEST_SIDE, MapGrid, is_image, layer_grid, refuse_without_positions
from actprobe.analyses.maps.images import PERCENTILES, SMOOTHING, WIDEST
from actprobe.analyses.maps.matches import RATIO
from actprobe.analyses.maps.segments import Positions, positions_of, segments_of
from actprobe.batch.prepare import UNITS, Prepared
from actprobe.errors import UsageError
from actprobe.features import Feature, get_feature
from actprobe.features.own import own_sources
from actprobe.frontends import FrontEnd
from actprobe.models import Layer, Model
from actprobe.models.layer_table import ALL, LayerTable
from actprobe.provenance import versions

FORMAT = 1  # raise when shards of before must not be read any more


def look_up(
    table: LayerTable, layers: Sequence[str], features: Sequence[str], unit: str, longest_seconds: float
) -> tuple[tuple[Layer, ...], tuple[Feature, ...]]:
    """Look layers and features up without the network, refusing (UsageError) what cannot be compared."""
    if unit not in UNITS:
        raise UsageError(f"there is no unit {unit!r}; there is {', '.join(UNITS)}")
    if longest_seconds < 0:
        raise UsageError(f"longest_seconds={longest_seconds}: a length, or 0 for any")
    if not features:
        raise UsageError(f"name at least one feature: {', '.join(hand_crafted.available('map'))}")
    chosen = table.select(layers)
    if layers == ALL:
        chosen = tuple(layer for layer in chosen if is_image(layer))
        if not chosen:
            raise UsageError(f"{table.network} has no maps: actprobe-neurons compares its units")
    for layer in chosen:
        refuse_without_positions(layer)
    return chosen, tuple(get_feature(name, "map") for name in features)


@dataclass(frozen=True)
class MapSettings:
    """What decides the images of a map run; it can be pickled.

    Parameters
    ----------
    frontend : FrontEnd
        Says where examples begin; without what TensorFlow has traced of it.
    grids : dict
        Layer name -> its pixels.
    features : tuple of Feature
        Feature maps.
    unit : str
        ``recording`` or ``excerpt``.
    longest_seconds : float
        Longest segment that one image shows, of whole recordings; 0 for any.
    """

    frontend: FrontEnd
    grids: dict[str, MapGrid]
    features: tuple[Feature, ...]
    unit: str
    longest_seconds: float

    @classmethod
    def of(
        cls, model: Model, layers: Sequence[str], features: Sequence[str], unit: str, longest_seconds: float
    ) -> MapSettings:
        """Look layers and features up, see `look_up`, and work out the pixels of the layers."""
        chosen, entries = look_up(model.layers, layers, features, unit, longest_seconds)
        grids = {layer.name: layer_grid(layer, model.frontend) for layer in chosen}
        return cls(model.frontend.detached(), grids, entries, unit, float(longest_seconds))

    def places(self, prepared: Prepared) -> list[dict[str, Positions]]:
        """Say what the images of a recording are made of.

        Returns
        -------
        list of dict
            For each segment layer name -> its positions; a layer without a position there is left out.
        """
        seconds = len(prepared.samples) / self.frontend.sample_rate
        example = self.frontend.example_samples / self.frontend.sample_rate
        found = []
        for segment in segments_of(prepared.starts, example, seconds, self.unit, self.longest_seconds):
            by_grid = {
                grid: positions_of(segment, prepared.starts, grid) for grid in set(self.grids.values())
            }
            places = {layer: by_grid[grid] for layer, grid in self.grids.items()}
            found.append({layer: place for layer, place in places.items() if place is not None})
        return found

    def describe(self) -> dict[str, Any]:
        """Say what decides the keypoints, for provenance; JSON-able."""
        return {
            "frontend": self.frontend.describe(),
            "grids": {name: asdict(grid) for name, grid in self.grids.items()},
            "features": hand_crafted.describe(self.features),
            "feature_sources": own_sources(self.features),
            "unit": self.unit,
            "longest_seconds": self.longest_seconds,
            "images": {
                "smallest_side": SMALLEST_SIDE,
                "percentiles": list(PERCENTILES),
                "widest_units": WIDEST,
                "smoothing_pixels": SMOOTHING,
                "sift": "OpenCV's defaults, upright",
                "ratio": RATIO,
                "tolerance_positions": POSITIONS,
                "scale_off": SCALE_OFF,
                "enough": ENOUGH,
            },
            "versions": versions(),
            "format": FORMAT,
        }
