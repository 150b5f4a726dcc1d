"""A network cut in two at a layer: what comes before is computed once, what comes after as often as asked.

The values of some units are replaced at the cut. TensorFlow's networks are cut in their graph of operations,
wherever in nested models the layer is; what bypasses the layer, such as a skip connection, is computed before
the cut, too. Networks of other frameworks give a `Split` of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.models.graph import depending_on

Floats = NDArray[np.float32]

BYTES_AT_ONCE = 64 << 20  # of replaced values that go on together


@dataclass(frozen=True)
class Halfway:
    """What a network has computed of some examples at the cut.

    - ``values``: float32 [examples, ...], those of the layer, in the axes of the network itself.
    - ``others``: arrays [examples, ...] of what bypasses the layer.
    """

    values: Floats
    others: tuple[NDArray[Any], ...] = ()


class Split(ABC):
    """A network cut at a layer.

    - ``unit_axis``: axis of `Halfway.values` along which the units or channels lie, counted from the last.
    - ``names``: the layers whose activations are wanted, and the tensors that hold them.
    """

    unit_axis: int = -1
    names: Mapping[str, str] = {}

    @abstractmethod
    def before(self, examples: Floats) -> Halfway:
        """Compute the network up to the layer, of examples [batch, time, mel]."""

    @abstractmethod
    def _replaced(self, halfway: Halfway, replace: NDArray[np.bool_], fill: Floats) -> dict[str, Floats]:
        """Compute what comes after with the units of each set replaced, by tensor: [sets * examples, ...]."""

    def replaced(
        self, halfway: Halfway, replace: NDArray[np.bool_], fill: Floats
    ) -> Iterator[tuple[slice, dict[str, Floats]]]:
        """Compute what comes after with some units replaced, many sets of units at a time.

        ``replace``: bool [sets, units], which units; ``fill``: float32 [examples or 1, ...], what stands in
        their place. Yields some of the sets and, by layer, float32 [sets of this part, examples, ...].
        """
        values = halfway.values
        step = max(1, BYTES_AT_ONCE // max(1, values.nbytes))
        for first in range(0, len(replace), step):
            part = replace[first : first + step]
            found = self._replaced(halfway, part, fill)
            yield (
                slice(first, first + len(part)),
                {
                    name: found[tensor].reshape(len(part), len(values), *found[tensor].shape[1:])
                    for name, tensor in self.names.items()
                },
            )


class GraphSplit(Split):
    """A network of TensorFlow, cut in its graph.

    ``graph_before`` and ``graph_after`` are its two parts, of tensors.

    ``keras_model`` gives a dict of tensors; ``layer`` names that of the layer, ``outputs`` those behind it.
    UsageError where no output is computed from the layer's values.
    """

    def __init__(
        self, keras_model: Any, layer: str, outputs: Sequence[str], example_shape: Sequence[int]
    ) -> None:
        tf = backend.tf
        names = dict.fromkeys([layer, *outputs])
        part = backend.keras.Model(keras_model.input, {name: keras_model.output[name] for name in names})
        signature = [tf.TensorSpec((None, *example_shape), tf.float32)]

        def compute(examples: Any) -> Any:
            found = part(examples, training=False)
            return [found[name] for name in names]

        whole = tf.compat.v1.wrap_function(compute, signature)
        ends = dict(zip(names, whole.outputs, strict=True))
        example = whole.inputs[0]
        cut = _on_the_way(ends[layer], [ends[name] for name in outputs], layer)
        behind = depending_on(cut)
        others = _bypassing(cut, behind, [ends[name] for name in outputs], example)
        self._outputs = tuple(outputs)
        self.graph_before = whole.prune([example], [cut, *others])
        self.graph_after = whole.prune([cut, *others], [ends[name] for name in outputs])
        self._function = tf.function(self._trace, reduce_retracing=True, autograph=False)

    def before(self, examples: Floats) -> Halfway:
        values, *others = self.graph_before(backend.tf.constant(examples, backend.tf.float32))
        return Halfway(values.numpy(), tuple(each.numpy() for each in others))

    def _replaced(self, halfway: Halfway, replace: NDArray[np.bool_], fill: Floats) -> dict[str, Floats]:
        tf = backend.tf
        found = self._function(
            *map(tf.constant, (halfway.values, replace, fill)), list(map(tf.constant, halfway.others))
        )
        return {name: each.numpy() for name, each in zip(self._outputs, found, strict=True)}

    def _trace(self, values: Any, replace: Any, fill: Any, others: list[Any]) -> list[Any]:
        tf = backend.tf
        sets, examples = tf.shape(replace)[0], tf.shape(values)[0]
        inner = len(values.shape) - 2  # axes between examples and units
        mask = tf.reshape(replace, [sets, 1, *[1] * inner, -1])
        changed = tf.where(mask, fill[tf.newaxis], values[tf.newaxis])
        flat = tf.reshape(changed, tf.concat([[sets * examples], tf.shape(values)[1:]], 0))
        flat.set_shape([None, *values.shape[1:]])
        again = [tf.repeat(each[tf.newaxis], sets, axis=0) for each in others]
        again = [tf.reshape(each, tf.concat([[-1], tf.shape(each)[2:]], 0)) for each in again]
        return list(self.graph_after(flat, *again))


def _on_the_way(tensor: Any, outputs: Sequence[Any], layer: str) -> Any:
    """Find the tensor of a layer that the outputs are computed from, behind which its own may be a copy."""
    there = tensor
    while True:
        behind = depending_on(there)
        if any(output.name in behind and output is not there for output in outputs):
            return there
        given = [each for each in there.op.inputs if each.dtype.is_floating and each.op.type != "Const"]
        if there.op.type not in ("Identity", "Cast", "ExpandDims", "Transpose", "Reshape") or len(given) != 1:
            raise UsageError(f"no output is computed from {layer}: choose a layer that comes before them")
        there = given[0]


def _bypassing(cut: Any, behind: set[str], outputs: Sequence[Any], example: Any) -> list[Any]:
    """Find the tensors that the outputs need beside the cut, and that depend on the example."""
    of_example = depending_on(example)
    found: dict[str, Any] = {}
    seen: set[str] = set()
    open_ = list(outputs)
    while open_:
        tensor = open_.pop()
        if tensor is cut or tensor.name in seen or tensor.name not in of_example:
            continue
        seen.add(tensor.name)
        if tensor.name in behind:
            open_ += list(tensor.op.inputs)
        else:
            found[tensor.name] = tensor
    return list(found.values())
