"""SIFT keypoints of an image.

Lowe: Distinctive image features from scale-invariant keypoints, IJCV 60 (2004), as OpenCV computes it. Two
things are as they have to be for images whose axes are time and frequency:

- descriptors are upright. SIFT turns a keypoint's neighbourhood so that its strongest gradient points one
  way, which lets a partial (a horizontal ridge) match an onset (a vertical one). Here nothing is turned.
- a keypoint of several orientations is one keypoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.compiled import kernel
from actprobe.analyses.maps.descriptors import DIRECTIONS, LENGTH
from actprobe.analyses.maps.sift import upright_sift

HALF_A_TURN = np.roll(np.arange(LENGTH).reshape(-1, DIRECTIONS), DIRECTIONS // 2, axis=1).ravel()


class Halves(NamedTuple):
    """Descriptors as they are matched, float32.

    Parameters
    ----------
    sums, differences : numpy.ndarray
        Shape [keypoints, 64]: of opposite directions.
    squares : numpy.ndarray
        Shape [keypoints]: of their lengths.
    """

    sums: NDArray[np.float32]
    differences: NDArray[np.float32]
    squares: NDArray[np.float32]


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

    @cached_property
    def halves(self) -> Halves:
        """The descriptors, ready to be matched."""
        shape = len(self), LENGTH // 2
        halves = Halves(
            np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(len(self), np.float32)
        )
        _halve(self.descriptors, *halves)
        return halves

    def up_to(self, column: float) -> Keypoints:
        """Keep the keypoints of the first columns, up to one that is left out."""
        use = self.points[:, 0] < column
        if use.all():
            return self
        return Keypoints(self.points[use], self.sizes[use], self.descriptors[use])


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
    return no_keypoints() if image is None else Keypoints(*upright_sift(image))


@kernel
def _halve(
    descriptors: NDArray[np.uint8],
    sums: NDArray[np.float32],
    differences: NDArray[np.float32],
    squares: NDArray[np.float32],
) -> None:
    half = DIRECTIONS // 2
    for n in range(len(descriptors)):
        square = np.int64(0)
        for cell in range(LENGTH // DIRECTIONS):
            for k in range(half):
                at = cell * DIRECTIONS + k
                one, other = np.int64(descriptors[n, at]), np.int64(descriptors[n, at + half])
                sums[n, cell * half + k] = one + other
                differences[n, cell * half + k] = one - other
                square += one * one + other * other
        squares[n] = square
