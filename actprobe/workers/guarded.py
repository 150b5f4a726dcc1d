"""Calls in a child process with limits, for libraries that may loop or crash on what they read."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from threading import Timer
from typing import Any

import numpy as np
from numpy.typing import NDArray

WALL_SECONDS = 300  # for the child to start, load its library, read and answer


class GuardError(Exception):
    """How a call ended that gave no answer."""


def call(
    function: str,
    argument: Any,
    parts: dict[str, bytes],
    *,
    imports: Sequence[str],
    seconds: int,
    room: int,
    most: int,
) -> tuple[Any, list[NDArray[Any]]]:
    """Call a function in a child process, and give what it tells and the arrays that it gives.

    Parameters
    ----------
    function : str
        ``module:name`` of a function of the argument and the parts, which returns whatever JSON can hold and
        a list of arrays.
    argument
        Whatever JSON can hold.
    parts : dict of str to bytes
        What it reads; emptied as soon as the child has it.
    imports : sequence of str
        Modules that the child loads before its limits hold.
    seconds, room, most : int
        Processor time of the call, memory that it may take beside that of the loaded modules, and bytes that
        it may answer.

    Raises
    ------
    GuardError
        It crashed, took too long, answered too much or nonsense.
    """
    request = {
        "function": function,
        "argument": argument,
        "imports": imports,
        "seconds": seconds,
        "room": room,
    }
    request["parts"] = {name: len(part) for name, part in parts.items()}
    with _Child() if not _kept else nullcontext(_kept[-1]) as child:
        answer = child.ask(request, parts, most)
    try:  # once the bytes have taken their reader over, an answer may be anything
        place = answer.index(b"\n") + 1
        told, kinds = json.loads(answer[:place])
        arrays = []
        for dtype, shape in kinds:
            arrays.append(np.frombuffer(answer, dtype, math.prod(shape), place).reshape(shape))
            place += arrays[-1].nbytes
    except (ValueError, TypeError) as error:
        raise GuardError("makes its reader answer nonsense") from error
    return told, arrays


@contextmanager
def one_child() -> Iterator[None]:
    """Make all calls in one child, which is started anew if it had to be ended."""
    with _Child() as child:
        _kept.append(child)
        try:
            yield
        finally:
            _kept.remove(child)


class _Child:
    """A process of `actprobe.workers.guarded_child`, started when it is asked."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            _end(self._process)
            self._process.communicate()
            self._process = None

    def ask(self, request: dict[str, Any], parts: dict[str, bytes], most: int) -> bytearray:
        if self._process is None:
            self._process = _start()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        timer = Timer(WALL_SECONDS, _end, [process])
        timer.start()
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            for name in list(parts):
                process.stdin.write(parts.pop(name))
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
            if told["size"] > most:
                raise GuardError("gives more than was asked for")
            answer = bytearray(told["size"])
            process.stdout.readinto(answer)  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:
            late = not timer.is_alive()
            self.__exit__()
            raise GuardError(
                f"takes longer than {WALL_SECONDS} s" if late else "cannot be read: the child process ended"
            ) from error
        except BaseException:
            self.__exit__()  # what it still has to say does not belong to the next request
            raise
        finally:
            timer.cancel()
        _check(told["status"], request["seconds"])
        return answer


_kept: list[_Child] = []


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "actprobe.workers.guarded_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",  # where nobody leaves a numpy.py
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path),  # noqa: PTH100
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_NUM_INTRAOP_THREADS": "1",  # the stacks of more count as memory
            "TF_NUM_INTEROP_THREADS": "1",
        },
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its fork, too


def _check(status: int, seconds: int) -> None:
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        if number in (signal.SIGXCPU, signal.SIGKILL):
            raise GuardError(f"takes longer than {seconds} s to read")
        raise GuardError(f"is damaged: it crashes its reader ({number.name})")
    if status:
        raise GuardError("is damaged: its reader ends without an answer")
