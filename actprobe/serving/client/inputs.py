"""The inputs of a request as arrays of the types that the asked signature has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actprobe.errors import ServingError
from actprobe.serving.protocol.tensors import DTYPES_BY_NAME


def typed(values: ArrayLike, type_name: str | None) -> NDArray[Any]:
    """Make the array that a signature takes; numbers that do not fit are left for the server to refuse."""
    if type_name == "DT_STRING":
        return _strings(values)
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        reason = (
            "an input is neither numbers nor strings" if array.dtype.kind == "O" else "an input is no number"
        )
        raise ServingError("INVALID_ARGUMENT", f"{reason}; expected {type_name}")
    wanted = np.dtype(DTYPES_BY_NAME.get(type_name or "", array.dtype))
    if np.can_cast(array.dtype, wanted, "same_kind"):
        return array.astype(wanted, copy=False)
    if array.dtype.kind in "iu" and wanted.kind in "iu":
        bounds = np.iinfo(wanted)
        if not array.size or (int(array.min()) >= bounds.min and int(array.max()) <= bounds.max):
            return array.astype(wanted)
    return array


def _strings(values: ArrayLike) -> NDArray[Any]:
    texts = np.asarray(values, object)
    flat = [item.encode() if isinstance(item, str) else item for item in texts.ravel()]
    if not all(isinstance(item, bytes) for item in flat):
        raise ServingError("INVALID_ARGUMENT", "an input is neither numbers nor strings; expected DT_STRING")
    filled = np.empty(len(flat), object)
    filled[:] = flat
    return filled.reshape(texts.shape)
