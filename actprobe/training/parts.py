"""What differs between trainings: what learns, how its epochs are judged, what is kept of the best one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray


class Learner(Protocol):
    """What learns."""

    @property
    def parts(self) -> Mapping[str, Any]:
        """Name -> what has weights (Keras models, further optimizers), saved and restored by these names."""

    @property
    def variables(self) -> Sequence[Any]:
        """What the optimizer changes, tf.Variable."""

    @property
    def means(self) -> Sequence[str]:
        """Names of what `train` gives, ``loss`` among them: averaged over an epoch."""

    def train(self, batch: Mapping[str, Any], optimizer: Any) -> Mapping[str, Any]:
        """Take a step; gives scalar tensors by name."""


def _no_step(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse: this training has no validation batches."""
    raise NotImplementedError


@dataclass(frozen=True)
class Judge:
    """How an epoch is judged: by Keras on a dataset, or by a function; without either the last is the best.

    ``column`` of the history, such as ``valid_input``, and its ``label`` in lines of progress; ``larger``:
    whether larger is better. Either ``dataset``, validation batches, with ``step``, which takes a batch and
    gives a dict of what is averaged over them, with the name that ``column`` has after ``valid_``; or
    ``measure``, which gives the number after an epoch.
    """

    column: str
    label: str
    larger: bool = False
    dataset: Any = None
    step: Callable[[Mapping[str, Any]], dict[str, Any]] = _no_step
    measure: Callable[[], float] | None = None

    @property
    def worst(self) -> float:
        """What any figure is better than."""
        return -math.inf if self.larger else math.inf

    def better(self, found: float, best: float) -> bool:
        """Whether an epoch is better than the best before it; one without a figure always is."""
        return not (found <= best if self.larger else found >= best)


@dataclass(frozen=True)
class Best:
    """What is saved of the best epoch.

    ``weights`` gives the arrays; every worker asks for them, because moving averages are a mean over all of
    them. ``save`` writes them to a path, completely or not at all.
    """

    path: Path
    weights: Callable[[], dict[str, NDArray[Any]]]
    save: Callable[[Path, dict[str, NDArray[Any]]], None]
