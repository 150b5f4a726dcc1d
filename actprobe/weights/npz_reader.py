"""Arrays of npz files, by `zipfile` and `numpy.lib.format`; nothing is unpickled.

A zip file describes each member twice, before it and in the directory at its end, and readers that trust
one of the two are fooled by the other. What `numpy.savez` writes, today's and that of 2015, is a small part
of what a zip file may be: members end to end, then the directory, and the two descriptions agree.
`zipfile` reads more than that; what it reads is held against it here. The sections of PKWARE's APPNOTE.TXT
6.3.3 are 4.3.7 (header), 4.3.9 (sizes behind the data) and 4.3.16 (end record).
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.lib import format as npy

from actprobe.weights.file_image import RefusalError, printable
from actprobe.weights.wanted import Found, Wanted

END = struct.Struct("<4s4H2LH")
LOCAL = struct.Struct("<4s5H3L2H")
DEFLATE_LEVEL, SIZES_BEHIND, UTF8 = 6, 8, 1 << 11
IN_ZIP64_FIELD = 0xFFFFFFFF
MAX_HEADER = 4096  # numpy writes 80 to 128 bytes for a plain array
MAX_MEMBERS = 10_000


def read_npz(image: bytes, wanted: Wanted) -> dict[str, Found]:
    """Read arrays by name without ``.npy``."""
    if image[:4] not in (b"PK\3\4", b"PK\5\6"):
        raise RefusalError("", "is not an npz file")
    with zipfile.ZipFile(io.BytesIO(image)) as archive:
        infos = archive.infolist()
        _check_end(image, archive)
    _check_members(image, infos)
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        key = info.filename.removesuffix(".npy")
        entry = printable(info.filename.encode("utf-8", "surrogateescape")[:200])
        if not info.filename.endswith(".npy"):
            raise RefusalError(entry, "is not a member that is expected here")
        if key in members:
            raise RefusalError(key, "is there twice")
        if wanted.takes(key, entry, "array"):
            members[key] = info
    wanted.check_complete(members, "array")
    room = wanted.most + MAX_HEADER * len(members)
    for key, info in members.items():
        if info.file_size > room:
            raise RefusalError(key, f"declares {info.file_size} bytes, more than its shape can need")
        room -= info.file_size
    return {key: Found(key, _array(key, _contents(image, info), wanted)) for key, info in members.items()}


def _check_end(image: bytes, archive: zipfile.ZipFile) -> None:
    """Refuse what `zipfile` passes over before, behind and between the directory and its end record."""
    end = len(image) - END.size
    signature, disk, first, here, count, length, start, comment = END.unpack_from(image, end)
    if signature != b"PK\5\6" or comment:
        raise RefusalError("", "does not end in the end record of a zip file: cut off or added to")
    listed = len(archive.infolist())
    if disk or first or here != count or count != listed or listed > MAX_MEMBERS:
        raise RefusalError("", f"declares {count} members but lists {listed}")
    if start != archive.start_dir or start + length != end:
        raise RefusalError("", "has an end record that does not fit its directory")


def _check_members(image: bytes, infos: list[zipfile.ZipInfo]) -> None:
    """Refuse members that overlap, bytes that belong to none, and headers that say something else."""
    position = 0
    ordered = sorted(infos, key=lambda info: info.header_offset)
    directory = END.unpack_from(image, len(image) - END.size)[6]
    for info, end in zip(ordered, [*(i.header_offset for i in ordered[1:]), directory], strict=True):
        key = printable(info.filename.encode("utf-8", "surrogateescape")[:200]).removesuffix(".npy")
        if info.flag_bits & ~(DEFLATE_LEVEL | SIZES_BEHIND | UTF8):
            raise RefusalError(key, f"is encrypted, or has other zip flags ({info.flag_bits:#06x})")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RefusalError(key, f"is packed by method {info.compress_type}, as numpy does not pack")
        if info.volume or info.comment or 1 in _extra_fields(key, info.extra):
            raise RefusalError(key, "has a comment, another disk or ZIP64 sizes in the directory")
        if info.header_offset + LOCAL.size > directory:
            raise RefusalError(key, "begins beyond the end of the file")
        told = LOCAL.unpack_from(image, info.header_offset)
        signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = told
        name = info.header_offset + LOCAL.size
        first = name + name_length + extra_length
        extra = _extra_fields(key, image[name + name_length : first]).get(1, b"")
        if len(extra) == 16 and packed == size == IN_ZIP64_FIELD:
            size, packed = struct.unpack("<2Q", extra)
        true = (info.CRC, info.compress_size, info.file_size)
        later = flags & SIZES_BEHIND and (crc, packed, size) == (0, 0, 0)
        if (
            (signature, flags, method) != (b"PK\3\4", info.flag_bits, info.compress_type)
            or image[name : name + name_length] != info.orig_filename.encode("ascii", "replace")
            or ((crc, packed, size) != true and not later)
        ):
            raise RefusalError(key, "is described differently by its header and by the directory")
        crc, packed, size = true
        descriptors = {b""}
        if flags & SIZES_BEHIND:
            sizes = [struct.pack(layout, crc, packed, size) for layout in ("<3L", "<L2Q")]
            descriptors |= {mark + each for mark in (b"PK\7\x08", b"") for each in sizes}
        if info.header_offset != position or first + packed > end:
            raise RefusalError(key, "does not lie end to end with the members beside it")
        if image[first + packed : end] not in descriptors:
            raise RefusalError(key, "does not lie end to end with the members beside it")
        position = end


def _extra_fields(key: str, extra: bytes) -> dict[int, bytes]:
    """Split extra fields: each is a number, a length and so many bytes."""
    fields: dict[int, bytes] = {}
    while extra:
        kind, size = struct.unpack_from("<2H", extra) if len(extra) >= 4 else (0, len(extra))
        if kind in fields or 4 + size > len(extra):
            raise RefusalError(key, "has extra fields that do not add up")
        fields[kind], extra = extra[4 : 4 + size], extra[4 + size :]
    return fields


def _contents(image: bytes, info: zipfile.ZipInfo) -> bytes:
    """Unpack a member: as many bytes as it declares, of the checksum that it declares."""
    key = info.filename.removesuffix(".npy")
    name_length, extra_length = LOCAL.unpack_from(image, info.header_offset)[9:]
    first = info.header_offset + LOCAL.size + name_length + extra_length
    contents = image[first : first + info.compress_size]
    if info.compress_type == zipfile.ZIP_DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        contents = inflater.decompress(contents, info.file_size + 1)
        if not inflater.eof or inflater.unused_data:
            raise RefusalError(key, f"does not inflate to the {info.file_size} bytes that it declares")
    if len(contents) != info.file_size or zlib.crc32(contents) != info.CRC:
        raise RefusalError(key, "has contents of another size or checksum than it declares")
    return contents


def _array(key: str, contents: bytes, wanted: Wanted) -> Any:
    stream, numpy_format = io.BytesIO(contents), npy  # its functions have no types
    try:
        version = numpy_format.read_magic(stream)  # type: ignore[no-untyped-call]
        read: Any = {
            (1, 0): numpy_format.read_array_header_1_0,
            (2, 0): numpy_format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(stream, max_header_size=MAX_HEADER)
    except Exception as error:  # of the many that a header can raise
        raise RefusalError(key, "has a header that is not that of a plain array") from error
    if dtype.hasobject:
        raise RefusalError(key, "holds Python objects, which are never unpickled")
    if dtype.fields or dtype.subdtype:
        raise RefusalError(key, "has a header that is not that of a plain array")
    wanted.check(key, key, dtype.str, shape)
    needed = stream.tell() + dtype.itemsize * math.prod(shape)
    if len(contents) != needed or any(size < 0 for size in shape):
        raise RefusalError(key, f"declares {len(contents)} bytes where its shape needs {needed}")
    numbers = np.frombuffer(contents, dtype, offset=stream.tell())
    return numbers.reshape(shape, order="F" if fortran else "C")
