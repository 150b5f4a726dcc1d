"""The readers by kind of file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actprobe.weights.file_image import RefusalError, printable
from actprobe.weights.h5_reader import read_h5, read_keras
from actprobe.weights.npz_reader import read_npz
from actprobe.weights.safetensors_reader import read_safetensors
from actprobe.weights.tf_reader import read_checkpoint
from actprobe.weights.wanted import Found, Wanted

Images = Mapping[str, bytes]  # the files, by what follows the name that they share

READERS: dict[str, Callable[[Images, Wanted], dict[str, Found]]] = {
    "an HDF5 file": lambda images, wanted: read_h5(images[""], wanted),
    "a .keras file": lambda images, wanted: read_keras(images[""], wanted),
    "an npz file": lambda images, wanted: read_npz(images[""], wanted),
    "a safetensors file": lambda images, wanted: read_safetensors(images[""], wanted),
    "a TensorFlow checkpoint": read_checkpoint,
}


def read(kind: str, images: Images, wanted: Wanted) -> dict[str, Found]:
    """Read the arrays that are wanted; whatever a library says against the file is a `RefusalError`."""
    try:
        return READERS[kind](images, wanted)
    except RefusalError:
        raise
    except MemoryError as error:
        raise RefusalError("", "needs more memory than this network can need") from error
    except Exception as error:  # libraries raise nearly everything
        reason = printable((str(error).splitlines() or [type(error).__name__])[0].encode())
        raise RefusalError("", f"cannot be read as {kind}: {reason[:300]}") from error
