"""Npz files of known arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.weights.file_image import read_image
from actprobe.weights.guarded import read_arrays, size_limit
from actprobe.weights.wanted import Wanted


@dataclass(frozen=True, eq=False)
class NpzArrays:
    """The arrays of an npz file, each of its own type, and the digest of the bytes that were read."""

    arrays: dict[str, NDArray[Any]] = field(repr=False)
    sha256: str


def read_npz(
    path: str | os.PathLike[str],
    expected: Mapping[str, tuple[int, ...]],
    *,
    dtypes: Sequence[str] = ("<f4",),
) -> NpzArrays:
    """Read an npz file of known arrays.

    `expected` are the shapes of every array the file must hold, by name; it may hold no other. `dtypes` are
    the types that they may have, as numpy spells them, numbers only. Nothing is cast; the arrays are writable
    and in C order whatever the file's. Whatever is wrong is a `WeightsError`.
    """
    name, wanted = os.fspath(path), Wanted.of(expected, dtypes)
    images = {"": read_image(name, size_limit(wanted))}
    file = read_arrays(name, "an npz file", images, wanted)
    arrays = {key: np.require(found.array, requirements="CW") for key, found in file.found.items()}
    return NpzArrays(arrays, file.sha256)
