"""What a worker process and the one that asks it send each other."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any


@dataclass(frozen=True)
class Work:
    """The function that does what is asked next, pickled."""

    pickled: bytes


@dataclass(frozen=True)
class Unsendable:
    """In place of an answer that cannot be pickled, and why."""

    reason: str


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
