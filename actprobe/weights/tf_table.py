"""Tables and messages: what TensorFlow's checkpoints are made of, read from bytes in memory.

A table (tensorflow/core/lib/io/format.h, LevelDB's) is a row of blocks, an index of them and a footer of
48 bytes. A block holds entries, key and value, in ascending order of their keys; a key is written as
what it shares with the one before and the rest. Behind each block come its compression and its checksum.
TensorFlow writes the tables of checkpoints uncompressed, and nothing else is read.

The values are protocol buffers (protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias, TypeVar

from actprobe.weights.crc32c import masked_crc32c

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
TRAILER_BYTES = 5
MAX_KEY_BYTES = 4096

VARINT, LENGTH_DELIMITED = 0, 2
FIXED_BYTES = {1: 8, 5: 4}

Block: TypeAlias = tuple[int, int]
T = TypeVar("T")


class FormatError(Exception):
    """Bytes that are not what they should be, for a reason to be read behind the name of a file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_table(image: bytes, most: int) -> tuple[list[tuple[bytes, memoryview]], list[Block]]:
    """Read a table without looking at its values; the work is bounded by `most`, not by the file.

    Gives keys and values in ascending order of the keys, which differ, and where the blocks begin and end,
    for `check_blocks`; blocks do not overlap. `FormatError` if it is no table, or has more than `most`
    entries or blocks.
    """
    view = memoryview(image)
    footer = view[-FOOTER_BYTES:]
    if len(view) < FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise FormatError("is not a TensorFlow checkpoint, or is cut off")
    end = len(view) - FOOTER_BYTES
    _, place = _handle(footer, 0, end)
    index, _ = _handle(footer, place, end)
    _check_uncompressed(view, index)
    blocks = [index]
    entries: list[tuple[bytes, memoryview]] = []
    reached = 0
    for _, handle in _entries(view[slice(*index)], most):
        block, _ = _handle(handle, 0, index[0])
        if block[0] < reached:
            raise FormatError("has blocks that overlap")
        reached = block[1] + TRAILER_BYTES
        _check_uncompressed(view, block)
        blocks.append(block)
        for key, value in _entries(view[slice(*block)], most - len(entries)):
            if entries and key <= entries[-1][0]:
                raise FormatError("has entries that are not in order")
            entries.append((key, value))
    return entries, blocks


def check_blocks(image: bytes, blocks: list[Block]) -> None:
    """Compare the blocks that `read_table` gave with their checksums; `FormatError` if one is another."""
    view = memoryview(image)
    for start, stop in blocks:
        if masked_crc32c(view[start : stop + 1]) != struct.unpack("<I", view[stop + 1 : stop + 5])[0]:
            raise FormatError(f"is damaged: the checksum of the block at {start} is wrong")


def _check_uncompressed(view: memoryview, block: Block) -> None:
    if view[block[1]] != 0:
        raise FormatError("is compressed, as TensorFlow does not write checkpoints")


def _handle(data: memoryview, place: int, end: int) -> tuple[Block, int]:
    """Read where a block lies, and check that it and its trailer lie before `end`."""
    start, place = _varint(data, place)
    size, place = _varint(data, place)
    if start + size + TRAILER_BYTES > end:
        raise FormatError("has a block beyond the end of the file")
    return (start, start + size), place


def _entries(block: memoryview, most: int) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the entries of a block. The restart points at its end serve searching only."""
    if len(block) < 4:
        raise FormatError("has a block that is cut off")
    stop = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    if stop < 0:
        raise FormatError("has a block with more restart points than bytes")
    place, key = 0, b""
    while place < stop:
        if most == 0:
            raise FormatError("holds too many entries")
        most -= 1
        shared, place = _varint(block, place)
        rest, place = _varint(block, place)
        size, place = _varint(block, place)
        if shared > len(key) or shared + rest > MAX_KEY_BYTES or place + rest + size > stop:
            raise FormatError("has an entry beyond its block")
        key = key[:shared] + bytes(block[place : place + rest])
        place += rest
        yield key, block[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte, at most 64 bits, and tell what lies behind it."""
    number = 0
    for shift in range(0, 64, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80 and number < 1 << 64:
            return number, place
    raise FormatError("holds a number without end")


class Message:
    """The fields of a message, by number; `FormatError` if it is no message, or has more than `most`."""

    def __init__(self, data: memoryview, most: int = 64) -> None:
        self._numbers: dict[int, list[int]] = {}
        self._parts: dict[int, list[memoryview]] = {}
        place = 0
        while place < len(data):
            if most == 0:
                raise FormatError("holds a message with too many fields")
            most -= 1
            tag, place = _varint(data, place)
            field, kind = tag >> 3, tag & 7
            if kind == VARINT:
                number, place = _varint(data, place)
                self._numbers.setdefault(field, []).append(number)
                continue
            size = FIXED_BYTES.get(kind, 0)
            if kind == LENGTH_DELIMITED:
                size, place = _varint(data, place)
            elif not size:
                raise FormatError("holds something else than a message")
            part = data[place : place + size]
            if len(part) != size:
                raise FormatError("holds a message that is cut off")
            place += size
            if kind == LENGTH_DELIMITED:
                self._parts.setdefault(field, []).append(part)
            else:
                self._numbers.setdefault(field, []).append(int.from_bytes(part, "little"))

    def parts(self, field: int) -> list[memoryview]:
        """Give a field of bytes that may be repeated, as often as it is there."""
        return self._parts.get(field, [])

    def part(self, field: int) -> memoryview:
        """Give a field of bytes, empty if it is not there; `FormatError` if it is there more than once."""
        return _only(self.parts(field), memoryview(b""))

    def number(self, field: int) -> int:
        """Give a field of a number: from 0 to 2**64 - 1, which is how -1 is written; 0 if it is not there.

        `FormatError` if it is there more than once.
        """
        return _only(self._numbers.get(field, []), 0)


def _only(values: list[T], default: T) -> T:
    if len(values) > 1:
        raise FormatError("holds a message that says a thing twice")
    return values[0] if values else default
