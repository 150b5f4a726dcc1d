"""Specification -> tf_keras model with a named output for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actprobe import backend
from actprobe.models.convolution import fast_convolution
from actprobe.models.specs import (
    Activation,
    Add,
    BatchNorm,
    Branches,
    Concat,
    Conv,
    Dense,
    Dropout,
    Elu,
    Flatten,
    From,
    Harmonics,
    Identity,
    MaxMean,
    MaxPool,
    Pad,
    Relu,
    Spec,
    Transpose,
)

LEAST_FUSED_EPSILON = 1.001e-5  # the fused kernel raises a smaller one without a word
LEAKY_RELU_SLOPE = 0.01  # Lasagne's leaky_rectify, which the networks here use


def build_keras(
    network: str, example_shape: tuple[int, int], specs: Sequence[Spec], *, kernels: str = "glorot_uniform"
) -> Any:
    """Build a network: input [batch, time, mel], output a dict from layer name to tensor.

    Maps are [batch, time, mel, channel]. ``NAME/linear`` is there for layers with an activation of their own.
    `kernels` is Keras' initializer; use ``zeros`` for a large network whose weights will be set, as sampling
    random ones takes more than twice the memory.
    """
    inputs = backend.keras.Input(example_shape, name="examples")
    tensor = backend.keras.layers.Reshape((*example_shape, 1), name="as_map")(inputs)
    outputs: dict[str, Any] = {}
    _stack(tensor, specs, outputs, kernels)
    return backend.keras.Model(inputs, outputs, name=network)


def _stack(tensor: Any, specs: Sequence[Spec], outputs: dict[str, Any], kernels: str) -> Any:
    layers = backend.keras.layers
    for spec in specs:
        match spec:
            case Conv(name, filters, kernel, padding, activation, stride):
                if padding == "same_theano":
                    zeros = [(size // 2, (size - 1) // 2) for size in kernel]
                    tensor = layers.ZeroPadding2D(zeros, name=f"{name}_pad")(tensor)
                    padding = "valid"
                convolution = layers.Conv2D(
                    filters, kernel, stride, padding, kernel_initializer=kernels, name=name
                )
                faster = fast_convolution(filters, kernel, stride, padding, tensor.shape[2])
                if faster is not None:
                    convolution.convolution_op = faster
                tensor = convolution(tensor)
                tensor = _activate(tensor, name, activation, outputs)
            case BatchNorm(name, epsilon, axis):
                tensor = layers.BatchNormalization(
                    axis={"channel": -1, "time": 1}[axis],
                    epsilon=epsilon,
                    fused=None if epsilon >= LEAST_FUSED_EPSILON else False,
                    name=name,
                )(tensor)
            case Elu(name):
                tensor = layers.ELU(name=name)(tensor)
            case Relu(name):
                tensor = layers.ReLU(name=name.replace("/", "_"))(tensor)
            case Identity():
                pass
            case MaxPool(name, size, stride):
                tensor = layers.MaxPooling2D(size, stride, padding="valid", name=name)(tensor)
            case Pad(name, time, mel):
                tensor = layers.ZeroPadding2D((time, mel), name=name)(tensor)
            case Transpose(name):
                tensor = layers.Permute((2, 1, 3), name=name)(tensor)
            case Flatten(name, order):
                if order == "channel_time_mel":
                    tensor = layers.Permute((3, 1, 2), name=f"{name}_{order}")(tensor)
                tensor = layers.Flatten(name=name)(tensor)
            case Dense(name, units, activation):
                tensor = layers.Dense(units, kernel_initializer=kernels, name=name)(tensor)
                tensor = _activate(tensor, name, activation, outputs)
            case Dropout(name, rate):
                tensor = layers.Dropout(rate, name=name)(tensor)
                continue
            case From(name):
                tensor = outputs[name]
                continue
            case Add(name, earlier):
                tensor = layers.Add(name=name)([outputs[each] for each in earlier])
            case Concat(name, earlier):
                tensor = layers.Concatenate(axis=-1, name=name)([outputs[each] for each in earlier])
            case MaxMean(name, maximum, mean):
                outputs[maximum] = layers.GlobalMaxPooling2D(name=maximum)(tensor)
                outputs[mean] = layers.GlobalAveragePooling2D(name=mean)(tensor)
                pairs = [layers.Reshape((-1, 1))(outputs[each]) for each in (maximum, mean)]
                tensor = layers.Flatten(name=name)(layers.Concatenate(axis=2)(pairs))
            case Harmonics(name, shifts, bins):
                shifted = [_shifted(tensor, shift, bins) for shift in shifts]
                tensor = layers.Concatenate(axis=-1, name=name)(shifted)
            case Branches(name, stacks):
                parts = [_stack(tensor, stack, outputs, kernels) for stack in stacks]
                tensor = layers.Concatenate(axis=-1, name=name)(parts)
        outputs[spec.name] = tensor
    return tensor


def _shifted(tensor: Any, shift: int, bins: int) -> Any:
    """Take `bins` bins from number `shift` on, zeros beyond both ends."""
    layers, size = backend.keras.layers, tensor.shape[2]
    first, end = max(shift, 0), min(shift + bins, size)
    cut = layers.Cropping2D(((0, 0), (first, size - end)))(tensor)
    return layers.ZeroPadding2D(((0, 0), (first - shift, shift + bins - end)))(cut)


def _activate(tensor: Any, name: str, activation: Activation, outputs: dict[str, Any]) -> Any:
    if activation == "linear":
        return tensor
    outputs[f"{name}/linear"] = tensor
    layers = backend.keras.layers
    if activation == "leaky_relu":
        return layers.LeakyReLU(LEAKY_RELU_SLOPE, name=f"{name}_leaky_relu")(tensor)
    return layers.Activation(activation, name=f"{name}_{activation}")(tensor)
