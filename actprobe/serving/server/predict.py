"""A request to predict, as both gRPC and REST make it: find the version, run it, count it, log it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from actprobe.errors import ServingError
from actprobe.serving.protocol.tensors import Arrays
from actprobe.serving.server.access_log import AccessLog
from actprobe.serving.server.metrics import Metrics
from actprobe.serving.server.repository import Repository
from actprobe.serving.server.runner import Runner
from actprobe.serving.server.servable import Servable
from actprobe.serving.server.signatures import ServedSignature, first_axis

_LARGE_BYTES = 2**17


async def offload(threads: Executor, size: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """Do work on many bytes in a thread, so that others need not wait, and on few at once."""
    if size > _LARGE_BYTES:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)
    return work(*arguments)


@dataclass
class Request:
    """What is known of a request while it is answered.

    Parameters
    ----------
    entrypoint : str
        ``GRPC`` or ``REST``.
    peer : str
        Who asks.
    model : str
        The model's name as asked for.
    bytes_in : int
        Size of the request.
    deadline : float, optional
        When the caller stops waiting, on `time.monotonic`'s clock.
    began : float
        When it arrived, on the same clock.
    version : int
        What answered.
    signature : str
        What was asked.
    examples : int
        Length of the first axis.
    bytes_out : int
        Size of the answer.
    status : str
        Name of the gRPC status.
    """

    entrypoint: str
    peer: str = ""
    model: str = ""
    bytes_in: int = 0
    deadline: float | None = None
    began: float = 0.0
    version: int = 0
    signature: str = ""
    examples: int = 0
    bytes_out: int = 0
    status: str = "OK"

    def check_deadline(self) -> None:
        """Stop work that nobody waits for any more: DEADLINE_EXCEEDED."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise ServingError("DEADLINE_EXCEEDED", "the deadline passed before the model was run")


@dataclass(frozen=True)
class Predictor:
    """What answers: the models, the way to TensorFlow, and where requests are counted and logged."""

    repository: Repository
    metrics: Metrics
    access_log: AccessLog
    runner: Runner

    @contextmanager
    def accounted(self, request: Request) -> Iterator[None]:
        """Count and log the request of this block, however it ends; an error's code becomes its status."""
        request.began = time.monotonic()
        self.metrics.began()
        try:
            yield
        except ServingError as error:
            request.status = error.code
            raise
        except asyncio.CancelledError:
            request.status = "CANCELLED"
            raise
        except BaseException:
            request.status = "INTERNAL"
            raise
        finally:
            seconds = time.monotonic() - request.began
            known = request.model if request.version else ""
            self.metrics.ended(known, request.entrypoint, request.status, seconds)
            self.access_log.write(
                entrypoint=request.entrypoint,
                peer=request.peer,
                model=request.model[:128],
                version=request.version,
                signature=request.signature[:128],
                status=request.status,
                milliseconds=round(seconds * 1e3, 3),
                examples=request.examples,
                bytes_in=request.bytes_in,
                bytes_out=request.bytes_out,
            )

    @contextmanager
    def open(self, request: Request, spec: Any) -> Iterator[tuple[Servable, ServedSignature]]:
        """Find version and signature that a ModelSpec asks for; the version is kept until the block ends."""
        request.model, request.signature = spec.name, spec.signature_name
        request.check_deadline()
        with self.repository.lease(spec) as servable:
            request.version = servable.version
            signature = servable.signature(spec.signature_name)
            request.signature = signature.name
            yield servable, signature

    @contextmanager
    def timed(self, request: Request, servable: Servable, inputs: Arrays) -> Iterator[None]:
        """Run a request's model in this block: not after its deadline, and its time is taken."""
        request.check_deadline()
        request.examples = first_axis(inputs)
        began = time.monotonic()
        yield
        self.metrics.ran(servable.name, request.examples, time.monotonic() - began)
