"""The process that reads files of unknown origin: ``python -m actprobe.weights.child``.

It takes requests from standard input and forks for each of them, so that no file meets a process that has
read another. Whatever the libraries do with a damaged file, they have no network, can write no file, and
come to an end: the kernel limits their time and memory. `actprobe.weights.guarded` is the other side.

A request is a line of JSON and the files' bytes; an answer is a line of JSON (how the fork ended, and how
many bytes it gave) and these bytes: a line of JSON, and the numbers of the arrays.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np

from actprobe.weights.file_image import RefusalError
from actprobe.weights.readers import read
from actprobe.weights.wanted import Wanted

ROOM = 256 << 20  # of the libraries' own, beside four times the bytes of file and arrays
MAX_FILES = 64
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # of sched.h


def main() -> None:
    """Answer requests until standard input ends."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # libraries that print do not meet the answers
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    while line := requests.readline():
        request = json.loads(line)
        images = {suffix: requests.read(size) for suffix, size in request["files"].items()}
        _load(request["kind"])
        status, answer = _answer_in_a_fork(request, images)
        answers.write(json.dumps({"status": status, "size": len(answer)}).encode() + b"\n")
        answers.write(answer)
        answers.flush()


def _load(kind: str) -> None:
    """Import what a kind needs, so that every fork has it."""
    if kind == "a TensorFlow checkpoint":
        from actprobe import backend

        _ = backend.tf
    else:
        import h5py  # noqa: F401


def _answer_in_a_fork(request: dict[str, Any], images: dict[str, bytes]) -> tuple[int, bytes]:
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as answer:
                _answer(request, images, answer)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        given = answer.read()
    return os.waitpid(process, 0)[1], given


def _answer(request: dict[str, Any], images: dict[str, bytes], answer: IO[bytes]) -> None:
    wanted = Wanted.from_json(request["wanted"])
    _limit(request["seconds"], ROOM + 4 * (wanted.most + sum(map(len, images.values()))))
    try:
        found = read(request["kind"], images, wanted)
    except RefusalError as error:
        answer.write(json.dumps({"refused": [error.entry, error.reason]}).encode())
        return
    listed = [[key, f.entry, f.layer, f.array.dtype.str, f.array.shape] for key, f in found.items()]
    answer.write(json.dumps({"arrays": listed}).encode() + b"\n")
    for each in found.values():
        answer.write(np.ascontiguousarray(each.array).data)


def _limit(seconds: int, room: int) -> None:
    # Alone in a network namespace there is nothing to reach; where the system does not allow one, the
    # other limits hold.
    ctypes.CDLL(None).unshare(NEW_USER | NEW_NETWORK)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    statm = Path("/proc/self/statm")
    if statm.exists():
        now = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + room, now + room))


if __name__ == "__main__":
    main()
