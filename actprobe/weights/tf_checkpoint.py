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

from actprobe.formats.arrays import Wanted
from actprobe.weights.file_image import read_image
from actprobe.weights.guarded import read_arrays, size_limit

DATA = r"\.data-\d{5}-of-\d{5}"


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

    `path` is the file of version 1; for version 2 the prefix or any of its files. `expected` is every
    variable that it must hold, by name, such as ``model/fc2/biases``, with its shape; all are float32.
    Further variables, such as an optimizer's, are not read. Whatever is wrong is a `WeightsError`.
    """
    wanted = Wanted.of(expected, surplus=True)
    named, images = checkpoint_images(os.fspath(path), size_limit(wanted))
    found, sha256 = read_arrays(named, "a TensorFlow checkpoint", images, wanted)
    for each in found.values():
        each.array.flags.writeable = False
    return TfCheckpointWeights({key: each.array for key, each in found.items()}, sha256)


def checkpoint_images(path: str, limit: int) -> tuple[str, dict[str, bytes]]:
    """Read the files of a checkpoint; give the one that errors name, and all by the ends of their names."""
    prefix = re.sub(rf"(\.index|{DATA})\Z", "", path)
    with suppress(OSError, ValueError):
        if prefix == path and Path(path, ".index").exists():  # musicnn's have folders for names
            prefix = f"{path}/"
        if prefix != path or Path(f"{prefix}.index").exists():
            folder, name = os.path.split(prefix)
            ends = [other.name.removeprefix(name) for other in Path(folder or ".").iterdir()]
            data = [end for end in sorted(ends) if re.fullmatch(DATA, end)] or [".data-00000-of-00001"]
            images: dict[str, bytes] = {}
            for end in (".index", *data):
                images[end] = read_image(f"{prefix}{end}", limit)
                limit -= len(images[end])
            return f"{prefix}.index", images
    return path, {"": read_image(path, limit)}
