"""Part of a file, read as if it were a file of its own."""

from __future__ import annotations

import os
from typing import BinaryIO


class Part:
    """The bytes from `start` to `end` of a stream, with the methods that libsndfile and FFmpeg need.

    Parameters
    ----------
    stream : BinaryIO
        The file; its position is moved.
    start, end : int
        First byte, and the one after the last.
    """

    def __init__(self, stream: BinaryIO, start: int, end: int) -> None:
        self._stream, self._start, self._size = stream, start, end - start
        self._at = 0
        self.name = stream.name

    def read(self, size: int = -1) -> bytes:
        """Read on, `size` bytes at most."""
        left = max(self._size - self._at, 0)
        self._stream.seek(self._start + self._at)
        data = self._stream.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place; one before the start is an OSError, as for a file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("before the start")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Say where it is."""
        return self._at
