"""The arrays of a golden file, which may come from anywhere: bounds first, and no pickles."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from actprobe.errors import WeightsError

MAX_BYTES = 2 << 30  # of all arrays together
MAX_MEMBERS = 10_000

Array = NDArray[Any]


def read_arrays(path: Path) -> dict[str, Array]:
    """Read the arrays of an npz of unknown names, within bounds."""
    if not path.is_file():
        raise WeightsError(path, "", "is not a file" if path.exists() else "no such file")
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_BYTES:
                raise WeightsError(path, "", f"declares more than {MAX_MEMBERS} arrays or {MAX_BYTES} bytes")
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise WeightsError(path, name, "is there twice")
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise WeightsError(path, name, "is packed by another method than numpy's")
                with archive.open(member) as file:
                    arrays[name] = _read_array(path, name, file, member.file_size)
    except (
        OSError,
        ValueError,
        EOFError,
        RuntimeError,
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise WeightsError(path, "", f"is not a readable npz ({error})") from error
    return arrays


def _read_array(path: Path, name: str, file: IO[bytes], size: int) -> Array:
    numpy_format: Any = npy  # its functions have no types
    version = numpy_format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise WeightsError(path, name, f"is of npy version {version}")
    read = {1: numpy_format.read_array_header_1_0, 2: numpy_format.read_array_header_2_0}[version[0]]
    shape, fortran, dtype = read(file)
    if dtype.kind not in "fiubUS":
        raise WeightsError(path, name, f"holds {dtype}, not numbers or text")
    count = int(np.prod(shape, dtype=object))
    if file.tell() + count * dtype.itemsize != size:
        raise WeightsError(path, name, f"declares {size} bytes, which its shape {list(shape)} does not need")
    array = np.frombuffer(file.read(), dtype, count).reshape(shape, order="F" if fortran else "C")
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise WeightsError(path, name, "holds NaN or infinity")
    return array
