"""What a signature takes and gives, and the checks that a request meets before TensorFlow sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actprobe.errors import ServingError
from actprobe.serving.protocol.tensors import DTYPES, Arrays, dtype_name

DEFAULT_SIGNATURE = "serving_default"
_NOT_PREDICT = "__saved_model_init_op"


@dataclass(frozen=True)
class ServedTensor:
    """An input or output of a signature.

    Parameters
    ----------
    tensor : str
        The tensor's name in the graph.
    type_number : int
        TensorFlow's number of its type.
    shape : tuple or None
        Length of each axis, None where any length goes; None as a whole where any rank goes.
    """

    tensor: str
    type_number: int
    shape: tuple[int | None, ...] | None

    @property
    def dtype(self) -> Any:
        """NumPy's type; None where it is not served."""
        return DTYPES.get(self.type_number)

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether rank and fixed axes of an array of this shape agree."""
        if self.shape is None:
            return True
        if len(shape) != len(self.shape):
            return False
        return all(own is None or own == size for own, size in zip(self.shape, shape, strict=True))

    def described(self) -> str:
        """Write type and shape, such as ``DT_FLOAT [?,100,40]``."""
        name = dtype_name(self.type_number)
        if self.shape is None:
            return f"{name} of any shape"
        return f"{name} [{','.join('?' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class ServedSignature:
    """A question that a model answers: its inputs and outputs by name, in alphabetical order."""

    name: str
    inputs: Mapping[str, ServedTensor]
    outputs: Mapping[str, ServedTensor]

    def check(self, given: Arrays) -> None:
        """Refuse inputs that are missing, unknown, or of another type or shape: INVALID_ARGUMENT."""
        if given.keys() != self.inputs.keys():
            missing = sorted(self.inputs.keys() - given.keys())
            extra = sorted(given.keys() - self.inputs.keys())
            faults = [
                f"{what}: {', '.join(name[:64] for name in names[:8])}"
                for what, names in (("Missing but required", missing), ("Sent extra", extra))
                if names
            ]
            reason = f"inputs do not match signature {self.name}. {'. '.join(faults)}."
            raise ServingError("INVALID_ARGUMENT", reason)
        for name, array in given.items():
            slot = self.inputs[name]
            if array.dtype != slot.dtype:
                reason = f"input {name} is {array.dtype}, expected {slot.described()}"
                raise ServingError("INVALID_ARGUMENT", reason)
            if not slot.fits(array.shape):
                shape = ",".join(map(str, array.shape))
                reason = f"input {name} has shape [{shape}], expected {slot.described()}"
                raise ServingError("INVALID_ARGUMENT", reason)

    def select(self, names: Sequence[str]) -> list[str]:
        """List the outputs that a request asks for, each once, by default all; else INVALID_ARGUMENT."""
        for name in names:
            if name not in self.outputs:
                known = ", ".join(self.outputs)
                reason = f"output tensor alias not found in signature: {name[:64]}. There is {known}"
                raise ServingError("INVALID_ARGUMENT", reason)
        return list(dict.fromkeys(names)) or list(self.outputs)


def signatures_of(meta_graph: Any) -> dict[str, ServedSignature]:
    """Read the signatures of a MetaGraphDef, without those that hold anything but plain tensors."""
    found = {}
    for key, definition in meta_graph.signature_def.items():
        infos = [*definition.inputs.values(), *definition.outputs.values()]
        if key == _NOT_PREDICT or not definition.outputs or not all(info.name for info in infos):
            continue
        inputs = {name: _slot(definition.inputs[name]) for name in sorted(definition.inputs)}
        outputs = {name: _slot(definition.outputs[name]) for name in sorted(definition.outputs)}
        found[key] = ServedSignature(key, inputs, outputs)
    return found


def _slot(info: Any) -> ServedTensor:
    shape = None
    if not info.tensor_shape.unknown_rank:
        shape = tuple(None if axis.size < 0 else int(axis.size) for axis in info.tensor_shape.dim)
    return ServedTensor(info.name, info.dtype, shape)


def first_axis(arrays: Arrays) -> int:
    """Count the examples of a request: the first axis of its first input; 1 for a scalar."""
    return next((int(np.shape(array)[0]) for array in arrays.values() if np.ndim(array)), 1)
