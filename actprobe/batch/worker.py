"""A process that prepares recordings and never loads TensorFlow: ``python -m actprobe.batch.worker``.

It reads pickles from its standard input and answers on its standard output. A decoder or feature that
crashes takes this process along and nothing else.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from actprobe import backend
from actprobe.batch.ledger import failed_row
from actprobe.errors import ActprobeError

# Several of these run side by side, one thread each.
ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def send(connection: Connection, value: Any) -> None:
    """Send an object that can be pickled, its large arrays without copying them into the pickle."""
    buffers: list[pickle.PickleBuffer] = []
    image = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    raws = [buffer.raw() for buffer in buffers]
    connection.send_bytes(pickle.dumps([raw.nbytes for raw in raws]))
    connection.send_bytes(image)
    for raw in raws:
        if raw.nbytes:
            connection.send_bytes(raw)


def receive(connection: Connection) -> Any:
    """Receive what `send` sent, its arrays writable; EOFError when the other end is closed."""
    sizes = pickle.loads(connection.recv_bytes())  # noqa: S301  (from our own process)
    image = connection.recv_bytes()
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        if len(buffer):
            connection.recv_bytes_into(buffer)
    return pickle.loads(image, buffers=buffers)  # noqa: S301


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
    try:
        job = pickle.loads(requests.get())  # noqa: S301
    except Exception as error:  # what a user's own code raises while it is imported
        send(write, f"{type(error).__name__}: {error}")
        return
    send(write, "")

    while True:
        recording = requests.get()
        try:
            answer = job.prepare(recording)
        except Exception as error:  # one bad recording must not stop the batch
            answer = failed_row(recording, error)
        try:
            send(write, answer)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:  # a job that gives what cannot be pickled
            send(write, failed_row(recording, error))
        del answer


def _listen(read: Connection, requests: queue.SimpleQueue[Any]) -> None:
    """Take requests in; end the process with the one that asks, even in the middle of a recording."""
    try:
        while True:
            requests.put(receive(read))
    except (EOFError, OSError):
        os._exit(0)


if __name__ == "__main__":
    main()
