"""Extrema of differences of Gaussians: where they are, and how they are refined and refused.

What OpenCV's SIFT does (Lowe 2004, sections 3.1 and 4), with its constants, and rounded as it rounds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.compiled import fma, kernel

Floats = NDArray[np.float32]

LAYERS = 3  # of an octave in which extrema are sought
BORDER = 5  # pixels at the edge in which none are sought
STEPS = 5  # of the refinement
FIRST_LOOK = np.float32(1)  # floor(0.5 * 0.04 / 3 * 255): how far from zero a pixel has to be at first
CONTRAST = np.float32(0.04)
EDGE = np.float32(10)  # ratio of the two curvatures
EDGE_SQUARE = np.float32(121)  # of one more than that
SIGMA = np.float32(1.6)
TWO = np.float32(2)
HALF = np.float32(0.5)
UNIT = np.float32(1) / np.float32(255)  # of the values of an image
SLOPE = UNIT * np.float32(0.5)
CROSS = UNIT * np.float32(0.25)
FAR = np.float32(2**31 // 3)


@kernel
def mark_candidates(values: Floats, width: int, layer: int, marks: NDArray[np.bool_]) -> None:
    """Mark pixels beyond their neighbours above, below, left and right, and in the layers before and after.

    ``values`` are layers of ``layer`` pixels in rows of ``width``, one after the other; ``marks`` are the
    pixels of all layers but the first and the last.
    """
    here = values[layer:]
    left, right = values[layer - 1 :], values[layer + 1 :]
    up, down = values[layer - width :], values[layer + width :]
    before, behind = values, values[2 * layer :]
    for k in range(len(marks)):
        v = here[k]
        high = (
            (v > FIRST_LOOK) & (v >= left[k]) & (v >= right[k]) & (v >= up[k]) & (v >= down[k])
            & (v >= before[k]) & (v >= behind[k])
        )  # fmt: skip
        low = (
            (v < -FIRST_LOOK) & (v <= left[k]) & (v <= right[k]) & (v <= up[k]) & (v <= down[k])
            & (v <= before[k]) & (v <= behind[k])
        )  # fmt: skip
        marks[k] = high | low


@kernel
def refine(dogs: Floats, candidates: NDArray[np.int64], two: np.float32) -> Floats:
    """Refine those candidates that are extrema among all 26 neighbours.

    Parameters
    ----------
    dogs : numpy.ndarray
        Shape [5, rows, columns]: differences of Gaussians of an octave.
    candidates : numpy.ndarray
        Pixels of the inner layers, counted through.
    two : float32
        2, not known when this is compiled, so that a power of it is computed as a power.

    Returns
    -------
    numpy.ndarray
        Shape [extrema, 4]: column, row and scale in pixels of the octave, and the layer.
    """
    _, rows, columns = dogs.shape
    found = np.empty((len(candidates), 4), np.float32)
    count = 0
    for candidate in candidates:
        n = candidate // (rows * columns) + 1
        r = candidate // columns % rows
        c = candidate % columns
        if r < BORDER or r >= rows - BORDER or c < BORDER or c >= columns - BORDER:
            continue
        v = dogs[n, r, c]
        beyond = True
        for near in range(27):
            other = dogs[n + near // 9 - 1, r + near // 3 % 3 - 1, c + near % 3 - 1]
            beyond &= v >= other if v > 0 else v <= other
        if not beyond:
            continue
        for _ in range(STEPS):
            v2 = dogs[n, r, c] * TWO
            gx = (dogs[n, r, c + 1] - dogs[n, r, c - 1]) * SLOPE
            gy = (dogs[n, r + 1, c] - dogs[n, r - 1, c]) * SLOPE
            gs = (dogs[n + 1, r, c] - dogs[n - 1, r, c]) * SLOPE
            xx = (dogs[n, r, c + 1] + dogs[n, r, c - 1] - v2) * UNIT
            yy = (dogs[n, r + 1, c] + dogs[n, r - 1, c] - v2) * UNIT
            ss = (dogs[n + 1, r, c] + dogs[n - 1, r, c] - v2) * UNIT
            xy = (
                dogs[n, r + 1, c + 1] - dogs[n, r + 1, c - 1] - dogs[n, r - 1, c + 1] + dogs[n, r - 1, c - 1]
            ) * CROSS
            xs = (
                dogs[n + 1, r, c + 1] - dogs[n + 1, r, c - 1] - dogs[n - 1, r, c + 1] + dogs[n - 1, r, c - 1]
            ) * CROSS
            ys = (
                dogs[n + 1, r + 1, c] - dogs[n + 1, r - 1, c] - dogs[n - 1, r + 1, c] + dogs[n - 1, r - 1, c]
            ) * CROSS
            # Cramer's rule, products fused with the sums as in OpenCV.
            a, b, d = fma(yy, ss, -(ys * ys)), fma(xy, ss, -(xs * ys)), fma(xy, ys, -(xs * yy))
            determinant = fma(xs, d, fma(xx, a, -(xy * b)))
            across = down = along = np.float32(0)
            if determinant != 0:
                scale = np.float32(1) / determinant
                p, q, s = fma(gy, ss, -(ys * gs)), fma(gy, ys, -(yy * gs)), fma(xy, gs, -(gy * xs))
                across = -(scale * fma(xs, q, fma(gx, a, -(xy * p))))
                down = -(scale * fma(xs, s, fma(xx, p, -(gx * b))))
                along = -(scale * fma(gx, d, fma(xx, -q, -(xy * s))))
            inside = abs(along) < HALF and abs(down) < HALF and abs(across) < HALF
            if inside or abs(along) > FAR or abs(down) > FAR or abs(across) > FAR:
                break
            c += int(np.rint(across))
            r += int(np.rint(down))
            n += int(np.rint(along))
            if (
                not 1 <= n <= LAYERS
                or c < BORDER
                or c >= columns - BORDER
                or r < BORDER
                or r >= rows - BORDER
            ):
                break
        if not inside:
            continue
        rise = fma(gs, along, fma(gy, down, gx * across))
        contrast = fma(dogs[n, r, c], UNIT, rise * HALF)
        if abs(contrast) * np.float32(LAYERS) < CONTRAST:
            continue
        trace = xx + yy
        determinant = fma(xx, yy, -(xy * xy))
        if determinant <= 0 or trace * trace * EDGE >= EDGE_SQUARE * determinant:
            continue
        found[count, 0] = np.float32(c) + across
        found[count, 1] = np.float32(r) + down
        found[count, 2] = SIGMA * two ** ((np.float32(n) + along) / np.float32(LAYERS))
        found[count, 3] = n
        count += 1
    return found[:count].copy()
