"""CNN-AT with a hidden layer of 1024 units, as Slizovskaia, Gómez and Haro adapted it.

Slizovskaia, Gómez and Haro: A case study of deep-learned activations via hand-crafted audio features
(2018), speak of activation 259 of a CNN-AT trained on FCVID, which the 256 units of Choi's published
tagger cannot have. The network that fits is the audio part of their earlier program (Musical instrument
recognition in user-generated videos using a multimodal convolutional neural network architecture, ICMR
2017; Veleslavia/ICMR2017): Choi's blocks (ISMIR 2016) with 64 to 128 filters, a hidden layer ``fc1`` of
1024 units and a softmax over 12 classes. That the two are one is inferred, the paper does not say it. The
weights were never published: it opens with seeded random ones and is there to be trained.

The melgram is CNN-AT's. The original joined it from ten pieces of 2.912 s, the centres of ten equal parts
of the recording; here an example is 29.12 s in one piece.
"""

from __future__ import annotations

from typing import Any

from actprobe.corpora.fcvid import CLASSES
from actprobe.frontends import MelgramFrontEnd
from actprobe.models.keras_build import build_keras
from actprobe.models.output import labelled
from actprobe.models.spec_table import layer_table
from actprobe.models.specs import BatchNorm, Conv, Dense, Dropout, Elu, Flatten, MaxPool, Pad

NAME = "cnn_at_fcvid"
FRONTEND = MelgramFrontEnd
EPSILON = 1e-3  # the default of Keras

_BLOCKS = ((64, (2, 2)), (128, (3, 3)), (128, (4, 4)), (128, (4, 4)))

SPECS = (
    Pad("pad", time=(37, 37)),  # 1366 frames to 1440, which the pools divide
    BatchNorm("bn_0", EPSILON, axis="time"),
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
    Flatten("flatten"),  # time by time; without published weights the order is free
    Dense("fc1", 1024, activation="elu"),
    Dropout("dropout", 0.5),
    Dense("output", len(CLASSES), activation="softmax"),
)

LAYERS = layer_table(NAME, FRONTEND(), SPECS)


OUTPUTS = labelled("output", CLASSES, "probability of the class")


def build() -> Any:
    """Build the Keras model: input [batch, 1366, 96]; output a dict with every layer by name."""
    return build_keras(NAME, FRONTEND.example_shape, SPECS)
