"""Large arrays in temporary files, whose pages the system can drop from memory when it is short.

The files have no name any more once they are open, so nothing is left behind, however the process ends. They
are created in the default folder of `tempfile`; set ``TMPDIR`` to another one where /tmp is in memory.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

HELD_BYTES = 2**27  # 12.7 minutes of float32 at 44.1 kHz


def buffer(size: int) -> bytearray | mmap.mmap:
    """Give room for `size` bytes to write into: in memory, or in a file if there are many and it has room."""
    if size <= HELD_BYTES:
        return bytearray(size)
    try:
        with tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk is an error here and not a crash later
            return mmap.mmap(file.fileno(), size)
    except OSError:
        return bytearray(size)


def array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Give an array of zeros to write into, wherever `buffer` puts it."""
    numbers = np.dtype(dtype)
    size = math.prod(shape)
    if not size:
        return np.zeros(shape, numbers)
    return np.frombuffer(buffer(size * numbers.itemsize), numbers).reshape(shape)


class GrowingSamples:
    """Samples that come block by block, in memory while they are few and in a file when they are many."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._file: Any = None

    def add(self, block: NDArray[np.float32]) -> None:
        """Append float32 samples [samples]; OSError where they do not fit on the disk."""
        if self._file is None and len(self._held) + block.nbytes <= HELD_BYTES:
            self._held += block.tobytes()
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as samples are added)
            self._file.write(self._held)
            self._held = bytearray()
        self._file.write(block.tobytes())

    def array(self) -> NDArray[np.float32]:
        """Give all samples, float32 [samples], writable; what is written does not reach the file.

        OSError where they do not fit on the disk.
        """
        if self._file is None:
            return np.frombuffer(self._held, dtype=np.float32)
        self._file.flush()
        return np.frombuffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY), dtype=np.float32)
