"""The pages of an Ogg file (RFC 3533): its links, how long they claim to be, and what is damaged.

Decoders skip damaged pages and stop after the first of several links without a word.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_HEADER = 27
_CONTINUED, _BEGINS, _ENDS = 1, 2, 4
_NO_POSITION = -1  # of a page on which no packet ends
_SEARCHED_AT_ONCE = 1 << 16
_MOST_DAMAGED_PAGES = 10_000  # a file of nothing but false beginnings of pages would take hours
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
OPUS_RATE = 48_000  # of positions, whatever was encoded (RFC 7845, section 4)
_LONGEST_OPUS_PACKET = 5_760


@dataclass(frozen=True)
class Page:
    """One page; `whole` says whether the file holds it all, `sound` whether its checksum is right, too."""

    start: int
    end: int
    flags: int
    position: int
    serial: int
    number: int
    packets: int
    body: bytes
    whole: bool
    sound: bool


@dataclass
class Link:
    """One of the streams that stand one after the other in a file.

    ``start``, ``end``: its bytes. ``rate``: of positions in Hz, 0 for another codec than Vorbis and Opus.
    ``damaged``, ``missing``: pages. ``ended``: whether its last page says that it is the last.
    ``cut``: whether the file ends inside that one.
    """

    start: int
    end: int
    rate: int = 0
    damaged: int = 0
    missing: int = 0
    ended: bool = False
    cut: bool = False
    _serial: int = -1
    _skip: int = 0
    _longest_packet: int = 0
    _number: int = -1
    _first: int | None = None
    _last: int = 0

    @property
    def seconds(self) -> float | None:
        """Duration by the positions of its first and last page; None where they say nothing."""
        if not self.rate or self._first is None:
            return None
        return max(self._last - self._first, 0) / self.rate

    def begin(self, page: Page) -> None:
        """Take over the page that begins a stream, if it is one of sound and the first of the link."""
        body = page.body
        if self._serial >= 0:
            return
        if body[:7] == b"\x01vorbis" and len(body) >= 30:
            self.rate = int.from_bytes(body[12:16], "little")
            self._longest_packet = 1 << (body[28] >> 4)
        elif body[:8] == b"OpusHead" and len(body) >= 19:
            self.rate, self._longest_packet = OPUS_RATE, _LONGEST_OPUS_PACKET
            self._skip = int.from_bytes(body[10:12], "little")
        else:
            return
        self._serial, self._number = page.serial, page.number

    def add(self, page: Page) -> None:
        """Take over a page of the link's stream of sound; others are passed over."""
        if page.serial != self._serial:
            return
        if not page.sound and page.whole:
            self.damaged += 1
            self._number = page.number
            return
        if not page.whole and page.number != self._number + 1:
            return
        self.missing += max(page.number - self._number - 1, 0)
        self._number = page.number
        ends = bool(page.flags & _ENDS)
        self.ended, self.cut = page.whole and ends, not page.whole and ends
        if page.position == _NO_POSITION or page.position == 0:
            return
        if self._first is None:
            # A recording of a broadcast begins at any position; the first page's own sound is not counted.
            from_zero = page.position <= page.packets * self._longest_packet
            self._first = self._skip if from_zero else page.position
        self._last = max(self._last, page.position)


def read_links(stream: BinaryIO) -> list[Link]:
    """List the links of an Ogg file; the position of the stream is changed."""
    links: list[Link] = []
    beginning = False
    for page in read_pages(stream):
        begins = page.sound and bool(page.flags & _BEGINS)
        if begins and not beginning:
            if links:
                links[-1].end = page.start
            links.append(Link(page.start, page.end))
        beginning = begins
        if not links:
            continue
        links[-1].end = page.end
        if begins:
            links[-1].begin(page)
        else:
            links[-1].add(page)
    return links


def read_pages(stream: BinaryIO) -> Iterator[Page]:
    """Yield the pages, looking for the next one where bytes lie between them."""
    size = stream.seek(0, os.SEEK_END)
    at: int | None = 0
    damaged = 0
    while at is not None:
        at = _next_page(stream, at)
        page = None if at is None else _page_at(stream, at, size)
        if page is None:
            return
        yield page
        damaged += not page.sound
        if damaged > _MOST_DAMAGED_PAGES:
            return
        # The size of a damaged page may be what is damaged.
        at = page.end if page.sound else page.start + 4


def _next_page(stream: BinaryIO, at: int) -> int | None:
    stream.seek(at)
    if stream.read(4) == b"OggS":
        return at
    while True:
        stream.seek(at)
        data = stream.read(_SEARCHED_AT_ONCE)
        found = data.find(b"OggS")
        if found >= 0:
            return at + found
        if len(data) < _SEARCHED_AT_ONCE:
            return None
        at += len(data) - 3


def _page_at(stream: BinaryIO, start: int, size: int) -> Page | None:
    stream.seek(start)
    head = stream.read(_HEADER)
    lacing = stream.read(head[26]) if len(head) == _HEADER else b""
    if len(head) < _HEADER or len(lacing) < head[26]:
        return None  # cut inside its header, which then says nothing
    length = sum(lacing)
    body = stream.read(length)
    end = start + _HEADER + len(lacing) + length
    whole = end <= size
    return Page(
        start=start,
        end=min(end, size),
        flags=head[5],
        position=int.from_bytes(head[6:14], "little", signed=True),
        serial=int.from_bytes(head[14:18], "little"),
        number=int.from_bytes(head[18:22], "little"),
        packets=sum(length < 255 for length in lacing),
        body=body,
        whole=whole,
        sound=whole and _checksum(head[:22] + bytes(4) + head[26:] + lacing + body) == head[22:26],
    )


def _checksum(page: bytes) -> bytes:
    """CRC of a page: zlib's polynomial with the bits of every byte the other way round, and no inversion."""
    reflected = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    # Most significant byte of the CRC first in the reflected order is its least significant byte in the file.
    return reflected.to_bytes(4, "big").translate(_REVERSED)
