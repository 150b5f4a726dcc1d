"""A network that TensorFlow computes: a tf-keras graph with every layer among its outputs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.frontends import FrontEnd
from actprobe.models.dense import DenseEvaluation, is_faster, why_not_dense
from actprobe.models.model import Activations, Compute, Model
from actprobe.models.network import Network
from actprobe.models.random_weights import LentWeights, seed_weights
from actprobe.models.split import GraphSplit, Split
from actprobe.models.weights import WeightsRecord, hash_weights


class KerasModel(Model):
    """A network of the catalog, or a user's own Keras model.

    `keras_model` takes [batch, time, mel] and gives a dict with every layer by name; `lent` makes the context
    in which the network computes, see `LentWeights`. The rest is as in `Model`.
    """

    has_gradients = True

    def __init__(
        self,
        network: Network,
        keras_model: Any,
        frontend: FrontEnd,
        weights: WeightsRecord,
        lent: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        super().__init__(network, frontend, weights)
        self._keras_model = keras_model
        self._lent = lent
        self._functions: dict[tuple[str, ...], Any] = {}

    @property
    def keras_model(self) -> Any:
        return self._keras_model

    def digest(self) -> str:
        found = hashlib.sha256()
        hash_weights(self.keras_model, found)
        return found.hexdigest()

    def with_random_weights(self, seed: int) -> KerasModel:
        record = WeightsRecord("seeded random", seed=seed)
        if self.network.build is None:
            lent = LentWeights(self.keras_model, seed)
            control = KerasModel(self.network, self.keras_model, self.frontend, record, lent)
            control._functions = self._functions
            return control
        keras_model = self.network.build()
        seed_weights(keras_model, seed)
        return KerasModel(self.network, keras_model, self.frontend, record)

    def dense_refusal(self, layers: Sequence[str]) -> str:
        return why_not_dense(self.keras_model, self.layers.select(layers), self.frontend)

    def evaluation(self, layers: Sequence[str]) -> str:
        if self.dense_refusal(layers):
            return "batches"
        return (
            "dense" if is_faster(self.keras_model, self.layers.select(layers), self.frontend) else "batches"
        )

    def dense(
        self,
        layers: Sequence[str],
        reduce: str | None = None,
        *,
        excerpts_at_once: int | None = None,
    ) -> DenseEvaluation:
        chosen = dict(zip(self.layers.asked(layers), self.layers.select(layers), strict=True))
        return DenseEvaluation(
            self.name,
            self.keras_model,
            chosen,
            self.frontend,
            reduce=reduce,
            excerpts_at_once=excerpts_at_once,
            lent=self._lent,
        )

    def _split(self, layer: str, outputs: Sequence[str]) -> Split:
        return GraphSplit(self.keras_model, layer, outputs, self.frontend.example_shape)

    def computing(self) -> AbstractContextManager[None]:
        return self._lent()

    def _compute(self, tensors: tuple[str, ...]) -> Compute:
        """Trace the part of the network that these layers need, once."""
        if tensors not in self._functions:
            tf, keras = backend.tf, backend.keras
            outputs = {name: self.keras_model.output[name] for name in tensors}
            part = keras.Model(self.keras_model.input, outputs)
            signature = [tf.TensorSpec((None, *self.frontend.example_shape), tf.float32)]
            self._functions[tensors] = tf.function(
                lambda examples: part(examples, training=False), input_signature=signature
            )
        function = self._functions[tensors]

        def compute(examples: NDArray[np.float32]) -> Activations:
            return {name: tensor.numpy() for name, tensor in function(examples).items()}

        return compute
