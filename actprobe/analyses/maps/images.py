"""Activation maps and feature maps brought to images that can be compared, in one way for both.

An image shows a segment of a recording: time runs to the right, frequency upwards. Its columns are equally
spaced in seconds, its rows equally spaced on the front end's own mel axis, whose bands have known centres in
Hz, so that a pixel is the same place of the sound in the map of a channel and in the feature:

- columns stand where the layer has positions (the layer table knows hop and offset), rows where it has
  bands. A map of few positions is enlarged by a whole number, the same along both axes, until it is 64 rows
  high: SIFT needs tens of pixels.
- both are brought there by the same rule, a triangle as wide as the distance of the layer's positions. For
  the map that is linear interpolation; for the feature, which is finer, it is the mean over what a position
  stands for. Decibels are averaged as powers along frequency, as the network's mel bands sum them up.
- from every row its median over time is subtracted, since the tilt of the spectrum is in every recording.
- both are smoothed (Gaussian, 1.5 pixels), since what differs from pixel to pixel is the analysis window.
- both are scaled so that their median becomes the middle of 0 to 255 and most values lie well within. What
  lies far out, as the step from digital silence to sound does, is bent (tanh): the rest keeps its contrast.

Pitch classes have no place in Hz. To be compared with them a map is folded: a row of its image stands for a
third of a semitone of the octave and shows the mean of the bands of 100 to 5000 Hz, each counted for the
classes that lie within it. The octave is shown twice, one above the other, since its upper end is its lower.
Bands wider than some semitones blur the classes, so that little is left of them in deeper layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from actprobe.analyses.maps.grid import MapGrid
from actprobe.analyses.maps.ranks import percentiles, row_medians
from actprobe.features.maps import FeatureMap

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

PERCENTILES = (5.0, 95.0)
WIDEST = 10.0  # units that the range of values may span
SMOOTHING = 1.5  # pixels
CLASSES = np.arange(36) / 3  # semitones above C, the rows of an octave
OCTAVES = 2
CLASSES_FROM_HZ, CLASSES_TO_HZ = 100.0, 5000.0
CONSTANT = 1e-6  # of the largest value: float32 rounding, not response
C0_HZ = 440 * 2 ** (-57 / 12)  # A4 is 440 Hz; pitch classes count semitones from C
BAND_SAMPLES = 64  # frequencies, equally spaced in log frequency, that stand for a band


def map_image(
    values: NDArray[np.float32], times_seconds: Floats, grid: MapGrid, columns: Floats, axis: str = "hertz"
) -> Image | None:
    """Bring one channel's activation map to an image.

    Parameters
    ----------
    values : numpy.ndarray
        float32, shape [time, mel]: the channel at the layer's positions, of several examples one after
        the other where the image shows more than one.
    times_seconds : numpy.ndarray
        Shape [time], ascending: when each position's centre is.
    grid : MapGrid
        The layer's pixels.
    columns : numpy.ndarray
        Times of the columns, as ``grid.columns`` gives them.
    axis : str, optional
        ``hertz``, or ``pitch class`` for the map folded to one octave.

    Returns
    -------
    numpy.ndarray or None
        uint8, shape [rows, columns], the highest frequency first; None if the map is constant or not
        finite, so that there is nothing to see.
    """
    return map_images(values, times_seconds, grid, columns, [axis])[axis]


def map_images(
    values: NDArray[np.float32], times_seconds: Floats, grid: MapGrid, columns: Floats, axes: Iterable[str]
) -> dict[str, Image | None]:
    """Bring one channel's activation map to an image on each of several axes, see `map_image`."""
    if not np.isfinite(values).all() or _is_constant(values):
        return dict.fromkeys(axes)
    along_time = (_triangles(times_seconds, columns, grid.hop_seconds) @ values).T
    found = {}
    for axis in axes:
        if axis == "hertz":
            rows = _triangles(grid.position_bands(), grid.row_bands, float(grid.band_hop)) @ along_time
        else:
            rows = np.tile(_folding(grid) @ along_time, (OCTAVES, 1))
        found[axis] = to_bytes(rows[::-1])
    return found


def feature_image(feature: FeatureMap, grid: MapGrid, columns: Floats) -> Image | None:
    """Bring a segment of a feature map to the image that a layer's maps are compared with.

    It is as `map_image` gives it, or None if the feature is constant there.
    """
    near = np.abs(feature.times_seconds - np.clip(feature.times_seconds, columns[0], columns[-1]))
    use = near <= grid.hop_seconds + near.min()
    values = feature.values[use].astype(np.float64)
    if feature.axis == "hertz":
        weights = _triangles(grid.bands(feature.bins), grid.row_bands, float(grid.band_hop))
        if feature.unit == "dB":
            rows = 10 * np.log10(np.maximum(weights @ 10 ** (values.T / 10), 1e-30))
        else:
            rows = weights @ values.T
    else:
        rows = np.tile(_around_the_octave(feature.bins, CLASSES) @ values.T, (OCTAVES, 1))
    image = _triangles(feature.times_seconds[use], columns, grid.hop_seconds) @ rows.T
    return to_bytes(image.T[::-1])


