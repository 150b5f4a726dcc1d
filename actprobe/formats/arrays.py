"""What a reader is asked for, and how what a file declares is held against it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class RefusalError(Exception):
    """Why the bytes of a file are not taken: the array, link or member at fault (empty: all), the reason."""

    def __init__(self, entry: str, reason: str) -> None:
        super().__init__(entry, reason)
        self.entry = entry
        self.reason = reason


@dataclass(frozen=True)
class Found:
    """An array of a file: its name there, its numbers, and the layer that the file says it is of."""

    entry: str
    array: NDArray[Any]
    layer: str = ""


Arrays = dict[str, Found]  # by name


@dataclass(frozen=True)
class Wanted:
    """The arrays that are wanted of a file.

    - `shapes`: by name; None takes every array
    - `dtypes`: what they may hold, as numpy spells it; nothing is cast
    - `most`: bytes that an array may have
    - `surplus`: whether the file may hold further arrays, which are not read
    - `root`: the group of an HDF5 file that holds them
    """

    shapes: Mapping[str, Sequence[int]] | None
    dtypes: Collection[str]
    most: int
    surplus: bool = False
    root: str = ""

    @classmethod
    def of(
        cls, shapes: Mapping[str, Sequence[int]], dtypes: Collection[str] = ("<f4",), **options: Any
    ) -> Wanted:
        """Want arrays of known shapes."""
        width = max(np.dtype(dtype).itemsize for dtype in dtypes)
        most = width * sum(math.prod(shape) for shape in shapes.values())
        return cls(dict(shapes), list(dtypes), most, **options)

    def takes(self, key: str, entry: str) -> bool:
        """Whether an array is to be read, by its name; a refusal if it may not be there."""
        if self.shapes is not None and key not in self.shapes and not self.surplus:
            raise RefusalError(entry, "is not expected here: this network has no such array")
        return self.shapes is None or key in self.shapes

    def check(self, key: str, entry: str, dtype: str, shape: Sequence[int]) -> None:
        """Refuse an array of another type or shape than is wanted, before its numbers are looked at."""
        if dtype not in self.dtypes:
            raise RefusalError(entry, f"holds {dtype}, not {' or '.join(self.dtypes)}; it is not cast")
        told = str(tuple(shape))
        if self.shapes is not None and tuple(shape) != tuple(self.shapes[key]):
            raise RefusalError(entry, f"has shape {told[:80]}, not {tuple(self.shapes[key])}")
        if np.dtype(dtype).itemsize * math.prod(shape) > self.most or min(shape, default=0) < 0:
            raise RefusalError(entry, f"has shape {told[:80]}, which this network cannot need")

    def check_complete(self, found: Collection[str]) -> None:
        """Refuse a file that lacks an array."""
        missing = [key for key in self.shapes or () if key not in found]
        if missing:
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise RefusalError(missing[0], f"this array is missing{others}")


def printable(name: bytes) -> str:
    """Turn a name from a file into one printable line; what is not printable is escaped."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
