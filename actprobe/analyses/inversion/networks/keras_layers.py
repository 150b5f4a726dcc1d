"""The Keras layers that inverters are made of, beside `BatchNorm`. Importing this module loads TensorFlow.

They compute what Lasagne's do. The up-convolution is one convolution of 2 x 2 on the small map
whose channels are then dealt out to the four places of the large one: the same sums as a transposed
convolution without its multiplications by zero, and faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from actprobe import backend
from actprobe.models.inverter_specs import Plan

keras, tf = backend.keras, backend.tf


def up_convolution(tensor: Any, kernel: Any, scale: tuple[int, int]) -> Any:
    """Transposed convolution of [batch, time, mel, in] in which each axis grows by its scale exactly.

    ``kernel`` is [size, size, out, in] as ``Conv2DTranspose`` has it; a size is 4 where the scale is 2, 3 or
    1 where it is 1. ``scale`` is (time, mel), 1 or 2 each. The result equals
    ``Conv2DTranspose(padding="same")``, [batch, time * scale, mel * scale, out].
    """
    out, channels = kernel.shape[2], kernel.shape[3]
    # Axis by axis: taps of the small map's convolution, places that each gives. A place k of the kernel
    # of 4 is tap 1 - k // 2 and place k % 2; of the kernel of 3 it is tap 2 - k, of that of 1 tap 0.
    taps = [size // each for size, each in zip(kernel.shape[:2], scale, strict=True)]
    split = tf.reshape(kernel, (taps[0], scale[0], taps[1], scale[1], out, channels))
    split = tf.reverse(split, [0, 2])
    split = tf.reshape(
        tf.transpose(split, (0, 2, 5, 1, 3, 4)), (taps[0], taps[1], channels, scale[0] * scale[1] * out)
    )
    around = [(0, 0) if each == 1 else (1, 1) for each in taps]
    padded = tf.pad(tensor, ((0, 0), *around, (0, 0)))
    small = tf.nn.conv2d(padded, split, 1, "VALID")
    rows, columns = small.shape[1], small.shape[2]
    if scale == (2, 2):
        large = tf.nn.depth_to_space(small, 2)
    else:
        large = tf.transpose(tf.reshape(small, (-1, rows, columns, *scale, out)), (0, 1, 3, 2, 4, 5))
    # Cut with columns and channels as one axis: the gradient of a cut is slow where its last axis is short.
    height, width = (each * size for each, size in zip(scale, tensor.shape[1:3], strict=True))
    large = tf.reshape(large, (-1, rows * scale[0], columns * scale[1] * out))
    cut = tf.slice(large, [0, int(scale[0] == 2), int(scale[1] == 2) * out], [-1, height, width * out])
    return tf.reshape(cut, (-1, height, width, out))


class UpConvolution(keras.layers.Layer):  # type: ignore[misc,name-defined]
    """`up_convolution` to ``filters`` channels, with a kernel of ``sizes`` and perhaps a bias.

    ``keep`` is how much of (time, mel) of its input is used, where the rest would only give what is cut off.
    """

    def __init__(
        self,
        filters: int,
        scale: tuple[int, int],
        sizes: tuple[int, int],
        use_bias: bool,
        keep: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.filters, self.scale, self.use_bias, self.keep = filters, scale, use_bias, keep
        self.sizes = sizes

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight("kernel", (*self.sizes, self.filters, int(input_shape[-1])))
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.filters,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        if self.keep is not None:
            inputs = tf.slice(inputs, [0, 0, 0, 0], [-1, *self.keep, inputs.shape[-1]])
        outputs = up_convolution(inputs, tf.convert_to_tensor(self.kernel), self.scale)
        # Not bias_add: in bfloat16 its gradient loses most of a sum over all places.
        return outputs + self.bias if self.use_bias else outputs


class Fit(keras.layers.Layer):  # type: ignore[misc,name-defined]
    """Cuts or pads a map to an excerpt: [batch, time, mel, 1] to float32 [batch, *example_shape]."""

    def __init__(self, example_shape: tuple[int, int], **options: Any) -> None:
        super().__init__(**options)
        self.example_shape = example_shape

    def call(self, inputs: Any) -> Any:
        time, mel = self.example_shape
        time, mel = min(time, inputs.shape[1]), min(mel, inputs.shape[2])
        cut = tf.slice(tf.squeeze(inputs, -1), [0, 0, 0], [-1, time, mel])
        missing = [wanted - found for wanted, found in zip(self.example_shape, cut.shape[1:], strict=True)]
        if any(missing):
            cut = tf.pad(cut, ((0, 0), *((each // 2, each - each // 2) for each in missing)))
        return tf.cast(cut, tf.float32)


class Align(keras.layers.Layer):  # type: ignore[misc,name-defined]
    """Resamples a map [batch, time, mel, channel] in time and mel, linearly at the places of a plan."""

    def __init__(self, plan: Plan, **options: Any) -> None:
        super().__init__(**options)
        self.places = [plan.places(axis) for axis in (0, 1)]

    def call(self, inputs: Any) -> Any:
        for axis, places in enumerate(self.places, start=1):
            inputs = interpolated(inputs, places, axis)
        return inputs


def interpolated(tensor: Any, places: Sequence[float], axis: int) -> Any:
    """Interpolate a tensor linearly along an axis, at places between positions 0 and the last."""
    at = np.asarray(places, np.float64)
    before = np.floor(at).astype(np.int32)
    after = np.minimum(before + 1, tensor.shape[axis] - 1)
    share = np.reshape(at - before, [-1 if each == axis else 1 for each in range(tensor.shape.rank)])
    later, earlier = tf.constant(share, tensor.dtype), tf.constant(1 - share, tensor.dtype)
    return tf.gather(tensor, before, axis=axis) * earlier + tf.gather(tensor, after, axis=axis) * later
