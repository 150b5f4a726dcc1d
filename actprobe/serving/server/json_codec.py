"""The JSON of TensorFlow Serving's REST API: rows ("instances") and columns ("inputs").

orjson reads and writes; where a document holds NaN or Infinity, which JSON does not know but TensorFlow
Serving reads and writes, Python's own json takes over.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from actprobe.errors import ServingError
from actprobe.serving.server.signatures import Arrays, Signature, Slot

__all__ = ["dump_columns", "dump_json", "dump_rows", "load_json", "read_inputs"]

_MOST_AXES = 16
_TOKENS = (b"NaN", b"Infinity")
_BYTES_SUFFIX = "_bytes"


def _invalid(reason: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", reason)


def load_json(body: bytes) -> dict[str, Any]:
    """Read the object that a request is.

    Parameters
    ----------
    body : bytes
        JSON, in which NaN, Infinity and -Infinity may stand for numbers.

    Returns
    -------
    dict
        The object.

    Raises
    ------
    ServingError
        INVALID_ARGUMENT: it is no such document.
    """
    if not body.strip():
        raise _invalid("JSON Parse error: The document is empty")
    try:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            if not any(token in body for token in _TOKENS):
                raise
            document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"JSON Parse error: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise _invalid("JSON Value is not an object")
    return document


def read_inputs(document: Mapping[str, Any], signature: Signature) -> tuple[Arrays, bool]:
    """Read the inputs of a request to predict.

    Parameters
    ----------
    document : mapping
        The request.
    signature : Signature
        What it asks; its types are those of the arrays.

    Returns
    -------
    inputs : dict
        Name -> array.
    rows : bool
        Whether the request was in rows, as the answer is to be.

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


def _from_rows(rows: Any, signature: Signature) -> Arrays:
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


def _from_columns(columns: Any, signature: Signature) -> Arrays:
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


def _only(signature: Signature, what: str) -> str:
    if len(signature.inputs) != 1:
        raise _invalid(
            f"{what}, but signature {signature.name} has {len(signature.inputs)} inputs: name them"
        )
    return next(iter(signature.inputs))


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _array(value: Any, slot: Slot, name: str) -> NDArray[Any]:
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
    if found.dtype.kind not in kind:
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
    """Write an answer in rows.

    Parameters
    ----------
    outputs : dict
        Name -> array. One output goes without its name.

    Returns
    -------
    bytes
        ``{"predictions": [...]}``.

    Raises
    ------
    ServingError
        INVALID_ARGUMENT: outputs that cannot be put in rows.
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
    """Write an answer in columns.

    Parameters
    ----------
    outputs : dict
        Name -> array. One output goes without its name.

    Returns
    -------
    bytes
        ``{"outputs": ...}``.
    """
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


def dump_json(value: Any) -> bytes:
    """Write JSON in which arrays are lists and numbers that are not finite are NaN and Infinity.

    Parameters
    ----------
    value : object
        Made of dicts, lists, arrays and what JSON knows.

    Returns
    -------
    bytes
        The document. Each float is as short as reads back as the same number of its type.
    """
    if _is_finite(value):
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY, default=_listed)
    return json.dumps(_exact(value), separators=(",", ":"), ensure_ascii=False).encode()


def _is_finite(value: Any) -> bool:
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind != "f":
            return True
        with np.errstate(over="ignore", invalid="ignore"):
            total = value.sum()  # quicker than a look at each number, and not finite if one of them is not
        return bool(np.isfinite(total) or np.isfinite(value).all())
    if isinstance(value, dict):
        return all(_is_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_finite(item) for item in value)
    return not isinstance(value, float) or bool(np.isfinite(value))


def _listed(value: Any) -> Any:
    """What orjson does not write itself: arrays of strings, of no axis, and those that are not contiguous."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not (value.ndim and value.flags.c_contiguous):
            return np.ascontiguousarray(value) if value.ndim else value[()]
        return value.tolist()
    if isinstance(value, np.generic):
        return value.tolist()
    raise TypeError(f"{type(value)} cannot be written as JSON")


def _exact(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and value.dtype.itemsize < 8:
            shortest = [float(str(item)) for item in value.ravel()]
            return np.array(shortest, np.float64).reshape(value.shape).tolist()
        return value.tolist()
    if isinstance(value, np.generic):
        return _exact(np.asarray(value))
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return value
