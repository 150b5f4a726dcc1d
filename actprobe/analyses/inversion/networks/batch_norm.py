"""Lasagne's batch normalisation as a Keras layer, with the ELU that follows it.

It keeps a moving average of the mean and of the inverse deviation itself, not of the variance. There are two
ways to train it: to the last digit, and quickly. Importing this module loads TensorFlow.
"""

from __future__ import annotations

from typing import Any

from actprobe import backend
from actprobe.analyses.inversion.networks.fused import fused

keras, tf = backend.keras, backend.tf

EPSILON = 1e-4
ALPHA = 0.1


@fused
def _scaled(centred: Any, scale: Any, beta: Any) -> Any:
    return centred * scale + beta


@fused
def _back_through_scale(upstream: Any, centred: Any, scale: Any, mean: Any, slope: Any) -> Any:
    return scale * (upstream - mean - centred * slope)


@fused
def _scaled_elu(maps: Any, scale: Any, shift: Any) -> Any:
    return tf.cast(tf.nn.elu(tf.cast(maps, tf.float32) * scale + shift), maps.dtype)


@fused
def _back_through_elu(upstream: Any, outputs: Any) -> Any:
    rising = tf.minimum(tf.cast(outputs, tf.float32), 0.0) + 1.0
    return tf.cast(upstream, tf.float32) * rising


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _exactly(inputs: Any, gamma: Any, beta: Any) -> Any:
    """Normalise by the batch, with statistics to the last digit and the gradient in closed form.

    Gives the outputs, and mean and biased variance of the batch.
    """
    axes = list(range(inputs.shape.rank - 1))
    mean = tf.reduce_mean(inputs, axes)
    centred = inputs - mean
    variance = tf.reduce_mean(tf.square(centred), axes)
    inverse_std = tf.math.rsqrt(variance + EPSILON)

    def gradient(upstream: Any, *_: Any) -> Any:
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        total = tf.reduce_sum(upstream, axes)
        along = tf.reduce_sum(upstream * centred, axes)
        slope = along * tf.square(inverse_std) / count
        found = _back_through_scale(upstream, centred, gamma * inverse_std, total / count, slope)
        return found, along * inverse_std, total

    return (_scaled(centred, gamma * inverse_std, beta), mean, variance), gradient


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _quickly(inputs: Any, gamma: Any, beta: Any) -> Any:
    """The same by TensorFlow's own operation, with ELU in the same pass, outputs in the type of the inputs.

    It is faster, but on a processor adds up a channel's values one by one: the variance of half a million
    values is 2e-4 off.
    """
    maps = tf.cast(inputs, tf.float32)
    maps = tf.reshape(maps, (-1, 1, 1, inputs.shape[-1])) if inputs.shape.rank == 2 else maps
    options = {"x": maps, "scale": gamma, "epsilon": EPSILON, "is_training": True}
    empty = tf.zeros([0])
    _, mean, unbiased, *kept = tf.raw_ops.FusedBatchNormV3(offset=beta, mean=empty, variance=empty, **options)
    count = tf.cast(tf.size(maps) // maps.shape[-1], tf.float32)
    variance = unbiased * ((count - 1) / count)
    scale = gamma * tf.math.rsqrt(variance + EPSILON)
    outputs = _scaled_elu(inputs, scale, beta - mean * scale)

    def gradient(upstream: Any, *_: Any) -> Any:
        upstream = tf.reshape(_back_through_elu(upstream, outputs), tf.shape(maps))
        reserved = {f"reserve_space_{number}": each for number, each in enumerate(kept, 1)}
        found = tf.raw_ops.FusedBatchNormGradV3(y_backprop=upstream, **reserved, **options)
        return tf.cast(tf.reshape(found[0], tf.shape(inputs)), inputs.dtype), found[1], found[2]

    return (outputs, mean, variance), gradient


class BatchNorm(keras.layers.Layer):  # type: ignore[misc,name-defined]
    """Lasagne's batch normalisation; its weights are beta, gamma, mean and inverse deviation.

    ``quick`` trades digits for speed where ELU follows and there are several channels; ``elu``: whether ELU
    follows. ``counts`` is how often a step's statistics enter the moving averages: twice in the program of
    Mishra et al., which runs the inverter twice in a step.
    """

    def __init__(self, quick: bool = False, elu: bool = False, **options: Any) -> None:
        super().__init__(autocast=False, **options)
        self.quick, self.elu = quick, elu
        self.counts = 1

    def build(self, input_shape: Any) -> None:
        shape = (int(input_shape[-1]),)
        moving = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.MEAN,
        }
        self.beta = self.add_weight("beta", shape, initializer="zeros")
        self.gamma = self.add_weight("gamma", shape, initializer="ones")
        self.mean = self.add_weight("mean", shape, initializer="zeros", **moving)
        self.inverse_std = self.add_weight("inverse_std", shape, initializer="ones", **moving)

    def call(self, inputs: Any, training: Any = None) -> Any:
        if not training:
            centred = tf.cast(inputs, tf.float32) - self.mean
            return self._activated(centred * (self.gamma * self.inverse_std) + self.beta)
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        if self.quick and self.elu and inputs.shape[-1] > 1:
            outputs, mean, variance = _quickly(inputs, gamma, beta)
        else:
            normalized, mean, variance = _exactly(tf.cast(inputs, tf.float32), gamma, beta)
            outputs = self._activated(normalized)
        kept = (1 - ALPHA) ** self.counts
        self.mean.assign(self.mean * kept + mean * (1 - kept))
        self.inverse_std.assign(self.inverse_std * kept + tf.math.rsqrt(variance + EPSILON) * (1 - kept))
        return outputs

    def _activated(self, normalized: Any) -> Any:
        return tf.nn.elu(normalized) if self.elu else normalized
