"""The readers by kind of file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actprobe.formats.arrays import Arrays, RefusalError, Wanted, printable
from actprobe.formats.hdf5 import read_h5, read_keras
from actprobe.formats.npz import read_npz
from actprobe.formats.safetensors import read_safetensors
from actprobe.formats.tf_checkpoint import read_checkpoint

# kind -> its reader, and the library that a child loads before its limits hold
READERS = {
    "an HDF5 file": (read_h5, "h5py"),
    "a .keras file": (read_keras, "h5py"),
    "an npz file": (read_npz, "zipfile"),
    "a safetensors file": (read_safetensors, "json"),
    "a TensorFlow checkpoint": (read_checkpoint, "tensorflow"),
}


def read(kind: str, images: Mapping[str, bytes], wanted: Wanted) -> Arrays:
    """Read the arrays that are wanted of a file; `images` are its parts by what follows their common name.

    Whatever a library says against the file is a `RefusalError`.
    """
    try:
        return READERS[kind][0](images, wanted)
    except RefusalError:
        raise
    except MemoryError as error:
        raise RefusalError("", "needs more memory than this network can need") from error
    except Exception as error:  # libraries raise nearly everything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RefusalError("", f"cannot be read as {kind}: {printable(reason.encode())[:300]}") from error


def answer(argument: Any, images: dict[str, bytes]) -> tuple[Any, list[Any]]:
    """Read in the child, for `actprobe.workers.guarded.call`."""
    kind, wanted = argument
    try:
        found = read(kind, images, Wanted(**wanted))
    except RefusalError as error:
        return [error.entry, error.reason], []
    return [[key, each.entry, each.layer] for key, each in found.items()], [e.array for e in found.values()]
