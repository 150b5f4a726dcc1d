"""Specification -> tf_keras model with a named output for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actprobe import backend
from actprobe.models.specs import (
    Activation,
    BatchNorm,
    Branches,
    Conv,
    Dense,
    Dropout,
    Elu,
    Flatten,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Spec,
    padding_before,
)

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
            case Conv(name, filters, kernel, padding, activation):
                if padding == "same_theano":
                    zeros = [(padding_before(size, padding), (size - 1) // 2) for size in kernel]
                    tensor = layers.ZeroPadding2D(zeros, name=f"{name}_pad")(tensor)
                    padding = "valid"
                conv = layers.Conv2D(filters, kernel, padding=padding, kernel_initializer=kernels, name=name)
                tensor = conv(tensor)
                tensor = _activate(tensor, name, activation, outputs)
            case BatchNorm(name, epsilon, axis):
                # The fused kernel raises any epsilon below 1.001e-5 without a word.
                tensor = layers.BatchNormalization(
                    axis={"channel": -1, "time": 1}[axis], epsilon=epsilon, fused=False, name=name
                )(tensor)
            case Elu(name):
                tensor = layers.ELU(name=name)(tensor)
            case Relu(name):
                tensor = layers.ReLU(name=name.replace("/", "_"))(tensor)
            case Identity():
                pass
            case MaxPool(name, size):
                tensor = layers.MaxPooling2D(size, padding="valid", name=name)(tensor)
            case Pad(name, time, mel):
                tensor = layers.ZeroPadding2D((time, mel), name=name)(tensor)
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
            case Branches(name, stacks):
                parts = [_stack(tensor, stack, outputs, kernels) for stack in stacks]
                tensor = layers.Concatenate(axis=-1, name=name)(parts)
        outputs[spec.name] = tensor
    return tensor


def _activate(tensor: Any, name: str, activation: Activation, outputs: dict[str, Any]) -> Any:
    if activation == "linear":
        return tensor
    outputs[f"{name}/linear"] = tensor
    layers = backend.keras.layers
    if activation == "leaky_relu":
        return layers.LeakyReLU(LEAKY_RELU_SLOPE, name=f"{name}_leaky_relu")(tensor)
    return layers.Activation(activation, name=f"{name}_{activation}")(tensor)
