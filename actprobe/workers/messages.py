"""What a worker process and the one that asks it send each other."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from actprobe import scratch

_PIECE_BYTES = 2**24  # a Connection puts together in memory what is sent at once


@dataclass(frozen=True)
class Surroundings:
    """Where a worker process works: as the one that asks it does.

    ``folder`` is None where that has been removed; ``path`` is that of modules.
    """

    folder: str | None
    environment: dict[str, str]
    path: list[str]


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
        for first in range(0, raw.nbytes, _PIECE_BYTES):
            connection.send_bytes(raw[first : first + _PIECE_BYTES])


def receive(connection: Connection) -> Any:
    """Receive what `send` sent, its arrays writable; EOFError when the other end is closed."""
    sizes = pickle.loads(connection.recv_bytes())  # noqa: S301  (from our own process)
    image = connection.recv_bytes()
    buffers = [scratch.buffer(size) for size in sizes]
    for buffer, size in zip(buffers, sizes, strict=True):
        for first in range(0, size, _PIECE_BYTES):
            connection.recv_bytes_into(buffer, first)
    return pickle.loads(image, buffers=buffers)  # noqa: S301
