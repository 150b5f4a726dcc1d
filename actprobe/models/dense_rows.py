"""TensorFlow operations on the rows that neighbouring excerpts share.

A map of all excerpts of a recording is a tensor [phase, row, ...]: where an excerpt's neighbouring rows are
``stride`` frames apart there are as many phases, and row i of phase p is the one that begins at frame
p + stride * i. Row t of excerpt k is then that of frame k + stride * t.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from actprobe import backend

PRODUCTS = 8192  # more values of an excerpt than these are not kept beside each other


def stitched(tensor: Any) -> Any:
    """[phase, row, ...] -> [frame, ...]."""
    tf = backend.tf
    turned = tf.transpose(tensor, (1, 0, *range(2, tensor.shape.rank)))
    return tf.reshape(turned, (-1, *tensor.shape[2:]))


def excerpts(tensor: Any, length: int) -> Any:
    """[phase, row, ...] -> [excerpt, length, ...], every row as often as excerpts hold it."""
    return stitched(backend.tf.signal.frame(tensor, length, 1, axis=1))


def every_shift(call: Callable[[Any], Any], tensor: Any, reach: int, step: int) -> Any:
    """Slide windows `reach` rows long over the rows by `step`, from each of the first `step` rows.

    Phase p of d becomes phases p, p + d, ... of d * step ("shift and stitch").
    """
    tf = backend.tf
    if step == 1:
        return call(tensor)
    windows = (tf.shape(tensor)[1] - (step - 1) - reach) // step + 1
    length = step * (windows - 1) + reach
    return tf.concat([call(tensor[:, shift : shift + length]) for shift in range(step)], axis=0)


def pooled(tensor: Any, length: int, kind: str) -> Any:
    """Pool [phase, row, channel] over windows of `length` rows from each row on; ``MAX`` or ``AVG``."""
    return backend.tf.nn.pool(tensor, (length,), kind, strides=(1,), padding="VALID")


def means(tensor: Any, length: int) -> Any:
    """[phase, row, mel, channel] -> [excerpt, channel], the means over time and mel."""
    tf = backend.tf
    return stitched(tf.nn.avg_pool1d(tf.reduce_mean(tensor, 2), length, 1, "VALID"))


def dense(tensor: Any, shape: Sequence[int], order: Sequence[int], layer: Any) -> Any:
    """Compute a dense layer on flattened excerpts as a convolution over rows, without its activation.

    [phase, row, ...] -> [excerpt, unit]. `shape` is the (time, ...) of an excerpt, and `order` that in which
    its axes were flattened; 0 is time.
    """
    tf = backend.tf
    units = layer.kernel.shape[1]
    phases, size, width = tensor.shape[0], shape[0], 1
    for each in shape[1:]:
        width *= each
    rows = tf.reshape(tf.cast(tensor, layer.compute_dtype), (phases, -1, width))
    kernel = tf.reshape(tf.cast(layer.kernel, layer.compute_dtype), (*(shape[axis] for axis in order), units))
    natural = [order.index(axis) for axis in range(len(order))]
    if size * units > PRODUCTS:
        kernel = tf.reshape(tf.transpose(kernel, (*natural, len(order))), (size, width, units))
        found = tf.nn.conv1d(rows, kernel, 1, "VALID")
    else:
        # One product for all rows of the kernel, then each is added where it belongs.
        kernel = tf.transpose(kernel, (*natural[1:], natural[0], len(order)))
        products = tf.matmul(tf.reshape(rows, (-1, width)), tf.reshape(kernel, (width, size * units)))
        products = tf.reshape(products, (phases, -1, size, units))
        count = tf.shape(products)[1] - size + 1
        found = tf.add_n([products[:, i : i + count, i] for i in range(size)])
    found = stitched(found)
    return tf.nn.bias_add(found, tf.cast(layer.bias, found.dtype)) if layer.use_bias else found
