"""musicnn and VGG of Pons and Serra: two architectures, each trained on two sets of tagged music.

Pons and Serra: musicnn: Pre-trained convolutional neural networks for music audio tagging, ISMIR 2019
late-breaking; Pons et al.: End-to-end learning for music audio tagging at scale, ISMIR 2018. Weights and
configuration of musicnn 0.1.0 (ISC). Traps that this file settles:

- normalisations come after the rectifiers, and half of their factors are negative, so they cannot change
  places with the poolings;
- the zeros in time around the timbral filters are put around the map that is normalised already;
- maximum and mean over time are interleaved: max 0, mean 0, max 1, ...;
- ``pool1`` of VGG spans (4, 1) and steps (2, 2): it overlaps in time and leaves out every second band;
- the wheel's own ``penultimate`` repeats the first patch; this one does not;
- most filters of the front end are dead: their value is that of the normalisation's ``beta``, a constant
  with float noise.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.frontends.musicnn import MusicnnFrontEnd
from actprobe.models.keras_build import build_keras
from actprobe.models.network import Network
from actprobe.models.networks.cnn_at import TAGS as MSD_TAGS
from actprobe.models.output import labelled
from actprobe.models.parameters import parameters_of
from actprobe.models.spec_table import layer_table
from actprobe.models.specs import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    From,
    Identity,
    MaxMean,
    MaxPool,
    Pad,
    Spec,
)
from actprobe.weights import TfCheckpointWeights, read_tf_checkpoint

FRONTEND = MusicnnFrontEnd
EPSILON = 1e-3

# The 50 most frequent tags of MagnaTagATune, in the order of the outputs.
MTT_TAGS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano",
    "ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals",
    "no vocals", "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft",
    "sitar", "solo", "man", "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal",
    "beats", "harp", "cello", "no voice", "weird", "country", "metal", "female voice", "choral",
)  # fmt: skip
TAGS = {"mtt": MTT_TAGS, "msd": MSD_TAGS}


def _numbered(name: str, number: int) -> str:
    """Number a layer as TensorFlow does."""
    return f"{name}_{number}" if number else name


def _front(number: int, filters: int, kernel: tuple[int, int], bands: int) -> tuple[Spec, ...]:
    """Write a branch of the front end down: filters, and the maximum over the bands that they leave."""
    return (
        Conv(_numbered("conv2d", number), filters, kernel, "same" if kernel[1] == 1 else "valid", "relu"),
        BatchNorm(_numbered("batch_normalization", number + 1), EPSILON),
        MaxPool(_numbered("max_pooling2d", number), (1, bands)),
    )


def _middle(number: int) -> tuple[Spec, ...]:
    """Write a layer of the middle down: 64 filters over seven frames of all channels."""
    return (
        Pad(f"pad_{number}", (3, 3)),
        Conv(f"conv2d_{number}", 64, (7, 1), "valid", "relu"),
        BatchNorm(f"batch_normalization_{number + 1}", EPSILON),
    )


MUSICNN: tuple[Spec, ...] = (
    BatchNorm("batch_normalization", EPSILON),
    Pad("pad", (3, 3)),
    *_front(0, 204, (7, 38), 59),
    From("pad"),
    *_front(1, 204, (7, 67), 30),
    Concat("timbral", ("max_pooling2d", "max_pooling2d_1")),
    *(
        spec
        for number, frames in ((2, 128), (3, 64), (4, 32))
        for spec in (From("batch_normalization"), *_front(number, 51, (frames, 1), 96))
    ),
    Concat("temporal", ("max_pooling2d_2", "max_pooling2d_3", "max_pooling2d_4")),
    Concat("concat", ("timbral", "temporal")),
    *_middle(5),
    Identity("cnn1"),
    *_middle(6),
    Add("cnn2", ("batch_normalization_7", "cnn1")),
    *_middle(7),
    Add("cnn3", ("batch_normalization_8", "cnn2")),
    Concat("concat_1", ("concat", "cnn1", "cnn2", "cnn3")),
    MaxMean("flatten", maximum="max_pool", mean="mean_pool"),
    BatchNorm("batch_normalization_9", EPSILON),
    Dropout("dropout", 0.5),
    Dense("dense", 200, "relu"),
    BatchNorm("batch_normalization_10", EPSILON),
    Identity("penultimate"),
    Dropout("dropout_1", 0.5),
    Dense("dense_1", 50, "sigmoid"),
)


def _block(number: int, size: tuple[int, int], stride: tuple[int, int]) -> tuple[Spec, ...]:
    return (
        Conv(f"{number}CNN", 128, (3, 3), activation="relu"),
        BatchNorm(f"batch_normalization_{number}", EPSILON),
        MaxPool(f"pool{number}", size, stride),
        Dropout(f"dropout{number}", 0.25),
    )


VGG: tuple[Spec, ...] = (
    BatchNorm("batch_normalization", EPSILON),
    *_block(1, (4, 1), (2, 2)),
    *_block(2, (2, 2), (2, 2)),
    *_block(3, (2, 2), (2, 2)),
    *_block(4, (2, 2), (2, 2)),
    *_block(5, (4, 4), (4, 4)),
    Flatten("flatten"),
    Dropout("dropout", 0.5),
    Dense("dense", 50, "sigmoid"),
)

ARCHITECTURES = {"musicnn": MUSICNN, "vgg": VGG}
COMPARATORS = {"musicnn": "cnn3", "vgg": "batch_normalization_5"}
EXPORTED = {"musicnn": ("penultimate", "dense_1"), "vgg": ("flatten", "dense")}


@cache
def variant(name: str) -> Network:
    """Give what a network of the family offers, by its name: ``musicnn`` or ``vgg``, ``_mtt`` or ``_msd``."""
    architecture, corpus = name.split("_")
    specs = ARCHITECTURES[architecture]
    layers = layer_table(name, FRONTEND(), specs)
    parameters = parameters_of(specs, layers)

    def build() -> Any:
        return build_keras(name, FRONTEND().example_shape, specs)

    def read(path: Path) -> TfCheckpointWeights:
        return read_tf_checkpoint(path, arrays_in_file())

    def arrays_in_file() -> dict[str, tuple[int, ...]]:
        return {
            f"{layer}/{kind}": (7, shape[2], 1, shape[3]) if _is_turned(layer) and len(shape) == 4 else shape
            for layer, shapes in parameters.items()
            for kind, shape in shapes.items()
        }

    def port(weights: TfCheckpointWeights) -> dict[str, list[NDArray[np.float32]]]:
        ported = {}
        for layer, shapes in parameters.items():
            arrays = [weights.arrays[f"{layer}/{kind}"] for kind in shapes]
            if _is_turned(layer):
                arrays[0] = arrays[0].transpose(0, 2, 1, 3)
            ported[layer] = arrays
        return ported

    return Network(
        name,
        layers,
        comparator=COMPARATORS[architecture],
        outputs=labelled(EXPORTED[architecture][-1], TAGS[corpus], "probability of the tag"),
        exported=EXPORTED[architecture],
        specs=specs,
        frontend=FRONTEND,
        build=build,
        read=read,
        port=port,
    )


def _is_turned(layer: str) -> bool:
    """Whether the original has a layer's input channels along mel."""
    return layer in ("conv2d_5", "conv2d_6", "conv2d_7")
