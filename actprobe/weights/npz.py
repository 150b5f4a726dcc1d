"""Npz files of known arrays, those of Lasagne programs among them: ``param0`` to ``paramN``.

``numpy.savez(file, **{"param%d" % i: p for i, p in enumerate(get_all_param_values(network))})`` is how
f0k/ismir2015 and the programs built on it store a network. The number is the place in the network;
the order of the members in the file means nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.formats.arrays import Wanted
from actprobe.weights.guarded import read_file


@dataclass(frozen=True, eq=False)
class NpzArrays:
    """The arrays of an npz file, each of its own type, and the digest of the bytes that were read."""

    arrays: dict[str, NDArray[Any]] = field(repr=False)
    sha256: str


@dataclass(frozen=True, eq=False)
class LasagneWeights:
    """The float32 arrays of a Lasagne network, in the order of ``lasagne.layers.get_all_param_values``."""

    arrays: tuple[NDArray[np.float32], ...] = field(repr=False)
    sha256: str = ""


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
    found, sha256 = read_file(path, "an npz file", Wanted.of(expected, dtypes))
    return NpzArrays(
        {key: np.require(each.array, requirements=["C", "W"]) for key, each in found.items()}, sha256
    )


def read_lasagne_npz(path: str | os.PathLike[str], shapes: Sequence[tuple[int, ...]]) -> LasagneWeights:
    """Read the weights of a known network from a Lasagne npz file, as `read_npz` does.

    `shapes` are those of all its arrays, ``param0`` first, all float32, as Theano computed them.
    """
    file = read_npz(path, {f"param{i}": tuple(shape) for i, shape in enumerate(shapes)})
    return LasagneWeights(tuple(file.arrays.values()), file.sha256)
