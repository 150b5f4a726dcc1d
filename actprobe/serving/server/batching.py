"""Dynamic batching by TensorFlow's own batcher: requests of different callers go through a model together.

Callers wait in TensorFlow, outside Python's lock; concatenation, queue and splitting are its C++. A signature
is batched if every input and output has the batch as its first axis and all other axes of the inputs have one
length, so that no request can make a batch fail for its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.serving.protocol.settings import read_message


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are batched, by the names that TensorFlow Serving gives the parameters.

    Parameters
    ----------
    max_batch_size : int
        Most examples that go through the model together; a larger request is split.
    batch_timeout_micros : int
        How long a batch that is not full waits for more, in microseconds.
    max_enqueued_batches : int
        Batches that may wait; a request beyond is refused with RESOURCE_EXHAUSTED.
    num_batch_threads : int
        Batches that are computed at the same time.
    allowed_batch_sizes : tuple of int
        Sizes to which batches are filled up, ascending, the last ``max_batch_size``; empty: any size.
    """

    max_batch_size: int = 32
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 64
    num_batch_threads: int = 2
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} has to be 1 or more, not {getattr(self, name)}")
        if not 0 <= self.batch_timeout_micros < 2**31:
            raise UsageError(
                f"batch_timeout_micros has to be from 0 to 2^31, not {self.batch_timeout_micros}"
            )
        sizes = self.allowed_batch_sizes
        if sizes and (sorted(set(sizes)) != list(sizes) or sizes[0] < 1 or sizes[-1] != self.max_batch_size):
            raise UsageError("allowed_batch_sizes have to ascend and to end with max_batch_size")


def read_batching_parameters(path: str | Path) -> BatchingParameters:
    """Read a text-format BatchingParameters file; what it leaves out has its default.

    A file that cannot be read or asks for padding of inputs of different lengths is a `UsageError`.
    """
    message = read_message(path, "BatchingParameters")
    try:
        if message.pad_variable_length_inputs:
            raise UsageError(
                "pad_variable_length_inputs is not there: inputs of any length are not batched here"
            )
        given = {
            name: getattr(message, name).value
            for name in (
                "max_batch_size",
                "batch_timeout_micros",
                "max_enqueued_batches",
                "num_batch_threads",
            )
            if message.HasField(name)
        }
        return BatchingParameters(**given, allowed_batch_sizes=tuple(message.allowed_batch_sizes))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def can_be_batched(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    """Whether requests can be put together: all first axes are free, other axes of the inputs are not.

    Inputs and outputs have a ``shape``: axes with None where any length goes, or None for any rank.
    """

    def starts_with_batch(slot: Any) -> bool:
        return bool(slot.shape) and slot.shape[0] is None

    return (
        bool(inputs)
        and all(starts_with_batch(slot) for slot in [*inputs.values(), *outputs.values()])
        and all(None not in slot.shape[1:] for slot in inputs.values())
    )


def add_batcher(
    graph: Any,
    name: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    parameters: BatchingParameters,
) -> tuple[list[str], list[str]]:
    """Add a batched twin of a part of a graph, the default graph, and name its inputs and outputs.

    `inputs` and `outputs` name the tensors between which the part lies; `name` is unlike any other batcher's
    in the graph's session.
    """
    tf = backend.tf
    operations = sorted({tensor.split(":")[0] for tensor in outputs})
    part = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), operations)
    for node in part.node:  # inside a function a variable is found by its shared name only
        if node.op == "VarHandleOp" and not node.attr["shared_name"].s:
            node.attr["shared_name"].s = node.name.encode()
    tensors = [graph.get_tensor_by_name(tensor) for tensor in inputs]

    def batch(*arguments: Any) -> Any:
        return tf.import_graph_def(
            part, input_map=dict(zip(inputs, arguments, strict=True)), return_elements=list(outputs), name=""
        )

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
    function = tf.function(batch, autograph=False).get_concrete_function(*specs)
    fed = [tf.compat.v1.placeholder(tensor.dtype, tensor.shape) for tensor in tensors]
    fetched = tf.raw_ops.BatchFunction(
        in_tensors=fed,
        captured_tensors=function.captured_inputs,
        f=function,
        Tout=[tensor.dtype for tensor in function.outputs],
        num_batch_threads=parameters.num_batch_threads,
        max_batch_size=parameters.max_batch_size * parameters.max_enqueued_batches,  # of one request
        batch_timeout_micros=parameters.batch_timeout_micros,
        max_enqueued_batches=parameters.max_enqueued_batches,
        # The operation splits at the last of these sizes, so that none may be left out.
        allowed_batch_sizes=list(parameters.allowed_batch_sizes or range(1, parameters.max_batch_size + 1)),
        enable_large_batch_splitting=True,
        shared_name=name,
    )
    return [tensor.name for tensor in fed], [tensor.name for tensor in fetched]
