"""Where the pixels of a map and a feature are: seconds, and bands of the front end or pitch classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.images import CLASSES, OCTAVES
from actprobe.analyses.maps.look import MapPair
from actprobe.plotting import Tick, hertz_ticks

__all__ = ["axis_name", "edges", "places", "span", "ticks"]

NAMES = {0: "C", 4: "E", 8: "G♯"}  # more would overlap


def places(pair: MapPair, points: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Say where pixels are.

    Parameters
    ----------
    pair : MapPair
        A map and a feature.
    points : numpy.ndarray
        Shape [points, 2], column and row, downwards.

    Returns
    -------
    tuple of numpy.ndarray
        Seconds, and bands of the front end or semitones above the lowest C.
    """
    seconds = pair.place.columns[0] + points[:, 0].astype(np.float64) * pair.grid.step_seconds
    rows = points[:, 1].astype(np.float64)
    if pair.feature.axis == "hertz":
        return seconds, pair.grid.row_bands[-1] - rows * pair.grid.step_bands
    return seconds, (len(CLASSES) * OCTAVES - 1 - rows) * float(CLASSES[1])


def span(pair: MapPair) -> tuple[float, float]:
    """Say when the pictures of a pair begin and end.

    Parameters
    ----------
    pair : MapPair
        A map and a feature.

    Returns
    -------
    tuple of float
        Left edge of the first and right edge of the last column, seconds.
    """
    half = pair.grid.step_seconds / 2
    return float(pair.place.columns[0] - half), float(pair.place.columns[-1] + half)


def edges(pair: MapPair) -> tuple[float, float]:
    """Say where the pictures of a pair end at the bottom and at the top.

    Parameters
    ----------
    pair : MapPair
        A map and a feature.

    Returns
    -------
    tuple of float
        In bands or semitones, as `places`.
    """
    if pair.feature.axis == "hertz":
        half = pair.grid.step_bands / 2
        return float(pair.grid.row_bands[0] - half), float(pair.grid.row_bands[-1] + half)
    half = float(CLASSES[1]) / 2
    return -half, 12 * OCTAVES - half


def ticks(pair: MapPair) -> list[Tick]:
    """Say where round frequencies, or some pitch classes, stand.

    Parameters
    ----------
    pair : MapPair
        A map and a feature.

    Returns
    -------
    list of tuple
        Place in bands or semitones, as `places`, and label.
    """
    if pair.feature.axis == "hertz":
        return hertz_ticks(pair.grid.bands, *edges(pair))
    return [(12.0 * octave + place, name) for octave in range(OCTAVES) for place, name in NAMES.items()]


def axis_name(pair: MapPair) -> str:
    """Name the upright axis.

    Parameters
    ----------
    pair : MapPair
        A map and a feature.

    Returns
    -------
    str
        With its unit.
    """
    return "frequency (Hz)" if pair.feature.axis == "hertz" else "pitch class (twice)"
