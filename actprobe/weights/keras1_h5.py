"""Keras-1 HDF5 weight files (2015-2017, Theano or TensorFlow backend).

A Keras-1 file is one HDF5 group per layer, each with the layer's arrays: ``conv1/conv1_W:0`` when
Keras ran on TensorFlow, ``conv1/conv1_W`` on Theano. ``Model.save_weights`` puts the layers at the
root of the file, ``Model.save`` under ``model_weights``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actprobe.weights.file_image import read_image
from actprobe.weights.guarded import read_arrays, size_limit
from actprobe.weights.h5_reader import SUFFIX
from actprobe.weights.wanted import Wanted


@dataclass(frozen=True, eq=False)
class Keras1Weights:
    """The arrays of a Keras-1 weight file.

    Parameters
    ----------
    arrays : dict of str to numpy.ndarray
        float32 arrays in the file's own axis order, by name without suffix, such as
        ``conv1/conv1_W``; in the order in which they were expected.
    backend : {"tensorflow", "theano"}
        The backend that wrote the file, by the ``:0`` suffix of the names.
    sha256 : str
        Digest of the bytes that were read; empty when the arrays did not come from a file.
    """

    arrays: dict[str, NDArray[np.float32]] = field(repr=False)
    backend: Literal["tensorflow", "theano"]
    sha256: str = ""


def read_keras1_h5(
    path: str | os.PathLike[str], expected: Mapping[str, tuple[int, ...]], *, root: str | None = None
) -> Keras1Weights:
    """Read the weights of a known network from a Keras-1 HDF5 file, which is never locked.

    Parameters
    ----------
    path : str or os.PathLike
        The weight file.
    expected : mapping of str to tuple of int
        Every array the file must hold, by name without suffix, such as ``conv1/conv1_W``, with its
        shape as stored. The file may hold no other array; groups without arrays are the layers
        without weights.
    root : str, optional
        Group that holds the layers: ``model_weights`` for a file of Keras' ``Model.save``. What lies
        beside that group (the optimizer's state) is never opened. By default the root of the file.

    Raises
    ------
    WeightsError
        Whatever is wrong with the file.
    """
    name, wanted = os.fspath(path), Wanted.of(expected, root=root or "")
    images = {"": read_image(name, size_limit(wanted))}
    file = read_arrays(name, "an HDF5 file", images, wanted)
    has_suffix = any(found.entry.endswith(SUFFIX) for found in file.found.values())
    arrays = {key: found.array for key, found in file.found.items()}
    return Keras1Weights(arrays, "tensorflow" if has_suffix else "theano", file.sha256)
