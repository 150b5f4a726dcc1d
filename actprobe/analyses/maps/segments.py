"""Which segment of a recording an image shows, and which positions of which examples it is made of.

A recording is looked at as a whole, cut into equal segments that are not longer than some limit, or
example by example. As a whole its examples are joined along time at the layer's own positions: the next
example is the last one that leaves no gap, so that overlapping examples are used where they go on, and not
twice. Positions at the ends of an example that see the network's padding are left out; where no other example
shows their time, the image is interpolated across.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.grid import MapGrid

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Segment:
    """A segment of a recording.

    Parameters
    ----------
    begin, end : float
        Seconds from the start of the recording.
    example : int or None
        The only example that is shown; None when examples are joined.
    """

    begin: float
    end: float
    example: int | None = None


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class Positions:
    """What an image of a layer is made of.

    Parameters
    ----------
    examples : tuple of int
        Examples that have to go through the network, ascending.
    row : numpy.ndarray
        int, shape [time]: which of these examples each position comes from.
    position : numpy.ndarray
        int, shape [time]: the layer's time position within that example.
    times_seconds : numpy.ndarray
        float64, shape [time], ascending: its centre, from the start of the recording.
    columns : numpy.ndarray
        float64: the centre of every column of the image.
    """

    examples: tuple[int, ...]
    row: NDArray[np.int64]
    position: NDArray[np.int64]
    times_seconds: Floats
    columns: Floats


def segments_of(
    starts: Floats, example_seconds: float, seconds: float, unit: str, longest_seconds: float
) -> list[Segment]:
    """Divide a recording of a length in seconds into the segments, at least one, that have an image each.

    Parameters
    ----------
    starts : numpy.ndarray
        Seconds at which examples begin, ascending.
    example_seconds : float
        Length of an example.
    seconds : float
        Length of the recording.
    unit : str
        ``recording``: segments of equal length, the whole of it. ``excerpt``: examples by themselves, each
        beginning where the one before ends or later.
    longest_seconds : float
        A recording is cut into as few segments as are no longer than this; 0 for one of any length.
    """
    if unit == "recording":
        count = max(1, int(np.ceil(seconds / longest_seconds - 1e-9))) if longest_seconds else 1
        ends = seconds * np.arange(count + 1) / count
        return [Segment(float(begin), float(end)) for begin, end in pairwise(ends)]
    found: list[Segment] = []
    for example, start in enumerate(starts.tolist()):
        if not found or start >= found[-1].begin + example_seconds - 1e-6:
            found.append(Segment(start, min(start + example_seconds, seconds), example))
    return found


def positions_of(segment: Segment, starts: Floats, grid: MapGrid) -> Positions | None:
    """Say which positions of a layer, of which examples, show a segment; None when none lies within it.

    ``starts`` are the seconds at which examples begin, ascending.
    """
    if segment.example is not None:
        chosen: Sequence[int] = [segment.example]
    else:
        chosen = _joined(segment, starts, grid)
    hop = grid.hop_seconds
    rows, positions, times = [], [], []
    after = segment.begin - 1e-6
    for row, example in enumerate(chosen):
        centres = starts[example] + grid.first_seconds + hop * np.arange(grid.positions)
        inner = np.arange(grid.positions)[grid.margin : grid.positions - grid.margin]
        use = inner[(centres[inner] >= after) & (centres[inner] < segment.end)]
        if len(use):
            after = centres[use[-1]] + hop / 2
        rows.append(np.full(len(use), row))
        positions.append(use)
        times.append(centres[use])
    joined = np.concatenate(times) if times else np.empty(0)
    if not len(joined):
        return None
    columns = grid.columns(joined[0], min(segment.end, joined[-1] + hop))
    return Positions(tuple(chosen), np.concatenate(rows), np.concatenate(positions), joined, columns)


def _joined(segment: Segment, starts: Floats, grid: MapGrid) -> list[int]:
    """Choose the examples that show a segment without a gap, or with the smallest."""
    first = starts + grid.first_seconds + grid.hop_seconds * grid.margin
    span = grid.hop_seconds * (grid.positions - 2 * grid.margin)
    slack = 1e-6
    chosen: list[int] = []
    reached = segment.begin  # where the next position is wanted
    while reached < segment.end:
        example = int(np.searchsorted(first, reached + slack, side="right")) - 1
        if chosen:
            example = max(example, chosen[-1] + 1)
        example = max(example, 0)
        if example >= len(starts) or first[example] >= segment.end:
            break
        chosen.append(example)
        reached = max(reached, float(first[example]) + span)
    return chosen
