"""Keras-1 HDF5 weight files (2015-2017, Theano or TensorFlow backend).

A Keras-1 file is one HDF5 group per layer, each with the layer's arrays: ``conv1/conv1_W:0`` when Keras ran
on TensorFlow, ``conv1/conv1_W`` on Theano. ``Model.save_weights`` puts the layers at the root of the file,
``Model.save`` under ``model_weights``, beside the optimizer's state.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actprobe.formats.arrays import Wanted
from actprobe.formats.hdf5 import SUFFIX
from actprobe.weights.guarded import read_file


@dataclass(frozen=True, eq=False)
class Keras1Weights:
    """float32 arrays in the file's own axis order, by name without suffix, such as ``conv1/conv1_W``.

    `backend` wrote the file, by the ``:0`` suffix of the names. `sha256` is the digest of the bytes that were
    read; empty when the arrays did not come from a file.
    """

    arrays: dict[str, NDArray[np.float32]] = field(repr=False)
    backend: Literal["tensorflow", "theano"]
    sha256: str = ""


def read_keras1_h5(
    path: str | os.PathLike[str], expected: Mapping[str, tuple[int, ...]], *, root: str | None = None
) -> Keras1Weights:
    """Read the weights of a known network from a Keras-1 HDF5 file, which is never locked.

    `expected` is every array the file must hold, by name without suffix, with its shape as stored. The file
    may hold no other array; groups without arrays are the layers without weights. `root` is the group that
    holds the layers, by default that of the file; what lies beside it is never opened. Whatever is wrong is a
    `WeightsError`.
    """
    found, sha256 = read_file(path, "an HDF5 file", Wanted.of(expected, root=root or ""))
    has_suffix = any(each.entry.endswith(SUFFIX) for each in found.values())
    arrays = {key: each.array for key, each in found.items()}
    return Keras1Weights(arrays, "tensorflow" if has_suffix else "theano", sha256)
