"""Keras-2 HDF5 weight files of known networks.

A file has one group per layer and within it another, which in a process that built several networks has a
number behind its name: ``conv1/conv1_3/kernel:0``. A kernel may be that of a convolution over one axis or
over two, (512, 1, 128) or (512, 1, 1, 128): axes of one position are no difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import WeightsError
from actprobe.formats.arrays import RefusalError, Wanted
from actprobe.weights.guarded import read_file

NAME = re.compile(r"(.+)/\1(?:_\d+)?/(\w+)")
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Keras2Weights:
    """float32 arrays by layer and name, such as ``conv1/kernel``, and the digest of the bytes read."""

    arrays: dict[str, NDArray[np.float32]] = field(repr=False)
    sha256: str


def read_keras2_h5(
    path: str | os.PathLike[str], expected: Mapping[str, Mapping[str, Shape]]
) -> Keras2Weights:
    """Read the weights of a known network, layer -> name -> shape, from a Keras-2 HDF5 file.

    The file may hold no other array. Whatever is wrong is a `WeightsError`.
    """
    name = os.fspath(path)
    shapes = {f"{layer}/{kind}": shape for layer, kinds in expected.items() for kind, shape in kinds.items()}
    known = Wanted.of(shapes)
    found, sha256 = read_file(name, "an HDF5 file", Wanted(None, known.dtypes, known.most))
    arrays: dict[str, NDArray[np.float32]] = {}
    for key, each in found.items():
        parts = NAME.fullmatch(key)
        variable = f"{parts[1]}/{parts[2]}" if parts else key
        if variable not in shapes:
            raise WeightsError(name, each.entry, "is not expected here: this network has no such array")
        if variable in arrays:
            raise WeightsError(name, each.entry, f"is a second array of {variable}")
        if _without_ones(each.array.shape) != _without_ones(shapes[variable]):
            raise WeightsError(name, each.entry, f"has shape {each.array.shape}, not {shapes[variable]}")
        arrays[variable] = each.array.reshape(shapes[variable])
    try:
        known.check_complete(arrays)
    except RefusalError as error:
        raise WeightsError(name, error.entry, error.reason) from error
    return Keras2Weights(arrays, sha256)


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)
