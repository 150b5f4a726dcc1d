"""Arrays of safetensors files: a length, a JSON header of that length, and the numbers end to end."""

from __future__ import annotations

import json
import math

import numpy as np

from actprobe.weights.file_image import RefusalError, printable
from actprobe.weights.wanted import Found, Wanted

DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "|u1"}
MAX_HEADER = 1 << 24


def read_safetensors(image: bytes, wanted: Wanted) -> dict[str, Found]:
    """Read arrays by name (https://huggingface.co/docs/safetensors, "Format")."""
    size = int.from_bytes(image[:8], "little")
    start = 8 + size
    if len(image) < 8 or size > MAX_HEADER or start > len(image):
        raise RefusalError("", "is not a safetensors file, or is cut off")
    header = json.loads(image[8:start].decode("utf-8"))
    header.pop("__metadata__", None)
    found: dict[str, Found] = {}
    reached = 0
    for name, told in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        entry = printable(name.encode("utf-8", "backslashreplace"))
        dtype = DTYPES.get(told["dtype"], str(told["dtype"]))
        shape = tuple(told["shape"])
        begin, end = told["data_offsets"]
        if any(not isinstance(axis, int) or axis < 0 for axis in shape):
            raise RefusalError(entry, "has a shape that is none")
        if begin != reached or not begin <= end <= len(image) - start:
            raise RefusalError(entry, "does not lie end to end with the arrays beside it")
        reached = end
        if not wanted.takes(entry, entry, "array"):
            continue
        wanted.check(entry, entry, dtype, shape)
        if end - begin != np.dtype(dtype).itemsize * math.prod(shape):
            raise RefusalError(entry, f"has {end - begin} bytes, not those of its shape")
        array = np.frombuffer(image, dtype, math.prod(shape), start + begin).reshape(shape)
        found[entry] = Found(entry, array)
    if reached != len(image) - start:
        raise RefusalError("", "holds bytes that belong to no array")
    wanted.check_complete(found, "array")
    return found
