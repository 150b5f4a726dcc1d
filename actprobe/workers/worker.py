"""A process that does one kind of work and never loads TensorFlow: ``python -m actprobe.workers.worker``.

It reads pickles from its standard input and answers on its standard output: first the function that does the
work, then its arguments one by one, and perhaps another function and its arguments. A decoder or feature that
crashes takes this process along and nothing else.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from actprobe import backend
from actprobe.errors import ActprobeError
from actprobe.workers.messages import Unsendable, Work, receive, send


def main() -> None:
    """Answer until the other end closes."""
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the run decides
    read = Connection(os.dup(0), writable=False)
    write = Connection(os.dup(1), readable=False)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a decoder or a feature prints must not get between the answers
    threading.Thread(target=_listen, args=(read, requests), daemon=True).start()
    for name in sys.argv[1:]:
        with suppress(ActprobeError):  # whoever needs it says that it is missing
            getattr(backend, name)
    work: Callable[[Any], Any] | None = None
    while True:
        request = requests.get()
        if isinstance(request, Work):
            try:
                work = pickle.loads(request.pickled)  # noqa: S301
            except Exception as error:  # what a user's own code raises while it is imported
                send(write, f"{type(error).__name__}: {error}")
                return
            send(write, "")
            continue
        assert work is not None
        answer = work(request)
        try:
            send(write, answer)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:
            send(write, Unsendable(f"{type(error).__name__}: {error}"))
        del answer


def _listen(read: Connection, requests: queue.SimpleQueue[Any]) -> None:
    """Take requests in; end the process with the one that asks, even in the middle of its work."""
    try:
        while True:
            requests.put(receive(read))
    except (EOFError, OSError):
        os._exit(0)


if __name__ == "__main__":
    main()
