"""Variables of TensorFlow checkpoints, of versions 1 and 2, by TensorFlow's own reader.

It ends the process where an index does not parse, and its memory is not bounded by the size of the file;
unknown files are read in a child process (`actprobe.weights.guarded`). The bytes are read from TensorFlow's
file system in memory, so that they are those whose digest was taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from actprobe import backend
from actprobe.weights.file_image import RefusalError, printable
from actprobe.weights.wanted import Found, Wanted

PREFIX = "ram://actprobe/checkpoint"


def read_checkpoint(images: Mapping[str, bytes], wanted: Wanted) -> dict[str, Found]:
    """Read variables by name; `images` are the files by what follows the prefix of their names."""
    tf = backend.tf
    try:
        for suffix, image in images.items():
            with tf.io.gfile.GFile(PREFIX + suffix, "wb") as file:
                file.write(image)
        return _read(tf, wanted)
    finally:
        for suffix in images:
            tf.io.gfile.remove(PREFIX + suffix)


def _read(tf: Any, wanted: Wanted) -> dict[str, Found]:
    reader = tf.compat.v1.train.NewCheckpointReader(PREFIX)
    shapes = reader.get_variable_to_shape_map()
    dtypes = reader.get_variable_to_dtype_map()
    names = [name for name in shapes if dtypes[name].is_numpy_compatible and dtypes[name] != tf.string]
    if wanted.shapes is not None:
        wanted.check_complete(shapes, "variable")
        names = list(wanted.shapes)
    found: dict[str, Found] = {}
    for name in names:
        entry, dtype = printable(name.encode()), np.dtype(dtypes[name].as_numpy_dtype)
        if wanted.shapes is None and dtype.str not in wanted.dtypes:
            continue  # counters of the optimiser and the like
        wanted.check(name, entry, dtype.str if dtype != object else "strings", tuple(shapes[name]))
        try:
            found[name] = Found(entry, reader.get_tensor(name))
        except Exception as error:
            raise RefusalError(entry, f"is damaged: {str(error).splitlines()[0]}") from error
    return found
