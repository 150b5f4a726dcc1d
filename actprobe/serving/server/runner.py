"""How requests reach TensorFlow: in threads, and together where a signature is batched.

All requests wait in one event loop; threads only sleep in TensorFlow. With a ``batch_timeout_micros`` of 0
TensorFlow's batcher takes what waits whenever one of its threads is free. What waits, waits here then, and
goes to the batcher as one task: waking a thread and calling TensorFlow costs more than all else that a
request needs. While one batch runs, the next begins with an equal share of what is under way, or when it
ends: single examples beside a batch of all others would waste the time of the model. With a timeout the
batcher itself waits, and has each request at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from actprobe.errors import ServingError
from actprobe.serving.protocol.tensors import Arrays
from actprobe.serving.server.priority import lower_priority
from actprobe.serving.server.servable import Servable
from actprobe.serving.server.signatures import ServedSignature, first_axis

_TASKS = 256  # tasks that are in TensorFlow together; each holds a thread, which sleeps there

_Key = tuple[int, str, tuple[str, ...]]


@dataclass
class _Waiting:
    """A request, and where its caller looks for the answer."""

    inputs: Arrays
    size: int
    answer: asyncio.Future[Arrays]


@dataclass
class _Queue:
    """Requests that can become one task: same version, signature and outputs."""

    servable: Servable
    signature: ServedSignature
    outputs: tuple[str, ...]
    waiting: deque[_Waiting] = field(default_factory=deque)
    examples: int = 0
    tasks: int = 0
    running: int = 0

    def is_worth_a_task(self) -> bool:
        """Whether what waits is an equal share of all that waits or runs, so that no batch is a crumb."""
        share = (self.running + self.examples) / self.servable.most_tasks
        return not self.running or self.examples >= min(share, self.servable.largest_batch)

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
            if not one.answer.done():  # its caller is gone
                task.append(one)
                size += one.size
        return task


class Runner:
    """Runs signatures for the coroutines of one event loop."""

    def __init__(self) -> None:
        self._together = ThreadPoolExecutor(_TASKS, thread_name_prefix="batched", initializer=lower_priority)
        self._queues: dict[_Key, _Queue] = {}

    async def run(
        self,
        servable: Servable,
        signature: ServedSignature,
        inputs: Arrays,
        outputs: Sequence[str],
        threads: Executor,
    ) -> Arrays:
        """Answer a request; cancelling it takes it back, unless TensorFlow has begun.

        The servable stays open until this returns; no outputs named are all. A request that is not batched
        runs in `threads`. Errors are those of `Servable.run`, and RESOURCE_EXHAUSTED where too many wait.
        """
        loop = asyncio.get_running_loop()
        if not servable.batches(signature, inputs):
            return await loop.run_in_executor(threads, servable.run, signature, inputs, outputs)
        chosen = tuple(signature.select(outputs))
        key = id(servable), signature.name, chosen
        queue = self._queues.get(key) or _Queue(servable, signature, chosen)
        size = first_axis(inputs)
        if queue.examples + size > servable.longest_queue:
            reason = f"the batch scheduling queue is full: {queue.examples} examples wait"
            raise ServingError("RESOURCE_EXHAUSTED", reason)
        self._queues[key] = queue
        answer: asyncio.Future[Arrays] = loop.create_future()
        queue.waiting.append(_Waiting(inputs, size, answer))
        queue.examples += size
        self._begin(key, queue, loop)
        return await answer

    def _begin(self, key: _Key, queue: _Queue, loop: asyncio.AbstractEventLoop) -> None:
        """Hand over as many tasks as the batcher can make use of."""

        def end(task: list[_Waiting], found: Arrays | ServingError) -> None:
            queue.tasks -= 1
            queue.running -= sum(one.size for one in task)
            _answer(task, found)
            self._begin(key, queue, loop)

        def work(task: list[_Waiting]) -> None:
            found: Arrays | ServingError
            try:
                found = queue.servable.run(queue.signature, _joined(task), queue.outputs)
            except ServingError as error:
                found = error
            except Exception as error:  # a fault must not leave callers waiting
                found = ServingError("INTERNAL", f"{error!r}")
            loop.call_soon_threadsafe(end, task, found)

        while queue.tasks < queue.servable.most_tasks and queue.is_worth_a_task():
            task = queue.take()
            if not task:
                break
            queue.tasks += 1
            queue.running += sum(one.size for one in task)
            self._together.submit(work, task)
        if not queue.tasks:
            self._queues.pop(key, None)

    def close(self) -> None:
        """Let the threads go when they have answered."""
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
        if one.answer.done():
            pass
        elif isinstance(found, ServingError):
            one.answer.set_exception(ServingError(found.code, found.reason))
        else:
            one.answer.set_result({name: array[start:stop] for name, array in found.items()})
        start = stop
