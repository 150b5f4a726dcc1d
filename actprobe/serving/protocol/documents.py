"""The JSON documents of TensorFlow Serving's REST API, and the statuses that go with them.

orjson reads and writes; where a document holds NaN or Infinity, which JSON does not know but TensorFlow
Serving reads and writes, Python's own json takes over.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson

from actprobe.errors import ServingError

HTTP_STATUS = {
    "OK": 200, "CANCELLED": 499, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400, "ABORTED": 409, "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 501, "INTERNAL": 500,
    "UNAVAILABLE": 503, "DATA_LOSS": 500, "UNAUTHENTICATED": 401,
}  # fmt: skip

_TOKENS = (b"NaN", b"Infinity")


def load_json(body: bytes) -> dict[str, Any]:
    """Read an object in which NaN, Infinity and -Infinity may stand for numbers.

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


def _invalid(reason: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", reason)


def dump_json(value: Any) -> bytes:
    """Write arrays as lists and numbers that are not finite as NaN and Infinity.

    Each float is as short as reads back as the same number of its type.
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


def as_json(message: Any) -> dict[str, Any]:
    """Turn a message into what the REST API shows of it: all fields, 64-bit numbers as strings."""
    from google.protobuf import json_format

    try:  # the option's name since protobuf 5.26
        return dict(
            json_format.MessageToDict(
                message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
        )
    except TypeError:
        return dict(
            json_format.MessageToDict(
                message,
                preserving_proto_field_name=True,
                including_default_value_fields=True,  # type: ignore[call-arg,unused-ignore]
            )
        )