def to_bytes(values: NDArray[Any]) -> Image | None:
    """Take the median from every row of [rows, columns], smooth, and bend what is left to 0 to 255.

    A byte is 127.5 (1 + tanh((x - median) / unit)). The unit is half the distance of the 5th and 95th
    percentile, but at least a tenth of the whole range, for maps that are nearly everywhere zero. None when
    nothing changes over time.
    """
    flat = values - row_medians(values)
    if np.abs(flat).max() <= CONSTANT * np.abs(values).max():
        return None
    smooth: NDArray[Any] = cv2.GaussianBlur(np.ascontiguousarray(flat, np.float32), (0, 0), SMOOTHING)
    low, middle, high = percentiles(smooth, (PERCENTILES[0], 50.0, PERCENTILES[1]))
    unit = max((high - low) / 2, float(np.ptp(smooth)) / WIDEST)
    bent = np.tanh((smooth - np.float32(middle)) / np.float32(unit))
    return np.ascontiguousarray(np.rint(127.5 * (1 + bent)).astype(np.uint8))


def _is_constant(values: NDArray[Any]) -> bool:
    if not values.size:
        return True
    low, high = float(values.min()), float(values.max())
    return high - low <= CONSTANT * max(abs(low), abs(high))


def _triangles(places: Floats, wanted: Floats, width: float) -> sparse.csr_matrix:
    """Weights [wanted, places] of a triangle around each wanted place; every row sums to 1.

    Its half-width is ``width``, or the distance of the places around it where that is larger, or the
    distance of the nearest place beyond the ends: then it interpolates, or holds the value of the end.
    """
    places, wanted = np.asarray(places, np.float64), np.asarray(wanted, np.float64)
    return _triangles_of(places.tobytes(), wanted.tobytes(), width)


@lru_cache(maxsize=16)  # the same for all channels
def _triangles_of(places_bytes: bytes, wanted_bytes: bytes, width: float) -> sparse.csr_matrix:
    places, wanted = np.frombuffer(places_bytes, np.float64), np.frombuffer(wanted_bytes, np.float64)
    after = np.clip(np.searchsorted(places, wanted), 0, len(places) - 1)
    before = np.clip(after - 1, 0, len(places) - 1)
    gaps = places[after] - places[before]
    nearest = np.minimum(np.abs(places[after] - wanted), np.abs(places[before] - wanted))
    half = np.maximum(np.maximum(width, gaps), nearest * (1 + 1e-6) + 1e-12)
    start = np.searchsorted(places, wanted - half, side="left")
    counts = np.searchsorted(places, wanted + half, side="right") - start
    owner = np.repeat(np.arange(len(wanted)), counts)
    column = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + start[owner]
    weights = np.maximum(0.0, 1 - np.abs(places[column] - wanted[owner]) / half[owner])
    total = np.bincount(owner, weights, minlength=len(wanted))
    shape = (len(wanted), len(places))
    return sparse.csr_matrix((weights / total[owner], (owner, column)), shape=shape)


@lru_cache(maxsize=64)
def _folding(grid: MapGrid) -> Floats:
    """Weights [classes, positions]: each class is the mean over the bands, by how much of it is in them."""
    bands = grid.position_bands()
    low, high = (grid.hertz(bands + off * grid.band_hop / 2) for off in (-1, 1))
    low, high = np.maximum(low, CLASSES_FROM_HZ), np.minimum(high, CLASSES_TO_HZ)
    steps = (np.arange(BAND_SAMPLES) + 0.5) / BAND_SAMPLES
    octaves = np.log2(low)[:, np.newaxis] + steps * np.log2(np.maximum(high / low, 1))[:, np.newaxis]
    semitones = 12 * (octaves - np.log2(C0_HZ)) % 12
    shares = np.stack([_around_the_octave(CLASSES, band).mean(axis=0) for band in semitones], axis=1)
    shares[:, high <= low] = 0
    total = shares.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(shares, total, out=np.zeros_like(shares), where=total > 0), np.float64)


def _around_the_octave(classes: Floats, wanted: Floats) -> Floats:
    """Weights [wanted, classes] of linear interpolation on a circle of 12 semitones."""
    around = np.concatenate([classes[-1:] - 12, classes, classes[:1] + 12])
    identity = np.eye(len(classes))
    wrapped = np.concatenate([identity[-1:], identity, identity[:1]])
    return np.stack([np.interp(wanted, around, column) for column in wrapped.T], axis=1)
