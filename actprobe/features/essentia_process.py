"""Where essentia does not load beside TensorFlow, the functions that need it are called in another process.

TensorFlow brings a copy of ``std::random_device`` that it shares with the whole process if nothing loaded the
C++ library before it. essentia, whose TensorFlow is another one, then cannot be loaded any more, and a
process that began with ``import tensorflow`` has one at its side that did not.
"""

from __future__ import annotations

import functools
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

import cloudpickle

from actprobe import backend
from actprobe.errors import ActprobeError
from actprobe.workers.messages import Unsendable
from actprobe.workers.process import KILLED, WorkerProcess, ending

ESSENTIA = "essentia-tensorflow"  # the distribution
TIME_LIMIT_SECONDS = 3600.0

Arguments = tuple[Any, ...]
Options = dict[str, Any]
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def with_essentia(function: AnyFunction) -> AnyFunction:
    """Let a function that uses essentia be called in every process.

    It is called here where essentia loads, and in a process of its own where it does not. Then arguments and
    value are pickled, and what it raises is raised here.
    """

    @functools.wraps(function)
    def computed(*arguments: Any, **options: Any) -> Any:
        if backend.essentia_loads():
            return function(*arguments, **options)
        return _elsewhere(computed, arguments, options)

    return cast(AnyFunction, computed)


class _There:
    """The process at the side of this one, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: WorkerProcess | None = None
        self._work = cloudpickle.dumps(_call)

    def call(self, function: Callable[..., Any], arguments: Arguments, options: Options) -> Any:
        task = cloudpickle.dumps(function), arguments, options
        with self._lock:
            answer = self._ask(task, again=True)
        if isinstance(answer, Unsendable):
            raise ActprobeError(f"what came of it cannot be pickled: {answer.reason}")
        value, error = answer
        if error is not None:
            raise error
        return value

    def _ask(self, task: Any, again: bool) -> Any:
        process, self._process = self._process or WorkerProcess(["essentia"]), None
        try:
            answer = process.ask(self._work, task, TIME_LIMIT_SECONDS)
        except TimeoutError:
            process.kill()
            raise ActprobeError(f"essentia took longer than {TIME_LIMIT_SECONDS:.0f} s") from None
        except (EOFError, OSError):
            code = process.reap()
            if again and -code in KILLED:  # by somebody, or by the system for want of memory
                return self._ask(task, again=False)
            raise ActprobeError(f"the process of essentia {ending(code)}") from None
        except BaseException:  # interrupted: its answer must not become that of the next call
            process.kill()
            raise
        self._process = process
        return answer


def _call(task: tuple[bytes, Arguments, Options]) -> tuple[Any, Exception | None]:
    """Do a call, in the other process."""
    image, arguments, options = task
    try:
        function = pickle.loads(image)  # noqa: S301  (from the process that started this one)
        return function(*arguments, **options), None
    except Exception as error:  # a feature may be anybody's code: whatever it raised goes back
        return None, _sendable(error)


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:  # many take other arguments than they keep
        return ActprobeError(f"{type(error).__name__}: {error}")
    return error


_there = _There()


def _elsewhere(function: Callable[..., Any], arguments: Arguments, options: Options) -> Any:
    return _there.call(function, arguments, options)


def _begin_anew() -> None:
    global _there
    _there = _There()


os.register_at_fork(after_in_child=_begin_anew)  # the process belongs to the one that started it
