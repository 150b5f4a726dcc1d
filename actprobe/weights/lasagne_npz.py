"""Reader of the npz files of Lasagne programs: ``param0`` to ``paramN``.

``numpy.savez(file, **{"param%d" % i: p for i, p in enumerate(get_all_param_values(network))})`` is how
f0k/ismir2015 and the programs built on it store a network. The number is the place in the network;
the order of the members in the file means nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actprobe.weights.npz import read_npz


@dataclass(frozen=True, eq=False)
class LasagneWeights:
    """The float32 arrays of a Lasagne network, in the order of ``lasagne.layers.get_all_param_values``."""

    arrays: tuple[NDArray[np.float32], ...] = field(repr=False)
    sha256: str = ""


def read_lasagne_npz(path: str | os.PathLike[str], shapes: Sequence[tuple[int, ...]]) -> LasagneWeights:
    """Read the weights of a known network from a Lasagne npz file.

    `shapes` are those of all its arrays, ``param0`` first. The file may hold no other array, and all have to
    be float32, as Theano computed them. Whatever is wrong is a `WeightsError`.
    """
    file = read_npz(path, {f"param{i}": tuple(shape) for i, shape in enumerate(shapes)})
    return LasagneWeights(tuple(file.arrays.values()), file.sha256)
