"""An npz whose arrays are larger than memory: each grows in a file of its own until all are there."""

from __future__ import annotations

import io
import math
import shutil
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 16 << 20


class GrowingArray:
    """The float32 numbers of one array, in a file until all are there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("wb")

    def append(self, values: NDArray[np.float32]) -> None:
        """Add values along the first axis; they may be a view larger than memory."""
        step = max(1, PIECE_BYTES // max(1, 4 * math.prod(values.shape[1:])))
        for start in range(0, len(values), step):
            self.file.write(np.ascontiguousarray(values[start : start + step], "<f4").data)

    def into(self, archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> None:
        """Copy the numbers into an npz."""
        if self.path.stat().st_size != 4 * math.prod(shape):
            raise AssertionError(f"{name}: {self.path.stat().st_size} bytes for shape {shape}")
        with _member(archive, name) as member, self.path.open("rb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            numpy_format: Any = np.lib.format  # its functions have no types
            numpy_format.write_array_header_1_0(member, header)
            shutil.copyfileobj(file, member, PIECE_BYTES)
        self.path.unlink()


def read_rows(archive: zipfile.ZipFile, name: str, first: int, end: int) -> NDArray[Any]:
    """Read some rows of an array of an npz that is not compressed, without the others."""
    numpy_format: Any = np.lib.format  # its functions have no types
    with archive.open(f"{name}.npy") as member:
        numpy_format.read_magic(member)
        shape, _, dtype = numpy_format.read_array_header_1_0(member)
        size = dtype.itemsize * math.prod(shape[1:])
        member.seek(size * first, io.SEEK_CUR)
        return np.frombuffer(member.read(size * (end - first)), dtype).reshape(end - first, *shape[1:])


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a member for writing; its date is fixed, so that equal numbers give equal bytes."""
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def add_array(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    """Write an array, of any type but objects, into an npz."""
    image = io.BytesIO()
    np.save(image, array, allow_pickle=False)
    with _member(archive, name) as member:
        member.write(image.getvalue())
