"""Convolutions that are computed another way have the values of TensorFlow's own."""

from __future__ import annotations

import numpy as np
import pytest

from actprobe import backend
from actprobe.models.convolution import fast_convolution


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"),
    [
        ((40, 1, 1), (12, 1, 1, 5), (4, 1), "same"),
        ((40, 1, 3), (7, 1, 3, 20), (1, 1), "valid"),
        ((9, 12, 3), (3, 5, 3, 1), (1, 1), "same"),
        ((9, 12, 3), (2, 4, 3, 1), (1, 1), "same"),
        ((9, 12, 3), (2, 5, 3, 4), (1, 1), "valid"),
        ((9, 14, 3), (3, 3, 3, 8), (1, 1), "same"),
        ((6, 10, 1), (1, 4, 1, 1), (1, 1), "same"),
        ((6, 10, 1), (3, 3, 1, 2), (1, 1), "valid"),
    ],
)
def test_the_faster_way_gives_the_same_values(
    shape: tuple[int, int, int], kernel: tuple[int, ...], stride: tuple[int, int], padding: str
) -> None:
    rng = np.random.default_rng(0)
    maps, weights = (rng.standard_normal(each, np.float32) for each in ((2, *shape), kernel))
    faster = fast_convolution(kernel[3], (kernel[0], kernel[1]), stride, padding, shape[1])
    assert faster is not None
    wanted = backend.tf.nn.conv2d(maps, weights, stride, padding.upper()).numpy()
    np.testing.assert_allclose(faster(maps, backend.tf.constant(weights)), wanted, rtol=0, atol=1e-5)
    function = backend.tf.function(faster, input_signature=[_any_length(shape), _any_length(kernel, False)])
    np.testing.assert_allclose(function(maps, weights), wanted, rtol=0, atol=1e-5)


def _any_length(shape: tuple[int, ...], maps: bool = True) -> object:
    """Describe a kernel, or maps of any number and length."""
    return backend.tf.TensorSpec((None, None, *shape[1:]) if maps else shape, backend.tf.float32)


@pytest.mark.parametrize(
    ("why", "filters", "kernel", "stride", "bands"),
    [
        ("filters fill a register", 32, (3, 3), (1, 1), 80),
        ("two bands at once would be more than a register", 9, (3, 3), (1, 1), 264),
        ("the number of bands is a large prime", 1, (3, 3), (1, 1), 263),
        ("the kernel steps", 8, (3, 3), (1, 3), 264),
        ("all bands would be one step, which TensorFlow computes wrongly", 1, (1, 4), (1, 1), 7),
    ],
)
def test_other_convolutions_are_left_to_tensorflow(
    why: str, filters: int, kernel: tuple[int, int], stride: tuple[int, int], bands: int
) -> None:
    assert fast_convolution(filters, kernel, stride, "same", bands) is None, why
