"""A PyTorch network cut at a module, by forward hooks that replace what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.models.adapters.torch_places import BATCH, CHANNEL, MEL, STATES, TIME, arranged
from actprobe.models.split import Floats, Halfway, Split

Run = Callable[[Floats, Callable[[str, Any], Any]], None]


class TorchSplit(Split):
    """A PyTorch network cut at a module.

    The modules before the cut run again each time, since nothing is known of what bypasses a module. ``run``
    computes the network of examples and calls its second argument with the name and the tensor of each
    module; what that returns, if anything, takes the tensor's place. ``places`` are the axes of each tensor.
    UsageError where no output depends on the module, or several tensors come out of it.
    """

    def __init__(
        self,
        run: Run,
        layer: str,
        outputs: Sequence[str],
        places: dict[str, tuple[str, ...]],
        example: Floats,
    ) -> None:
        self._run, self._layer, self._outputs, self._places = run, layer, tuple(outputs), places
        axes = places[layer]
        if axes == STATES or BATCH not in axes or layer.rpartition("/")[2].isdigit():
            raise UsageError(f"{layer} is one of several tensors of a module: choose a module behind it")
        self._batch = axes.index(BATCH)
        rest = [axis for axis in axes if axis != BATCH]
        along = CHANNEL if CHANNEL in rest else MEL if MEL in rest else TIME
        self.unit_axis = rest.index(along) - len(rest)
        if layer in outputs and len(outputs) == 1:
            raise UsageError(f"no output is computed from {layer}: choose a layer that comes before them")
        halfway = self.before(example)
        changed = self._after(halfway.values + 1, example)
        own = self._after(halfway.values, example)
        if all(np.array_equal(changed[name], own[name], equal_nan=True) for name in outputs):
            raise UsageError(f"no output is computed from {layer}: choose a layer that comes before them")

    def before(self, examples: Floats) -> Halfway:
        found: list[Floats] = []

        def take(name: str, tensor: Any) -> None:
            if name == self._layer:
                found.append(np.moveaxis(_array(tensor), self._batch, 0))

        self._run(examples, take)
        return Halfway(np.ascontiguousarray(found[0]), (examples,))

    def _replaced(self, halfway: Halfway, replace: NDArray[np.bool_], fill: Floats) -> dict[str, Floats]:
        values, (examples,) = halfway.values, halfway.others
        shape = [1] * values.ndim
        shape[self.unit_axis] = -1
        changed = np.where(replace.reshape(len(replace), *shape), fill[np.newaxis], values[np.newaxis])
        again = np.tile(examples, (len(replace), 1, 1))
        return self._after(changed.reshape(-1, *values.shape[1:]), again)

    def _after(self, values: Floats, examples: Floats) -> dict[str, Floats]:
        """Compute the network of examples with other values of the module."""
        torch = backend.torch
        found: dict[str, Floats] = {}

        def take(name: str, tensor: Any) -> Any:
            replaced = None
            if name == self._layer:
                turned = np.ascontiguousarray(np.moveaxis(values, 0, self._batch))
                replaced = torch.from_numpy(turned).to(tensor.device, tensor.dtype)
            if name in self._outputs:
                found[name] = np.ascontiguousarray(
                    arranged(_array(tensor if replaced is None else replaced), self._places[name])
                )
            return replaced

        self._run(examples, take)
        return found


def _array(tensor: Any) -> Floats:
    return np.asarray(tensor.detach().to("cpu", backend.torch.float32, copy=True).numpy())
