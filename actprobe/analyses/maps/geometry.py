"""Do the matches of a map and a feature agree on where things are?

A map is the spectrogram filtered, shifted by padding and scaled by pooling. Pooling and padding are known
from the layer table and undone before, so that what is left is at most what a filter can do: look at any part
of its field. So the matches that mean something agree on one shift, no longer than half the field, and on one
scale near 1, along each of the axes by itself. Chance matches lie anywhere.

The shift is voted for by the matches at scale 1, each for its own; scale and shift are then fitted to the
matches that agree, by least squares, as long as that makes more of them agree (locally optimised RANSAC:
Chum, Matas, Kittler, DAGM 2003, with every match tried in place of random samples).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.grid import MapGrid

Floats = NDArray[np.float64]

ENOUGH = 3  # two matches always agree on a shift and a scale
POSITIONS = 1.5  # of the layer, by which a match may be off
SCALE_OFF = 0.05
ROUNDS = 5
VOTERS_AT_ONCE = 1024


@dataclass(frozen=True)
class Tolerance:
    """What still counts as agreement, along columns and rows, in pixels.

    Parameters
    ----------
    off : tuple of float
        How far a match may be from where shift and scale put it; infinity leaves an axis out.
    shift : tuple of float
        How large the shift may be; infinity leaves an axis out.
    """

    off: tuple[float, float]
    shift: tuple[float, float]


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class Agreement:
    """The matches that agree.

    Parameters
    ----------
    agrees : numpy.ndarray
        bool, shape [matches]; all False when fewer than 3 agree.
    scale : tuple of float
        Pixels of the feature for a pixel of the map, along columns and rows; NaN when none agree.
    shift : tuple of float
        How far the feature lies to the right of and below the map at the mean place of the matches that
        agree, in pixels; NaN when none agree.
    """

    agrees: NDArray[np.bool_]
    scale: tuple[float, float]
    shift: tuple[float, float]

    @property
    def count(self) -> int:
        """Matches that agree."""
        return int(self.agrees.sum())


def layer_tolerance(grid: MapGrid, axis: str) -> Tolerance:
    """Say what counts as agreement for the images of a layer: 1.5 positions of it, and half its field.

    On the axis ``pitch class`` only times have to agree, since in which octave a class is shown says nothing.
    """
    off = POSITIONS * grid.enlargement
    along_time = off + grid.field_seconds / grid.step_seconds / 2
    along_mel = off + grid.field_bands / grid.step_bands / 2
    free = axis != "hertz"
    return Tolerance((off, np.inf if free else off), (along_time, np.inf if free else along_mel))


def agreement(map_points: NDArray[Any], feature_points: NDArray[Any], tolerance: Tolerance) -> Agreement:
    """Find the matches that agree on one shift and one scale for each axis.

    Parameters
    ----------
    map_points, feature_points : numpy.ndarray
        Shape [matches, 2]: column and row, in pixels of the common grid, of the two ends of each match.
    tolerance : Tolerance
        What counts as agreement.

    Returns
    -------
    Agreement
        The largest set found; of equally large ones that of the first match.
    """
    source = np.asarray(map_points, np.float64).reshape(-1, 2)
    target = np.asarray(feature_points, np.float64).reshape(-1, 2)
    off, limit = np.array(tolerance.off), np.array(tolerance.shift)
    nothing = (np.nan, np.nan)
    possible = np.flatnonzero((np.abs(target - source) <= limit).all(axis=1))
    agrees = np.zeros(len(source), np.bool_)
    if len(possible) < ENOUGH:
        return Agreement(agrees, nothing, nothing)
    source, target = source[possible], target[possible]
    inside = _vote(target - source, off)
    for _ in range(ROUNDS):
        scale, centre, shift = _fit(source[inside], target[inside], off)
        residual = target - centre - shift - scale * (source - centre)
        found = (np.abs(residual) <= off).all(axis=1)
        if found.sum() <= inside.sum():
            break
        inside = found
    if inside.sum() < ENOUGH:
        return Agreement(agrees, nothing, nothing)
    scale, _, shift = _fit(source[inside], target[inside], off)
    agrees[possible[inside]] = True
    return Agreement(agrees, (float(scale[0]), float(scale[1])), (float(shift[0]), float(shift[1])))


def _vote(shifts: Floats, off: Floats) -> NDArray[np.bool_]:
    """Find the shift with which most others agree."""
    best, votes = 0, -1
    for start in range(0, len(shifts), VOTERS_AT_ONCE):
        voters = shifts[start : start + VOTERS_AT_ONCE, np.newaxis]
        counts = (np.abs(shifts - voters) <= off).all(axis=2).sum(axis=1)
        if counts.max() > votes:
            best, votes = start + int(counts.argmax()), int(counts.max())
    return np.asarray((np.abs(shifts - shifts[best]) <= off).all(axis=1))


def _fit(source: Floats, target: Floats, off: Floats) -> tuple[Floats, Floats, Floats]:
    """Fit scale and shift of each axis by least squares, the scale no further from 1 than allowed."""
    centre = source.mean(axis=0)
    shift = target.mean(axis=0) - centre
    spread = source - centre
    energy = (spread**2).sum(axis=0)
    scale = np.ones(2)
    known = (energy > 0) & np.isfinite(off)
    scale[known] = (spread * (target - centre - shift)).sum(axis=0)[known] / energy[known]
    return np.clip(scale, 1 - SCALE_OFF, 1 + SCALE_OFF), centre, shift
