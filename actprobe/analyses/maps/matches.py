"""The matches between the keypoints of two images.

A match is a descriptor of either image, each nearest to the other (cross-check), whose distance is below
0.9 of that to the second nearest (Lowe's ratio test, section 7.1; Lowe takes 0.8 where nothing is known of
where matches lie, while here those that are wrong are told by their place, see ``geometry.py``).

A channel may answer with the negative of a picture. The gradients of a negative point the other way, so its
descriptors are those of the picture with the eight directions turned by half a turn, and need no SIFT. Nor do
they need products of their own: with a descriptor's opposite directions a and a', those of another b and b',

    a b + a' b' = ((a + a') (b + b') + (a - a') (b - b')) / 2
    a' b + a b' = ((a + a') (b + b') - (a - a') (b - b')) / 2

so that two matrix products of half the length serve both. Descriptors hold whole numbers from 0 to 255. The
products are then whole numbers below 2^24, which single precision holds exactly, and the matches are those of
OpenCV's brute-force matcher, ties included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.compiled import kernel
from actprobe.analyses.maps.keypoints import Keypoints

RATIO = 0.9
ROWS_AT_ONCE = 256

Floats = NDArray[np.float32]
Whole = NDArray[np.int32]


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class Matches:
    """The matches between the keypoints of two images.

    Parameters
    ----------
    first, second : numpy.ndarray
        int32, shape [matches]: index of the descriptor in either image, ascending in the first.
    distances : numpy.ndarray
        float32, shape [matches]: Euclidean distance of the two descriptors.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    distances: NDArray[np.float32]

    def __len__(self) -> int:
        """Count the matches."""
        return len(self.first)


def match(first: Keypoints, second: Keypoints, *, ratio: float = RATIO) -> tuple[Matches, Matches]:
    """Match an image, and its negative, with another.

    Parameters
    ----------
    first, second : Keypoints
        Those of the two images.
    ratio : float, optional
        A match's distance is below this share of the distance to the second nearest descriptor of the
        second image. With fewer than two descriptors there is no second nearest, and no match.

    Returns
    -------
    tuple of Matches
        Of the first image as it is, and of its negative: what OpenCV's ``BFMatcher.knnMatch`` finds with the
        ratio test and a cross-check by the nearest descriptors the other way round, the first of several
        that are equally near.
    """
    if len(first) == 0 or len(second) < 2:
        empty = Matches(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
        return empty, empty
    ours, theirs = first.halves, second.halves
    nearest = np.empty((2, 3, len(first)), np.int32)  # as it is and negative: which, its square, the second
    back = np.empty((2, 2, len(second)), np.int32)  # smallest square, and whose it is
    back[:, 0] = np.iinfo(np.int32).max
    for start in range(0, len(first), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        sums, differences = ours.sums[rows] @ theirs.sums.T, ours.differences[rows] @ theirs.differences.T
        for sign, found, best in zip((1, -1), nearest, back, strict=True):
            _nearest(
                sums, differences, np.float32(sign), ours.squares[rows], theirs.squares, start, found, best
            )
    return _matches(nearest[0], back[0, 1], ratio), _matches(nearest[1], back[1, 1], ratio)


def _matches(nearest: Whole, back: Whole, ratio: float) -> Matches:
    which, square, second = nearest
    # The ratio test on roots in single precision, as OpenCV gives distances.
    roots, seconds = np.sqrt(square.astype(np.float32)), np.sqrt(second.astype(np.float32))
    clear = roots.astype(np.float64) < ratio * seconds.astype(np.float64)
    rows = np.flatnonzero(clear & (back[which] == np.arange(len(which))))
    return Matches(rows.astype(np.int32), which[rows], roots[rows])


@kernel
def _nearest(
    sums: Floats,
    differences: Floats,
    sign: np.float32,
    ours: Floats,
    theirs: Floats,
    start: int,
    found: Whole,
    back: Whole,
) -> None:
    """Find the nearest of some rows, and what they change for the columns, from the products of halves."""
    width = len(theirs)
    squares = np.empty(width, np.int32)
    smallest, whose = back[0], back[1]
    for i in range(len(ours)):
        sum_row, difference_row, own = sums[i], differences[i], ours[i]
        row = np.int32(start + i)
        least = np.int32(2**31 - 1)
        for j in range(width):
            square = np.int32(own + theirs[j] - (sum_row[j] + sign * difference_row[j]))
            squares[j] = square
            least = min(least, square)
        for j in range(width):
            nearer = squares[j] < smallest[j]
            smallest[j] = squares[j] if nearer else smallest[j]
            whose[j] = row if nearer else whose[j]
        which = np.int32(width)
        for j in range(width):
            which = min(which, np.int32(j) if squares[j] == least else np.int32(width))
        second = np.int32(0)
        if whose[which] == row:  # or else an earlier row is nearer, and this one no match whatever its second
            squares[which] = np.int32(2**31 - 1)
            second = squares[which]
            for j in range(width):
                second = min(second, squares[j])
        found[0, row], found[1, row], found[2, row] = which, least, second
