"""Requests to predict and their answers as JSON: rows ("instances") and columns ("inputs")."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import ServingError
from actprobe.serving.protocol.documents import dump_json
from actprobe.serving.protocol.tensors import Arrays
from actprobe.serving.server.signatures import ServedSignature, ServedTensor

_MOST_AXES = 16
_BYTES_SUFFIX = "_bytes"


def _invalid(reason: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", reason)


def read_inputs(document: Mapping[str, Any], signature: ServedSignature) -> tuple[Arrays, bool]:
    """Read the inputs of a request to predict, and whether it was in rows, as the answer is to be.

    Raises
    ------
    ServingError
        INVALID_ARGUMENT: neither or both of "instances" and "inputs", or values that do not fit.
    """
    if "instances" in document and "inputs" in document:
        raise _invalid("Not formatted correctly, expecting only one of 'inputs' or 'instances' keys")
    if "instances" in document:
        return _from_rows(document["instances"], signature), True
    if "inputs" in document:
        return _from_columns(document["inputs"], signature), False
    raise _invalid("Missing 'inputs' or 'instances' key")


def _from_rows(rows: Any, signature: ServedSignature) -> Arrays:
    if not isinstance(rows, list):
        raise _invalid("Expecting 'instances' to be a list")
    if not rows:
        raise _invalid("No values in 'instances' list")
    named = _is_named(rows[0])
    if any(_is_named(row) is not named for row in rows):
        raise _invalid("'instances' has to be a list of values or a list of objects, not a mixture")
    if not named:
        name = _only(signature, "instances is a plain list")
        return {name: _array(rows, signature.inputs[name], name)}
    wanted = signature.inputs.keys()
    for index, row in enumerate(rows):
        if row.keys() != wanted:
            raise _invalid(f"element {index} of 'instances': keys must be equal to: {','.join(wanted)}")
    return {name: _array([row[name] for row in rows], slot, name) for name, slot in signature.inputs.items()}


def _from_columns(columns: Any, signature: ServedSignature) -> Arrays:
    if not _is_named(columns):
        name = _only(signature, "inputs is a plain value or list")
        return {name: _array(columns, signature.inputs[name], name)}
    for name in signature.inputs:
        if name not in columns:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
    for name in columns:
        if name not in signature.inputs:
            raise _invalid(f"There is no named input {name[:64]!r} in signature {signature.name}")
    return {name: _array(columns[name], slot, name) for name, slot in signature.inputs.items()}


def _only(signature: ServedSignature, what: str) -> str:
    if len(signature.inputs) != 1:
        raise _invalid(
            f"{what}, but signature {signature.name} has {len(signature.inputs)} inputs: name them"
        )
    return next(iter(signature.inputs))


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _array(value: Any, slot: ServedTensor, name: str) -> NDArray[Any]:
    dtype = slot.dtype
    if dtype is None:
        raise ServingError("UNIMPLEMENTED", f"input {name}: {slot.described()} is not served")
    if dtype == np.dtype(object):
        return _strings(value, name)
    try:
        found = np.array(value)
    except (ValueError, OverflowError, RecursionError):
        raise _invalid(f"input {name}: lists at one level have to have one length") from None
    if found.ndim > _MOST_AXES:
        raise _invalid(f"input {name}: lists are nested too deep")
    kind = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[dtype.kind]
    if found.size == 0:  # an empty list has no type of its own
        return np.zeros(found.shape, dtype)
    if found.dtype.kind not in kind or (dtype.kind != "b" and _took_booleans(value, found)):
        raise _invalid(f"input {name}: a value is not of expected type: {slot.described().split(' ')[0]}")
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        if int(found.min()) < bounds.min or int(found.max()) > bounds.max:
            raise _invalid(f"input {name}: a value does not fit {dtype}")
    with np.errstate(over="ignore"):
        fitting = found.astype(dtype)
    if dtype.kind == "f" and (np.isinf(fitting) & np.isfinite(found)).any():
        raise _invalid(f"input {name}: cannot convert a value to {dtype} without loss of precision")
    return fitting


def _took_booleans(value: Any, found: NDArray[Any]) -> bool:
    """Whether NumPy took true or false for 1 or 0; lists are searched only where there are such numbers."""
    return bool(((found == 0) | (found == 1)).any()) and _holds_booleans(value)


def _holds_booleans(value: Any) -> bool:
    """Whether there is true or false among the numbers of nested lists."""
    if not isinstance(value, list):
        return isinstance(value, bool)
    kinds = set(map(type, value))
    return bool in kinds or (list in kinds and any(map(_holds_booleans, value)))


def _strings(value: Any, name: str) -> NDArray[Any]:
    shape: list[int] = []
    level = value
    while isinstance(level, list):
        shape.append(len(level))
        if len(shape) > _MOST_AXES:
            raise _invalid(f"input {name}: lists are nested too deep")
        if not level:
            break
        level = level[0]
    flat = [value]
    for size in shape:
        if any(not isinstance(item, list) or len(item) != size for item in flat):
            raise _invalid(f"input {name}: lists at one level have to have one length")
        flat = [entry for item in flat for entry in item]
    array = np.empty(len(flat), object)
    array[:] = [_bytes(item, name) for item in flat]
    return array.reshape(shape)


def _bytes(item: Any, name: str) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    if not _is_base64(item):
        raise _invalid(f"input {name}: a value is not of expected type: DT_STRING")
    try:
        return base64.b64decode(item["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise _invalid(f"input {name}: unable to base64 decode") from None


def dump_rows(outputs: Arrays) -> bytes:
    """Write an answer in rows, ``{"predictions": [...]}``; one output goes without its name.

    Outputs that cannot be put in rows are INVALID_ARGUMENT.
    """
    values = {name: _plain(array, name) for name, array in outputs.items()}
    for name, array in values.items():
        if array.ndim == 0:
            raise _invalid(f"Tensor name: {name} has no shape information; ask for columns")
    sizes = {array.shape[0] for array in values.values()}
    if len(sizes) > 1:
        raise _invalid(f"outputs have inconsistent batch sizes {sorted(sizes)}; ask for columns")
    if len(values) == 1:
        return dump_json({"predictions": next(iter(values.values()))})
    rows = [{name: array[index] for name, array in values.items()} for index in range(sizes.pop())]
    return dump_json({"predictions": rows})


def dump_columns(outputs: Arrays) -> bytes:
    """Write an answer in columns, ``{"outputs": ...}``; one output goes without its name."""
    values = {name: _plain(array, name) for name, array in outputs.items()}
    return dump_json({"outputs": next(iter(values.values())) if len(values) == 1 else values})


def _plain(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Strings as text, or as base64 where the output's name says that they are bytes."""
    if array.dtype.kind not in "OS":
        return array
    binary = name.endswith(_BYTES_SUFFIX)
    text = np.empty(array.shape, object)
    for index, item in np.ndenumerate(array):
        text[index] = _text(item, binary)
    return text


def _text(item: Any, binary: bool) -> Any:
    content = bytes(item)
    if not binary:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:  # JSON could not hold it
            pass
    return {"b64": base64.b64encode(content).decode("ascii")}
