"""Convolutions that TensorFlow computes slowly on a processor, written so that it computes them fast.

The values are those of `tf.nn.conv2d` but for the order in which products may be summed up. Measured on two
cores of an x86-64 server (TensorFlow 2.17.1, oneDNN): the first layer of CREPE 4.6 times as fast, the
convolutions of basic-pitch with one or eight filters 2 to 2.6 times.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from actprobe import backend
from actprobe.models.specs import window_of

LEAST_STEPS = 2  # TensorFlow 2.17.1 gives garbage for a single step as long as the kernel, of one channel
FILTERS_AT_ONCE = 16  # numbers of a vector register; with fewer filters a part of it is idle


def fast_convolution(
    filters: int, kernel: tuple[int, int], stride: tuple[int, int], padding: str, bands: int
) -> Callable[[Any, Any], Any] | None:
    """Give the faster way to convolve maps [batch, time, mel, channel], if there is one.

    `filters`, `kernel`, `stride` and `padding`, ``same`` or ``valid``, are those of the layer, `bands` the
    bands of its input. The function takes maps and a kernel [time, mel, in, out], as Keras has it.
    """
    if kernel[1] == bands == 1:
        return partial(_along_time, stride=stride[0], padding=padding)
    wide = bands if padding == "same" else bands - kernel[1] + 1
    together = max(
        (
            count
            for count in range(1, FILTERS_AT_ONCE // filters + 1)
            if wide % count == 0 and wide // count >= LEAST_STEPS
        ),
        default=1,
    )
    if together > 1 and stride == (1, 1):
        return partial(_bands_together, together=together, padding=padding)
    return None


def _along_time(maps: Any, kernel: Any, *, stride: int, padding: str) -> Any:
    """Convolve maps of one band along the one axis that they have."""
    tf = backend.tf
    return tf.nn.conv1d(maps[:, :, 0], kernel[:, 0], stride, padding.upper())[:, :, tf.newaxis]


def _bands_together(maps: Any, kernel: Any, *, together: int, padding: str) -> Any:
    """Compute neighbouring bands at once, as if they were further filters: the kernel, moved by each."""
    tf = backend.tf
    time, mel, _, filters = kernel.shape
    zeros = []
    for size in (time, mel):
        before = window_of(size, size, 1, padding)[0]
        zeros.append([before, size - 1 - before if padding == "same" else 0])
    moved = [tf.pad(kernel, [[0, 0], [by, together - 1 - by], [0, 0], [0, 0]]) for by in range(together)]
    found = tf.nn.conv2d(
        tf.pad(maps, [[0, 0], *zeros, [0, 0]]), tf.concat(moved, axis=-1), (1, together), "VALID"
    )
    bands = found.shape[2] * together
    frames = tf.shape(found)[1] if found.shape[1] is None else found.shape[1]
    return tf.reshape(found, (-1, frames, bands, filters))
