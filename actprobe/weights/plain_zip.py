"""Zip files as numpy writes them, read by a parser that believes none of their sizes.

A zip file describes each member twice, in the header before it and in the central directory at the end
of the file, and readers that trust one of the two are fooled by the other. What `numpy.savez` and
`numpy.savez_compressed` write, today's and that of 2015, is a small part of what a zip file may be, and
only that is read: members end to end from the first byte on, stored or deflated; behind them the
directory and its end record, and not a byte more. The two descriptions have to agree. Overlapping
members, hidden bytes and a second directory cannot be built from that. ZIP64 is understood only where
numpy uses it, in the header before a member.

Layouts are those of PKWARE's APPNOTE.TXT 6.3.3, sections 4.3.7, 4.3.9, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from actprobe.errors import WeightsError
from actprobe.weights.file_image import printable

MEMBER_OVERHEAD = 1024  # headers, the name twice, the extra fields that other zip programs add
END = struct.Struct("<4s4H2LH")
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
IN_ZIP64_FIELD = 0xFFFFFFFF
STORED, DEFLATED = 0, 8
ENCRYPTED, DEFLATE_LEVEL, SIZES_BEHIND, UTF8 = 1, 6, 8, 1 << 11


@dataclass(frozen=True)
class Member:
    """A member as both of its descriptions have it.

    Parameters
    ----------
    key, name : str, bytes
        What the caller and the file call it.
    flags, method : int
        How it is packed.
    crc, packed, size : int
        Checksum of its contents, bytes in the file and bytes unpacked.
    start, first : int
        Offsets of its header and of its data.
    """

    key: str
    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    start: int
    first: int = 0

    @property
    def end(self) -> int:
        """Offset behind its data."""
        return self.first + self.packed


class PlainZip:
    """A zip file of known members; all that it declares is checked, nothing is unpacked.

    `expected` are the names that members must have -> what messages and `members` call them. Anything but a
    plain zip file of exactly these members is a `WeightsError`.
    """

    def __init__(self, path: str, image: bytes, expected: Mapping[bytes, str]) -> None:
        self.path = path
        self.image = image
        self.expected = expected
        self.members = {member.key: member for member in self._directory()}
        missing = [key for key in expected.values() if key not in self.members]
        if missing:
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise self._refuse(missing[0], f"this array is missing{others}")
        self._check_tiling()

    def head(self, key: str, most: int) -> bytes:
        """Unpack the first `most` bytes of a member, of a checksum not yet known to be right."""
        member = self.members[key]
        packed = memoryview(self.image)[member.first : member.end]
        return bytes(packed[:most]) if member.method == STORED else self._inflate(member, packed, most)[0]

    def contents(self, key: str) -> bytes | memoryview:
        """Unpack a member: as many bytes as it declares, of the checksum that it declares.

        Otherwise it is a `WeightsError`. No more than one byte above its declared size is ever unpacked.
        """
        member = self.members[key]
        packed = memoryview(self.image)[member.first : member.end]
        contents: bytes | memoryview = packed
        if member.method == DEFLATED:
            contents, ended = self._inflate(member, packed, member.size + 1)
            if len(contents) != member.size or not ended:
                raise self._refuse(key, f"does not inflate to the {member.size} bytes that it declares")
        if zlib.crc32(contents) != member.crc:
            raise self._refuse(key, "has contents of another checksum than it declares")
        return contents

    def _refuse(self, entry: str, reason: str) -> WeightsError:
        return WeightsError(self.path, entry, reason)

    def _inflate(self, member: Member, packed: memoryview, most: int) -> tuple[bytes, bool]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            contents = inflater.decompress(packed, most)
        except zlib.error as error:
            raise self._refuse(member.key, f"does not inflate ({error})") from error
        return contents, inflater.eof and not inflater.unused_data

    def _directory(self) -> Iterator[Member]:
        """Yield the members in the directory's order; every name is expected and comes once."""
        if self.image[:4] not in (b"PK\3\4", b"PK\5\6") or len(self.image) < END.size:
            raise self._refuse("", "is not an npz file")
        end = len(self.image) - END.size
        signature, disk, first_disk, here, count, length, start, comment = END.unpack_from(self.image, end)
        if signature != b"PK\5\6" or comment:
            raise self._refuse("", "does not end in the end record of a zip file: cut off or added to")
        if disk or first_disk or here != count or start + length != end:
            raise self._refuse("", "has an end record that does not fit its directory")
        seen: set[str] = set()
        position = start
        while position < end:
            member, position = self._entry(position, end)
            if member.key in seen:
                raise self._refuse(member.key, "is there twice")
            seen.add(member.key)
            yield self._locate(member)
        if len(seen) != count:
            raise self._refuse("", f"declares {count} members but lists {len(seen)}")

    def _entry(self, position: int, end: int) -> tuple[Member, int]:
        """Read a directory entry and tell where the next begins."""
        if position + ENTRY.size > end:
            raise self._refuse("", "has a directory that is cut off")
        fields = ENTRY.unpack_from(self.image, position)
        signature, _, _, flags, method, _, _, crc, packed, size = fields[:10]
        name_length, extra_length, comment_length, disk, _, _, start = fields[10:]
        behind = position + ENTRY.size + name_length
        if signature != b"PK\1\2" or behind + extra_length + comment_length > end:
            raise self._refuse("", "has a directory entry that is not one")
        name = self.image[position + ENTRY.size : behind]
        if name not in self.expected:
            raise self._refuse(printable(name[:200]), "is not a member that is expected here")
        key = self.expected[name]
        zip64 = 1 in self._extra_fields(key, behind, extra_length)
        if zip64 or IN_ZIP64_FIELD in (packed, size, start):
            raise self._refuse(key, "has ZIP64 sizes in the directory, which its shape cannot need")
        if disk or comment_length:
            raise self._refuse(key, "has a comment or lies on another disk")
        if flags & ENCRYPTED:
            raise self._refuse(key, "is encrypted")
        if flags & ~(DEFLATE_LEVEL | SIZES_BEHIND | UTF8):
            raise self._refuse(key, f"has zip flags {flags:#06x}, which numpy does not write")
        if method not in (STORED, DEFLATED):
            raise self._refuse(key, f"is packed by method {method}; only stored and deflated are read")
        if method == STORED and packed != size:
            raise self._refuse(key, f"is stored in {packed} bytes but declares {size}")
        return Member(key, name, flags, method, crc, packed, size, start), behind + extra_length

    def _locate(self, member: Member) -> Member:
        """Find the data of a member and hold the header before it against its directory entry."""
        key, image = member.key, self.image
        if member.start + LOCAL.size > len(image):
            raise self._refuse(key, "begins beyond the end of the file")
        fields = LOCAL.unpack_from(image, member.start)
        signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
        behind = member.start + LOCAL.size + name_length
        if signature != b"PK\3\4" or behind + extra_length + member.packed > len(image):
            raise self._refuse(key, "has no header where the directory says, or reaches beyond the file")
        wide = self._extra_fields(key, behind, extra_length).get(1)
        if wide is not None and len(wide) == 16 and packed == size == IN_ZIP64_FIELD:
            size, packed = struct.unpack("<2Q", wide)
        here = (flags, method, image[member.start + LOCAL.size : behind], crc, packed, size)
        there = (member.flags, member.method, member.name, member.crc, member.packed, member.size)
        sizes_come_later = flags & SIZES_BEHIND and here == (*there[:3], 0, 0, 0)
        if here != there and not sizes_come_later:
            raise self._refuse(key, "is described differently by its header and by the directory")
        return replace(member, first=behind + extra_length)

    def _extra_fields(self, key: str, position: int, length: int) -> dict[int, bytes]:
        """Split extra fields: each is a number, a length and so many bytes."""
        fields: dict[int, bytes] = {}
        end = position + length
        while position < end:
            kind, size = (
                struct.unpack_from("<2H", self.image, position) if end - position >= 4 else (0, length)
            )
            if kind in fields or position + 4 + size > end:
                raise self._refuse(key, "has extra fields that do not add up")
            fields[kind] = self.image[position + 4 : position + 4 + size]
            position += 4 + size
        return fields

    def _check_tiling(self) -> None:
        """Refuse members that overlap and bytes that belong to none."""
        ordered = sorted(self.members.values(), key=lambda member: member.start)
        directory = END.unpack_from(self.image, len(self.image) - END.size)[6]
        ends = [*(member.start for member in ordered[1:]), directory]
        position = 0
        for member, end in zip(ordered, ends, strict=True):
            descriptors = {b""}
            if member.flags & SIZES_BEHIND:
                descriptors |= {
                    signature + struct.pack(layout, member.crc, member.packed, member.size)
                    for signature in (b"PK\7\x08", b"")
                    for layout in ("<3L", "<L2Q")
                }
            between = self.image[member.end : end]
            if member.start != position or member.end > end or between not in descriptors:
                raise self._refuse(member.key, "does not lie end to end with the members beside it")
            position = end
