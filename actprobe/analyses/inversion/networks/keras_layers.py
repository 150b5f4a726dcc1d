"""The Keras layers that inverters are made of.

They compute what Lasagne's do. The up-convolution is one convolution of 2 x 2 on the small map
whose channels are then dealt out to the four places of the large one: the same sums as a transposed
convolution without its multiplications by zero, and faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.analyses.inversion.networks.batch_norm import batch_norm_class
from actprobe.analyses.inversion.networks.plans import Plan, Step

__all__ = [
    "align_class",
    "build_inverter",
    "fit_class",
    "up_convolution",
    "up_convolution_class",
]


def up_convolution(tensor: Any, kernel: Any, scale: tuple[int, int]) -> Any:
    """Convolve transposed, so that each axis grows by its scale exactly.

    Parameters
    ----------
    tensor : tf.Tensor
        Shape [batch, time, mel, in].
    kernel : tf.Tensor
        Shape [size, size, out, in] as ``Conv2DTranspose`` has it; size is 4 where the scale is 2 and
        3 where it is 1.
    scale : tuple of int
        (time, mel), 1 or 2 each.

    Returns
    -------
    tf.Tensor
        Shape [batch, time * scale, mel * scale, out]: ``Conv2DTranspose(padding="same")``.
    """
    tf = backend.tf
    out, channels = kernel.shape[2], kernel.shape[3]
    # Axis by axis: taps of the small map's convolution, places that each gives. A place k of the kernel
    # of 4 is tap 1 - k // 2 and place k % 2; of the kernel of 3 it is tap 2 - k.
    taps = [2 if each == 2 else 3 for each in scale]
    split = tf.reshape(kernel, (taps[0], scale[0], taps[1], scale[1], out, channels))
    split = tf.reverse(split, [0, 2])
    split = tf.reshape(
        tf.transpose(split, (0, 2, 5, 1, 3, 4)), (taps[0], taps[1], channels, scale[0] * scale[1] * out)
    )
    padded = tf.pad(tensor, ((0, 0), (1, 1), (1, 1), (0, 0)))
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


@lru_cache(maxsize=1)
def up_convolution_class() -> Any:
    """Make the Keras layer of `up_convolution`; tf_keras is loaded first then.

    Returns
    -------
    type
        Layer with ``filters``, ``scale`` and ``use_bias``; ``keep`` is how much of (time, mel) of its
        input is looked at, where the rest would only give what is cut off.
    """
    keras, tf = backend.keras, backend.tf

    class UpConvolution(keras.layers.Layer):  # type: ignore[misc,name-defined]
        def __init__(
            self, filters: int, scale: tuple[int, int], use_bias: bool, keep: Any = None, **options: Any
        ) -> None:
            super().__init__(**options)
            self.filters, self.scale, self.use_bias, self.keep = filters, scale, use_bias, keep

        def build(self, input_shape: Any) -> None:
            sizes = [4 if each == 2 else 3 for each in self.scale]
            self.kernel = self.add_weight("kernel", (*sizes, self.filters, int(input_shape[-1])))
            if self.use_bias:
                self.bias = self.add_weight("bias", (self.filters,), initializer="zeros")

        def call(self, inputs: Any) -> Any:
            if self.keep is not None:
                inputs = tf.slice(inputs, [0, 0, 0, 0], [-1, *self.keep, inputs.shape[-1]])
            outputs = up_convolution(inputs, tf.convert_to_tensor(self.kernel), self.scale)
            # Not bias_add: in bfloat16 its gradient loses most of a sum over all places.
            return outputs + self.bias if self.use_bias else outputs

    return UpConvolution


@lru_cache(maxsize=1)
def fit_class() -> Any:
    """Make the Keras layer that cuts or pads a map to an excerpt.

    Returns
    -------
    type
        Layer from [batch, time, mel, 1] to [batch, *example_shape], float32.
    """
    keras, tf = backend.keras, backend.tf

    class Fit(keras.layers.Layer):  # type: ignore[misc,name-defined]
        def __init__(self, example_shape: tuple[int, int], **options: Any) -> None:
            super().__init__(**options)
            self.example_shape = example_shape

        def call(self, inputs: Any) -> Any:
            time, mel = self.example_shape
            time, mel = min(time, inputs.shape[1]), min(mel, inputs.shape[2])
            cut = tf.slice(tf.squeeze(inputs, -1), [0, 0, 0], [-1, time, mel])
            missing = [
                wanted - found for wanted, found in zip(self.example_shape, cut.shape[1:], strict=True)
            ]
            if any(missing):
                cut = tf.pad(cut, ((0, 0), *((each // 2, each - each // 2) for each in missing)))
            return tf.cast(cut, tf.float32)

    return Fit


@lru_cache(maxsize=1)
def align_class() -> Any:
    """Make the Keras layer that resamples a map.

    Returns
    -------
    type
        Layer from [batch, time, mel, channel] to the same with another time and mel, interpolated linearly
        at the places of a plan.
    """
    keras, tf = backend.keras, backend.tf

    class Align(keras.layers.Layer):  # type: ignore[misc,name-defined]
        def __init__(self, plan: Plan, **options: Any) -> None:
            super().__init__(**options)
            self.matrices = [interpolation(plan.feature_shape[axis], plan.places(axis)) for axis in (0, 1)]

        def call(self, inputs: Any) -> Any:
            time, mel = (tf.constant(each, inputs.dtype) for each in self.matrices)
            return tf.einsum("bumc,mv->buvc", tf.einsum("btmc,tu->bumc", inputs, time), mel)

    return Align


def interpolation(found: int, places: Sequence[float]) -> NDArray[np.float32]:
    """Give the matrix that interpolates linearly between positions.

    Parameters
    ----------
    found : int
        Positions there are.
    places : sequence of float
        Where values are wanted, from 0 to ``found - 1``.

    Returns
    -------
    numpy.ndarray
        float32, shape [found, places]; columns sum to 1.
    """
    distances = np.abs(np.arange(found)[:, None] - np.asarray(places, np.float64))
    matrix: NDArray[np.float32] = np.maximum(0, 1 - distances).astype(np.float32)
    return matrix


def build_inverter(plan: Plan, name: str = "inverter", precision: str = "float32") -> Any:
    """Build an inverter.

    Parameters
    ----------
    plan : Plan
        What it is made of.
    name : str, optional
        Name of the Keras model.
    precision : str, optional
        ``float32``, or ``mixed_bfloat16`` for products in bfloat16 and everything else in float32:
        nonlinearities and statistics gain nothing from bfloat16, on a processor they lose by it.

    Returns
    -------
    tf_keras.Model
        Input [batch, *feature_shape], in the type that it computes with; output float32 [batch, time, mel].
    """
    keras = backend.keras
    layers, norm = keras.layers, batch_norm_class()
    policy = keras.mixed_precision.Policy(precision)
    inputs = keras.Input(plan.feature_shape, name="features", dtype=policy.compute_dtype)
    tensor = inputs
    for number, (step_name, step, before, _) in enumerate(plan.walk()):
        options = {"name": step_name, "dtype": policy, "use_bias": not step.normalized}
        if plan.aligned is not None and number == plan.aligned_after:
            tensor = align_class()(plan, name="align")(tensor)
        match step.kind:
            case "dense":
                tensor = layers.Dense(step.channels, **options)(tensor)
            case "conv":
                tensor = _as_grid(tensor, before)
                tensor = layers.Conv2D(step.channels, step.kernel, padding="same", **options)(tensor)
            case "up":
                tensor = _as_grid(tensor, before)
                keep = None if step.normalized else _seen(plan, step, tensor.shape[1:3])
                tensor = up_convolution_class()(step.channels, step.scale, keep=keep, **options)(tensor)
        elu = number < len(plan.steps) - 1 or plan.ending == "elu"
        if step.normalized:
            tensor = norm(precision != "float32", elu, name=f"{step_name}_norm")(tensor)
        elif elu:
            tensor = layers.Activation("elu", name=f"{step_name}_elu")(tensor)
    outputs = fit_class()(plan.example_shape, name="excerpt")(tensor)
    return keras.Model(inputs, outputs, name=name)


def _seen(plan: Plan, step: Step, shape: tuple[int, int]) -> tuple[int, int]:
    """How much of a map the excerpt sees through the last up-convolution.

    Statistics are of whole maps, so nothing may be cut off before a normalisation.
    """
    needed = [
        wanted // 2 + 1 if scale == 2 else wanted + 1
        for wanted, scale in zip(plan.example_shape, step.scale, strict=True)
    ]
    return (min(needed[0], shape[0]), min(needed[1], shape[1]))


def _as_grid(tensor: Any, grid: tuple[int, ...]) -> Any:
    """Lay units into a map, channel by channel."""
    if tensor.shape.rank == 4:
        return tensor
    layers = backend.keras.layers
    time, mel, channels = grid
    tensor = layers.Reshape((channels, time, mel), name="channel_by_channel")(tensor)
    return layers.Permute((2, 3, 1), name="grid")(tensor)
