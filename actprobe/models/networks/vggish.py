"""VGGish: Google's audio embedding network with its published weights.

Hershey et al.: CNN architectures for large-scale audio classification, ICASSP 2017; defined in TF-Slim in
tensorflow/models research/audioset/vggish/vggish_slim.py (Apache-2.0). Traps that this file settles:

- the embedding: until tensorflow/models #9080 (10 August 2020) the last layer was followed by a
  rectifier, since then it is not. ``embedding`` is today's, before the rectifier, and ``embedding/relu``
  the one of 2017 to 2020. Of the latter a unit that is never active is constant;
- the published checkpoint is of version 1, one file, and holds 2.5 MB more than the 18 variables of the
  network. What else is in it, or in any other checkpoint, is not read.

What turns embeddings into the 8-bit features of AudioSet is in `actprobe.models.networks.vggish_postprocess`,
the smoke test of the original in `actprobe.models.networks.vggish_smoke`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.frontends.vggish import VggishFrontEnd
from actprobe.models.keras_build import build_keras
from actprobe.models.networks.vggish_smoke import smoke_test
from actprobe.models.spec_table import layer_table
from actprobe.models.specs import Conv, Dense, Flatten, Identity, MaxPool, Relu, Spec
from actprobe.weights import TfCheckpointWeights, read_tf_checkpoint

NAME = "vggish"
FRONTEND = VggishFrontEnd


def _conv(name: str, filters: int) -> Conv:
    return Conv(name, filters, (3, 3), activation="relu")


SPECS: tuple[Spec, ...] = (
    _conv("conv1", 64),
    MaxPool("pool1", (2, 2)),
    _conv("conv2", 128),
    MaxPool("pool2", (2, 2)),
    _conv("conv3_1", 256),
    _conv("conv3_2", 256),
    MaxPool("pool3", (2, 2)),
    _conv("conv4_1", 512),
    _conv("conv4_2", 512),
    MaxPool("pool4", (2, 2)),
    Flatten("flatten"),
    Dense("fc1_1", 4096, activation="relu"),
    Dense("fc1_2", 4096, activation="relu"),
    Dense("fc2", 128),
    Identity("embedding"),
    Relu("embedding/relu"),
)


def _scope(layer: str) -> str:
    group = layer.partition("_")[0]
    return layer if group == layer else f"{group}/{layer}"


# Where the variables of a layer are in the checkpoint: vggish/SCOPE/weights and vggish/SCOPE/biases.
SCOPES = {spec.name: _scope(spec.name) for spec in SPECS if isinstance(spec, Conv | Dense)}

ALIASES = {  # the operations of the original's graph
    **{
        f"vggish/{scope}/{operation}": f"{layer}{suffix}"
        for layer, scope in SCOPES.items()
        if layer != "fc2"
        for operation, suffix in (("Relu", ""), ("BiasAdd", "/linear"))
    },
    **{f"vggish/pool{i}/MaxPool": f"pool{i}" for i in range(1, 5)},
    "vggish/fc2/BiasAdd": "fc2",
    "vggish/fc2/Relu": "embedding/relu",
    "vggish/embedding": "embedding",
    "embedding_relu_2017": "embedding/relu",
}

LAYERS = layer_table(NAME, FRONTEND(), SPECS, ALIASES)

EXPORTED = ("embedding", "embedding/relu")  # both are in use
OUTPUTS = ()  # no unit of an embedding means anything by itself
SMOKE = smoke_test


def build() -> Any:
    """Build the Keras model: input [batch, 96, 64]; output a dict with every layer by name.

    Its kernels are zeros: to sample random ones takes more than twice the memory.
    """
    return build_keras(NAME, FRONTEND.example_shape, SPECS, kernels="zeros")


def arrays_in_file() -> dict[str, tuple[int, ...]]:
    """Give the variables of the network by name; kernels are (time, mel, in, out) and (in, out)."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = 1
    for spec in SPECS:
        match spec:
            case Conv(name, outputs, kernel):
                shapes[f"vggish/{SCOPES[name]}/weights"] = (*kernel, inputs, outputs)
                shapes[f"vggish/{SCOPES[name]}/biases"] = (outputs,)
                inputs = outputs
            case Flatten(name):
                inputs = LAYERS[name].neurons
            case Dense(name, outputs):
                shapes[f"vggish/{SCOPES[name]}/weights"] = (inputs, outputs)
                shapes[f"vggish/{SCOPES[name]}/biases"] = (outputs,)
                inputs = outputs
    return shapes


def read(path: Path) -> TfCheckpointWeights:
    """Read ``vggish_model.ckpt``, or another checkpoint of these 18 variables, trusting nothing."""
    return read_tf_checkpoint(path, arrays_in_file())


def port(weights: TfCheckpointWeights) -> dict[str, list[NDArray[np.float32]]]:
    """Map the variables to the Keras layers; nothing is transposed or flipped."""
    return {
        layer: [weights.arrays[f"vggish/{scope}/{kind}"] for kind in ("weights", "biases")]
        for layer, scope in SCOPES.items()
    }
