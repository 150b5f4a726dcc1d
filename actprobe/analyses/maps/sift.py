"""SIFT whose descriptors are upright, as OpenCV computes it, to the bit.

OpenCV has no upright SIFT. To have it find keypoints, and describe them after their angles are set to zero,
takes every image twice through the Gaussian pyramid, through orientations that nobody asks for, and through
windows that are twice as large as what is used of them. Here the pyramid is built once, by the same calls of
OpenCV, and extrema and descriptors are compiled: see ``extrema`` and ``descriptors``.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.descriptors import LENGTH, describe, window_exponents
from actprobe.analyses.maps.extrema import BORDER, LAYERS, SIGMA, TWO, mark_candidates, refine

Floats = NDArray[np.float32]

IMAGES = LAYERS + 3  # of an octave
BLUR_OF_IMAGE = np.float32(0.5)  # that a picture is taken to have
STEP = 2 ** (1 / LAYERS)
SCALES = [1.6 * STEP**i for i in range(IMAGES)]
BLURS = [math.sqrt((scale * STEP) ** 2 - scale**2) for scale in SCALES]  # from each image to the next

AVX2, AVX512 = 11, 256  # OpenCV's numbers of what a processor can do
# Numbers that OpenCV adds at once here: the order of its sums goes by it.
LANES = 16 if cv2.checkHardwareSupport(AVX512) else 8 if cv2.checkHardwareSupport(AVX2) else 4


def upright_sift(image: NDArray[np.uint8]) -> tuple[Floats, Floats, NDArray[np.uint8]]:
    """Find and describe the keypoints of an image.

    Returns
    -------
    points : numpy.ndarray
        Shape [keypoints, 2]: column and row, in OpenCV's order.
    sizes : numpy.ndarray
        Shape [keypoints].
    descriptors : numpy.ndarray
        Shape [keypoints, 128].
    """
    octaves = pyramid(image, doubled=True)
    found = [_extrema(octave) for octave in octaves]
    octave = np.repeat(np.arange(len(found)), [len(one) for one in found])
    keypoints = np.concatenate([np.empty((0, 4), np.float32), *found])
    pixel = np.exp2(octave - 1).astype(np.float32)  # of an octave, in pixels of the image
    table = np.column_stack([keypoints[:, :2] * pixel[:, np.newaxis], -2 * keypoints[:, 2] * pixel])
    order = np.lexsort(table.T[::-1])
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(table[order], axis=0) != 0).any(axis=1)
    order = order[new]
    keypoints, octave, table = keypoints[order], octave[order], table[order]
    descriptors = np.empty((len(order), LENGTH), np.uint8)
    if len(order) and octave.min() > 0:  # then OpenCV describes what it has not enlarged
        octaves[1:] = pyramid(image, doubled=False)
    for number, images in enumerate(octaves):
        for layer in range(1, 1 + LAYERS):
            chosen = np.flatnonzero((octave == number) & (keypoints[:, 3] == layer))
            if len(chosen):
                some = keypoints[chosen]
                weights = np.asarray(cv2.exp(window_exponents(some)), np.float32).ravel()
                describe(some, *_gradients(images[layer]), weights, LANES, chosen, descriptors)
    return np.ascontiguousarray(table[:, :2]), -table[:, 2], descriptors


_held = threading.local()


def _space(name: str, *shape: int) -> Floats:
    """Give an array of what this thread holds for a purpose, so that memory is not asked for every image."""
    size = math.prod(shape)
    if len(getattr(_held, name, ())) < size:
        setattr(_held, name, np.empty(size, np.float32))
    space: Floats = getattr(_held, name)[:size].reshape(shape)
    return space


def pyramid(image: NDArray[np.uint8], *, doubled: bool) -> list[Floats]:
    """Blur an image more and more; each octave, [6, rows, columns], has half the pixels of the one before.

    The octaves are overwritten by those of the next image.
    """
    base: NDArray[Any] = image.astype(np.float32)
    own = float(BLUR_OF_IMAGE)
    if doubled:
        base = cv2.resize(base, (2 * base.shape[1], 2 * base.shape[0]), interpolation=cv2.INTER_LINEAR)
        own *= 2
    octaves: list[Floats] = []
    base = cv2.GaussianBlur(base, (0, 0), float(np.sqrt(np.float32(SIGMA * SIGMA - np.float32(own * own)))))
    while min(base.shape) > 2 * BORDER:
        octave = _space(f"octave {len(octaves)}", IMAGES, *base.shape)
        octave[0] = base
        for i in range(1, IMAGES):
            cv2.GaussianBlur(octave[i - 1], (0, 0), BLURS[i - 1], octave[i])
        octaves.append(octave)
        half = (base.shape[1] // 2, base.shape[0] // 2)
        base = cv2.resize(octave[LAYERS], half, interpolation=cv2.INTER_NEAREST)
    return octaves


def _extrema(octave: Floats) -> Floats:
    count, rows, columns = octave.shape
    stacked = octave.reshape(count * rows, columns)
    dogs = _space("differences", (count - 1) * rows, columns)
    cv2.subtract(stacked[rows:], stacked[:-rows], dogs)
    marks = np.empty(LAYERS * rows * columns, np.bool_)
    mark_candidates(dogs.reshape(-1), columns, rows * columns, marks)
    return refine(dogs.reshape(-1, rows, columns), np.flatnonzero(marks), TWO)


def _gradients(image: Floats) -> tuple[Floats, Floats]:
    """Give magnitudes and directions in degrees, without the pixels at the edge."""
    right, up, magnitudes, degrees = _space("gradients", 4, image.shape[0] - 2, image.shape[1] - 2)
    cv2.subtract(image[1:-1, 2:], image[1:-1, :-2], right)
    cv2.subtract(image[:-2, 1:-1], image[2:, 1:-1], up)
    cv2.magnitude(right, up, magnitudes)
    cv2.phase(right, up, degrees, angleInDegrees=True)
    return magnitudes, degrees
