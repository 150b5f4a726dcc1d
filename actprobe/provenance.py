"""What made a result: versions, hashes, flags and seeds, and files that are either whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import actprobe

__all__ = ["atomic_path", "canonical_json", "digest", "versions", "write_csv", "write_json"]

_DISTRIBUTIONS = (
    "numpy", "scipy", "pandas", "pyarrow", "tensorflow", "tf-keras", "tensorflow-io", "essentia-tensorflow",
    "librosa", "soundfile", "soxr", "av", "h5py", "opencv-python",
)  # fmt: skip


def canonical_json(value: Any) -> str:
    """Write a value as JSON that is the same for equal values.

    Parameters
    ----------
    value : object
        JSON-able.

    Returns
    -------
    str
        Keys sorted, no spaces.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Hash a JSON-able value.

    Parameters
    ----------
    value : object
        JSON-able.

    Returns
    -------
    str
        First 16 hexadecimal digits of the sha256 of its canonical JSON.
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def versions() -> dict[str, str]:
    """List the versions of actprobe, Python and the libraries that make numbers.

    Returns
    -------
    dict
        Name -> version; libraries that are not installed are left out.
    """
    installed = {name: _version(name) for name in _DISTRIBUTIONS}
    found = {name: number for name, number in installed.items() if number is not None}
    return {"actprobe": actprobe.__version__, "python": platform.python_version(), **found}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Write a file so that it is either whole or absent, whatever kills the process.

    Parameters
    ----------
    path : Path
        The file to be.

    Yields
    ------
    Path
        A temporary file beside it, flushed to disk and renamed when the block ends well, removed
        when it does not.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path, frame: Any) -> None:
    """Write a table as CSV.

    Parameters
    ----------
    path : Path
        The file to be.
    frame : pandas.DataFrame
        The table; numbers are written so that they read back the same.
    """
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as readable JSON, whole or not at all.

    Parameters
    ----------
    path : Path
        The file to be.
    value : mapping
        JSON-able.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
