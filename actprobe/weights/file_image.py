"""A foreign file as bytes in memory: what every reader begins with."""

from __future__ import annotations

import stat
from pathlib import Path

from actprobe.errors import WeightsError


def read_image(path: str, limit: int) -> bytes:
    """Read a regular file into memory, once.

    Raises
    ------
    WeightsError
        It is missing, unreadable, not a regular file, empty or has more than `limit` bytes.
    """
    try:
        # A pipe or a device must not even be opened: that alone can block.
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            raise WeightsError(path, "", "is not a regular file")
        image = b""
        if found.st_size <= limit:
            with Path(path).open("rb") as file:
                image = file.read(found.st_size + 1)
    except FileNotFoundError:
        raise WeightsError(path, "", "no such file") from None
    except ValueError as error:
        raise WeightsError(path, "", "has a null byte in its name") from error
    except OSError as error:
        raise WeightsError(path, "", f"cannot be read: {error.strerror or error}") from error
    if max(found.st_size, len(image)) > limit:
        raise WeightsError(path, "", f"is larger than {limit} bytes, more than this network can need")
    if not image:
        raise WeightsError(path, "", "is empty")
    return image
