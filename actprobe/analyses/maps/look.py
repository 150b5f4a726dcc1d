"""One channel and one feature of one recording again, with all that there is to see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.counting import activations_at
from actprobe.analyses.maps.geometry import layer_tolerance
from actprobe.analyses.maps.grid import MapGrid
from actprobe.analyses.maps.images import feature_image, map_image
from actprobe.analyses.maps.keypoints import Keypoints, detect
from actprobe.analyses.maps.pairs import Pair, compare
from actprobe.analyses.maps.segments import Positions
from actprobe.analyses.maps.settings import MapSettings
from actprobe.audio import load_audio
from actprobe.batch.prepare import prepare_recording
from actprobe.corpora import Recording
from actprobe.errors import CorpusError
from actprobe.features import FeatureMap, compute_maps
from actprobe.models import Model

__all__ = ["MapPair", "look_at"]


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class MapPair:
    """A channel's map and a feature of the same recording, with their matches, to be looked at.

    Parameters
    ----------
    recording : str
        Name of the recording.
    layer : str
        Name of the layer.
    channel : int
        The channel.
    feature : FeatureMap
        The feature, of the whole recording.
    grid : MapGrid
        The layer's pixels.
    place : Positions
        What the map's image is made of.
    map_picture, feature_picture : numpy.ndarray or None
        uint8, shape [rows, columns], the highest frequency first; None for one that shows nothing.
    map_keypoints, feature_keypoints : Keypoints
        What was found in them.
    pair : Pair
        Their matches.
    """

    recording: str
    layer: str
    channel: int
    feature: FeatureMap
    grid: MapGrid
    place: Positions
    map_picture: NDArray[np.uint8] | None
    feature_picture: NDArray[np.uint8] | None
    map_keypoints: Keypoints
    feature_keypoints: Keypoints
    pair: Pair


def look_at(
    model: Model,
    recording: Recording,
    settings: MapSettings,
    layer: str,
    channel: int,
    feature: str,
) -> MapPair:
    """Compare one channel with one feature of one recording again, and keep all that there is to see.

    Parameters
    ----------
    model : Model
        The network.
    recording : Recording
        A usable recording.
    settings : MapSettings
        Those of the run.
    layer : str
        Name of the layer.
    channel : int
        The channel.
    feature : str
        Name of the feature.

    Returns
    -------
    MapPair
        Of the stretch of the recording in which most matches agree, the first of equal ones.

    Raises
    ------
    CorpusError
        The recording is too short for a position of the layer.
    """
    waveform = load_audio(recording.path)
    prepared = prepare_recording(recording, settings.frontend, waveform=waveform)
    entry = next(entry for entry in settings.features if entry.name == feature)
    found = compute_maps(waveform, [entry])[feature]
    examples = model.frontend.examples(prepared.samples)
    grid = settings.grids[layer]
    tolerance = layer_tolerance(grid, found.axis)
    best: MapPair | None = None
    for places in settings.places(prepared):
        if layer not in places:
            continue
        place = places[layer]
        values = activations_at(model, examples, {layer: place})[layer][..., channel]
        pictures = (
            map_image(values, place.times_seconds, grid, place.columns, found.axis),
            feature_image(found, grid, place.columns),
        )
        keypoints = detect(pictures[0]), detect(pictures[1])
        pair = compare(*keypoints, tolerance)
        if best is None or pair.agreement.count > best.pair.agreement.count:
            best = MapPair(recording.name, layer, channel, found, grid, place, *pictures, *keypoints, pair)
    if best is None:
        raise CorpusError(recording.path, f"is too short for a position of {layer}")
    return best
