"""Reader of Keras-1 HDF5 weight files (2015-2017, Theano or TensorFlow backend) that trusts nothing.

A Keras-1 file is one HDF5 group per layer, each with the layer's arrays: ``conv1/conv1_W:0`` when
Keras ran on TensorFlow, ``conv1/conv1_W`` on Theano. ``Model.save_weights`` puts the layers at the
root of the file, ``Model.save`` under ``model_weights``. The caller says which arrays of which
shapes its network needs, and anything else is refused.

The file is read into memory once, after its size was checked, so that nobody can change it between
two looks, no file is locked, and the digest belongs to the very bytes that were read. The names,
types, shapes and places of all arrays are checked before the first number is taken. Attributes are
not looked at.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import WeightsError
from actprobe.weights.file_image import printable, read_image
from actprobe.weights.hdf5_classic import ArrayHeader, ClassicHdf5, GroupHeader, Hdf5Error

TENSORFLOW_SUFFIX = ":0"

# Room for the groups, headers and attributes (with the model's JSON) beside the numbers. The known
# files use 43 and 77 kB.
OVERHEAD_BYTES = 1 << 20
OVERHEAD_BYTES_PER_ARRAY = 4096
# `Model.save` also writes the optimizer's state: up to two arrays per weight in Keras 1 (Adam).
SAVED_MODEL_FACTOR = 4

MAX_GROUPS = 256  # the known files have 29 and 34, one per layer


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
    name = os.fspath(path)
    image = read_image(name, _size_limit(expected, saved_model=root is not None))
    found = _Walk(name, image, expected).arrays(root)
    missing = [key for key in expected if key not in found]
    if missing:
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise WeightsError(name, missing[0], f"this array is missing{others}")
    arrays = {key: _take(name, image, key, *found[key]) for key in expected}
    has_suffix = any(entry.endswith(TENSORFLOW_SUFFIX) for entry, _ in found.values())
    digest = hashlib.sha256(image).hexdigest()
    return Keras1Weights(arrays, "tensorflow" if has_suffix else "theano", digest)


def _size_limit(expected: Mapping[str, tuple[int, ...]], *, saved_model: bool) -> int:
    numbers = sum(4 * math.prod(shape) for shape in expected.values())
    overhead = OVERHEAD_BYTES + OVERHEAD_BYTES_PER_ARRAY * len(expected)
    return numbers * (SAVED_MODEL_FACTOR if saved_model else 1) + overhead


class _Walk:
    """Visits every group and array once, and refuses what a weight file does not hold."""

    def __init__(self, path: str, image: bytes, expected: Mapping[str, tuple[int, ...]]) -> None:
        self.path = path
        self.expected = expected
        self.max_depth = max((key.count("/") for key in expected), default=1)
        self.links_left = len(expected) + MAX_GROUPS
        try:
            self.file = ClassicHdf5(image)
        except Hdf5Error as error:
            raise WeightsError(path, "", error.reason) from error
        self.visited = {self.file.root}
        self.found: dict[str, tuple[str, ArrayHeader]] = {}

    def arrays(self, root: str | None) -> dict[str, tuple[str, ArrayHeader]]:
        """Return the name in the file (with suffix) and the header of every array, by expected name."""
        top = self.header("", self.file.root)
        if root is not None and isinstance(top, GroupHeader):
            top = self.header(root, self.below(root, top))
        if not isinstance(top, GroupHeader):
            raise WeightsError(self.path, root or "", "is not a group")
        pending = deque([("", top)])
        while pending:
            prefix, group = pending.popleft()
            for name, address in self.links(prefix, group):
                self.links_left -= 1
                entry = prefix + printable(name)
                if address in self.visited:
                    raise WeightsError(self.path, entry, "is a second link to one object, or a cycle")
                self.visited.add(address)
                member = self.header(entry, address)
                if isinstance(member, ArrayHeader):
                    self.add(entry, member)
                elif entry.count("/") >= self.max_depth:
                    raise WeightsError(self.path, entry, "is a group where only arrays may be")
                else:
                    pending.append((f"{entry}/", member))
        return self.found

    def below(self, root: str, top: GroupHeader) -> int:
        for name, address in self.links("", top):
            if name == root.encode():
                self.visited.add(address)
                return address
        raise WeightsError(self.path, root, "this group is missing")

    def header(self, entry: str, address: int) -> GroupHeader | ArrayHeader:
        try:
            return self.file.header(address)
        except Hdf5Error as error:
            raise WeightsError(self.path, _below(entry, error), error.reason) from error

    def links(self, prefix: str, group: GroupHeader) -> list[tuple[bytes, int]]:
        try:
            return self.file.links(group, self.links_left)
        except Hdf5Error as error:
            raise WeightsError(self.path, _below(prefix.rstrip("/"), error), error.reason) from error

    def add(self, entry: str, array: ArrayHeader) -> None:
        key = entry.removesuffix(TENSORFLOW_SUFFIX)
        if key not in self.expected:
            raise WeightsError(self.path, entry, "this network has no such array")
        has_suffix = key != entry
        if any(other.endswith(TENSORFLOW_SUFFIX) != has_suffix for other, _ in self.found.values()):
            raise WeightsError(self.path, entry, "names with and without ':0' are mixed in one file")
        shape = tuple(self.expected[key])
        if array.shape != shape:
            raise WeightsError(self.path, entry, f"has shape {array.shape}, not {shape}")
        self.found[key] = entry, array


def _below(entry: str, error: Hdf5Error) -> str:
    return "/".join(part for part in (entry, printable(error.name)) if part)


def _take(path: str, image: bytes, key: str, entry: str, header: ArrayHeader) -> NDArray[np.float32]:
    view = np.frombuffer(image, "<f4", math.prod(header.shape), header.offset)
    array = view.reshape(header.shape).astype(np.float32)
    if not np.isfinite(array).all():
        raise WeightsError(path, entry, "holds NaN or infinity")
    if key.endswith("running_std") and (array < 0).any():
        raise WeightsError(path, entry, "is negative, but holds a standard deviation or variance")
    return array
