"""What decides the images of a map run: layers, features, and how recordings are cut into stretches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from absl import logging

from actprobe import features as hand_crafted
from actprobe.analyses.maps import (
    geometry as maps_geometry,
)
from actprobe.analyses.maps import (
    images as maps_images,
)
from actprobe.analyses.maps import (
    keypoints as maps_keypoints,
)
from actprobe.analyses.maps.grid import SMALLEST_SIDE, MapGrid, layer_grid
from actprobe.analyses.maps.segments import Positions, Stretch, positions_of, stretches_of
from actprobe.batch.prepare import UNITS, Prepared
from actprobe.errors import UsageError
from actprobe.features import Feature, get_feature
from actprobe.features.own import own_sources
from actprobe.frontends import FrontEnd
from actprobe.models import Model
from actprobe.provenance import versions

__all__ = ["MapSettings"]

FORMAT = 1  # raise when shards of before must not be read any more


@dataclass(frozen=True)
class MapSettings:
    """What decides the images of a map run.

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
        Longest stretch that one image shows, of whole recordings; 0 for any.
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
        """Look layers and features up.

        Parameters
        ----------
        model : Model
            The network.
        layers, features : sequence of str
            Names.
        unit : str
            ``recording`` or ``excerpt``.
        longest_seconds : float
            Longest stretch that one image shows; 0 for any.

        Returns
        -------
        MapSettings
            That can be pickled.

        Raises
        ------
        UsageError
            A layer or feature that does not exist or has no map, or no such unit.
        """
        if unit not in UNITS:
            raise UsageError(f"there is no unit {unit!r}; there is {', '.join(UNITS)}")
        if longest_seconds < 0:
            raise UsageError(f"longest_seconds={longest_seconds}: a length, or 0 for any")
        if not features:
            raise UsageError(f"name at least one feature: {', '.join(hand_crafted.available('map'))}")
        grids = {layer.name: layer_grid(layer, model.frontend) for layer in model.layers.select(layers)}
        for name, grid in grids.items():
            if min(grid.rows, grid.positions) < 2:
                logging.warning("layer %s has one position along an axis: its images show nothing", name)
        entries = tuple(get_feature(name, "map") for name in features)
        return cls(model.frontend.detached(), grids, entries, unit, float(longest_seconds))

    def stretches(self, prepared: Prepared) -> list[Stretch]:
        """Divide a recording into stretches.

        Parameters
        ----------
        prepared : Prepared
            The recording.

        Returns
        -------
        list of Stretch
            One an image.
        """
        seconds = len(prepared.samples) / self.frontend.sample_rate
        example = self.frontend.example_samples / self.frontend.sample_rate
        return stretches_of(prepared.starts, example, seconds, self.unit, self.longest_seconds)

    def places(self, prepared: Prepared) -> list[dict[str, Positions]]:
        """Say what the images of every layer are made of.

        Parameters
        ----------
        prepared : Prepared
            The recording.

        Returns
        -------
        list of dict
            For each stretch layer name -> its positions; a layer without a position there is left out.
        """
        found = []
        for stretch in self.stretches(prepared):
            by_grid = {
                grid: positions_of(stretch, prepared.starts, grid) for grid in set(self.grids.values())
            }
            places = {layer: by_grid[grid] for layer, grid in self.grids.items()}
            found.append({layer: place for layer, place in places.items() if place is not None})
        return found

    def describe(self) -> dict[str, Any]:
        """Say what decides the keypoints, for provenance.

        Returns
        -------
        dict
            JSON-able.
        """
        return {
            "frontend": self.frontend.describe(),
            "grids": {name: asdict(grid) for name, grid in self.grids.items()},
            "features": hand_crafted.describe(self.features),
            "feature_sources": own_sources(self.features),
            "unit": self.unit,
            "longest_seconds": self.longest_seconds,
            "images": {
                "smallest_side": SMALLEST_SIDE,
                "percentiles": list(maps_images.PERCENTILES),
                "widest_units": maps_images.WIDEST,
                "smoothing_pixels": maps_images.SMOOTHING,
                "sift": "OpenCV's defaults, upright",
                "ratio": maps_keypoints.RATIO,
                "tolerance_positions": maps_geometry.POSITIONS,
                "scale_off": maps_geometry.SCALE_OFF,
                "enough": maps_geometry.ENOUGH,
            },
            "versions": versions(),
            "format": FORMAT,
        }
