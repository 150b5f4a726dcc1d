"""Arrays of safetensors files: a length, a JSON header of that length, and the numbers end to end."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np

from actprobe.formats.arrays import Arrays, Found, RefusalError, Wanted, printable

DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "|u1"}


def read_safetensors(images: Mapping[str, bytes], wanted: Wanted) -> Arrays:
    """Read arrays by name (https://huggingface.co/docs/safetensors, "Format")."""
    image = images[""]
    start = 8 + int.from_bytes(image[:8], "little")
    if start > len(image):
        raise RefusalError("", "is not a safetensors file, or is cut off")
    header = json.loads(image[8:start])
    header.pop("__metadata__", None)
    found: Arrays = {}
    reached = start
    for name, told in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        entry = printable(name.encode("utf-8", "backslashreplace"))
        dtype, shape = DTYPES.get(told["dtype"], told["dtype"]), told["shape"]
        begin, end = (start + offset for offset in told["data_offsets"])
        if begin != reached or not begin <= end <= len(image):
            raise RefusalError(entry, "does not lie end to end with the arrays beside it")
        reached = end
        if wanted.takes(entry, entry) and (wanted.shapes is not None or dtype in wanted.dtypes):
            wanted.check(entry, entry, dtype, shape)
            if end - begin != np.dtype(dtype).itemsize * math.prod(shape):
                raise RefusalError(entry, f"has {end - begin} bytes, not those of its shape")
            found[entry] = Found(entry, np.frombuffer(image[begin:end], dtype).reshape(shape))
    if reached != len(image):
        raise RefusalError("", "holds bytes that belong to no array")
    wanted.check_complete(found)
    return found
