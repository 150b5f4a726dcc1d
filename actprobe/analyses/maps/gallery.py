"""The best maps of a run beside every feature, as pictures and matches that figures and report show.

The folder ``gallery`` holds two pictures for each map and feature, and ``gallery.json``, a list of the maps:
``layer``, ``channel``, the ``feature`` and ``rank`` it was chosen for, ``recording``, ``start`` and ``end``
in seconds, and ``sides``, one a feature, as `Side` has them, with the files of both pictures.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.look import Look, MapPair
from actprobe.errors import CorpusError
from actprobe.provenance import ESCAPED, atomic_path

GREY = 128
INDEX = "gallery.json"
PICTURES = ("feature_picture", "map_picture")


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class Side:
    """A map beside a feature.

    Parameters
    ----------
    feature, unit : str
        The feature and the unit of its values.
    axis : str
        What the upright axis shows.
    negative : bool
        Whether the map's negative was matched, and is shown.
    feature_picture, map_picture : numpy.ndarray
        uint8, shape [rows, columns], the highest frequency first.
    ticks : list
        Place from 0 at the bottom to 1, and label.
    matches : list
        For each match x and y in the feature, x and y in the map (from 0 to 1, y downwards), distance, and 1
        where it agrees with others.
    """

    feature: str
    unit: str
    axis: str
    negative: bool
    feature_picture: NDArray[np.uint8]
    map_picture: NDArray[np.uint8]
    ticks: list[list[Any]]
    matches: list[list[float]]


@dataclass(frozen=True, eq=False)
class Item:
    """A map in a segment of a recording beside the features, see the head of this module."""

    layer: str
    channel: int
    feature: str
    rank: int
    recording: str
    start: float
    end: float
    sides: list[Side]

    @classmethod
    def of(cls, look: Look) -> Item:
        """Bring a look to the form in which it is shown."""
        pair = look.pair
        shown = (pair.layer, int(pair.channel), look.feature, look.rank, pair.recording, *pair.span)
        return cls(*shown, [_side(one) for one in look.sides.values()])

    def side(self, feature: str) -> Side | None:
        """Give the map beside a feature."""
        return next((side for side in self.sides if side.feature == feature), None)


def write_gallery(items: Sequence[Item], directory: Path) -> None:
    """Write the folder ``gallery``; one that is there is replaced."""
    folder = directory / "gallery"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    index = []
    for item in items:
        sides = []
        for side in item.sides:
            stem = f"{item.feature}-{item.rank}-{side.feature}"
            files = {name: f"{stem}-{name.removesuffix('_picture')}.png" for name in PICTURES}
            for name, file in files.items():
                _save(getattr(side, name), folder / file)
            sides.append({**vars(side), **files})
        index.append({**vars(item), "sides": sides})
    with atomic_path(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(index, ensure_ascii=False), "utf-8", ESCAPED)


def read_gallery(directory: Path) -> list[Item]:
    """Read what `write_gallery` wrote; empty without a gallery, CorpusError for a damaged one."""
    folder = directory / "gallery"
    if not (folder / INDEX).exists():
        return []
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        return [Item(**{**item, "sides": [_read(side, folder) for side in item["sides"]]}) for item in index]
    except (OSError, ValueError, KeyError, TypeError, cv2.error) as error:
        raise CorpusError(folder / INDEX, f"is not a readable gallery ({error})") from error


def _read(side: dict[str, Any], folder: Path) -> Side:
    pictures = {}
    for name in PICTURES:
        data = np.frombuffer((folder / Path(side[name]).name).read_bytes(), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise ValueError(f"{side[name]} is not a picture")
        pictures[name] = picture
    return Side(**{**side, **pictures})


def _save(picture: NDArray[np.uint8], path: Path) -> None:
    done, data = cv2.imencode(".png", picture)
    assert done
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _side(pair: MapPair) -> Side:
    blank = np.full((2, 2), GREY, np.uint8)  # constant: there is nothing to see
    feature = blank if pair.feature_picture is None else pair.feature_picture
    activation = blank if pair.map_picture is None else pair.map_picture
    if pair.compared.negative and pair.map_picture is not None:
        activation = np.invert(activation)
    low, high = pair.edges
    ticks = [[(place - low) / (high - low), label] for place, label in pair.ticks()]
    return Side(
        pair.feature.name,
        pair.feature.unit,
        pair.axis_name,
        bool(pair.compared.negative),
        feature,
        activation,
        ticks,
        _matches(pair),
    )


def _matches(pair: MapPair) -> list[list[float]]:
    matches = pair.compared.matches
    if not len(matches) or pair.map_picture is None or pair.feature_picture is None:
        return []
    ends = []
    for points, picture in (
        (pair.feature_keypoints.points[matches.second], pair.feature_picture),
        (pair.map_keypoints.points[matches.first], pair.map_picture),
    ):
        ends.append((points.astype(np.float64) + 0.5) / [picture.shape[1], picture.shape[0]])
    table = np.column_stack([*ends, matches.distances, pair.compared.agreement.agrees])
    return [[round(float(value), 4) for value in row] for row in table]
