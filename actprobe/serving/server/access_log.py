"""The access log: a JSON line for each request, whole even when several threads write."""

from __future__ import annotations

import os
import time
from typing import Any

import orjson

from actprobe.errors import UsageError


class AccessLog:
    """A file of JSON lines, which is appended to; ``-`` is standard error, an empty path no file.

    A file that cannot be written is a `UsageError`.
    """

    def __init__(self, path: str) -> None:
        self._handle: int | None = None
        try:
            if path == "-":
                self._handle = os.dup(2)
            elif path:
                self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror})") from None

    def write(self, **fields: Any) -> None:
        """Write a line of what happened; the time is added."""
        if self._handle is None:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        line = orjson.dumps({"time": stamp, **fields}, option=orjson.OPT_APPEND_NEWLINE, default=str)
        try:
            os.write(self._handle, line)  # one write of a short line is not torn apart
        except OSError:  # a full disk must not stop the answers
            return

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
