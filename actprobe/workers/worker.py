"""What a worker process does: one kind of work, without ever loading TensorFlow.

It reads pickles and answers: first in what surroundings it is, then the function that does the work, its
arguments one by one, and perhaps another function and its arguments. A decoder or feature that crashes takes
this process along and nothing else.
"""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from actprobe.workers.messages import Surroundings, Unsendable, Work, receive, send


def work(requests: int, answers: int) -> None:
    """Answer on a descriptor what is asked on another, until that is closed."""
    read, write = Connection(requests, writable=False), Connection(answers, readable=False)
    try:
        _be_in(receive(read))
    except (EOFError, OSError):
        return
    asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(read, asked), daemon=True).start()
    function: Callable[[Any], Any] | None = None
    while True:
        request = asked.get()
        if isinstance(request, Work):
            try:
                function = pickle.loads(request.pickled)  # noqa: S301
            except Exception as error:  # what a user's own code raises while it is imported
                send(write, f"{type(error).__name__}: {error}")
                return
            send(write, "")
            continue
        assert function is not None
        answer = function(request)
        try:
            send(write, answer)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:
            send(write, Unsendable(f"{type(error).__name__}: {error}"))
        del answer


def _be_in(surroundings: Surroundings) -> None:
    if surroundings.folder is not None:
        with suppress(OSError):  # it may be gone by now
            os.chdir(surroundings.folder)
    os.environ.clear()
    os.environ.update(surroundings.environment)
    sys.path[:] = surroundings.path
    importlib.invalidate_caches()


def _listen(read: Connection, asked: queue.SimpleQueue[Any]) -> None:
    """Take requests in; end the process with the one that asks, even in the middle of its work."""
    try:
        while True:
            asked.put(receive(read))
    except (EOFError, OSError):
        os._exit(0)
