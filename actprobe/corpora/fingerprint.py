"""Which recording a file is, so that work done before counts for it and for no other."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from actprobe.corpora.folder import MEAN, Recording

SEEN_PLACES, SEEN_BYTES = 32, 4096  # of a recording, by which it is told from another of its size and time


def fingerprint(recording: Recording) -> list[Any]:
    """Say which recording a file is, JSON-able; empty when there is no such file.

    Name, size and time of modification, and a hash of bytes from all over the file: copies keep the time, and
    recordings cut to one length have one size. Then which channel is read, where it is not their mean.
    """
    try:
        if not recording.path.is_file():  # opening a pipe would wait for a writer
            return []
        with recording.path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            seen = hashlib.sha256()
            for number in range(SEEN_PLACES):
                file.seek(number * max(status.st_size - SEEN_BYTES, 0) // (SEEN_PLACES - 1))
                seen.update(file.read(SEEN_BYTES))
    except OSError:
        return []
    channel = [] if recording.mono == MEAN else [recording.mono]
    return [recording.name, status.st_size, status.st_mtime_ns, seen.hexdigest()[:16], *channel]
