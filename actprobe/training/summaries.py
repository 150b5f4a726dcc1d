"""Curves and pictures for TensorBoard, which itself need not be installed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe import backend

__all__ = ["write_image", "write_scalar"]

SCALAR, BLOBS = 1, 3  # tensorboard's data classes


def write_scalar(name: str, value: float) -> None:
    """Write a point of a curve.

    Parameters
    ----------
    name : str
        Of the curve.
    value : float
        At the step of the default writer.
    """
    tf = backend.tf
    kind = tf.compat.v1.SummaryMetadata(data_class=SCALAR)
    kind.plugin_data.plugin_name = "scalars"
    tf.summary.write(name, tf.constant(value, tf.float32), metadata=kind)


def write_image(name: str, sonogram: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
    """Write a sonogram as a grey picture, time to the right and mel upwards.

    Parameters
    ----------
    name : str
        Of the picture.
    sonogram : numpy.ndarray
        Shape [time, mel].
    reference : numpy.ndarray
        What black and white are taken from: its smallest and largest value.
    """
    tf = backend.tf
    low, high = float(reference.min()), float(reference.max())
    grey = np.clip((sonogram - low) / max(high - low, 1e-6), 0, 1).T[::-1, :, None]
    pixels = tf.constant((255 * grey).astype(np.uint8))
    kind = tf.compat.v1.SummaryMetadata(data_class=BLOBS)
    kind.plugin_data.plugin_name = "images"
    size = [str(pixels.shape[1]), str(pixels.shape[0])]
    blob = tf.stack([*map(tf.constant, size), tf.io.encode_png(pixels)])
    tf.summary.write(name, blob, metadata=kind)
