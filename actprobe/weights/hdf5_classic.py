"""Parser of the classic HDF5 format, as far as weight files of 2015-2017 use it, in pure Python.

The HDF5 C library is not fit for files of unknown origin: damaged bytes make it loop forever or
crash the process, and following links, external storage or virtual datasets makes it read other
files. This parser only looks at an image in memory, checks every address before it goes there, and
has limits on everything that a file can claim, so that it ends in bounded time whatever the bytes.

It knows version 0 superblocks, symbol-table groups, version 1 object headers and contiguous
little-endian float32 arrays: what h5py writes by default, and all that Keras 1 ever wrote. The rest is
refused by name. Section numbers are those of the HDF5 File Format Specification, version 3.0.

References
----------
.. [1] The HDF Group. HDF5 File Format Specification Version 3.0.
   https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SIGNATURE = b"\x89HDF\r\n\x1a\n"
UNDEFINED_ADDRESS = 2**64 - 1

# II.A: versions of superblock, free space, root group and shared messages, sizes of offsets and lengths.
_SUPERBLOCK = struct.Struct("<8s 3B x 3B x 8x QQQQ 8x Q")
_VERSION_1_HEADER = struct.Struct("<B x H I I 4x")  # IV.A.1.a
_VERSION_2_MAGIC = b"OHDR"  # IV.A.1.b
_MESSAGE = struct.Struct("<H H B 3x")
_TWO_ADDRESSES = struct.Struct("<QQ")
_TREE_NODE = struct.Struct("<4s B B H 16x")  # III.A.1
_SYMBOL_NODE = struct.Struct("<4s B x H")  # III.B
_SYMBOL = struct.Struct("<Q Q I 20x")  # III.C
_LOCAL_HEAP = struct.Struct("<4s 4B Q 8x Q")  # III.D
_SPACE_VERSION_1 = struct.Struct("<B B B 5x")  # IV.A.2.b
_SPACE_VERSION_2 = struct.Struct("<B B B B")
_LAYOUT_VERSION_3 = struct.Struct("<B B")  # IV.A.2.i; version 4 is the same for contiguous arrays

# IV.A.2.d: little-endian IEEE 754 binary32; the version is in the upper half of the first byte.
_FLOAT32 = bytes.fromhex("01 20 1f 00  04 00 00 00  00 00 20 00 17 08 00 17  7f 00 00 00")

_SPACE, _TYPE, _EXTERNAL, _LINK, _LAYOUT, _FILTERS = 0x01, 0x03, 0x07, 0x06, 0x08, 0x0B
_CONTINUATION, _SYMBOL_TABLE = 0x10, 0x11
_NEWER_GROUP = {0x02, _LINK, 0x0A}
# Nothing, fill values, attributes, comments, modification times, reference count.
_IRRELEVANT = {0x00, 0x04, 0x05, 0x0C, 0x0D, 0x0E, 0x12, 0x15, 0x16}
_SHARED_FLAG = 0x02

_LAYOUTS = {0: "compact", 1: "contiguous", 2: "chunked", 3: "virtual"}
_CONTIGUOUS = 1
_NEWER = "a newer form than Keras 1 wrote"
_SOFT_SYMBOL = 2
_LINK_KINDS = {1: "a soft link", 64: "an external link"}

MAX_MESSAGES = 1024  # of one object; the known files have up to 6
MAX_NAME_BYTES = 255
MAX_TREE_LEVEL = 8


class Hdf5Error(Exception):
    """What is wrong with the image, and the name of the link at fault (empty: the object itself)."""

    def __init__(self, reason: str, name: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.name = name


@dataclass(frozen=True)
class GroupHeader:
    """Addresses of a group's B-tree of links and of the heap of their names."""

    tree: int
    heap: int


@dataclass(frozen=True)
class ArrayHeader:
    """Shape of a little-endian float32 array, and where in the image its first number is."""

    shape: tuple[int, ...]
    offset: int


