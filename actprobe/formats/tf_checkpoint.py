"""Variables of TensorFlow checkpoints, of versions 1 and 2, by TensorFlow's own reader.

The bytes are read from TensorFlow's file system in memory, so that they are those whose digest was taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from actprobe import backend
from actprobe.formats.arrays import Arrays, Found, RefusalError, Wanted, printable

PREFIX = "ram://actprobe/checkpoint"


def read_checkpoint(images: Mapping[str, bytes], wanted: Wanted) -> Arrays:
    """Read variables by name; `images` are the files by what follows the prefix of their names."""
    tf = backend.tf
    try:
        for suffix, image in images.items():
            with tf.io.gfile.GFile(PREFIX + suffix, "wb") as file:
                file.write(image)
        return _read(tf, wanted, is_version_1="" in images)
    finally:
        for suffix in images:
            tf.io.gfile.remove(PREFIX + suffix)


def _read(tf: Any, wanted: Wanted, is_version_1: bool) -> Arrays:
    reader = tf.compat.v1.train.NewCheckpointReader(PREFIX)
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    wanted.check_complete(shapes)
    found: Arrays = {}
    for name in wanted.shapes or shapes:
        entry, dtype = printable(name.encode()), np.dtype(types[name].as_numpy_dtype).str
        if wanted.shapes is None and dtype not in wanted.dtypes:
            continue  # counters of the optimizer and the like
        wanted.check(name, entry, types[name].name if dtype not in wanted.dtypes else dtype, shapes[name])
        try:
            if is_version_1:  # of which the reader takes no slices, and does not see where one is missing
                (tensor,) = tf.raw_ops.RestoreV2(
                    prefix=PREFIX, tensor_names=[name], shape_and_slices=[""], dtypes=[types[name]]
                )
                found[name] = Found(entry, tensor.numpy())
            else:
                found[name] = Found(entry, reader.get_tensor(name))
        except Exception as error:
            raise RefusalError(entry, f"is damaged: {printable(str(error).encode())[:300]}") from error
    return found
