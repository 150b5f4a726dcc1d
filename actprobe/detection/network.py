"""The detector run over segments longer than an excerpt.

Both poolings take every third frame, so that a segment of 115 + 9 k frames, run through the convolutions
once, holds the maps of its k + 1 excerpts that begin 9 frames apart, and ``fc7`` sees 11 frames of ``mp6``
at each. The predictions are those of the excerpts, for an eighth to a tenth of the work.

The order of operations is one that trains fast on a CPU and gives the same: bias and leaky rectifier rise
with their input, so they may follow the pooling; the bias of ``conv1`` is the weight of an input of ones.
"""

from __future__ import annotations

from typing import Any

from actprobe import backend
from actprobe.models.keras_build import LEAKY_RELU_SLOPE
from actprobe.models.networks import svd
from actprobe.models.specs import Conv, Dense


def build_trainable(seed: int) -> Any:
    """Build `actprobe.models.networks.svd.build` with orthogonal kernels from a seed, and zero biases."""
    model = svd.build()
    weighted = [spec for spec in svd.SPECS if isinstance(spec, Conv | Dense)]
    for number, spec in enumerate(weighted):
        layer = model.get_layer(spec.name)
        kernel, bias = layer.get_weights()
        orthogonal = backend.keras.initializers.Orthogonal(seed=seed * 1000 + number)
        layer.set_weights([orthogonal(kernel.shape).numpy(), bias * 0])
    return model


def logits(model: Any, frames: Any, dropout_seed: Any = None, precision: str = "float32") -> Any:
    """Predict singing for the excerpts of segments that begin 9 frames apart, before the sigmoid.

    ``frames`` are normalised, float32 [segments, 115 + 9 k, 80]; the result is float32 [segments, k + 1]. The
    variables of the Keras model are used, so that gradients reach them. With ``dropout_seed``, int32 [2],
    dropout is on and sampled from this seed alone. ``mixed_bfloat16`` computes in bfloat16 up to ``fc7``:
    about twice as fast on processors that have it.
    """
    tf, nn = backend.tf, backend.tf.nn
    variables = {layer.name: layer.weights for layer in model.layers if layer.weights}
    computed = "bfloat16" if precision == "mixed_bfloat16" else "float32"

    def weights(name: str, dtype: str = computed) -> list[Any]:
        return [tf.cast(variable, dtype) for variable in variables[name]]

    def dropout(tensor: Any, number: int) -> Any:
        if dropout_seed is None:
            return tensor
        seed = dropout_seed + tf.constant([0, 7919 * number], dropout_seed.dtype)
        kept = nn.experimental.stateless_dropout(tf.cast(tensor, tf.float32), 0.5, seed=seed)
        return tf.cast(kept, tensor.dtype)

    def biased(tensor: Any, bias: Any) -> Any:
        return nn.leaky_relu(nn.bias_add(tensor, bias), LEAKY_RELU_SLOPE)

    def pooled(tensor: Any, name: str) -> Any:
        kernel, bias = weights(name)
        return biased(nn.max_pool2d(nn.conv2d(tensor, kernel, 1, "VALID"), 3, 3, "VALID"), bias)

    tensor = tf.cast(frames, computed)[..., None]
    tensor = tf.concat([tensor, tf.ones_like(tensor)], -1)
    kernel, bias = weights("conv1")
    kernel = tf.concat([kernel, tf.pad(bias[None, None, None], [[1, 1], [1, 1], [0, 0], [0, 0]])], 2)
    tensor = nn.leaky_relu(nn.conv2d(tensor, kernel, 1, "VALID"), LEAKY_RELU_SLOPE)
    tensor = pooled(tensor, "conv2")
    kernel, bias = weights("conv4")
    tensor = biased(nn.conv2d(tensor, kernel, 1, "VALID"), bias)
    tensor = pooled(tensor, "conv5")

    # fc7 takes 11 frames of mp6, its units in the order channel, frame, band.
    map_frames, bands, channels = svd.LAYERS["mp6"].shape
    tensor = dropout(tensor, 7)
    excerpts = tf.shape(tensor)[1] - (map_frames - 1)
    tensor = tf.concat([tensor[:, i : i + excerpts] for i in range(map_frames)], 2)
    tensor = tf.reshape(tensor, (-1, excerpts, map_frames * bands * channels))
    kernel, bias = weights("fc7")
    kernel = tf.transpose(tf.reshape(kernel, (channels, map_frames, bands, -1)), (1, 2, 0, 3))
    tensor = biased(tf.matmul(tensor, tf.reshape(kernel, (map_frames * bands * channels, -1))), bias)
    tensor = tf.cast(tensor, tf.float32)
    kernel, bias = weights("fc8", "float32")
    tensor = biased(tf.matmul(dropout(tensor, 8), kernel), bias)
    kernel, bias = weights("fc9", "float32")
    return (tf.matmul(dropout(tensor, 9), kernel) + bias)[..., 0]
