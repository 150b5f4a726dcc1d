"""TensorFlow checkpoints of known variables.

Version 1 is one file. Version 2 is an index, ``PREFIX.index``, and the numbers in
``PREFIX.data-00000-of-00001``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actprobe.weights.file_image import read_image
from actprobe.weights.guarded import read_arrays, size_limit
from actprobe.weights.wanted import Wanted

INDEX_BYTES = 4 << 20
DATA = re.compile(r"\.data-\d{5}-of-\d{5}")


@dataclass(frozen=True, eq=False)
class TfCheckpointWeights:
    """The variables of a TensorFlow checkpoint: read-only float32 arrays by name, as they were expected.

    The digest is of the bytes that were read: of the file, or in version 2 of the index and the data files
    one behind the other.
    """

    arrays: dict[str, NDArray[np.float32]] = field(repr=False)
    sha256: str


def read_tf_checkpoint(
    path: str | os.PathLike[str], expected: Mapping[str, tuple[int, ...]]
) -> TfCheckpointWeights:
    """Read the variables of a known network from a TensorFlow checkpoint.

    Parameters
    ----------
    path : str or os.PathLike
        The file of version 1; for version 2 the prefix or any of its files.
    expected : mapping of str to tuple of int
        Every variable the checkpoint must hold, by name, such as ``model/fc2/biases``, with its shape.
        All are float32. Further variables, such as an optimizer's, are not read.

    Raises
    ------
    WeightsError
        Whatever is wrong with the checkpoint.
    """
    name, wanted = os.fspath(path), Wanted.of(expected, surplus=True)
    named, images = checkpoint_images(name, size_limit(wanted))
    file = read_arrays(named, "a TensorFlow checkpoint", images, wanted)
    arrays = {key: found.array for key, found in file.found.items()}
    for array in arrays.values():
        array.flags.writeable = False
    return TfCheckpointWeights(arrays, file.sha256)


def checkpoint_images(path: str, limit: int) -> tuple[str, dict[str, bytes]]:
    """Read the files of a checkpoint; give the one that errors name, and all by the ends of their names."""
    prefix = re.sub(r"\.(index|data-\d{5}-of-\d{5})\Z", "", path)
    if prefix == path and not _is_there(f"{prefix}.index"):
        return path, {"": read_image(path, limit)}
    images = {".index": read_image(f"{prefix}.index", INDEX_BYTES)}
    base = Path(prefix).name
    ends = sorted(other.name[len(base) :] for other in Path(prefix).parent.iterdir() if other.name.startswith(base))
    ends = [end for end in ends if DATA.fullmatch(end)] or [".data-00000-of-00001"]
    for end in ends:
        images[end] = read_image(prefix + end, limit)
        limit -= len(images[end])
    return f"{prefix}.index", images


def _is_there(path: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(path).exists()
    return False
