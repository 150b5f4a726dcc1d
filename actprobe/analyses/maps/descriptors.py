"""Upright SIFT descriptors, as OpenCV computes them, to the bit.

A descriptor counts the gradients around a keypoint by their direction, in 4 x 4 cells: a sample is shared
among the cells around it and the directions around its own (Lowe 2004, section 6). Where nothing is turned,
the cell of a sample depends on its row and on its column alone. So samples are taken row by row, and only the
two rows of cells around the row at hand are held. Every cell is added to in the order in which OpenCV adds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.compiled import ROW_STEP, add_to_cells, fma, kernel

Floats = NDArray[np.float32]

CELLS = 4  # along either axis
DIRECTIONS = 8
LENGTH = CELLS * CELLS * DIRECTIONS
CELL_SCALES = np.float32(3)  # width of a cell, in scales of the keypoint
REACH = np.float32((CELLS + 1) / 2)  # of the window, in cells, to either side
FIRST = np.float32((CELLS - 1) / 2)  # centre of the first cell, in cells before the keypoint
FALL = np.float32(-1 / (CELLS * CELLS * 0.5))  # of the window's Gaussian
PER_DEGREE = np.float32(DIRECTIONS) / np.float32(360)
HALF = np.float32(0.5)
LARGEST = np.float32(0.2)  # share of the norm that a direction may have
NORM = np.float32(512)
LEAST_NORM = np.float32(2**-23)
LONGEST_WINDOW = 64  # pixels; scales are below 1.6 x 2^(3.5 / 3)
HISTOGRAM = (DIRECTIONS + 3) * ROW_STEP  # the directions go round: one more, and two of the last sample


@kernel
def reach_of(cell: np.float32) -> int:
    """Count the pixels of a window on one side of its centre, this included, for a width of a cell."""
    return int(cell * REACH) + 2


@kernel
def window_exponents(keypoints: Floats) -> Floats:
    """Give the exponents of the Gaussian in a quarter of each keypoint's window, one after the other."""
    total = 0
    for n in range(len(keypoints)):
        total += reach_of(CELL_SCALES * keypoints[n, 2]) ** 2
    exponents = np.empty(total, np.float32)
    start = 0
    for n in range(len(keypoints)):
        cell = CELL_SCALES * keypoints[n, 2]
        step = np.float32(1) / cell
        reach = reach_of(cell)
        for i in range(reach):
            down = np.float32(i) * step
            row = exponents[start : start + reach]
            for j in range(reach):
                across = np.float32(j) * step
                row[j] = fma(across, across, down * down) * FALL
            start += reach
    return exponents


