"""SVD: the singing voice detector of Schlüter and Grill, as Mishra et al. took it apart.

Schlüter and Grill: Exploring data augmentation for improved singing voice detection with neural
networks, ISMIR 2015; model.py of f0k/ismir2015. Mishra, Sturm and Dixon: Understanding a deep machine
listening model through feature inversion, ISMIR 2018, whose layer names are used here. Traps that this
file settles:

- Lasagne's Conv2DLayer convolves, TensorFlow correlates: kernels are flipped in both axes;
- ``fc7`` takes the maps of ``mp6`` channel by channel;
- features are taken before the dropout of the next layer, and dropout is off at inference;
- ``fc9`` is the probability of singing at the centre of the excerpt, frame 57 of 115.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.frontends.logmel import SvdFrontEnd
from actprobe.models.inverter_specs import Plan, conv, dense, up
from actprobe.models.keras_build import build_keras
from actprobe.models.output import Output
from actprobe.models.spec_table import layer_table
from actprobe.models.specs import Conv, Dense, Dropout, Flatten, MaxPool
from actprobe.weights.npz import LasagneWeights, read_lasagne_npz

NAME = "svd"
FRONTEND = SvdFrontEnd

SPECS = (
    Conv("conv1", 64, (3, 3), "valid", "leaky_relu"),
    Conv("conv2", 32, (3, 3), "valid", "leaky_relu"),
    MaxPool("mp3", (3, 3)),
    Conv("conv4", 128, (3, 3), "valid", "leaky_relu"),
    Conv("conv5", 64, (3, 3), "valid", "leaky_relu"),
    MaxPool("mp6", (3, 3)),
    Flatten("flatten", "channel_time_mel"),
    Dropout("dropout7", 0.5),
    Dense("fc7", 256, "leaky_relu"),
    Dropout("dropout8", 0.5),
    Dense("fc8", 64, "leaky_relu"),
    Dropout("dropout9", 0.5),
    Dense("fc9", 1, "sigmoid"),
)

LAYERS = layer_table(NAME, FRONTEND(), SPECS)

# The layer of the published inverters' comparator (Mishra et al., section 3.3).
COMPARATOR = "conv5"

OUTPUTS = (Output("fc9", 0, "singing", "probability of singing at the centre frame"),)

_EXCERPT = (115, 80)
_GROW = (
    up(64), conv(64), up(32), conv(32), up(16), conv(16), up(8), conv(8), up(1, normalized=False)
)  # fmt: skip

# The feature inverters of Mishra et al. (2018), tables 1 and 2; upconv.py of their program.
INVERTERS = {
    "conv1": Plan((113, 78, 64), _EXCERPT, (conv(64), conv(1))),
    "conv2": Plan((111, 76, 32), _EXCERPT, (conv(32), conv(32), conv(32), conv(1))),
    "mp3": Plan((37, 25, 32), _EXCERPT, (*4 * (conv(32),), up(16), up(1))),
    "conv4": Plan((35, 23, 128), _EXCERPT, (*3 * (conv(128),), up(64), up(1))),
    "conv5": Plan((33, 21, 64), _EXCERPT, (*3 * (conv(64),), up(32), up(1))),
    "mp6": Plan((11, 7, 64), _EXCERPT, (conv(64), up(32), up(16), up(8), up(1))),
    "fc7": Plan((256,), _EXCERPT, (dense(256), *_GROW), (4, 4, 16)),
    "fc8": Plan((64,), _EXCERPT, (dense(64), dense(256), *_GROW), (4, 4, 16)),
}

_WEIGHTED = tuple(spec for spec in SPECS if isinstance(spec, Conv | Dense))


def build() -> Any:
    """Build the Keras model: input [batch, 115, 80]; output a dict with every layer by name."""
    return build_keras(NAME, FRONTEND.example_shape, SPECS)


def arrays_in_file() -> tuple[tuple[int, ...], ...]:
    """Give the shapes of ``param0`` to ``param13``; kernels are (out, in, time, mel) or (in, out)."""
    shapes: list[tuple[int, ...]] = []
    channels = 1
    for spec in SPECS:
        match spec:
            case Conv(_, filters, kernel):
                shapes += [(filters, channels, *kernel), (filters,)]
                channels = filters
            case Flatten(name):
                channels = LAYERS[name].neurons
            case Dense(_, units):
                shapes += [(channels, units), (units,)]
                channels = units
    return tuple(shapes)


def read(path: Path) -> LasagneWeights:
    """Read npz of ``param0`` to ``param13``, such as ``jamendo_augment.npz``, trusting nothing."""
    return read_lasagne_npz(path, arrays_in_file())


def port(weights: LasagneWeights) -> dict[str, list[NDArray[np.float32]]]:
    """Map the original's arrays to the Keras layers: layer name -> kernel and bias."""
    ported: dict[str, list[NDArray[np.float32]]] = {}
    for i, spec in enumerate(_WEIGHTED):
        kernel, bias = weights.arrays[2 * i : 2 * i + 2]
        if isinstance(spec, Conv):
            kernel = kernel[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
        ported[spec.name] = [kernel, bias]
    return ported


def to_lasagne(
    by_layer: Mapping[str, Sequence[NDArray[np.float32]]],
) -> dict[str, NDArray[np.float32]]:
    """Map kernel and bias of the Keras layers back to the original's layout, the inverse of `port`.

    Gives ``param0`` to ``param13``, contiguous float32, ready for ``numpy.savez(path, **arrays)``.
    """
    arrays: list[NDArray[np.float32]] = []
    for spec in _WEIGHTED:
        kernel, bias = by_layer[spec.name]
        if isinstance(spec, Conv):
            kernel = kernel.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1]
        arrays += [kernel, bias]
    return {f"param{i}": np.ascontiguousarray(array, np.float32) for i, array in enumerate(arrays)}
