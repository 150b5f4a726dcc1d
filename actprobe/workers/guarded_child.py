"""A process that reads bytes of unknown origin: ``python -m actprobe.workers.guarded_child``.

It forks for each request, so that no bytes meet a process that has read others. Whatever the libraries do
with them, they have no network, can write no file, and come to an end: the kernel limits their time and
memory. `actprobe.workers.guarded` is the other side.

A request is a line of JSON and the bytes. An answer is a line of JSON (how the fork ended, and how many bytes
it gave) and these bytes: a line of JSON (what it told, types and shapes of arrays) and their numbers.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

MAX_FILES = 64
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # of sched.h


def main() -> None:
    """Answer requests until standard input ends."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries that print do not meet the answers
    while line := requests.readline():
        request = json.loads(line)
        parts = {name: requests.read(size) for name, size in request["parts"].items()}
        for name in request["imports"]:  # once, for all forks
            importlib.import_module(name)
        module, _, function = request["function"].partition(":")
        work = getattr(importlib.import_module(module), function)
        status, answer = _in_a_fork(work, request, parts)
        answers.write(json.dumps({"status": status, "size": len(answer)}).encode() + b"\n" + answer)
        answers.flush()


def _in_a_fork(work: Any, request: dict[str, Any], parts: dict[str, bytes]) -> tuple[int, bytes]:
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(reading)
            _limit(request["seconds"], request["room"])
            told, arrays = work(request["argument"], parts)
            with os.fdopen(writing, "wb") as answer:
                kinds = [[array.dtype.str, array.shape] for array in arrays]
                answer.write(json.dumps([told, kinds]).encode() + b"\n")
                for array in arrays:
                    answer.write(np.ascontiguousarray(array).data)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        given = answer.read()
    return os.waitpid(process, 0)[1], given


def _limit(seconds: int, room: int) -> None:
    # In a network of its own it reaches nothing; where the system does not allow one, the other limits hold.
    ctypes.CDLL(None).unshare(NEW_USER | NEW_NETWORK)
    limits = {"CPU": seconds, "FSIZE": 0, "CORE": 0, "NOFILE": MAX_FILES}
    statm = Path("/proc/self/statm")
    if statm.exists():
        limits["AS"] = int(statm.read_text().split()[0]) * resource.getpagesize() + room
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))


if __name__ == "__main__":
    main()
