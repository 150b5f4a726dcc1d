"""SIFT keypoints of an image, and the matches between those of two images.

Lowe: Distinctive image features from scale-invariant keypoints, IJCV 60 (2004), as OpenCV computes it. Two
things are as they have to be for images whose axes are time and frequency:

- descriptors are upright. SIFT turns a keypoint's neighbourhood so that its strongest gradient points one
  way, which lets a partial (a horizontal ridge) match an onset (a vertical one). Here nothing is turned.
- a keypoint of several orientations is one keypoint.

A match is a descriptor of either image, each nearest to the other (cross-check), whose distance is below
0.9 of that to the second nearest (Lowe's ratio test, section 7.1; Lowe takes 0.8 where nothing is known of
where matches lie, while here those that are wrong are told by their place, see ``geometry.py``).

A channel may answer with the negative of a picture. The gradients of a negative point the other way, so its
descriptors are those of the picture with the eight directions turned by half a turn, and need no SIFT.

The distances of all pairs come from one matrix product. Descriptors hold whole numbers from 0 to 255, so
the product is exact in single precision, and the matches are those of OpenCV's brute-force matcher, ties
included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

RATIO = 0.9
LENGTH = 128  # of a descriptor: 4 x 4 cells of 8 directions
HALF_A_TURN = (np.arange(LENGTH) & ~7) | (np.arange(LENGTH) + 4 & 7)
ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class Keypoints:
    """The keypoints of one image.

    Parameters
    ----------
    points : numpy.ndarray
        float32, shape [keypoints, 2]: column and row in pixels.
    sizes : numpy.ndarray
        float32, shape [keypoints]: diameter of what a keypoint stands for, in pixels.
    descriptors : numpy.ndarray
        uint8, shape [keypoints, 128].
    """

    points: NDArray[np.float32]
    sizes: NDArray[np.float32]
    descriptors: NDArray[np.uint8]

    def __len__(self) -> int:
        """Count the keypoints."""
        return len(self.points)

    def up_to(self, column: float) -> Keypoints:
        """Keep the keypoints of the first columns, up to one that is left out."""
        use = self.points[:, 0] < column
        if use.all():
            return self
        return Keypoints(self.points[use], self.sizes[use], self.descriptors[use])


@dataclass(frozen=True, eq=False)
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


def no_keypoints() -> Keypoints:
    """Give the keypoints of an image that shows nothing: none."""
    empty = np.empty((0, LENGTH), np.uint8)
    return Keypoints(np.empty((0, 2), np.float32), np.empty(0, np.float32), empty)


def negative(descriptors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Describe the same keypoints, [keypoints, 128], in the negative of their image."""
    return np.ascontiguousarray(descriptors[:, HALF_A_TURN])


def detect(image: NDArray[np.uint8] | None) -> Keypoints:
    """Find and describe the keypoints of an image, uint8 [rows, columns]; None is one that shows nothing.

    They are in OpenCV's order, the same for the same image.
    """
    if image is None:
        return no_keypoints()
    sift = cv2.SIFT.create()
    upright: dict[tuple[float, ...], Any] = {}
    for point in sift.detect(image, None):
        point.angle = 0.0
        upright.setdefault((*point.pt, point.size, point.octave), point)
    if not upright:
        return no_keypoints()
    points, descriptors = sift.compute(image, list(upright.values()))
    return Keypoints(
        np.array([point.pt for point in points], np.float32),
        np.array([point.size for point in points], np.float32),
        np.asarray(descriptors, np.uint8),
    )


def match_descriptors(
    first: NDArray[np.uint8], second: NDArray[np.uint8], *, ratio: float = RATIO
) -> Matches:
    """Match the descriptors of two images.

    Parameters
    ----------
    first, second : numpy.ndarray
        uint8, shape [keypoints, 128].
    ratio : float, optional
        A match's distance is below this share of the distance to the second nearest descriptor of the
        second image. With fewer than two descriptors there is no second nearest, and no match.

    Returns
    -------
    Matches
        What OpenCV's ``BFMatcher.knnMatch`` finds with the ratio test and a cross-check by the
        nearest descriptors the other way round, the first of several that are equally near.
    """
    if len(first) == 0 or len(second) < 2:
        return Matches(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
    right = _extended(second, swap=True).T
    best_of_column = np.full(len(second), np.inf, np.float32)
    block_of_column = np.zeros(len(second), np.int64)
    rows, columns, squares, blocks = [], [], [], []
    for start in range(0, len(first), ROWS_AT_ONCE):
        distances = _extended(first[start : start + ROWS_AT_ONCE], swap=False) @ right
        least = distances.min(axis=0)
        better = least < best_of_column
        best_of_column[better] = least[better]
        block_of_column[better] = start
        every = np.arange(len(distances))
        nearest = distances.argmin(axis=1)
        smallest = distances[every, nearest]
        candidates = np.flatnonzero(smallest <= best_of_column[nearest])
        distances[every, nearest] = np.inf
        # The ratio test on roots in single precision, as OpenCV gives distances.
        roots = np.sqrt(smallest[candidates]).astype(np.float64)
        seconds = np.sqrt(distances[candidates].min(axis=1)).astype(np.float64)
        candidates = candidates[roots < ratio * seconds]
        distances[every, nearest] = smallest
        target = nearest[candidates]
        is_first = distances[:, target].argmin(axis=0) == candidates
        candidates, target = candidates[is_first], target[is_first]
        rows.append(candidates + start)
        columns.append(target)
        squares.append(smallest[candidates])
        blocks.append(np.full(len(candidates), start))
    row, column, square = np.concatenate(rows), np.concatenate(columns), np.concatenate(squares)
    mutual = (square == best_of_column[column]) & (np.concatenate(blocks) == block_of_column[column])
    return Matches(row[mutual].astype(np.int32), column[mutual].astype(np.int32), np.sqrt(square[mutual]))


def _extended(descriptors: NDArray[np.uint8], *, swap: bool) -> NDArray[np.float32]:
    """Add two columns, so that the product of rows is the squared distance of the descriptors."""
    values = descriptors.astype(np.float32)
    norms = np.einsum("ij,ij->i", values, values)[:, np.newaxis]
    ones = np.ones_like(norms)
    if swap:
        return np.concatenate([values, ones, norms], axis=1)
    return np.concatenate([-2 * values, norms, ones], axis=1)
