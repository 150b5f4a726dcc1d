"""Arrays of foreign files: hash first, then in this process or in a child.

A file whose digest the catalog knows is read here. Any other may have been damaged or built to deceive, and
the libraries that read it may loop, take all memory or end the process: a child reads it
(`actprobe.workers.guarded`), and what comes back is held against what was asked for. The bytes are read once,
so that nobody can change the file between the digest and the reading.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict

import numpy as np

from actprobe.errors import WeightsError
from actprobe.formats.arrays import Arrays, Found, RefusalError, Wanted, printable
from actprobe.formats.reading import READERS, read
from actprobe.weights.cache import is_catalogued
from actprobe.weights.file_image import read_image
from actprobe.workers.guarded import GuardError, call

CPU_SECONDS = 20  # at least
BYTES_PER_SECOND = 5_000_000
HEADER_BYTES = 4 << 20  # names, types and shapes of an answer
ROOM = 256 << 20  # of the libraries' own, beside what they make of the bytes
SAVED_MODEL_FACTOR = 4  # the state of an optimizer: up to three numbers for each weight
OVERHEAD_BYTES = 16 << 20  # headers, the model's JSON


def size_limit(wanted: Wanted) -> int:
    """Give the most bytes that a file of these arrays can have."""
    return SAVED_MODEL_FACTOR * wanted.most + OVERHEAD_BYTES


def read_file(path: str | os.PathLike[str], kind: str, wanted: Wanted) -> tuple[Arrays, str]:
    """Read the arrays that are wanted of a single file, see `read_arrays`."""
    name = os.fspath(path)
    return read_arrays(name, kind, {"": read_image(name, size_limit(wanted))}, wanted)


def read_arrays(path: str, kind: str, images: dict[str, bytes], wanted: Wanted) -> tuple[Arrays, str]:
    """Read the arrays that are wanted of files in memory; give the digest of all their bytes, too.

    `images` are the files by what follows the name that they share; they are let go as soon as they are not
    needed. Numbers that are not finite are refused, and variances below zero. Whatever is wrong is a
    `WeightsError`.
    """
    digest = hashlib.sha256()
    for image in images.values():
        digest.update(image)
    sha256 = digest.hexdigest()
    try:
        if is_catalogued(images, sha256):
            found = read(kind, images, wanted)
        else:
            found = _read_in_a_child(kind, images, wanted)
        for key, each in found.items():
            _check_numbers(key, each)
    except RefusalError as error:
        raise WeightsError(path, error.entry, error.reason) from error
    except GuardError as error:
        raise WeightsError(path, "", str(error)) from error
    return {key: found[key] for key in wanted.shapes or found}, sha256


def _read_in_a_child(kind: str, images: dict[str, bytes], wanted: Wanted) -> Arrays:
    size = sum(map(len, images.values()))
    told, arrays = call(
        "actprobe.formats.reading:answer",
        [kind, asdict(wanted)],
        images,
        imports=[READERS[kind][1]],
        seconds=max(CPU_SECONDS, size // BYTES_PER_SECOND),
        room=ROOM + 4 * (size + wanted.most),
        most=HEADER_BYTES + (wanted.most if wanted.shapes is not None else size),
    )
    found: Arrays = {}
    try:  # once a file has taken its reader over, it may tell anything
        if told and isinstance(told[0], str):
            raise RefusalError(*(printable(text.encode()) for text in told))
        for (key, entry, layer), array in zip(told, arrays, strict=True):
            wanted.check(key, entry, array.dtype.str, array.shape)
            found[key] = Found(str(entry), array, str(layer))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RefusalError("", "makes its reader answer something else than was asked for") from error
    wanted.check_complete(found)
    return found


def _check_numbers(key: str, found: Found) -> None:
    if found.array.dtype.kind != "f" or not found.array.size:
        return
    lowest, highest = found.array.min(), found.array.max()  # NaN is both if it is anywhere
    if not np.isfinite(lowest) or not np.isfinite(highest):
        raise RefusalError(found.entry, "holds NaN or infinity")
    if lowest < 0 and key.endswith(("running_std", "moving_variance")):
        raise RefusalError(found.entry, "is negative, but holds a standard deviation or variance")
