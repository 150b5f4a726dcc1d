"""What made a result: versions, hashes, flags and seeds, and files that are either whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from actprobe.renamed import with_old_columns
from actprobe.version import __version__

__all__ = [
    "atomic_path",
    "canonical_json",
    "digest",
    "is_run",
    "versions",
    "write_csv",
    "write_json",
    "write_npz",
]

ESCAPED = "backslashreplace"  # for names of files and folders that are not UTF-8, valid within JSON, too

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
    return hashlib.sha256(canonical_json(value).encode("utf-8", ESCAPED)).hexdigest()[:16]


def versions() -> dict[str, str]:
    """List the versions of actprobe, Python and the libraries that make numbers.

    Returns
    -------
    dict
        Name -> version; libraries that are not installed are left out.
    """
    installed = {name: _version(name) for name in _DISTRIBUTIONS}
    found = {name: number for name, number in installed.items() if number is not None}
    return {"actprobe": __version__, "python": platform.python_version(), **found}


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


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as npz, whole or not at all.

    Equal arrays give equal bytes, those that `numpy.savez` gives. That leaves the file open where the disk is
    full, and prints a traceback when it is closed at last.

    Parameters
    ----------
    path : Path
        The file to be.
    arrays : mapping
        Arrays of numbers or text by name.
    """
    import numpy as np

    write_array: Any = np.lib.format.write_array  # it has no types
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                write_array(member, np.asanyarray(array), allow_pickle=False)


def write_csv(path: Path, frame: Any) -> None:
    """Write a table as CSV.

    Parameters
    ----------
    path : Path
        The file to be.
    frame : pandas.DataFrame
        The table; numbers are written so that they read back the same. Columns that were renamed are there
        under both names for one release (`actprobe.renamed`).
    """
    with atomic_path(path) as temporary:
        with_old_columns(path.name, frame).to_csv(temporary, index=False, lineterminator="\n", errors=ESCAPED)


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
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", "utf-8", ESCAPED)


def is_run(folder: Path) -> bool:
    """Say whether a folder holds what a run of actprobe wrote.

    Parameters
    ----------
    folder : Path
        Any folder.

    Returns
    -------
    bool
        Whether its run.json is one of `run_record`.
    """
    try:
        record = json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and {"command", "flags", "started", "seconds"} <= record.keys()


_invocation: tuple[str, Callable[[], Mapping[str, Any]]] | None = None


def invoked_by(command: str, flags: Callable[[], Mapping[str, Any]]) -> None:
    """Let run.json name the command line that this process was started by instead of a Python call.

    Parameters
    ----------
    command : str
        The command line.
    flags : callable
        Gives the values of its flags once they are parsed.
    """
    global _invocation
    _invocation = (command, flags)


def run_record(
    call: str, began: float, arguments: Mapping[str, Any], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Put together what run.json holds.

    Parameters
    ----------
    call : str
        Name of the Python call, such as ``neurons``.
    began : float
        ``time.time()`` at the start.
    arguments : mapping
        JSON-able arguments of the call.
    provenance : mapping
        What made the numbers.

    Returns
    -------
    dict
        command, flags (those of the command line, or the arguments), started, seconds and the provenance.
    """
    command, flags = _invocation or (f"actprobe.{call}(...)", lambda: arguments)
    return {
        "command": command,
        "flags": dict(flags()),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "seconds": round(time.time() - began, 3),
        **provenance,
    }
