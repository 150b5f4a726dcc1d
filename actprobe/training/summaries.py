"""Curves and pictures for TensorBoard, which itself need not be installed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe import backend

SCALAR, BLOBS = 1, 3  # tensorboard's data classes


def write_scalar(name: str, value: float) -> None:
    """Write a point of a curve at the step of the default writer."""
    tf = backend.tf
    kind = tf.compat.v1.SummaryMetadata(data_class=SCALAR)
    kind.plugin_data.plugin_name = "scalars"
    tf.summary.write(name, tf.constant(value, tf.float32), metadata=kind)


def write_image(name: str, mel_spectrogram: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
    """Write a mel spectrogram [time, mel] as a grey picture, time to the right and mel upwards.

    Black and white are the smallest and the largest value of the reference.
    """
    tf = backend.tf
    low, high = float(reference.min()), float(reference.max())
    grey = np.clip((mel_spectrogram - low) / max(high - low, 1e-6), 0, 1).T[::-1, :, None]
    pixels = tf.constant((255 * grey).astype(np.uint8))
    kind = tf.compat.v1.SummaryMetadata(data_class=BLOBS)
    kind.plugin_data.plugin_name = "images"
    size = [str(pixels.shape[1]), str(pixels.shape[0])]
    blob = tf.stack([*map(tf.constant, size), tf.io.encode_png(pixels)])
    tf.summary.write(name, blob, metadata=kind)
