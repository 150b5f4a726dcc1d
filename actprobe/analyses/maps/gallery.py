"""The best maps of a run beside every feature, as pictures and matches that the report can show."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.axes import axis_name, edges, span, ticks
from actprobe.analyses.maps.counting import activations_at
from actprobe.analyses.maps.geometry import layer_tolerance
from actprobe.analyses.maps.images import feature_image, map_image
from actprobe.analyses.maps.keypoints import detect
from actprobe.analyses.maps.look import MapPair
from actprobe.analyses.maps.pairs import compare
from actprobe.analyses.maps.run import MapRun
from actprobe.audio import load_audio
from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.features import FeatureMap, compute_maps
from actprobe.models import Model
from actprobe.provenance import atomic_path

__all__ = ["write_gallery"]

GREY = 128


def write_gallery(
    run: MapRun, model: Model, pairs: list[tuple[dict[str, Any], MapPair]], directory: Path
) -> list[Path]:
    """Write pairs, each beside all features of the run, for the report.

    Parameters
    ----------
    run : MapRun
        What was found.
    model : Model
        The network.
    pairs : list of tuple
        What `actprobe.analyses.maps.figures.best_pairs` gives.
    directory : Path
        Gets the folder ``gallery``; one that is there is replaced. Its ``gallery.json`` lists the pairs:
        ``layer``, ``channel``, the ``feature`` and ``rank`` it was chosen for, ``recording``, ``start`` and
        ``end`` in seconds, and ``sides``, one a feature, with the files of both pictures, ``ticks`` (place
        from 0 at the bottom to 1, label), ``axis``, and ``matches``: x and y in the feature, x and y in the
        map (from 0 to 1, y downwards), distance, and 1 where the match agrees with others.

    Returns
    -------
    list of Path
        The pictures.
    """
    folder = directory / "gallery"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    looks = _Looks(run, model)
    written: list[Path] = []
    items = []
    for row, pair in pairs:
        start, end = span(pair)
        sides = []
        for entry in run.settings.features:
            side = pair if entry.name == row["feature"] else looks.beside(pair, entry.name)
            stem = f"{row['feature']}-{row['rank']}-{entry.name}"
            written += [_save(side, folder / f"{stem}-feature.png", "feature")]
            written += [_save(side, folder / f"{stem}-map.png", "map")]
            sides.append(
                {
                    "feature": entry.name,
                    "unit": side.feature.unit,
                    "axis": axis_name(side),
                    "negative": bool(side.pair.negative),
                    "feature_picture": f"{stem}-feature.png",
                    "map_picture": f"{stem}-map.png",
                    "ticks": _ticks(side),
                    "matches": _matches(side),
                }
            )
        items.append(
            {
                "layer": row["layer"],
                "channel": int(row["channel"]),
                "feature": row["feature"],
                "rank": row["rank"],
                "recording": pair.recording,
                "start": start,
                "end": end,
                "sides": sides,
            }
        )
    with atomic_path(folder / "gallery.json") as temporary:
        temporary.write_text(json.dumps(items, ensure_ascii=False), "utf-8")
    return written


class _Looks:
    """Looks at a pair's channel beside other features, decoding each recording once."""

    def __init__(self, run: MapRun, model: Model) -> None:
        self.run, self.model = run, model
        self.opened: dict[str, tuple[Prepared, NDArray[np.float32], dict[str, FeatureMap]]] = {}

    def beside(self, pair: MapPair, name: str) -> MapPair:
        """Compare the channel with another feature of the same stretch."""
        _, examples, features = self._open(pair.recording)
        feature, place, grid = features[name], pair.place, pair.grid
        values = activations_at(self.model, examples, {pair.layer: place})[pair.layer][..., pair.channel]
        pictures = (
            map_image(values, place.times_seconds, grid, place.columns, feature.axis),
            feature_image(feature, grid, place.columns),
        )
        keypoints = detect(pictures[0]), detect(pictures[1])
        return replace(
            pair,
            feature=feature,
            map_picture=pictures[0],
            feature_picture=pictures[1],
            map_keypoints=keypoints[0],
            feature_keypoints=keypoints[1],
            pair=compare(*keypoints, layer_tolerance(grid, feature.axis)),
        )

    def _open(self, name: str) -> tuple[Prepared, NDArray[np.float32], dict[str, FeatureMap]]:
        if name not in self.opened:
            recording = next(each for each in self.run.usable if each.name == name)
            prepared = prepare_recording(recording, self.run.settings.frontend)
            features = compute_maps(load_audio(recording.path), self.run.settings.features)
            self.opened[name] = prepared, self.model.frontend.examples(prepared.samples), features
        return self.opened[name]


def _save(side: MapPair, path: Path, what: str) -> Path:
    picture = side.map_picture if what == "map" else side.feature_picture
    if picture is None:  # constant: there is nothing to see
        picture = np.full((2, 2), GREY, np.uint8)
    elif what == "map" and side.pair.negative:
        picture = np.asarray(255 - picture, np.uint8)
    done, data = cv2.imencode(".png", picture)
    assert done
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
    return path


def _matches(side: MapPair) -> list[list[float]]:
    matches = side.pair.matches
    if not len(matches) or side.map_picture is None or side.feature_picture is None:
        return []
    ends = []
    for points, picture in (
        (side.feature_keypoints.points[matches.second], side.feature_picture),
        (side.map_keypoints.points[matches.first], side.map_picture),
    ):
        ends.append((points.astype(np.float64) + 0.5) / [picture.shape[1], picture.shape[0]])
    table = np.column_stack([*ends, matches.distances, side.pair.agreement.agrees])
    return [[round(float(value), 4) for value in row] for row in table]


def _ticks(side: MapPair) -> list[list[Any]]:
    low, high = edges(side)
    return [[(place - low) / (high - low), label] for place, label in ticks(side)]
