"""Pairs of a channel and a feature again, with all that there is to see, and where their pixels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.maps.channel_pass import Counts, activations_at
from actprobe.analyses.maps.geometry import layer_tolerance
from actprobe.analyses.maps.grid import MapGrid
from actprobe.analyses.maps.images import CLASSES, OCTAVES, feature_image, map_image
from actprobe.analyses.maps.keypoints import Keypoints, detect
from actprobe.analyses.maps.pairs import COUNTS, Pair, compare
from actprobe.analyses.maps.segments import Positions
from actprobe.analyses.maps.settings import MapSettings
from actprobe.analyses.maps.table import rank_maps
from actprobe.batch.prepare import prepare_recording
from actprobe.corpora import Recording
from actprobe.errors import CorpusError, UsageError
from actprobe.features import Feature, FeatureMap
from actprobe.features.maps import try_maps
from actprobe.models import Model
from actprobe.plotting import Tick, hertz_ticks

CLASS_NAMES = {0: "C", 4: "E", 8: "G♯"}  # more would overlap
MATCH_COLUMNS = (
    "recording", "layer", "channel", "feature", "negative", "map_keypoint", "feature_keypoint", "distance",
    "agrees", "map_seconds", "map_place", "feature_seconds", "feature_place", "place_unit",
)  # fmt: skip


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class MapPair:
    """A channel's map and a feature of the same segment of a recording, with their matches.

    Parameters
    ----------
    recording : str
        Name of the recording.
    layer : str
        Name of the layer.
    channel : int
        The channel.
    feature : Feature
        The feature.
    grid : MapGrid
        The layer's pixels.
    place : Positions
        What the map's image is made of.
    map_picture, feature_picture : numpy.ndarray or None
        uint8, shape [rows, columns], the highest frequency first; None for one that shows nothing.
    map_keypoints, feature_keypoints : Keypoints
        What was found in them.
    compared : Pair
        Their matches.
    """

    recording: str
    layer: str
    channel: int
    feature: Feature
    grid: MapGrid
    place: Positions
    map_picture: NDArray[np.uint8] | None
    feature_picture: NDArray[np.uint8] | None
    map_keypoints: Keypoints
    feature_keypoints: Keypoints
    compared: Pair

    @property
    def in_hertz(self) -> bool:
        """Whether rows are frequencies, and not pitch classes."""
        return self.feature.axis == "hertz"

    @property
    def axis_name(self) -> str:
        """What the upright axis shows, with its unit."""
        return "frequency (Hz)" if self.in_hertz else "pitch class (twice)"

    @property
    def span(self) -> tuple[float, float]:
        """Seconds at the left edge of the first and the right edge of the last column."""
        half = self.grid.step_seconds / 2
        return float(self.place.columns[0] - half), float(self.place.columns[-1] + half)

    @property
    def edges(self) -> tuple[float, float]:
        """Where the pictures end at the bottom and at the top, as `places` has it."""
        if self.in_hertz:
            half = self.grid.step_bands / 2
            return float(self.grid.row_bands[0] - half), float(self.grid.row_bands[-1] + half)
        half = float(CLASSES[1]) / 2
        return -half, 12 * OCTAVES - half

    def places(self, points: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Say where pixels [points, column and row downwards] are.

        Returns
        -------
        tuple of numpy.ndarray
            Seconds, and bands of the front end or semitones above the lowest C.
        """
        seconds = self.place.columns[0] + points[:, 0].astype(np.float64) * self.grid.step_seconds
        rows = points[:, 1].astype(np.float64)
        if self.in_hertz:
            return seconds, self.grid.row_bands[-1] - rows * self.grid.step_bands
        return seconds, (len(CLASSES) * OCTAVES - 1 - rows) * float(CLASSES[1])

    def ticks(self) -> list[Tick]:
        """Say where round frequencies, or some pitch classes, are, as `places` has it, with their labels."""
        if self.in_hertz:
            return hertz_ticks(self.grid.bands, *self.edges)
        return [(12.0 * octave + at, name) for octave in range(OCTAVES) for at, name in CLASS_NAMES.items()]


@dataclass(frozen=True, eq=False)
class Look:
    """A channel in the recording and segment in which it and a feature match best.

    Parameters
    ----------
    feature : str
        The feature.
    sides : dict
        Name of a feature -> the channel beside it, on that segment.
    rank : int
        The channel's rank for the feature, from 1; 0 where it was not ranked.
    """

    feature: str
    sides: dict[str, MapPair]
    rank: int = 0

    @property
    def pair(self) -> MapPair:
        """The channel beside the feature."""
        return self.sides[self.feature]


