"""What a signature takes and gives, and the checks that a request meets before TensorFlow sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import ServingError
from actprobe.serving.server.tensors import DTYPES, dtype_name

__all__ = ["DEFAULT_SIGNATURE", "Arrays", "Signature", "Slot", "first_axis", "signatures_of"]

DEFAULT_SIGNATURE = "serving_default"
_NOT_PREDICT = "__saved_model_init_op"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Slot:
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
        """Say whether an array of this shape can be given.

        Parameters
        ----------
        shape : sequence of int
            The array's.

        Returns
        -------
        bool
            Whether rank and fixed axes agree.
        """
        if self.shape is None:
            return True
        if len(shape) != len(self.shape):
            return False
        return all(own is None or own == size for own, size in zip(self.shape, shape, strict=True))

    def described(self) -> str:
        """Write type and shape.

        Returns
        -------
        str
            Such as ``DT_FLOAT [?,115,80]``.
        """
        name = dtype_name(self.type_number)
        if self.shape is None:
            return f"{name} of any shape"
        return f"{name} [{','.join('?' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class Signature:
    """A question that a model answers.

    Parameters
    ----------
    name : str
        Its key.
    inputs, outputs : mapping
        Name -> slot, in alphabetical order.
    """

    name: str
    inputs: Mapping[str, Slot]
    outputs: Mapping[str, Slot]

    def check(self, given: Arrays) -> None:
        """Refuse inputs that do not fit.

        Parameters
        ----------
        given : dict
            Name -> array.

        Raises
        ------
        ServingError
            INVALID_ARGUMENT: an input is missing, unknown, or of another type or shape.
        """
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
        """Give the outputs that a request asks for.

        Parameters
        ----------
        names : sequence of str
            Names of outputs; empty for all.

        Returns
        -------
        list of str
            Each once.

        Raises
        ------
        ServingError
            INVALID_ARGUMENT: no such output.
        """
        for name in names:
            if name not in self.outputs:
                known = ", ".join(self.outputs)
                reason = f"output tensor alias not found in signature: {name[:64]}. There is {known}"
                raise ServingError("INVALID_ARGUMENT", reason)
        return list(dict.fromkeys(names)) or list(self.outputs)


def signatures_of(meta_graph: Any) -> dict[str, Signature]:
    """Read the signatures of a SavedModel.

    Parameters
    ----------
    meta_graph : tensorflow.MetaGraphDef
        What loading it gave.

    Returns
    -------
    dict
        Name -> signature, without those that hold anything but plain tensors.
    """
    found = {}
    for key, definition in meta_graph.signature_def.items():
        infos = [*definition.inputs.values(), *definition.outputs.values()]
        if key == _NOT_PREDICT or not definition.outputs or not all(info.name for info in infos):
            continue
        inputs = {name: _slot(definition.inputs[name]) for name in sorted(definition.inputs)}
        outputs = {name: _slot(definition.outputs[name]) for name in sorted(definition.outputs)}
        found[key] = Signature(key, inputs, outputs)
    return found


def _slot(info: Any) -> Slot:
    shape = None
    if not info.tensor_shape.unknown_rank:
        shape = tuple(None if axis.size < 0 else int(axis.size) for axis in info.tensor_shape.dim)
    return Slot(info.name, info.dtype, shape)


def first_axis(arrays: Arrays) -> int:
    """Count the examples of a request.

    Parameters
    ----------
    arrays : dict
        Its inputs.

    Returns
    -------
    int
        Length of the first axis of the first; 1 for a scalar.
    """
    return next((int(np.shape(array)[0]) for array in arrays.values() if np.ndim(array)), 1)
