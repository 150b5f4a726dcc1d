"""What a reader is asked for, and how what a file declares is held against it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.weights.file_image import RefusalError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """An array of a file: what the file calls it, its numbers, and the layer that the file names, if any."""

    entry: str
    array: NDArray[Any]
    layer: str = ""


@dataclass(frozen=True)
class Wanted:
    """The arrays that are wanted of a file.

    - `shapes`: by name; None takes every array
    - `dtypes`: what they may hold, as numpy spells it; nothing is cast
    - `most`: bytes that all arrays together may have
    - `surplus`: whether the file may hold further arrays, which are not read
    - `root`: the group of an HDF5 file that holds them
    """

    shapes: Mapping[str, Shape] | None
    dtypes: Collection[str]
    most: int
    surplus: bool = False
    root: str = ""

    @classmethod
    def of(cls, shapes: Mapping[str, Shape], dtypes: Collection[str] = ("<f4",), **options: object) -> Wanted:
        """Want arrays of known shapes."""
        width = max(np.dtype(dtype).itemsize for dtype in dtypes)
        most = width * sum(math.prod(shape) for shape in shapes.values())
        return cls(shapes, dtypes, most, **options)  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, fields: dict[str, object]) -> Wanted:
        """Undo `to_json` and JSON."""
        shapes = fields.pop("shapes")
        known = None if shapes is None else {name: tuple(shape) for name, shape in shapes.items()}  # type: ignore[attr-defined]
        return cls(known, **fields)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """Give the fields as JSON can hold them."""
        shapes = None if self.shapes is None else dict(self.shapes)
        return {**asdict(self), "shapes": shapes, "dtypes": list(self.dtypes)}

    def takes(self, key: str, entry: str, kind: str) -> bool:
        """Whether an array is to be read, by its name; a refusal if it may not be there."""
        if self.shapes is None or key in self.shapes:
            return True
        if self.surplus:
            return False
        raise RefusalError(entry, f"this network has no such {kind}")

    def check(self, key: str, entry: str, dtype: str, shape: Shape) -> None:
        """Refuse an array of another type or shape than is wanted, before its numbers are looked at."""
        if dtype not in self.dtypes:
            raise RefusalError(entry, f"holds {dtype}, not {' or '.join(self.dtypes)}; it is not cast")
        if self.shapes is not None and tuple(shape) != tuple(self.shapes[key]):
            sizes = shape if len(str(shape)) < 100 else "..."
            raise RefusalError(entry, f"has shape {sizes}, not {tuple(self.shapes[key])}")
        if np.dtype(dtype).itemsize * math.prod(shape) > self.most:
            raise RefusalError(entry, f"has shape {shape}, more than this network can need")

    def check_complete(self, found: Collection[str], kind: str) -> None:
        """Refuse a file that lacks an array."""
        missing = [key for key in self.shapes or () if key not in found]
        if missing:
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise RefusalError(missing[0], f"this {kind} is missing{others}")
