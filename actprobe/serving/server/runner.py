"""How requests reach TensorFlow: in threads, and together where a signature is batched.

With a ``batch_timeout_micros`` of 0 TensorFlow's batcher takes what waits whenever one of its threads is
free. What waits, waits here then, and goes to the batcher as one task: a call into TensorFlow costs more of
Python's time than all else that a request needs. With a timeout every request is a task of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actprobe.errors import ServingError
from actprobe.serving.server.servable import Servable
from actprobe.serving.server.signatures import Arrays, Signature, first_axis

__all__ = ["Runner"]

_TASKS = 256  # tasks that are in TensorFlow together; each holds a thread, which sleeps there

_Key = tuple[int, str, tuple[str, ...]]


@dataclass
class _Waiting:
    """A request, and what to call with its answer or error."""

    inputs: Arrays
    size: int
    tell: Callable[[Arrays | ServingError], None]
    dropped: bool = False


@dataclass
class _Queue:
    """Requests that can become one task: same version, signature and outputs."""

    servable: Servable
    signature: Signature
    outputs: tuple[str, ...]
    waiting: deque[_Waiting] = field(default_factory=deque)
    examples: int = 0
    tasks: int = 0

    def take(self) -> list[_Waiting]:
        """The next task, no larger than a batch; empty if nobody waits."""
        most, size = self.servable.largest_batch, 0
        task: list[_Waiting] = []
        while self.waiting:
            one = self.waiting[0]
            if task and size + one.size > most:
                break
            self.waiting.popleft()
            self.examples -= one.size
            if not one.dropped:
                task.append(one)
                size += one.size
        return task


class Runner:
    """Runs signatures, for threads and for coroutines.

    Parameters
    ----------
    rest_threads : int
        Requests of coroutines that run at a time, where they are not batched.
    """

    def __init__(self, rest_threads: int) -> None:
        self._alone = ThreadPoolExecutor(rest_threads, thread_name_prefix="rest")
        self._together = ThreadPoolExecutor(_TASKS, thread_name_prefix="batched")
        self._lock = threading.Lock()
        self._queues: dict[_Key, _Queue] = {}

    def run(
        self, servable: Servable, signature: Signature, inputs: Arrays, outputs: Sequence[str] = ()
    ) -> Arrays:
        """Answer a request; the calling thread waits.

        Parameters
        ----------
        servable : Servable
            The version, which stays open until this returns.
        signature : Signature
            The signature.
        inputs : dict
            Name -> array.
        outputs : sequence of str, optional
            Outputs to give; by default all.

        Returns
        -------
        dict
            Name -> array.

        Raises
        ------
        ServingError
            See `Servable.run`; RESOURCE_EXHAUSTED where too many wait.
        """
        if not servable.batches(signature, inputs):
            return servable.run(signature, inputs, outputs)
        answers: list[Arrays | ServingError] = []
        told = threading.Lock()
        told.acquire()

        def tell(answer: Arrays | ServingError) -> None:
            answers.append(answer)
            told.release()

        self._enter(servable, signature, outputs, _Waiting(inputs, first_axis(inputs), tell))
        told.acquire()
        if isinstance(answers[0], ServingError):
            raise answers[0]
        return answers[0]

    async def run_async(
        self, servable: Servable, signature: Signature, inputs: Arrays, outputs: Sequence[str] = ()
    ) -> Arrays:
        """Answer a request of a coroutine; cancelling it takes it back, unless TensorFlow has begun.

        Parameters
        ----------
        servable : Servable
            The version, which stays open until this returns.
        signature : Signature
            The signature.
        inputs : dict
            Name -> array.
        outputs : sequence of str, optional
            Outputs to give; by default all.

        Returns
        -------
        dict
            Name -> array.

        Raises
        ------
        ServingError
            See `run`.
        """
        loop = asyncio.get_running_loop()
        if not servable.batches(signature, inputs):
            return await loop.run_in_executor(self._alone, servable.run, signature, inputs, outputs)
        future: asyncio.Future[Arrays] = loop.create_future()

        def settle(answer: Arrays | ServingError) -> None:
            if future.done():
                return
            if isinstance(answer, ServingError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        def tell(answer: Arrays | ServingError) -> None:
            loop.call_soon_threadsafe(settle, answer)

        waiting = _Waiting(inputs, first_axis(inputs), tell)
        self._enter(servable, signature, outputs, waiting)
        try:
            return await future
        except asyncio.CancelledError:
            waiting.dropped = True
            raise

    def _enter(self, servable: Servable, signature: Signature, outputs: Sequence[str], one: _Waiting) -> None:
        chosen = tuple(signature.select(outputs))
        key = id(servable), signature.name, chosen
        with self._lock:
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = _Queue(servable, signature, chosen)
            if queue.examples + one.size > servable.longest_queue:
                reason = f"the batch scheduling queue is full: {queue.examples} examples wait"
                raise ServingError("RESOURCE_EXHAUSTED", reason)
            queue.waiting.append(one)
            queue.examples += one.size
            if queue.tasks >= servable.most_tasks:
                return
            queue.tasks += 1
        self._together.submit(self._work, key, queue)

    def _work(self, key: _Key, queue: _Queue) -> None:
        """Run tasks until nobody waits."""
        while True:
            with self._lock:
                task = queue.take()
                if not task:
                    queue.tasks -= 1
                    if not queue.tasks:
                        self._queues.pop(key, None)
                    return
            try:
                found: Any = queue.servable.run(queue.signature, _joined(task), queue.outputs)
            except ServingError as error:
                found = error
            except Exception as error:  # a fault must not leave callers waiting
                found = ServingError("INTERNAL", f"{error!r}")
            _answer(task, found)

    def close(self) -> None:
        """Let the threads go when they have answered."""
        self._alone.shutdown(wait=False)
        self._together.shutdown(wait=False)


def _joined(task: list[_Waiting]) -> Arrays:
    if len(task) == 1:
        return task[0].inputs
    return {name: np.concatenate([one.inputs[name] for one in task]) for name in task[0].inputs}


def _answer(task: list[_Waiting], found: Arrays | ServingError) -> None:
    """Give each caller its part."""
    start = 0
    for one in task:
        stop = start + one.size
        if isinstance(found, ServingError):
            one.tell(ServingError(found.code, found.reason))
        else:
            one.tell({name: array[start:stop] for name, array in found.items()})
        start = stop
