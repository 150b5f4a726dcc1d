"""MM-CNN, multi-layer: the same branches of filter shapes under two more convolutions, to be trained.

Pons, Slizovskaia, Gong, Gómez and Serra: Timbre analysis of music audio signals with convolutional neural
networks, EUSIPCO 2017; multilayer.py of Veleslavia/EUSIPCO2017. Its weights are not to be had. Slizovskaia,
Gómez and Haro (2018) probably trained this network on 12 classes of FCVID; those weights were never
published. Here is the architecture, 742 thousand trainable parameters, for any number of classes, to be
trained; what the original adds to the loss to keep weights small is left to the training.
"""

from __future__ import annotations

from typing import Any

from actprobe.errors import UsageError
from actprobe.models.keras_build import build_keras
from actprobe.models.layer_table import LayerTable
from actprobe.models.networks.mm_cnn import BRANCHES, CLASSES, EPSILON, FRONTEND, branch
from actprobe.models.output import labelled
from actprobe.models.spec_table import layer_table
from actprobe.models.specs import BatchNorm, Branches, Conv, Dense, Dropout, Elu, Flatten, MaxPool, Spec

NAME = "mm_cnn_multilayer"
IRMAS_CLASSES = len(CLASSES)


def specs(classes: int = IRMAS_CLASSES) -> tuple[Spec, ...]:
    """Write the network down for a number of classes: 11 of IRMAS, 12 in the authors' part of FCVID."""
    if classes < 2:
        raise UsageError(f"classes={classes}: a softmax tells at least two classes apart")
    return (
        Branches("merge_1", tuple(branch(*shape, pool=(32, 24)) for shape in BRANCHES)),
        *(
            spec
            for i in (2, 3)
            for spec in (
                Dropout(f"dropout{i}", 0.25),
                Conv(f"conv{i}", 128, (3, 3)),
                BatchNorm(f"bn{i}", EPSILON),
                Elu(f"elu{i}"),
                MaxPool(f"pool{i}", (2, 2)),
            )
        ),
        Flatten("flatten", "channel_time_mel"),
        Dropout("dropout4", 0.5),
        Dense("fc1", 256, activation="elu"),
        Dropout("dropout5", 0.5),
        Dense("prediction", classes, activation="softmax"),
    )


def layers(classes: int = IRMAS_CLASSES) -> LayerTable:
    """Give the layer table for a number of classes."""
    return layer_table(NAME, FRONTEND(), specs(classes))


SPECS = specs()
LAYERS = layers()
OUTPUTS = labelled("prediction", tuple(CLASSES.values()), "probability of the instrument")


def build(classes: int = IRMAS_CLASSES) -> Any:
    """Build the Keras model: input [batch, 128, 96]; output a dict with every layer by name."""
    return build_keras(NAME, FRONTEND.example_shape, specs(classes))
