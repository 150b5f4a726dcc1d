"""A model on its way into another process."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models import Model, WeightsRecord, load_model
from actprobe.models.model import hash_weights
from actprobe.provenance import digest
from actprobe.weights import seeded_kernel

__all__ = ["ModelHandle", "detached", "run_key"]


def run_key(made_by: Mapping[str, Any], weights: WeightsRecord) -> str:
    """Name a run by all that decides its numbers, the weights by what they are and not by where they lie.

    Parameters
    ----------
    made_by : mapping
        JSON-able: what decides the numbers.
    weights : WeightsRecord
        The network's weights.

    Returns
    -------
    str
        The same for runs that would compute the same numbers.
    """
    return digest({**made_by, "weights": [weights.sha256, weights.seed]})


def detached(frontend: FrontEnd) -> FrontEnd:
    """Copy a front end without what TensorFlow has traced of it, so that it can be pickled.

    Parameters
    ----------
    frontend : FrontEnd
        Any front end.

    Returns
    -------
    FrontEnd
        One that gives the same examples.
    """
    copied = copy.copy(frontend)
    vars(copied).pop("_traced", None)
    return copied


class ModelHandle:
    """A model that opens itself again where it is unpickled, when it is first asked for.

    Pickled, it is name, weight file or seed, and front end; unpickling loads no TensorFlow.

    Parameters
    ----------
    model : Model
        An opened model.
    """

    def __init__(self, model: Model) -> None:
        self._model: Model | None = model
        self.name = model.name
        self.weights = model.weights
        self.frontend = detached(model.frontend)
        self._digest = ""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network itself behind."""
        if self._model is not None and self.weights.kind != "user model":
            self._digest = _digest(self._model)
        return {**vars(self), "_model": None}

    @property
    def model(self) -> Model:
        """The opened model.

        Raises
        ------
        UsageError
            In another process: a wrapped model, which only the process that made it has, or weights
            that are not what the model was opened with.
        """
        if self._model is None:
            if self.weights.kind == "user model":
                raise UsageError(
                    f"{self.name} is a model of your own, which other processes cannot open: use "
                    f"--executor=local:N"
                )
            record = self.weights
            file = record.catalog_name if record.kind == "open" else record.path
            model = load_model(self.name, file or None, seed=record.seed or 0)
            if _digest(model) != self._digest:
                raise UsageError(
                    f"{self.name} does not have the weights it was opened with ({self.weights}), so other "
                    f"processes cannot open it: use --executor=local:N"
                )
            self._model = Model(self.name, model.keras_model, self.frontend, model.layers, self.weights)
        return self._model

    def with_random_weights(self, seed: int) -> Model:
        """Open the same network with seeded random weights.

        Parameters
        ----------
        seed : int
            Seed of the weights.

        Returns
        -------
        Model
            The control. Of a wrapped model it is the model itself, which gets random weights for the
            time it computes.
        """
        if self.weights.kind == "user model":
            return _Reseeded(self.model, seed)
        model = load_model(self.name, seed=seed)
        return Model(self.name, model.keras_model, self.frontend, model.layers, model.weights)


class _Reseeded(Model):
    """A wrapped model that computes with seeded random weights and gives its own back."""

    def __init__(self, model: Model, seed: int) -> None:
        record = WeightsRecord("seeded random", seed=seed)
        super().__init__(model.name, model.keras_model, model.frontend, model.layers, record)
        self._functions = model._functions
        self._variables = [weight for weight in model.keras_model.weights if weight.dtype.is_floating]
        self._random = [_seeded(weight, i, seed) for i, weight in enumerate(self._variables)]

    def iter_activations(
        self, examples: NDArray[np.float32], layers: Sequence[str], *, batch_size: int | None = None
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        own = [weight.numpy() for weight in self._variables]
        try:
            self._assign(self._random)
            yield from super().iter_activations(examples, layers, batch_size=batch_size)
        finally:
            self._assign(own)

    def _assign(self, arrays: Sequence[NDArray[Any]]) -> None:
        for weight, array in zip(self._variables, arrays, strict=True):
            weight.assign(array)


def _seeded(weight: Any, index: int, seed: int) -> NDArray[np.float32]:
    """Give a variable what `load_model` gives its like: random kernels, no bias, neutral normalisation."""
    shape = tuple(weight.shape)
    if len(shape) >= 2:
        return seeded_kernel(f"{index}", shape, seed)
    neutral = any(word in weight.name for word in ("gamma", "variance"))
    return np.full(shape, float(neutral), np.float32)


def _digest(model: Model) -> str:
    found = hashlib.sha256()
    hash_weights(model.keras_model, found)
    return found.hexdigest()
