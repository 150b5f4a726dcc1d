"""TensorProto to NumPy and back, without TensorFlow and without copies where the protocol allows.

What a message claims is checked before anything is allocated: a few bytes may announce any shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import ServingError

Arrays = dict[str, NDArray[Any]]

# TensorFlow's number of a type -> its name, NumPy's type, the field that lists its values one by one.
_TYPES: dict[int, tuple[str, str, str]] = {
    1: ("DT_FLOAT", "float32", "float_val"),
    2: ("DT_DOUBLE", "float64", "double_val"),
    3: ("DT_INT32", "int32", "int_val"),
    4: ("DT_UINT8", "uint8", "int_val"),
    5: ("DT_INT16", "int16", "int_val"),
    6: ("DT_INT8", "int8", "int_val"),
    7: ("DT_STRING", "object", "string_val"),
    9: ("DT_INT64", "int64", "int64_val"),
    10: ("DT_BOOL", "bool", "bool_val"),
    17: ("DT_UINT16", "uint16", "int_val"),
    19: ("DT_HALF", "float16", "half_val"),
    22: ("DT_UINT32", "uint32", "uint32_val"),
    23: ("DT_UINT64", "uint64", "uint64_val"),
}
DTYPES: Mapping[int, Any] = {number: np.dtype(name) for number, (_, name, _) in _TYPES.items()}
DTYPES_BY_NAME: Mapping[str, Any] = {name: np.dtype(numpy) for name, numpy, _ in _TYPES.values()}
_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
_MOST_AXES = 16
MOST_ELEMENTS = 2**28  # of one tensor; a short message may ask for more by repeating one value


def dtype_name(number: int) -> str:
    """Name a type by TensorFlow's number, such as ``DT_FLOAT``."""
    return _TYPES[number][0] if number in _TYPES else f"type number {number}"


def claimed_bytes(tensor: Any) -> int:
    """Say how many bytes a TensorProto takes when it is unfolded, by what it claims.

    The last of the listed values stands for all that follow, and a string that is repeated is copied.
    """
    size = math.prod([max(0, int(axis.size)) for axis in tensor.tensor_shape.dim])
    if tensor.string_val:
        repeated = max(0, size - len(tensor.string_val)) * len(tensor.string_val[-1])
        return sum(map(len, tensor.string_val)) + repeated
    return size * DTYPES[tensor.dtype].itemsize if tensor.dtype in DTYPES else 0


def from_tensor_proto(tensor: Any, name: str, most_bytes: int | None = None) -> NDArray[Any]:
    """Read a TensorProto; `name` stands for it in errors, `most_bytes` is what it may take unfolded.

    Strings become an array of ``bytes``. Numbers sent as ``tensor_content`` are not copied.

    Raises
    ------
    ServingError
        INVALID_ARGUMENT: the message contradicts itself; UNIMPLEMENTED: a type that is not served;
        RESOURCE_EXHAUSTED: more than `most_bytes`.
    """
    if tensor.dtype not in _TYPES:
        raise ServingError("UNIMPLEMENTED", f"input {name}: {dtype_name(tensor.dtype)} is not served")
    shape = tuple([axis.size for axis in tensor.tensor_shape.dim])
    if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0 or len(shape) > _MOST_AXES:
        raise ServingError("INVALID_ARGUMENT", f"input {name}: {_shown(shape)} is no shape of a tensor")
    size, dtype = math.prod(shape), DTYPES[tensor.dtype]
    if math.prod(max(1, axis) for axis in shape) > MOST_ELEMENTS:  # NumPy bounds what is empty, too
        raise ServingError("INVALID_ARGUMENT", f"input {name}: {_shown(shape)} has too many elements")
    content = tensor.tensor_content
    if content:
        if dtype == np.dtype(object) or len(content) != size * dtype.itemsize:
            reason = f"{len(content)} bytes of tensor_content do not fit shape {_shown(shape)} and {dtype}"
            raise ServingError("INVALID_ARGUMENT", f"input {name}: {reason}")
        if dtype == np.dtype(bool):
            return np.asarray(np.frombuffer(content, np.uint8).reshape(shape) != 0)
        return np.frombuffer(content, dtype).reshape(shape)
    if most_bytes is not None and claimed_bytes(tensor) > most_bytes:
        reason = f"shape {_shown(shape)} unfolds to {claimed_bytes(tensor)} bytes; {most_bytes} are taken"
        raise ServingError("RESOURCE_EXHAUSTED", f"input {name}: {reason}")
    return _listed(tensor, name, shape, size)


def _listed(tensor: Any, name: str, shape: tuple[int, ...], size: int) -> NDArray[Any]:
    dtype, field = DTYPES[tensor.dtype], _TYPES[tensor.dtype][2]
    values = getattr(tensor, field)
    if len(values) > size or (size and not values):
        reason = f"{len(values)} values in {field} do not fill shape {_shown(shape)}"
        raise ServingError("INVALID_ARGUMENT", f"input {name}: {reason}")
    if dtype == np.dtype(object):
        array = np.empty(len(values), object)
        array[:] = list(values)
    elif field == "half_val":
        array = np.asarray(np.array(values, np.int64), np.uint16).view(np.float16)
    else:
        array = np.array(values, np.int64 if field == "int_val" else dtype)
        if array.size and field == "int_val" and dtype != np.dtype(np.int32):
            bounds = np.iinfo(dtype)
            if array.min() < bounds.min or array.max() > bounds.max:
                raise ServingError("INVALID_ARGUMENT", f"input {name}: a value does not fit {dtype}")
        array = array.astype(dtype, copy=False)
    if len(array) == 1 < size:  # it stands for all, and need not be copied for that
        return np.broadcast_to(array, shape)
    if len(array) < size:  # the last one stands for all that follow
        array = np.concatenate([array, np.repeat(array[-1:], size - len(array))])
    return array.reshape(shape)


def _shown(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape[:_MOST_AXES]))}{',...' if len(shape) > _MOST_AXES else ''}]"


def fill_tensor_proto(tensor: Any, array: NDArray[Any]) -> None:
    """Write an array into an empty TensorProto, numbers as ``tensor_content``, ``bytes`` as strings.

    A type that is not served is a `ServingError`, UNIMPLEMENTED.
    """
    number = _NUMBERS.get(array.dtype)
    if number is None:
        raise ServingError("UNIMPLEMENTED", f"arrays of {array.dtype} are not served")
    tensor.dtype = number
    add = tensor.tensor_shape.dim.add
    for size in array.shape:
        add().size = size
    if not array.shape:
        tensor.tensor_shape.SetInParent()
    if array.dtype == np.dtype(object):
        tensor.string_val.extend(array.ravel().tolist())
    else:
        tensor.tensor_content = array.tobytes()
