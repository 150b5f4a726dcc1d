"""MM-CNN: the single-layer network of musically motivated filter shapes, with its published weights.

Pons, Slizovskaia, Gong, Gómez and Serra: Timbre analysis of music audio signals with convolutional neural
networks, EUSIPCO 2017; trained on IRMAS with Keras 1.2.0 on Theano (Veleslavia/EUSIPCO2017). Six branches
look at the same melgram, each with filters of its own shape. Traps that this file settles:

- the published file holds filters of 5 and 80 mel bands, whatever the repository's singlelayer.py says;
- Theano convolves, TensorFlow correlates: kernels are flipped in both axes;
- ``running_std`` of this file (Keras 1.2) is a variance, whatever its name says and unlike CNN-AT's;
- Theano pads a filter of 80 bands by 40 below and 39 above, TensorFlow by 39 and 40;
- Theano flattens channel by channel.

The multi-layer network of the same paper is `actprobe.models.networks.mm_cnn_multilayer`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import WeightsError
from actprobe.frontends.mm_cnn import MmCnnFrontEnd
from actprobe.models.keras_build import build_keras
from actprobe.models.output import labelled
from actprobe.models.spec_table import layer_table
from actprobe.models.specs import BatchNorm, Branches, Conv, Dense, Dropout, Elu, Flatten, MaxPool, Spec
from actprobe.weights import Keras1Weights, read_keras1_h5

NAME = "mm_cnn"
FRONTEND = MmCnnFrontEnd
EPSILON = 1e-3  # the default of Keras 1.2

# The instruments of IRMAS (Bosch et al. 2012), in the order of `prediction`.
CLASSES = {
    "cel": "cello",
    "pia": "piano",
    "vio": "violin",
    "cla": "clarinet",
    "org": "organ",
    "gac": "acoustic guitar",
    "tru": "trumpet",
    "flu": "flute",
    "sax": "saxophone",
    "gel": "electric guitar",
    "voi": "human singing voice",
}

# Frames and mel bands that a filter spans, and how many filters: named FRAMES_BANDS in this order.
BRANCHES = tuple(
    (frames, bands, filters) for bands in (5, 80) for frames, filters in ((1, 128), (3, 64), (5, 32))
)


def branch(frames: int, bands: int, filters: int, pool: tuple[int, int]) -> tuple[Spec, ...]:
    """Write one branch down, from its filters of `frames` by `bands` to its maps pooled by (time, mel).

    The branch's layers are named ``FRAMES_BANDS_conv`` and so on.
    """
    name = f"{frames}_{bands}"
    return (
        Conv(f"{name}_conv", filters, (frames, bands), "same_theano"),
        BatchNorm(f"{name}_bn", EPSILON),
        Elu(f"{name}_elu"),
        MaxPool(f"{name}_pool", pool),
    )


SPECS = (
    Branches(
        "merge_1",
        tuple(
            (
                *branch(frames, bands, filters, pool=(32, 96)),
                Flatten(f"{frames}_{bands}_flatten", "channel_time_mel"),
            )
            for frames, bands, filters in BRANCHES
        ),
    ),
    Dropout("dropout_1", 0.5),
    Dense("prediction", len(CLASSES), activation="softmax"),
)

ALIASES = {  # as the published file numbers them
    f"elu_{i}{suffix}": f"{frames}_{bands}_elu{suffix}"
    for i, (frames, bands, _) in enumerate(BRANCHES, start=1)
    for suffix in ("", "/linear")
}

LAYERS = layer_table(NAME, FRONTEND(), SPECS, ALIASES)


OUTPUTS = labelled("prediction", tuple(CLASSES.values()), "probability of the instrument")


def build() -> Any:
    """Build the Keras model: input [batch, 128, 96]; output a dict with every layer by name."""
    return build_keras(NAME, FRONTEND.example_shape, SPECS)


def arrays_in_file() -> dict[str, tuple[int, ...]]:
    """Give the arrays of the published file by name; kernels are (out, in, mel, time)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for frames, bands, filters in BRANCHES:
        name = f"{frames}_{bands}"
        shapes[f"{name}_conv/{name}_conv_W"] = (filters, 1, bands, frames)
        shapes[f"{name}_conv/{name}_conv_b"] = (filters,)
        for array in _BN_ARRAYS:
            shapes[f"{name}_bn/{name}_bn_{array}"] = (filters,)
    shapes["prediction/prediction_W"] = (LAYERS["merge_1"].neurons, len(CLASSES))
    shapes["prediction/prediction_b"] = (len(CLASSES),)
    return shapes


_BN_ARRAYS = ("gamma", "beta", "running_mean", "running_std")  # the last one a variance


def read(path: Path) -> Keras1Weights:
    """Read ``epoch.115-val_loss.0.902-fbeta.0.673.hdf5``, trusting nothing."""
    weights = read_keras1_h5(path, arrays_in_file(), root="model_weights")
    if weights.backend != "theano":
        raise WeightsError(path, "", "was written by Keras on TensorFlow; this network was trained on Theano")
    return weights


def port(weights: Keras1Weights) -> dict[str, list[NDArray[np.float32]]]:
    """Map the published arrays to the Keras layers, in the order of ``layer.set_weights``."""
    arrays = weights.arrays
    ported: dict[str, list[NDArray[np.float32]]] = {}
    for frames, bands, _ in BRANCHES:
        conv, bn = f"{frames}_{bands}_conv", f"{frames}_{bands}_bn"
        kernel = arrays[f"{conv}/{conv}_W"][:, :, ::-1, ::-1].transpose(3, 2, 1, 0)
        ported[conv] = [kernel, arrays[f"{conv}/{conv}_b"]]
        ported[bn] = [arrays[f"{bn}/{bn}_{array}"] for array in _BN_ARRAYS]
    ported["prediction"] = [arrays[f"prediction/prediction_{array}"] for array in ("W", "b")]
    return ported
