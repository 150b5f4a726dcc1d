"""basic-pitch: polyphonic transcription by three pitch maps, with the weights that come with the package.

Bittner et al.: A lightweight instrument-agnostic model for polyphonic note transcription and multipitch
estimation, ICASSP 2022; basic-pitch 0.4.0 (Apache-2.0, Spotify). Layers have the names of the original's
graph. Traps that this file settles:

- the published model is not the one of models.py: a contour convolution of 32 channels that is defined
  there is not connected, and not in the file;
- a convolution is followed by its normalisation and a rectifier, but ``conv2d_2`` has no normalisation;
- a stride of 3 bins takes a third of a semitone to a semitone; TensorFlow then pads 2 and 2 bins around a
  kernel of 7, and 1 and 1 around one of 5;
- the note map comes before the channels of the onset path in ``concat``;
- bin b of the contour is the pitch 27.5 * 2^((b - 1) / 36) Hz, one bin above the input. The original's
  constants leave that out, so that the pitch bend of an A4 in tune is a third of a semitone;
- the file numbers layers by their depth in the graph: the note output is 7, between the onset path's 5, 6
  and 8.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.frontends.basic_pitch import BINS_PER_OCTAVE, LOWEST_HZ, BasicPitchFrontEnd
from actprobe.models.keras_build import build_keras
from actprobe.models.output import labelled_bands
from actprobe.models.parameters import parameters_of
from actprobe.models.spec_table import layer_table
from actprobe.models.specs import BatchNorm, Concat, Conv, From, Harmonics, Relu, Spec
from actprobe.weights import TfCheckpointWeights, read_tf_checkpoint

NAME = "basic_pitch"
FRONTEND = BasicPitchFrontEnd
EPSILON = 1e-3
HARMONICS = (0.5, 1, 2, 3, 4, 5, 6, 7)
CONTOUR_BINS, KEYS = 264, 88
LOWEST_KEY = 21  # MIDI, A0
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

SPECS: tuple[Spec, ...] = (
    BatchNorm("batch_normalization", EPSILON),
    Harmonics(
        "harmonic_stacking",
        tuple(round(BINS_PER_OCTAVE * float(np.log2(harmonic))) for harmonic in HARMONICS),
        CONTOUR_BINS,
    ),
    Conv("conv2d_1", 8, (3, 39)),
    BatchNorm("batch_normalization_2", EPSILON),
    Relu("re_lu_1"),
    Conv("contours-reduced", 1, (5, 5), activation="sigmoid"),
    Conv("conv2d_2", 32, (7, 7), stride=(1, 3)),
    Relu("re_lu_2"),
    Conv("conv2d_3", 1, (7, 3), activation="sigmoid"),
    From("harmonic_stacking"),
    Conv("conv2d_4", 32, (5, 5), stride=(1, 3)),
    BatchNorm("batch_normalization_3", EPSILON),
    Relu("re_lu_3"),
    Concat("concat", ("conv2d_3", "re_lu_3")),
    Conv("conv2d_5", 1, (3, 3), activation="sigmoid"),
)

CONTOUR, NOTE, ONSET = EXPORTED = ("contours-reduced", "conv2d_3", "conv2d_5")
ALIASES = {"contour": CONTOUR, "note": NOTE, "onset": ONSET}
LAYERS = layer_table(NAME, FRONTEND(), SPECS, ALIASES)

# The layers with parameters, as the checkpoint numbers them: layer_with_weights-0, -1, ...
IN_FILE = (
    "batch_normalization", "conv2d_1", "batch_normalization_2", CONTOUR, "conv2d_2", "conv2d_4",
    "batch_normalization_3", NOTE, ONSET,
)  # fmt: skip


def contour_hz() -> NDArray[np.float64]:
    """Give the pitch of every bin of the contour, float64 [264], Hz."""
    return np.asarray(LOWEST_HZ * 2.0 ** ((np.arange(CONTOUR_BINS) - 1) / BINS_PER_OCTAVE))


def key_names() -> list[str]:
    """Name the keys of the note and onset maps, A0 to C8."""
    keys = range(LOWEST_KEY, LOWEST_KEY + KEYS)
    return [f"{PITCH_CLASSES[key % 12]}{key // 12 - 1}" for key in keys]


OUTPUTS = (
    *labelled_bands(
        CONTOUR, [f"contour {hertz:.1f} Hz" for hertz in contour_hz()], "probability that the pitch sounds"
    ),
    *labelled_bands(NOTE, [f"note {key}" for key in key_names()], "probability that the note sounds"),
    *labelled_bands(ONSET, [f"onset {key}" for key in key_names()], "probability that the note begins"),
)


def build() -> Any:
    """Build the Keras model: input [batch, 172, 309]; output a dict with every layer by name."""
    return build_keras(NAME, FRONTEND.example_shape, SPECS)


def arrays_in_file() -> dict[str, tuple[int, ...]]:
    """Give the variables of the network by name; kernels are (time, bin, in, out)."""
    parameters = parameters_of(SPECS, LAYERS)
    return {
        _variable(layer, kind): shape
        for layer in IN_FILE
        for kind, shape in parameters[layer].items()
    }  # fmt: skip


def _variable(layer: str, kind: str) -> str:
    return f"layer_with_weights-{IN_FILE.index(layer)}/{kind}/.ATTRIBUTES/VARIABLE_VALUE"


def read(path: Path) -> TfCheckpointWeights:
    """Read ``nmp/variables/variables``, or another checkpoint of these 26 variables, trusting nothing."""
    return read_tf_checkpoint(path, arrays_in_file())


def port(weights: TfCheckpointWeights) -> dict[str, list[NDArray[np.float32]]]:
    """Map the variables to the Keras layers; nothing is transposed."""
    return {
        layer: [weights.arrays[_variable(layer, kind)] for kind in kinds]
        for layer, kinds in parameters_of(SPECS, LAYERS).items()
    }
