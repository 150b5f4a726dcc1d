"""The network and the target of an attribution: values, and gradients where there are some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.models.target import Target, values_of

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class Explained:
    """The network and the target of an attribution.

    ``batch_size`` examples go through the network together, by default what the model says. The functions
    that TensorFlow traces are kept, so that one object serves all recordings.
    """

    def __init__(self, model: Model, target: Target, *, batch_size: int | None = None) -> None:
        self.model = model
        self.target = target
        self.batch_size = batch_size or model.batch_size

    def values(self, examples: Floats) -> Doubles:
        """Compute the target's value, float64 [batch], of examples [batch, time, mel]; any network."""
        return self._forward(self.target, examples)

    def outputs(self, examples: Floats) -> Doubles:
        """Compute the target's value behind its nonlinearity, float64 [batch]: a probability of an output."""
        return self._forward(self.target.probability_of(self.model), examples)

    def _forward(self, target: Target, examples: Floats) -> Doubles:
        batches = self.model.iter_activations(examples, [target.layer], batch_size=self.batch_size)
        return np.concatenate([values_of(target, found) for found in batches])

    @property
    def gradient_refusal(self) -> str:
        """Why there are no gradients, in a sentence; empty where there are."""
        if self.model.has_gradients:
            return ""
        return (
            f"{self.model.name} is {self.model.what}, whose gradients are not available: use occlusion, lime "
            f"or components"
        )

    @cached_property
    def part(self) -> Any:
        """The network up to the target's layer: a tf-keras model, [batch, time, mel] -> the layer's values.

        Raises
        ------
        UsageError
            The network has no gradients.
        """
        if self.gradient_refusal:
            raise UsageError(self.gradient_refusal)
        tensor = self.model.layers[self.target.layer].tensor
        return backend.keras.Model(self.model.keras_model.input, self.model.keras_model.output[tensor])

    def gradient_of(
        self, of_operations: Mapping[str, str] | None = None
    ) -> Callable[[Floats], tuple[Doubles, Floats]]:
        """Make a function of examples: the target's values, [batch], and their gradients, [batch, time, mel].

        ``of_operations`` gives operations of TensorFlow, such as ``Relu``, the gradient that is registered
        under another name. The function runs in the context of `Model.computing`, in batches.
        """
        tf = backend.tf

        def slope(examples: Any) -> tuple[Any, Any]:
            with tf.compat.v1.get_default_graph().gradient_override_map(dict(of_operations or {})):
                values = self.target.of(self.part(examples, training=False))
            return values, tf.gradients(values, examples, unconnected_gradients="zero")[0]

        traced = self.in_batches(slope)

        def compute(examples: Floats) -> tuple[Doubles, Floats]:
            values, gradients = traced(examples)
            return values.astype(np.float64), gradients

        return compute

    def in_batches(
        self, function: Callable[[Any], tuple[Any, ...]]
    ) -> Callable[[Floats], tuple[Floats, ...]]:
        """Trace a function of examples that gives tensors [batch, ...], and make one that runs in batches."""
        traced = backend.tf.function(function, input_signature=[self.signature])
        traced.get_concrete_function()

        def compute(examples: Floats) -> tuple[Floats, ...]:
            with self.model.computing():
                found = [
                    [
                        each.numpy()
                        for each in traced(np.asarray(examples[start : start + self.batch_size], np.float32))
                    ]
                    for start in range(0, len(examples), self.batch_size)
                ]
            return tuple(np.concatenate(each) for each in zip(*found, strict=True))

        return compute

    @property
    def signature(self) -> Any:
        """What a traced function of examples takes: float32 [batch, time, mel]."""
        return backend.tf.TensorSpec((None, *self.model.frontend.example_shape), backend.tf.float32)

    @cached_property
    def gradients(self) -> Callable[[Floats], tuple[Doubles, Floats]]:
        """The function of `gradient_of` for the network as it is."""
        return self.gradient_of()
