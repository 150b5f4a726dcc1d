"""CNN-AT: Choi's fully convolutional music tagger (MusicTaggerCNN) with its published weights.

Choi, Fazekas, Sandler: Automatic tagging using deep convolutional neural networks, ISMIR 2016. The
published ``music_tagger_cnn_weights_*.h5`` fit the definition at revision c7a4243 of
keunwoochoi/music-auto_tagging-keras, not the one at its head. Traps that this file settles:

- ``bn_0_freq`` normalises along time (1366 parameters), whatever its name says;
- ``running_std`` of these files (Keras 1.0.6, Theano) is a deviation, not a variance: the layer
  computed ``(x - mean) * gamma / (running_std + 1e-6) + beta``;
- Theano convolves, TensorFlow correlates: the Theano file's kernels are flipped in both axes;
- the examples are standardised melgrams (see `actprobe.frontends.MelgramFrontEnd`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.frontends import MelgramFrontEnd
from actprobe.models.keras_build import build_keras
from actprobe.models.output import labelled
from actprobe.models.spec_table import layer_table
from actprobe.models.specs import BatchNorm, Conv, Dense, Elu, Flatten, MaxPool
from actprobe.weights import Keras1Weights, read_keras1_h5

NAME = "cnn_at"
FRONTEND = MelgramFrontEnd
EPSILON = 1e-6

_BLOCKS = ((32, (4, 2)), (128, (4, 2)), (128, (4, 2)), (192, (5, 3)), (256, (4, 4)))

SPECS = (
    BatchNorm("bn_0_freq", EPSILON, axis="time"),
    *(
        spec
        for i, (filters, pool) in enumerate(_BLOCKS, start=1)
        for spec in (
            Conv(f"conv{i}", filters, (3, 3)),
            BatchNorm(f"bn{i}", EPSILON),
            Elu(f"elu{i}"),
            MaxPool(f"pool{i}", pool),
        )
    ),
    Flatten("flatten"),
    Dense("output", 50, activation="sigmoid"),
)

ALIASES = {f"elu_{i}": f"elu{i}" for i in range(1, 6)}  # as the published files spell them

LAYERS = layer_table(NAME, FRONTEND(), SPECS, ALIASES)

# The 50 most frequent tags of the Million Song Dataset's last.fm set, in the order of `output`.
TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
    "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock",
    "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill", "instrumental",
    "punk", "oldies", "blues", "hard rock", "ambient", "acoustic", "experimental", "female vocalist",
    "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy", "catchy", "funk",
    "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy",
)  # fmt: skip


OUTPUTS = labelled("output", TAGS, "probability of the tag")


def build() -> Any:
    """Build the Keras model: input [batch, 1366, 96]; output a dict with every layer by name."""
    return build_keras(NAME, FRONTEND.example_shape, SPECS)


def arrays_in_file() -> dict[str, tuple[int, ...]]:
    """Give the arrays of the published files, without Keras' ``:0``; kernels are (out, in, mel, time)."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 1
    for spec in SPECS:
        match spec:
            case Conv(name, filters, (time, mel)):
                shapes[f"{name}/{name}_W"] = (filters, channels, mel, time)
                shapes[f"{name}/{name}_b"] = (filters,)
                channels = filters
            case BatchNorm(name, _, axis):
                size = FRONTEND.example_shape[0] if axis == "time" else channels
                for array in ("gamma", "beta", "running_mean", "running_std"):
                    shapes[f"{name}/{name}_{array}"] = (size,)
            case Dense(name, units, _):
                shapes[f"{name}/{name}_W"] = (channels, units)
                shapes[f"{name}/{name}_b"] = (units,)
    return shapes


def read(path: Path) -> Keras1Weights:
    """Read ``music_tagger_cnn_weights_tensorflow.h5`` or ``..._theano.h5``, trusting nothing."""
    return read_keras1_h5(path, arrays_in_file())


def port(weights: Keras1Weights) -> dict[str, list[NDArray[np.float32]]]:
    """Map the published arrays to the Keras layers, in the order of ``layer.set_weights``."""
    arrays = weights.arrays
    flip = -1 if weights.backend == "theano" else 1
    ported: dict[str, list[NDArray[np.float32]]] = {}
    for spec in SPECS:
        name = spec.name
        match spec:
            case Conv():
                kernel = arrays[f"{name}/{name}_W"][:, :, ::flip, ::flip].transpose(3, 2, 1, 0)
                ported[name] = [kernel, arrays[f"{name}/{name}_b"]]
            case BatchNorm():
                ported[name] = [
                    arrays[f"{name}/{name}_{array}"] for array in ("gamma", "beta", "running_mean")
                ]
                ported[name].append(np.square(arrays[f"{name}/{name}_running_std"]))
            case Dense():
                ported[name] = [arrays[f"{name}/{name}_W"], arrays[f"{name}/{name}_b"]]
    return ported