@dataclass(frozen=True, eq=False)
class Viewer:
    """Looks at channels of a run again.

    Parameters
    ----------
    model : Model
        The network of the run.
    settings : MapSettings
        What decided its images.
    recordings : sequence of Recording
        Its usable recordings.
    counts : dict
        What it counted in them.
    """

    model: Model
    settings: MapSettings
    recordings: Sequence[Recording]
    counts: Counts

    def best(self, table: pd.DataFrame, count: int) -> list[Look]:
        """Look at so many maps of each feature, the best of maps.csv first, each beside every feature.

        One whose recording has become unreadable since is left out.
        """
        names = [feature.name for feature in self.settings.features]
        found = []
        for feature in names:
            rank = 0
            for row in rank_maps(table, feature, count).to_dict("records"):
                try:
                    look = self.look(row["layer"], row["channel"], feature, names, rank + 1)
                except CorpusError:
                    continue
                rank += 1
                found.append(look)
        return found

    def look(self, layer: str, channel: int, feature: str, beside: Sequence[str] = (), rank: int = 0) -> Look:
        """Compare a channel with a feature again, in the recording and the segment in which most agrees.

        Of equal recordings or segments the first is taken. There the channel is compared with the features
        ``beside`` it, too, which the recording has. CorpusError when the recording is too short by now or has
        no longer the feature; UsageError where none has it.
        """
        recording = self._recording(layer, channel, feature)
        waveform = recording.waveform()
        prepared = prepare_recording(recording, self.settings.frontend, waveform=waveform)
        wanted = [one for one in self.settings.features if one.name in {feature, *beside}]
        found, failed = try_maps(waveform, wanted)
        if feature not in found:
            raise CorpusError(recording.path, "; ".join(map(str, failed)))
        examples = self.model.frontend.of(recording.path).examples(prepared.samples)
        best: MapPair | None = None
        for places in self.settings.places(prepared):
            if layer not in places:
                continue
            place = places[layer]
            values = activations_at(self.model, examples, {layer: place})[layer][..., channel]
            pair = self._pair(recording, layer, channel, values, place, found[feature])
            if best is None or pair.compared.agreement.count > best.compared.agreement.count:
                best, of_best = pair, values
        if best is None:
            raise CorpusError(recording.path, f"is too short for a position of {layer}")
        sides = {
            name: best if name == feature else self._pair(recording, layer, channel, of_best, best.place, one)
            for name, one in found.items()
        }
        return Look(feature, sides, rank)

    def _recording(self, layer: str, channel: int, feature: str) -> Recording:
        number = [one.name for one in self.settings.features].index(feature)
        agreeing = self.counts[layer][:, number, 0, channel, COUNTS.index("agreeing")]
        if np.isnan(agreeing).all():
            raise UsageError(f"no recording of the run has the feature {feature}")
        return self.recordings[int(np.nanargmax(agreeing))]

    def _pair(
        self,
        recording: Recording,
        layer: str,
        channel: int,
        values: NDArray[np.float32],
        place: Positions,
        feature: FeatureMap,
    ) -> MapPair:
        grid = self.settings.grids[layer]
        pictures = (
            map_image(values, place.times_seconds, grid, place.columns, feature.axis),
            feature_image(feature, grid, place.columns),
        )
        keypoints = detect(pictures[0]), detect(pictures[1])
        compared = compare(*keypoints, layer_tolerance(grid, feature.axis))
        entry = next(one for one in self.settings.features if one.name == feature.name)
        return MapPair(recording.name, layer, channel, entry, grid, place, *pictures, *keypoints, compared)


def match_rows(looks: Sequence[Look]) -> pd.DataFrame:
    """List the matches of looks as matches.csv has them, one row a match."""
    parts = [pd.DataFrame(columns=list(MATCH_COLUMNS))] if not looks else []
    for look in looks:
        pair, matches = look.pair, look.pair.compared.matches
        ends = {}
        for side, points in (
            ("map", pair.map_keypoints.points[matches.first]),
            ("feature", pair.feature_keypoints.points[matches.second]),
        ):
            seconds, upright = pair.places(points)
            ends[f"{side}_seconds"] = seconds
            ends[f"{side}_place"] = pair.grid.hertz(upright) if pair.in_hertz else upright % 12
        columns = {
            "recording": pair.recording,
            "layer": pair.layer,
            "channel": pair.channel,
            "feature": look.feature,
            "negative": pair.compared.negative,
            "map_keypoint": matches.first,
            "feature_keypoint": matches.second,
            "distance": matches.distances,
            "agrees": pair.compared.agreement.agrees,
            **ends,
            "place_unit": "Hz" if pair.in_hertz else "semitones above C",
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
