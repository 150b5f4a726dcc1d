"""One recording: keypoints of its features, and the counts of all channels of its layers against them.

Every image is looked at once: a feature's keypoints are kept and serve all channels, and the recordings
that take it for their null; a map's serve all features and partners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.geometry import layer_tolerance
from actprobe.analyses.maps.grid import MapGrid
from actprobe.analyses.maps.images import feature_image, map_image
from actprobe.analyses.maps.keypoints import Keypoints, detect, no_keypoints
from actprobe.analyses.maps.pairs import COUNTS, Pair, compare
from actprobe.analyses.maps.segments import Positions
from actprobe.features.maps import FeatureMap

__all__ = ["MATCH_FIELDS", "FeatureKeypoints", "channel_keypoints", "count_stretch", "feature_keypoints"]

MATCH_FIELDS = np.dtype(
    [
        ("feature", "<i4"), ("channel", "<i4"), ("stretch", "<i4"), ("map_keypoint", "<i4"),
        ("feature_keypoint", "<i4"), ("distance", "<f4"), ("agrees", "?"), ("negative", "?"),
    ]
)  # fmt: skip

Mapper = Callable[..., Iterable[Any]]


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class FeatureKeypoints:
    """The keypoints of one feature of a recording, on one layer's pixels.

    Parameters
    ----------
    axis : str
        ``hertz`` or ``pitch class``.
    stretches : list of Keypoints
        One for each stretch of the recording.
    widths : list of int
        Columns of each stretch's image.
    """

    axis: str
    stretches: list[Keypoints] = field(repr=False)
    widths: list[int]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Lay it out as arrays for a file.

        Returns
        -------
        dict
            Names of the parts -> arrays.
        """
        return {
            "points": np.concatenate([part.points for part in self.stretches]),
            "sizes": np.concatenate([part.sizes for part in self.stretches]),
            "descriptors": np.concatenate([part.descriptors for part in self.stretches]),
            "counts": np.array([len(part) for part in self.stretches], np.int64),
            "widths": np.array(self.widths, np.int64),
            "axis": np.array(self.axis),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> FeatureKeypoints:
        """Read what `to_arrays` gave.

        Parameters
        ----------
        arrays : mapping
            Names of the parts -> arrays.

        Returns
        -------
        FeatureKeypoints
            As it was.
        """
        ends = np.cumsum(arrays["counts"])[:-1]
        parts = [np.split(arrays[name], ends) for name in ("points", "sizes", "descriptors")]
        stretches = [Keypoints(*part) for part in zip(*parts, strict=True)]
        return cls(str(arrays["axis"]), stretches, [int(width) for width in arrays["widths"]])


def feature_keypoints(
    feature: FeatureMap, grid: MapGrid, places: Sequence[Positions | None]
) -> FeatureKeypoints:
    """Find the keypoints of a feature on a layer's pixels.

    Parameters
    ----------
    feature : FeatureMap
        A feature of the recording.
    grid : MapGrid
        The layer's pixels.
    places : sequence of Positions or None
        What the images of the layer are made of, one a stretch.

    Returns
    -------
    FeatureKeypoints
        One set of keypoints a stretch.
    """
    found = [
        no_keypoints() if place is None else detect(feature_image(feature, grid, place.columns))
        for place in places
    ]
    widths = [0 if place is None else len(place.columns) for place in places]
    return FeatureKeypoints(feature.axis, found, widths)


def channel_keypoints(
    activation: NDArray[np.float32], place: Positions, grid: MapGrid, axis: str
) -> Keypoints:
    """Find the keypoints of one channel's activation map.

    Parameters
    ----------
    activation : numpy.ndarray
        float32, shape [time, mel], at the positions of ``place``.
    place : Positions
        What the image is made of.
    grid : MapGrid
        The layer's pixels.
    axis : str
        Axis of the feature that it will be compared with.

    Returns
    -------
    Keypoints
        None for a map that is constant or not finite.
    """
    return detect(map_image(activation, place.times_seconds, grid, place.columns, axis))


def count_stretch(
    activations: NDArray[np.float32],
    place: Positions,
    grid: MapGrid,
    features: Sequence[Sequence[FeatureKeypoints]],
    number: int,
    *,
    mapper: Mapper = map,
    keep_matches: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.void]]:
    """Compare all channels of a layer, on one stretch, with features of the recording and of its partners.

    Parameters
    ----------
    activations : numpy.ndarray
        float32, shape [time, mel, channel], at the positions of ``place``.
    place : Positions
        What the images are made of.
    grid : MapGrid
        The layer's pixels.
    features : sequence of sequence of FeatureKeypoints
        For each feature those of the recording itself, then those of each partner. A partner's
        stretches are taken in turn, and both images are compared as far as the shorter one goes.
    number : int
        Which stretch of the recording it is.
    mapper : callable, optional
        Such as ``ThreadPoolExecutor.map``.
    keep_matches : bool, optional
        Whether to give the matches with the recording's own features, too.

    Returns
    -------
    counts : numpy.ndarray
        float64, shape [features, 1 + partners, channels, 6], see `actprobe.analyses.maps.pairs`.
    matches : numpy.ndarray
        Shape [matches], of type `MATCH_FIELDS`; empty unless asked for.
    """
    channels = activations.shape[-1]
    counts = np.zeros((len(features), len(features[0]), channels, len(COUNTS)))
    axes = sorted({choices[0].axis for choices in features})

    def one(channel: int) -> list[NDArray[np.void]]:
        activation = np.ascontiguousarray(activations[..., channel])
        found = {axis: channel_keypoints(activation, place, grid, axis) for axis in axes}
        rows = []
        for which, choices in enumerate(features):
            tolerance = layer_tolerance(grid, choices[0].axis)
            for choice, feature in enumerate(choices):
                turn = number % len(feature.stretches)
                width = min(len(place.columns), feature.widths[turn])
                pair = compare(
                    found[feature.axis].up_to(width), feature.stretches[turn].up_to(width), tolerance
                )
                counts[which, choice, channel] = pair.counts
                if keep_matches and choice == 0 and len(pair.matches):
                    rows.append(_match_rows(pair, which, channel, number))
        return rows

    kept = [rows for found in mapper(one, range(channels)) for rows in found]
    return counts, np.concatenate(kept) if kept else np.empty(0, MATCH_FIELDS)


def _match_rows(pair: Pair, feature: int, channel: int, stretch: int) -> NDArray[np.void]:
    rows = np.empty(len(pair.matches), MATCH_FIELDS)
    rows["feature"], rows["channel"], rows["stretch"] = feature, channel, stretch
    rows["map_keypoint"], rows["feature_keypoint"] = pair.matches.first, pair.matches.second
    rows["distance"], rows["agrees"], rows["negative"] = (
        pair.matches.distances, pair.agreement.agrees, pair.negative,
    )  # fmt: skip
    return rows
