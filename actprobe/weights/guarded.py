"""Arrays of foreign files: hash first, then in this process or in a child.

A file whose digest the catalog knows is read here. Any other may have been damaged or built to deceive, and
the libraries that read it may loop, take all memory or end the process: a child reads it
(`actprobe.weights.child`), and what comes back is held against what was asked for. The bytes are read once,
so that nobody can change the file between the digest and the reading.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import Any

import numpy as np

from actprobe.errors import WeightsError
from actprobe.weights.cache import is_catalogued
from actprobe.weights.file_image import RefusalError
from actprobe.weights.readers import read
from actprobe.weights.wanted import Found, Wanted

CPU_SECONDS = 20  # for 100 MB and less
BYTES_PER_SECOND = 5_000_000
WALL_SECONDS = 300  # for the child to start, load its library, read and answer
HEADER_BYTES = 4 << 20  # names, types and shapes of an answer
OVERHEAD_BYTES = 16 << 20  # beside the numbers: headers, the model's JSON
SAVED_MODEL_FACTOR = 4  # the state of an optimizer: up to three numbers for each weight


@dataclass(frozen=True, eq=False)
class ReadFile:
    """The arrays of a file by name, and the digest of its bytes."""

    found: dict[str, Found]
    sha256: str


def size_limit(wanted: Wanted) -> int:
    """Give the most bytes that a file of these arrays can have."""
    return SAVED_MODEL_FACTOR * wanted.most + OVERHEAD_BYTES


def read_arrays(path: str, kind: str, images: dict[str, bytes], wanted: Wanted) -> ReadFile:
    """Read the arrays that are wanted of files in memory.

    `images` are the files by what follows the name that they share; they are let go as soon as they are not
    needed. Numbers that are not finite are refused, and variances below zero. Whatever is wrong is a
    `WeightsError`.
    """
    digest = hashlib.sha256()
    for image in images.values():
        digest.update(image)
    sha256 = digest.hexdigest()
    try:
        if len(images) == 1 and is_catalogued(next(iter(images.values())), sha256):
            found = read(kind, images, wanted)
        elif _kept is not None:
            found = _kept.read(kind, images, wanted)
        else:
            with _Child() as child:
                found = child.read(kind, images, wanted)
        for key, each in found.items():
            _check_numbers(key, each)
    except RefusalError as error:
        raise WeightsError(path, error.entry, error.reason) from error
    return ReadFile(found, sha256)


def _check_numbers(key: str, found: Found) -> None:
    if found.array.dtype.kind != "f":
        return
    # NaN and infinity survive in both; whole masks of large arrays would take a quarter of their memory.
    lowest, highest = (found.array.min(), found.array.max()) if found.array.size else (0, 0)
    if not np.isfinite(lowest) or not np.isfinite(highest):
        raise RefusalError(found.entry, "holds NaN or infinity")
    if lowest < 0 and key.endswith(("running_std", "moving_variance")):
        raise RefusalError(found.entry, "is negative, but holds a standard deviation or variance")


@contextmanager
def keep_child() -> Iterator[None]:
    """Read many files with one child, which is restarted if it has to be ended."""
    global _kept
    with _Child() as _kept:
        try:
            yield
        finally:
            _kept = None


class _Child:
    """A child process that reads files; it is started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def read(self, kind: str, images: dict[str, bytes], wanted: Wanted) -> dict[str, Found]:
        """Have arrays read, and check what comes back."""
        size = sum(map(len, images.values()))
        seconds = max(CPU_SECONDS, size // BYTES_PER_SECOND)
        request = {
            "kind": kind,
            "wanted": wanted.to_json(),
            "seconds": seconds,
            "files": {suffix: len(image) for suffix, image in images.items()},
        }
        status, answer = self._ask(request, images, wanted.most + HEADER_BYTES)
        if status is None:
            raise RefusalError("", f"takes longer than {WALL_SECONDS} s to read")
        if os.WIFSIGNALED(status):
            number = signal.Signals(os.WTERMSIG(status))
            if number in (signal.SIGXCPU, signal.SIGKILL):
                raise RefusalError("", f"takes longer than {seconds} s to read")
            raise RefusalError("", f"is damaged: {kind} that ends its reader ({number.name})")
        if status:
            raise RefusalError("", f"is damaged: {kind} that its reader cannot take")
        return _checked(answer, wanted)

    def _ask(
        self, request: dict[str, Any], images: dict[str, bytes], most: int
    ) -> tuple[int | None, bytearray]:
        if self._process is None or self._process.poll() is not None:
            self._process = _start()
        process = self._process
        timer = Timer(WALL_SECONDS, process.kill)
        timer.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            for suffix in list(images):
                process.stdin.write(images.pop(suffix))
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
            answer = bytearray(min(told["size"], most))
            process.stdout.readinto(answer)  # type: ignore[attr-defined]
            if told["size"] > most:
                raise RefusalError("", "gives more than this network can need")
            return told["status"], answer
        except (BrokenPipeError, json.JSONDecodeError):
            return None, bytearray()
        except BaseException:
            self.__exit__()  # what it still has to say does not belong to the next request
            raise
        finally:
            timer.cancel()


_kept: _Child | None = None


def _start() -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path if folder),  # noqa: PTH100
        "PYTHONDONTWRITEBYTECODE": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "actprobe.weights.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",  # where nobody leaves a numpy.py
        env=environment,
    )


def _checked(answer: bytearray, wanted: Wanted) -> dict[str, Found]:
    """Take an answer apart, which may be anything once a file has taken its reader over."""
    head = answer.find(b"\n") + 1 or len(answer)
    try:
        told = json.loads(answer[:head])
        if "refused" in told:
            entry, reason = map(str, told["refused"])
            raise RefusalError(entry, reason)
        found: dict[str, Found] = {}
        place = head
        for key, entry, layer, dtype, shape in told["arrays"]:
            wanted.check(key, entry, dtype, tuple(shape))
            count = math.prod(shape)
            array = np.frombuffer(answer, dtype, count, place).reshape(shape)
            found[key] = Found(str(entry), array, str(layer))
            place += array.nbytes
        wanted.check_complete(found, "array")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RefusalError("", "made its reader answer something else than arrays") from error
    return {key: found[key] for key in wanted.shapes or found}
