"""Foreign weight files, which nobody trusts, and seeded random weights."""

from actprobe.weights.keras1_h5 import Keras1Weights, read_keras1_h5
from actprobe.weights.npz import LasagneWeights, NpzArrays, read_lasagne_npz, read_npz
from actprobe.weights.seeded import he_normal, seeded_kernel
from actprobe.weights.tf_checkpoint import TfCheckpointWeights, read_tf_checkpoint

__all__ = [
    "Keras1Weights",
    "LasagneWeights",
    "NpzArrays",
    "TfCheckpointWeights",
    "he_normal",
    "read_keras1_h5",
    "read_lasagne_npz",
    "read_npz",
    "read_tf_checkpoint",
    "seeded_kernel",
]
