"""Arrays of npz files, by `zipfile` and `numpy.lib.format`; nothing is unpickled.

A zip file describes each member twice, before it and in the directory at its end, and readers that trust
one of the two are fooled by the other. What `numpy.savez` writes is a small part of what a zip file may be:
members end to end, then the directory, and the two descriptions agree. `zipfile` reads more than that; what
it reads is held against it here (PKWARE's APPNOTE.TXT 6.3.3, sections 4.3.7, 4.3.9 and 4.3.16).
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy

from actprobe.formats.arrays import Arrays, Found, RefusalError, Wanted, printable

END = struct.Struct("<4s4H2LH")
LOCAL = struct.Struct("<4s5H3L2H")
DEFLATE_LEVEL, SIZES_BEHIND, UTF8 = 6, 8, 1 << 11
IN_ZIP64_FIELD = (0xFFFFFFFF, 0xFFFFFFFF)
ZIP64, ZIP64_SIZES = b"\1\0", b"\1\0\x10\0"
MAX_HEADER = 4096  # numpy writes 80 to 128 bytes for a plain array


def read_npz(images: Mapping[str, bytes], wanted: Wanted) -> Arrays:
    """Read arrays by name without ``.npy``."""
    image = images[""]
    if image[:4] not in (b"PK\3\4", b"PK\5\6"):
        raise RefusalError("", "is not an npz file")
    with zipfile.ZipFile(io.BytesIO(image)) as archive:
        infos, directory = archive.infolist(), archive.start_dir
    end = len(image) - END.size
    signature, disk, first, here, count, length, start, comment = END.unpack_from(image, end)
    if signature != b"PK\5\6" or comment:
        raise RefusalError("", "does not end in the end record of a zip file: cut off or added to")
    if disk or first or start != directory or start + length != end:
        raise RefusalError("", "has an end record that does not fit its directory")
    if here != count or count != len(infos):
        raise RefusalError("", f"declares {count} members but lists {len(infos)}")
    members: dict[str, bytes] = {}
    position, room = 0, wanted.most + MAX_HEADER * len(wanted.shapes or infos)
    for info in sorted(infos, key=lambda info: info.header_offset):
        name = printable(info.filename.encode("utf-8", "surrogateescape")[:200])
        key = name.removesuffix(".npy")
        if key in members:
            raise RefusalError(key, "is there twice")
        if key == name:
            raise RefusalError(name, "is not expected here: no name of an array of numpy")
        if wanted.takes(key, name):
            room -= info.file_size
            if room < 0:
                raise RefusalError(key, f"declares {info.file_size} bytes, more than its shape can need")
            members[key], position = _unpacked(image, info, key, position)
    if position != directory:
        raise RefusalError("", "has bytes that belong to no member before its directory")
    wanted.check_complete(members)
    return {key: Found(key, _array(key, contents, wanted)) for key, contents in members.items()}


def _unpacked(image: bytes, info: zipfile.ZipInfo, key: str, position: int) -> tuple[bytes, int]:
    """Unpack a member that begins where the one before it ends, and tell where it ends itself."""
    if info.flag_bits & ~(DEFLATE_LEVEL | SIZES_BEHIND | UTF8):
        raise RefusalError(key, f"is encrypted, or packed in some other way: zip flags {info.flag_bits:#06x}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusalError(key, f"is packed by method {info.compress_type}, as numpy does not pack")
    if info.volume or info.comment or info.extra[:2] == ZIP64:
        raise RefusalError(key, "has a comment, another disk or ZIP64 sizes in the directory")
    told = LOCAL.unpack_from(image, position)
    signature, _, flags, method, _, _, *sizes, name_length, extra_length = told
    name = position + LOCAL.size
    first = name + name_length + extra_length
    extra = image[name + name_length : first]
    if sizes[1:] == list(IN_ZIP64_FIELD) and extra[:4] == ZIP64_SIZES:
        sizes[1:] = struct.unpack_from("<2Q", extra, 4)[::-1]
    true = [info.CRC, info.compress_size, info.file_size]
    end = first + info.compress_size
    if flags & SIZES_BEHIND:  # with or without a signature, in 4 or 8 bytes each
        sizes = true if sizes == [0, 0, 0] else sizes
        behind = [mark + struct.pack(f"<L2{wide}", *true) for mark in (b"PK\7\x08", b"") for wide in "LQ"]
        end += max((len(each) for each in behind if image[end:].startswith(each)), default=0)
    if 0 < extra_length < 4:
        raise RefusalError(key, "has extra fields that do not add up")
    if position != info.header_offset:
        raise RefusalError(key, "does not lie end to end with the members beside it")
    here = (signature, flags, method, image[name : name + name_length], sizes)
    if here != (b"PK\3\4", info.flag_bits, info.compress_type, info.orig_filename.encode(), true):
        raise RefusalError(key, "is described differently by its header and by the directory")
    contents = image[first : first + info.compress_size]
    if method == zipfile.ZIP_DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            contents = inflater.decompress(contents, info.file_size + 1)
        except zlib.error as error:
            raise RefusalError(key, f"does not inflate ({error})") from error
        if not inflater.eof or inflater.unused_data:
            raise RefusalError(key, f"does not inflate to the {info.file_size} bytes that it declares")
    if len(contents) != info.file_size or zlib.crc32(contents) != info.CRC:
        raise RefusalError(key, "has contents of another size or checksum than it declares")
    return contents, end


def _array(key: str, contents: bytes, wanted: Wanted) -> Any:
    stream, functions = io.BytesIO(contents), vars(npy)  # which have no types
    try:
        major = functions["read_magic"](stream)[0]
        read = functions[f"read_array_header_{major}_0"]
        shape, fortran, dtype = read(stream, max_header_size=MAX_HEADER)
        if dtype.fields or min(shape, default=0) < 0:
            raise ValueError
    except Exception as error:  # of the many that a header can raise
        raise RefusalError(key, "is not an array of numpy, or not a plain array by its header") from error
    if dtype.hasobject:
        raise RefusalError(key, "holds Python objects, which are never unpickled")
    wanted.check(key, key, dtype.str, shape)
    needed = stream.tell() + dtype.itemsize * math.prod(shape)
    if len(contents) != needed:
        raise RefusalError(key, f"declares {len(contents)} bytes where its shape needs {needed}")
    numbers = np.frombuffer(contents, dtype, offset=stream.tell())
    return numbers.reshape(shape, order="F" if fortran else "C")
