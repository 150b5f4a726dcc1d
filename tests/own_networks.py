"""Networks of users' own, as binaries are given them: ``--model=tests/own_networks.py:FUNCTION``."""

from typing import Any

import numpy as np

import actprobe
from actprobe.frontends import LogMelFrontEnd, WaveformFrontEnd

SETTINGS: dict[str, Any] = {
    "sample_rate": 16000, "n_fft": 512, "hop_length": 160, "n_mels": 40, "frames": 64, "hop": 32,
    "log": "log10_1p",
}  # fmt: skip


def _weights() -> dict[str, tuple[Any, Any]]:
    """Kernels in Keras' order, with biases."""
    rng = np.random.default_rng(3)
    shapes = {"conv1": (5, 5, 1, 6), "conv2": (3, 3, 6, 8), "classes": (8, 3)}
    return {
        name: (rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape), rng.normal(0, 0.1, shape[-1]))
        for name, shape in shapes.items()
    }


def _in_keras(keras: Any) -> Any:
    network = keras.Sequential(
        [
            keras.layers.Input((64, 40, 1)),
            keras.layers.Conv2D(6, 5, name="conv1"),
            keras.layers.ReLU(name="relu1"),
            keras.layers.MaxPooling2D(2, name="pool1"),
            keras.layers.Conv2D(8, 3, name="conv2"),
            keras.layers.ReLU(name="relu2"),
            keras.layers.GlobalAveragePooling2D(name="mean"),
            keras.layers.Dense(3, name="classes"),
        ],
        name="three_classes",
    )
    for name, arrays in _weights().items():
        network.get_layer(name).set_weights(arrays)
    return network


def keras2() -> Any:
    import tf_keras

    return _in_keras(tf_keras), LogMelFrontEnd(**SETTINGS)


def keras3() -> Any:
    import keras

    return _in_keras(keras), LogMelFrontEnd(**SETTINGS)


def pytorch() -> Any:
    import torch

    class ThreeClasses(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.relu1 = torch.nn.Conv2d(1, 6, 5), torch.nn.ReLU()
            self.pool1 = torch.nn.MaxPool2d(2)
            self.conv2, self.relu2 = torch.nn.Conv2d(6, 8, 3), torch.nn.ReLU()
            self.mean, self.flat = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
            self.classes = torch.nn.Linear(8, 3)

        def forward(self, examples: Any) -> Any:
            halfway = self.pool1(self.relu1(self.conv1(examples)))
            return self.classes(self.flat(self.mean(self.relu2(self.conv2(halfway)))))

    network = ThreeClasses()
    with torch.no_grad():
        for name, (kernel, bias) in _weights().items():
            order = (3, 2, 1, 0) if kernel.ndim == 4 else (1, 0)
            getattr(network, name).weight.copy_(torch.tensor(kernel.transpose(order)))
            getattr(network, name).bias.copy_(torch.tensor(bias))
    return actprobe.wrap_model(network, LogMelFrontEnd(**SETTINGS), name="three_classes", axes="mel,time")


def waveform() -> Any:
    import tf_keras as keras

    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.layers.Input((8000, 1)),
            keras.layers.Conv1D(8, 400, strides=160, activation="relu", name="filters"),
            keras.layers.Conv1D(6, 3, activation="relu", name="second"),
            keras.layers.GlobalAveragePooling1D(name="mean"),
        ],
        name="samples_net",
    )
    return actprobe.wrap_model(network, WaveformFrontEnd(16000, samples=8000), axes="samples")


def recurrent() -> Any:
    import tf_keras as keras

    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.layers.Input((64, 40)),
            keras.layers.GRU(16, return_sequences=True, name="steps"),
            keras.layers.GRU(8, name="last"),
            keras.layers.Dense(2, name="classes"),
        ],
        name="recurrent",
    )
    return network, LogMelFrontEnd(**SETTINGS)