@kernel
def samples_within(
    cell: np.float32, centre: int, pixels: int, cells: NDArray[np.int64], shares: Floats
) -> tuple[int, int]:
    """Find the samples of one axis that lie in the window and have neighbours in the image.

    Writes for each, counted from the first, the cell before it (0 is one before the first) and the share of
    the next. Returns the first and the last, counted from the centre.
    """
    step = np.float32(1) / cell
    first, last = 1, 0
    reach = reach_of(cell)
    for j in range(max(-reach, 1 - centre), min(reach, pixels - 2 - centre) + 1):
        place = np.float32(j) * step + np.float32(CELLS // 2) - HALF
        if place > -1 and place < CELLS:
            if last < first:
                first = j
            last = j
            before = int(np.floor(place))
            cells[j - first] = before + 1
            shares[j - first] = place - np.float32(before)
    return first, last


@kernel
def add_last(
    histogram: Floats, at: int, upper: np.float32, lower: np.float32, right: np.float32, after: np.float32
) -> None:
    """Do what `add_to_cells` does with products fused, as OpenCV treats the last samples."""
    for row in range(2):
        share = lower if row else upper
        to_right = share * right
        to_left = share - to_right
        k = at + row
        histogram[k] += fma(-to_left, after, to_left)
        histogram[k + 2] += fma(-to_right, after, to_right)
        histogram[k + ROW_STEP] = fma(to_left, after, histogram[k + ROW_STEP])
        histogram[k + ROW_STEP + 2] = fma(to_right, after, histogram[k + ROW_STEP + 2])


@kernel
def next_row(histogram: Floats, raw: Floats, row: int) -> None:
    """Take the upper row of cells, 0 being the one before the first, out of a histogram; move on by one."""
    if row:
        for column in range(CELLS):
            for direction in range(DIRECTIONS):
                k = direction * ROW_STEP + 2 * (column + 1)
                value = histogram[k]
                if direction < 2:
                    value += histogram[k + DIRECTIONS * ROW_STEP]
                raw[((row - 1) * CELLS + column) * DIRECTIONS + direction] = value
    for k in range(0, HISTOGRAM, 2):
        histogram[k] = histogram[k + 1]
        histogram[k + 1] = 0


@kernel
def to_bytes(raw: Floats, lanes: int, descriptor: NDArray[np.uint8]) -> None:
    """Bring a descriptor to a length of 512, after a first look with none above a fifth of it."""
    sums = np.zeros(lanes, np.float32)
    for k in range(LENGTH):
        sums[k % lanes] = fma(raw[k], raw[k], sums[k % lanes])
    left = lanes
    while lanes > 8 and left > 4:  # only the longest of its vectors does OpenCV fold
        left //= 2
        for k in range(left):
            sums[k] += sums[k + left]
    total = np.float32(0)
    for k in range(0, left, 4):
        total += (sums[k] + sums[k + 1]) + (sums[k + 2] + sums[k + 3])
    largest = np.sqrt(total) * LARGEST
    square = np.float32(0)
    for k in range(LENGTH):
        raw[k] = min(raw[k], largest)
        square += raw[k] * raw[k]
    scale = NORM / max(np.sqrt(square), LEAST_NORM)
    for k in range(LENGTH):
        descriptor[k] = np.uint8(min(np.rint(raw[k] * scale), np.float32(255)))


@kernel
def describe(
    keypoints: Floats,
    magnitudes: Floats,
    degrees: Floats,
    weights: Floats,
    lanes: int,
    numbers: NDArray[np.int64],
    descriptors: NDArray[np.uint8],
) -> None:
    """Describe the keypoints of one image of an octave.

    Parameters
    ----------
    keypoints : numpy.ndarray
        As `extrema.refine` gives them.
    magnitudes, degrees : numpy.ndarray
        Gradients of that image, without the pixels at the edge.
    weights : numpy.ndarray
        Exponentials of what `window_exponents` gives.
    lanes : int
        Numbers that OpenCV takes at once; it rounds the samples behind the last full set otherwise.
    numbers : numpy.ndarray
        Row of ``descriptors`` of each keypoint.
    descriptors : numpy.ndarray
        uint8, shape [any, 128]: written to.
    """
    rows, columns = magnitudes.shape[0] + 2, magnitudes.shape[1] + 2
    histogram, raw = np.zeros(HISTOGRAM, np.float32), np.empty(LENGTH, np.float32)
    cells_across, across = np.empty(LONGEST_WINDOW, np.int64), np.empty(LONGEST_WINDOW, np.float32)
    cells_down, down = np.empty(LONGEST_WINDOW, np.int64), np.empty(LONGEST_WINDOW, np.float32)
    start = 0
    for n in range(len(keypoints)):
        x, y = int(np.rint(keypoints[n, 0])), int(np.rint(keypoints[n, 1]))
        cell = CELL_SCALES * keypoints[n, 2]
        reach = reach_of(cell)
        first, last = samples_within(cell, x, columns, cells_across, across)
        above, below = samples_within(cell, y, rows, cells_down, down)
        count = last - first + 1
        samples = count * (below - above + 1)
        plain = samples - samples % lanes
        left = x + first - 1
        row = 0
        for i in range(above, below + 1):
            while row < cells_down[i - above]:
                next_row(histogram, raw, row)
                row += 1
            share = down[i - above]
            line = magnitudes[y + i - 1, left : left + count]
            angles = degrees[y + i - 1, left : left + count]
            window = weights[start + abs(i) * reach : start + (abs(i) + 1) * reach]
            for j in range(count):
                weighted = line[j] * window[abs(first + j)]
                place = angles[j] * PER_DEGREE
                direction = int(place)
                after = place - np.float32(direction)
                if direction == DIRECTIONS:
                    direction = 0
                at = direction * ROW_STEP + 2 * cells_across[j]
                lower = weighted * share
                if j < plain:
                    add_to_cells(histogram, at, weighted - lower, lower, across[j], after)
                else:
                    add_last(histogram, at, weighted - lower, lower, across[j], after)
            plain -= count
        while row <= CELLS:
            next_row(histogram, raw, row)
            row += 1
        histogram[:] = 0
        start += reach * reach
        to_bytes(raw, lanes, descriptors[numbers[n]])
