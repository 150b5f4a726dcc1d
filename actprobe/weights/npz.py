"""Reader of npz files that trusts nothing.

An npz is a zip file with one member ``NAME.npy`` for each array. The caller says which arrays of which
shapes and types there have to be, and anything else is refused. ``numpy.load`` is not used: it believes
what a file says of its own sizes, and it can unpickle.

The file is read into memory once, after its size was checked, so that nobody can change it between
two looks, and the digest belongs to the very bytes that were read. Names, sizes, types and shapes of
all members are checked before the first number is taken (see `actprobe.weights.plain_zip` for what is
checked of the zip file); no size that a file declares is ever allocated unless the shapes that are
expected need it.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import WeightsError
from actprobe.weights.file_image import printable, read_image
from actprobe.weights.plain_zip import END, MEMBER_OVERHEAD, PlainZip

MAX_HEADER = 4096  # numpy writes 80 to 128 bytes for a plain array
DEFLATE_OVERHEAD = 1.001  # numbers that do not deflate grow by 5 bytes in 16 kB

_ITEMS = rb" ?, ?".join(  # the three items of an array's header, in whatever order
    rb"(?:'descr' ?: ?'(?P<descr%(n)d>[^']*)'|'fortran_order' ?: ?(?P<fortran%(n)d>True|False)"
    rb"|'shape' ?: ?\((?P<shape%(n)d>(?:\d+L?(?: ?, ?\d+L?)*)? ?,? ?)\))" % {b"n": n}
    for n in range(3)
)
_HEADER = re.compile(rb"\{ ?" + _ITEMS + rb" ?,? ?\}")


@dataclass(frozen=True, eq=False)
class NpzArrays:
    """The arrays of an npz file, each of its own type, and the digest of the bytes that were read."""

    arrays: dict[str, NDArray[Any]] = field(repr=False)
    sha256: str


def read_npz(
    path: str | os.PathLike[str],
    expected: Mapping[str, tuple[int, ...]],
    *,
    dtypes: Sequence[str] = ("<f4",),
) -> NpzArrays:
    """Read an npz file of known arrays.

    `expected` are the shapes of every array the file must hold, by name; it may hold no other. `dtypes` are
    the types that they may have, as numpy spells them, numbers only. Nothing is cast; the arrays are writable
    and in C order whatever the file's. Whatever is wrong is a `WeightsError`.
    """
    name = os.fspath(path)
    width = max(np.dtype(dtype).itemsize for dtype in dtypes)
    largest = {key: MAX_HEADER + width * math.prod(shape) for key, shape in expected.items()}
    limit = END.size + sum(int(size * DEFLATE_OVERHEAD) + MEMBER_OVERHEAD for size in largest.values())
    image = read_image(name, limit)
    zipped = PlainZip(name, image, {f"{key}.npy".encode(): key for key in expected})
    for key, member in zipped.members.items():
        if member.size > largest[key]:
            raise WeightsError(name, key, f"declares {member.size} bytes, more than its shape can need")
    layouts = {}
    for key, shape in expected.items():
        layouts[key] = _check_header(name, key, zipped.head(key, MAX_HEADER), shape, dtypes)
        layouts[key].check_size(name, key, zipped.members[key].size)
    arrays = {key: _take(name, key, zipped.contents(key), layout) for key, layout in layouts.items()}
    return NpzArrays(arrays, hashlib.sha256(image).hexdigest())


@dataclass(frozen=True)
class _Layout:
    """What the header of an array says, and how long it is."""

    dtype: str
    fortran: bool
    shape: tuple[int, ...]
    offset: int

    def check_size(self, path: str, key: str, size: int) -> None:
        needed = self.offset + np.dtype(self.dtype).itemsize * math.prod(self.shape)
        if size != needed:
            raise WeightsError(path, key, f"declares {size} bytes where its shape needs {needed}")


def _check_header(path: str, key: str, head: bytes, shape: tuple[int, ...], dtypes: Sequence[str]) -> _Layout:
    """Read the header of an array (numpy.lib.format) and hold it against what is expected."""
    long = head[6:7] in (b"\2", b"\3")
    offset = 12 if long else 10
    if head[:6] != b"\x93NUMPY" or head[6:8] not in (b"\1\0", b"\2\0", b"\3\0") or len(head) < offset:
        raise WeightsError(path, key, "is not an array of numpy")
    end = offset + struct.unpack_from("<L" if long else "<H", head, 8)[0]
    found = _HEADER.fullmatch(b" ".join(head[offset:end].split())) if end <= len(head) else None
    items = {} if found is None else {k[:-1]: v for k, v in found.groupdict().items() if v is not None}
    if len(items) != 3:
        raise WeightsError(path, key, "has a header that is not that of a plain array")
    descr = printable(items["descr"][:50])
    if "O" in descr:
        raise WeightsError(path, key, "holds Python objects, which are never unpickled")
    if descr not in dtypes:
        raise WeightsError(path, key, f"has type {descr}, not {' or '.join(dtypes)}; it is not cast")
    sizes = tuple(int(size) for size in re.findall(rb"\d+", items["shape"]))
    if sizes != shape:
        raise WeightsError(path, key, f"has shape {sizes if len(sizes) < 10 else '...'}, not {shape}")
    return _Layout(descr, items["fortran"] == b"True", sizes, end)


def _take(path: str, key: str, contents: bytes | memoryview, layout: _Layout) -> NDArray[Any]:
    numbers = np.frombuffer(contents, layout.dtype, offset=layout.offset)
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        raise WeightsError(path, key, "holds NaN or infinity")
    return np.array(numbers.reshape(layout.shape, order="F" if layout.fortran else "C"), order="C")
