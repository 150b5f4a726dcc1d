"""What libsndfile gets wrong in RIFF/WAVE: samples in wider containers, and an odd number of GSM blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_PCM, _GSM, _EXTENSIBLE = 0x0001, 0x0031, 0xFFFE
_GSM_BLOCK, _GSM_SAMPLES = 65, 320
_TO_THE_END = 0x7FFFF000  # and more: what writers leave that cannot seek back, as does 0
_SAMPLES_PER_BLOCK = 1 << 18


@dataclass(frozen=True)
class WavFormat:
    """The format chunk and where the samples are.

    ``data``, ``end``: byte positions within the file. ``claimed``: bytes of samples by the header.
    """

    tag: int
    channels: int
    sample_rate: int
    byte_rate: int
    align: int
    bits: int
    data: int
    end: int
    claimed: int

    @property
    def whole_frames(self) -> int | None:
        """Frames that the blocks of GSM hold which are whole; None for another format."""
        return (self.end - self.data) // _GSM_BLOCK * _GSM_SAMPLES if self.tag == _GSM else None

    @property
    def claimed_frames(self) -> int | None:
        """Frames that the header claims, where libsndfile gets them wrong; None for another format."""
        if self.is_wide:
            return self.claimed // self.align
        return self.claimed // _GSM_BLOCK * _GSM_SAMPLES if self.tag == _GSM else None

    @property
    def container_bytes(self) -> int:
        """Bytes that one sample takes, by the block align."""
        return self.align // self.channels if self.channels else 0

    @property
    def is_wide(self) -> bool:
        """Whether samples stand in containers with at least a byte to spare, as arecord writes S24_LE."""
        needed = -(-self.bits // 8)
        return (
            self.tag == _PCM
            and 0 < needed < self.container_bytes <= 4
            and self.align == self.channels * self.container_bytes
            and self.byte_rate == self.align * self.sample_rate  # one wrong number is a damaged header
        )


def read_wav_format(stream: BinaryIO) -> WavFormat | None:
    """Read the chunks up to the samples; None where it is no RIFF/WAVE. The stream's position is changed."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    fields = b""
    at = 12
    while at + 8 <= size:
        stream.seek(at)
        chunk = stream.read(8)
        length = int.from_bytes(chunk[4:], "little")
        at += 8
        if chunk[:4] == b"fmt ":
            fields = stream.read(min(length, 40))
        elif chunk[:4] == b"data":
            if len(fields) < 16:
                return None
            length = size - at if length == 0 or length >= _TO_THE_END else length
            return _format(fields, at, min(at + length, size), length)
        at += length + length % 2
    return None


def _format(fields: bytes, data: int, end: int, claimed: int) -> WavFormat:
    def number(at: int, size: int = 2) -> int:
        return int.from_bytes(fields[at : at + size], "little")

    tag, bits = number(0), number(14)
    if tag == _EXTENSIBLE and len(fields) >= 26 and bits:  # valid bits are the upper ones there: no matter
        tag = number(24)
    return WavFormat(tag, number(2), number(4, 4), number(8, 4), number(12), bits, data, end, claimed)


def wide_blocks(stream: BinaryIO, wav: WavFormat) -> Iterator[NDArray[np.float32]]:
    """Yield samples that stand in wider containers, float32 [frames, channels] in [-1, 1).

    The format does not say which bytes are to spare: ALSA's are the upper ones, those of WAVE's own rules
    the lower. They are the lower ones where these are 0 throughout.
    """
    needed = -(-wav.bits // 8)
    spare = wav.container_bytes - needed
    upper = not any(block[..., :spare].any() for block in _containers(stream, wav))
    first = spare if upper else 0
    for block in _containers(stream, wav):
        filled = np.zeros((*block.shape[:2], 4), np.uint8)
        filled[..., 4 - needed :] = block[..., first : first + needed]
        yield filled.view("<i4")[..., 0].astype(np.float32) / np.float32(2**31)


def _containers(stream: BinaryIO, wav: WavFormat) -> Iterator[NDArray[np.uint8]]:
    """Yield blocks of bytes, [frames, channels, container]."""
    step = max(_SAMPLES_PER_BLOCK // wav.channels, 1)
    stream.seek(wav.data)
    left = (wav.end - wav.data) // wav.align
    while left:
        data = stream.read(min(step, left) * wav.align)
        frames = len(data) // wav.align
        if not frames:
            return
        left -= frames
        shape = (frames, wav.channels, wav.container_bytes)
        yield np.frombuffer(data, np.uint8, frames * wav.align).reshape(shape)
