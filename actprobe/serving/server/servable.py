"""One version of a model: a SavedModel in a session of its own, checked, warmed up, and closed as a whole.

It is loaded as TensorFlow Serving loads it, graph and variables in a session: closing the session gives back
memory, batcher and threads, which functions loaded in eager mode keep. A SavedModel is a program that runs
with the server's rights; only folders of trusted models are to be served.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actprobe import backend
from actprobe.errors import ServingError
from actprobe.serving.protocol.tensors import Arrays
from actprobe.serving.server.batching import BatchingParameters, add_batcher, can_be_batched
from actprobe.serving.server.constants import with_constants
from actprobe.serving.server.faults import as_serving_error, first_line
from actprobe.serving.server.signatures import DEFAULT_SIGNATURE, ServedSignature, first_axis, signatures_of
from actprobe.serving.warmup import MOST_RECORDS, WARMUP_FILE, read_warmup

_CALLERS_THREAD = -1
_ANY_NUMBER = 2**31


@dataclass(frozen=True)
class Parallelism:
    """Threads of TensorFlow.

    Parameters
    ----------
    intra_op : int
        Threads within an operation; 0 takes the cores that the process may use.
    inter_op : int
        Operations of one request at a time; 0 runs them one after another in the thread of the request or
        of the batch, which halves what a small request costs.
    """

    intra_op: int = 0
    inter_op: int = 0

    def config(self) -> Any:
        """Write them as the options of a session."""
        cores = len(os.sched_getaffinity(0))
        return backend.tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=self.intra_op or cores,
            inter_op_parallelism_threads=self.inter_op or _CALLERS_THREAD,
            gpu_options={"allow_growth": True},
            experimental={"disable_thread_spinning": True},  # the event loop needs the core
        )


class Servable:
    """A SavedModel that answers; without `batching` every request runs by itself.

    What cannot be loaded is a `ServingError`.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        version: int,
        batching: BatchingParameters | None = None,
        parallelism: Parallelism | None = None,
    ) -> None:
        tf = backend.tf
        self.path, self.name, self.version = path, name, version
        self._batching = batching
        self._graph = tf.Graph()
        self._session: Any = None
        self._tensors: dict[tuple[str, bool], tuple[list[str], dict[str, str]]] = {}
        self._calls: dict[tuple[str, bool, tuple[str, ...]], Callable[..., Any]] = {}
        config = (parallelism or Parallelism()).config()
        try:
            with self._graph.as_default():
                self._session = tf.compat.v1.Session(graph=self._graph, config=config)
                self.meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
            self.signatures = signatures_of(self.meta_graph)
            if not self.signatures:
                raise ServingError("FAILED_PRECONDITION", "has no signature to serve")
            self._make_constant(config)
            with self._graph.as_default():
                for signature in self.signatures.values():
                    self._wire(signature)
        except ServingError:
            self.close()
            raise
        except Exception as error:  # whatever a broken SavedModel makes TensorFlow raise
            self.close()
            raise ServingError("FAILED_PRECONDITION", f"cannot be loaded ({first_line(error)})") from error

    def _make_constant(self, config: Any) -> None:
        """Go on with a copy in which weights are constants, where there can be one."""
        outputs = [slot.tensor for each in self.signatures.values() for slot in each.outputs.values()]
        copy = with_constants(self._session, self._graph, outputs)
        if copy is not None:
            self._session.close()
            self._graph = copy
            self._session = backend.tf.compat.v1.Session(graph=copy, config=config)

    def _wire(self, signature: ServedSignature) -> None:
        """Find the tensors to feed and to fetch, the batcher's where there is one."""
        fed = [slot.tensor for slot in signature.inputs.values()]
        fetched = [slot.tensor for slot in signature.outputs.values()]
        self._tensors[signature.name, False] = fed, dict(zip(signature.outputs, fetched, strict=True))
        if self._batching and can_be_batched(signature.inputs, signature.outputs):
            fed, fetched = add_batcher(self._graph, signature.name, fed, fetched, self._batching)
            self._tensors[signature.name, True] = fed, dict(zip(signature.outputs, fetched, strict=True))

    def _call(self, key: str, batched: bool, names: tuple[str, ...]) -> Callable[..., Any]:
        call = self._calls.get((key, batched, names))
        if call is None:
            fed, fetched = self._tensors[key, batched]
            call = backend.session_call(self._session, fed, [fetched[name] for name in names])
            # A caller may ask for any subset of outputs; only whole answers and single outputs are kept.
            if len(names) in (1, len(fetched)):
                self._calls[key, batched, names] = call
        return call

    def signature(self, name: str) -> ServedSignature:
        """Look up a signature, ``serving_default`` by an empty name; INVALID_ARGUMENT if there is none."""
        found = self.signatures.get(name or DEFAULT_SIGNATURE)
        if found is None:
            known = ", ".join(sorted(self.signatures))
            reason = (
                f'Serving signature name: "{(name or DEFAULT_SIGNATURE)[:64]}" not found. There is {known}'
            )
            raise ServingError("INVALID_ARGUMENT", reason)
        return found

    def run(self, signature: ServedSignature, inputs: Arrays, outputs: Sequence[str] = ()) -> Arrays:
        """Answer a request to one of this version's signatures; no outputs named are all.

        `ServingError` if the inputs do not fit, the queue is full, or the model refuses them.
        """
        names = tuple(signature.select(outputs))
        call = self._call(signature.name, self.batches(signature, inputs), names)
        try:
            found = call(*(inputs[name] for name in signature.inputs))
        except backend.tf.errors.OpError as error:
            raise as_serving_error(error) from None
        except (ValueError, TypeError, RuntimeError) as error:
            raise ServingError("INTERNAL", first_line(error)) from error
        return {name: np.asarray(array) for name, array in zip(names, found, strict=True)}

    @property
    def largest_batch(self) -> int:
        """Most examples that go through the model together; 0 without batching."""
        return self._batching.max_batch_size if self._batching else 0

    @property
    def longest_queue(self) -> int:
        """Most examples that may wait for a batch."""
        return self._batching.max_batch_size * self._batching.max_enqueued_batches if self._batching else 0

    @property
    def most_tasks(self) -> int:
        """Tasks that the batcher can make use of: one to compute in each thread."""
        if self._batching is None or self._batching.batch_timeout_micros:
            return _ANY_NUMBER
        return self._batching.num_batch_threads

    def batches(self, signature: ServedSignature, inputs: Arrays) -> bool:
        """Check a request, and tell whether it goes to the batcher to be put together with others.

        Inputs that do not fit the signature or the batcher are INVALID_ARGUMENT.
        """
        signature.check(inputs)
        if self._batching is None or (signature.name, True) not in self._tensors:
            return False
        if len({array.shape[0] for array in inputs.values()}) > 1:
            reason = "Batching Run() input tensors must have equal 0th-dimension size"
            raise ServingError("INVALID_ARGUMENT", reason)
        size, most = first_axis(inputs), self.longest_queue
        if size > most:
            raise ServingError("INVALID_ARGUMENT", f"{size} examples in a request; at most {most} are taken")
        return size > 0  # of no examples TensorFlow's batcher makes outputs of another rank

    def warm_up(self) -> int:
        """Replay the version's warm-up requests, and count them.

        `ServingError` if there are too many, or one fails: this version is not fit to serve.
        """
        file, count = self.path / WARMUP_FILE, 0
        if not file.is_file():
            return 0
        try:
            for key, inputs in read_warmup(file):
                count += 1
                if count > MOST_RECORDS:
                    raise ServingError("INVALID_ARGUMENT", f"more than {MOST_RECORDS} warm-up requests")
                self.run(self.signature(key), inputs)
        except ServingError as error:
            raise ServingError(error.code, f"warm-up request {count}: {error.reason}") from error
        except Exception as error:  # a damaged file of records
            raise ServingError("DATA_LOSS", f"warm-up requests: {first_line(error)}") from error
        return count

    def close(self) -> None:
        """Give back memory and threads."""
        if self._session is not None:
            self._session.close()
            self._session = None
        self._calls = {}
        self._graph = None