class ClassicHdf5:
    """An image of an HDF5 file in the classic format; `root` is the address of its root group.

    Anything else is an `Hdf5Error`.
    """

    def __init__(self, image: bytes) -> None:
        self._image = image
        if not image.startswith(SIGNATURE):
            raise Hdf5Error("is not an HDF5 file")
        _, superblock, *others, offsets, lengths, base, _, end, driver, root = self._unpack(_SUPERBLOCK, 0)
        if superblock != 0:
            raise Hdf5Error(f"is an HDF5 file of {_NEWER}; rewrite it with h5py's default libver")
        if any(others) or (offsets, lengths, base, driver) != (8, 8, 0, UNDEFINED_ADDRESS):
            raise Hdf5Error("is an HDF5 file of an unusual kind")
        if end > len(image):
            raise Hdf5Error(f"is truncated: {len(image)} bytes of {end}")
        self.root: int = root

    def header(self, address: int) -> GroupHeader | ArrayHeader:
        """Parse the header of the object at an address.

        Raises
        ------
        Hdf5Error
            It is neither a group nor an array of float32 stored in one piece within the image.
        """
        found: dict[int, tuple[int, int, int]] = {}
        for kind, flags, offset, size in self._messages(address):
            if kind in _IRRELEVANT:
                continue
            if kind in found and kind != _LINK:
                raise Hdf5Error("is damaged: two messages of one kind")
            if kind == _LINK:
                self._refuse_link(offset, size)
            found[kind] = flags, offset, size
        if _NEWER_GROUP & found.keys():
            raise Hdf5Error(f"is a group of {_NEWER}, such as external links need")
        # Before the type and shape, as these say more about what the file tries.
        if _LAYOUT in found:
            version, layout = self._unpack(_LAYOUT_VERSION_3, found[_LAYOUT][1])
            if version not in (3, 4):
                raise Hdf5Error(f"has a layout message of version {version}, not 3 or 4")
            if layout != _CONTIGUOUS:
                raise Hdf5Error(f"is stored as {_LAYOUTS.get(layout, 'unknown')}, not contiguous")
        if _EXTERNAL in found:
            raise Hdf5Error("keeps its numbers in an external file")
        if _FILTERS in found:
            raise Hdf5Error("is compressed or filtered")
        if any(flags & _SHARED_FLAG for flags, _, _ in found.values()):
            raise Hdf5Error("has a committed datatype or another shared message")
        if found.keys() == {_SYMBOL_TABLE}:
            return GroupHeader(*self._unpack(_TWO_ADDRESSES, found[_SYMBOL_TABLE][1]))
        if found.keys() == {_SPACE, _TYPE, _LAYOUT}:
            return self._array(*(found[kind] for kind in (_SPACE, _TYPE, _LAYOUT)))
        raise Hdf5Error("is neither a group nor an array")

    def links(self, group: GroupHeader, limit: int) -> list[tuple[bytes, int]]:
        """List the members of a group, at most `limit`: name and address of each.

        Raises
        ------
        Hdf5Error
            A link is not a hard link, or the group is damaged or too large.
        """
        magic, *versions, size, names = self._unpack(_LOCAL_HEAP, group.heap)
        if magic != b"HEAP" or any(versions):
            raise Hdf5Error("is damaged: no heap of names")
        self._check(names, size)
        links: dict[bytes, int] = {}
        for node in self._symbol_nodes(group.tree, limit):
            for offset, address, cache in self._symbols(node):
                name = self._name(names, size, offset)
                if name in links:
                    raise Hdf5Error("occurs twice", name)
                if cache == _SOFT_SYMBOL:
                    raise Hdf5Error("is a soft link", name)
                if cache > _SOFT_SYMBOL:
                    raise Hdf5Error("is a link of unknown kind", name)
                links[name] = address
                if len(links) > limit:
                    raise Hdf5Error("holds too many groups and arrays")
        return list(links.items())

    def _check(self, offset: int, size: int) -> None:
        if offset + size > len(self._image):
            raise Hdf5Error("is damaged: an address beyond the end of the file")

    def _unpack(self, layout: struct.Struct, offset: int) -> tuple[Any, ...]:
        self._check(offset, layout.size)
        return layout.unpack_from(self._image, offset)

    def _messages(self, address: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield type, flags, offset and size of the messages of an object (IV.A.1.a)."""
        version, count, _, size = self._unpack(_VERSION_1_HEADER, address)
        if self._image.startswith(_VERSION_2_MAGIC, address):
            raise Hdf5Error(f"is of {_NEWER}")
        if version != 1:
            raise Hdf5Error("is damaged: not an object header of version 1")
        if count > MAX_MESSAGES:
            raise Hdf5Error(f"has {count} header messages, more than {MAX_MESSAGES}")
        blocks = [(address + _VERSION_1_HEADER.size, size)]
        for start, length in blocks:
            self._check(start, length)
            offset, end = start, start + length
            while offset + _MESSAGE.size <= end and count:
                kind, size, flags = self._unpack(_MESSAGE, offset)
                offset += _MESSAGE.size
                if offset + size > end:
                    raise Hdf5Error("is damaged: a header message longer than its block")
                count -= 1
                if kind == _CONTINUATION:
                    if size < _TWO_ADDRESSES.size:
                        raise Hdf5Error("is damaged: a short header message")
                    start, length = self._unpack(_TWO_ADDRESSES, offset)
                    blocks.append((start, length))
                else:
                    yield kind, flags, offset, size
                offset += size

    def _refuse_link(self, offset: int, size: int) -> None:
        """Name a soft or external link of a newer group (IV.A.2.g)."""
        message = self._image[offset : offset + size]
        if len(message) < 3:
            raise Hdf5Error("is damaged: a short header message")
        flags = message[1]
        kind = message[2] if flags & 0x08 else 0
        width = 1 << (flags & 0x03)
        start = 2 + bool(flags & 0x08) + 8 * bool(flags & 0x04) + bool(flags & 0x10)
        length = int.from_bytes(message[start : start + width], "little")
        name = message[start + width : start + width + length][:MAX_NAME_BYTES]
        if kind:
            raise Hdf5Error(f"is {_LINK_KINDS.get(kind, 'a link of unknown kind')}", name)

    def _symbol_nodes(self, tree: int, limit: int) -> Iterator[int]:
        """Yield the addresses of the symbol nodes under a B-tree node."""
        pending, seen = [(tree, MAX_TREE_LEVEL)], {tree}
        while pending:
            node, level_above = pending.pop()
            magic, kind, level, used = self._unpack(_TREE_NODE, node)
            if magic != b"TREE" or kind != 0 or level >= level_above:
                raise Hdf5Error("is damaged: no B-tree of a group")
            first = node + _TREE_NODE.size
            self._check(first, 16 * used + 8)
            for i in range(used):
                _, child = self._unpack(_TWO_ADDRESSES, first + 16 * i)
                if child in seen:
                    raise Hdf5Error("is damaged: a cycle in a B-tree")
                seen.add(child)
                if len(seen) > 2 * limit + 1:
                    raise Hdf5Error("holds too many groups and arrays")
                if level:
                    pending.append((child, level))
                else:
                    yield child

    def _symbols(self, node: int) -> Iterator[tuple[int, int, int]]:
        """Yield name offset, address and cache type of the entries of a symbol node."""
        magic, version, count = self._unpack(_SYMBOL_NODE, node)
        if magic != b"SNOD" or version != 1:
            raise Hdf5Error("is damaged: no symbol node")
        for i in range(count):
            offset, address, cache = self._unpack(_SYMBOL, node + _SYMBOL_NODE.size + i * _SYMBOL.size)
            yield offset, address, cache

    def _name(self, names: int, size: int, offset: int) -> bytes:
        if offset >= size:
            raise Hdf5Error("is damaged: a name beyond its heap")
        start = names + offset
        end = self._image.find(b"\0", start, min(names + size, start + MAX_NAME_BYTES))
        if end < 0:
            raise Hdf5Error("is damaged: a name without end")
        name = self._image[start:end]
        if not name or b"/" in name:
            raise Hdf5Error("has a name that is empty or holds a slash", name)
        return name

    def _array(
        self, space: tuple[int, int, int], dtype: tuple[int, int, int], layout: tuple[int, int, int]
    ) -> ArrayHeader:
        _, offset, size = dtype
        stored = self._image[offset : offset + size]
        if stored[:1] == b"" or bytes([stored[0] & 0x0F]) + stored[1 : len(_FLOAT32)] != _FLOAT32:
            raise Hdf5Error("is not of type little-endian float32")
        shape = self._shape(*space[1:])
        _, offset, size = layout
        address, stored_size = self._unpack(_TWO_ADDRESSES, offset + _LAYOUT_VERSION_3.size)
        size = 4 * math.prod(shape)
        if address == UNDEFINED_ADDRESS:
            raise Hdf5Error(f"its {size} bytes of numbers were never written")
        if stored_size != size:
            raise Hdf5Error(f"has {stored_size} bytes of numbers, not the {size} of its shape")
        if address + size > len(self._image):
            raise Hdf5Error(f"its {size} bytes of numbers are not in the file")
        return ArrayHeader(shape, address)

    def _shape(self, offset: int, size: int) -> tuple[int, ...]:
        version, rank, flags = self._unpack(_SPACE_VERSION_1, offset)
        start = _SPACE_VERSION_1.size
        if version == 2:
            version, rank, flags, kind = self._unpack(_SPACE_VERSION_2, offset)
            start = _SPACE_VERSION_2.size
            if kind != bool(rank):
                raise Hdf5Error("has no shape")
        elif version != 1:
            raise Hdf5Error("is damaged: no shape")
        numbers = rank * (1 + (flags & 1))
        if rank > 32 or flags & ~1 or start + 8 * numbers > size:
            raise Hdf5Error("is damaged: no shape")
        dims = self._unpack(struct.Struct(f"<{numbers}Q"), offset + start)
        if dims[rank:] not in ((), dims[:rank]):
            raise Hdf5Error("has no fixed shape")
        return dims[:rank]
