"""Opens functional and Sequential Keras 3 models beside tf-keras in one process.

Each call of a Keras 3 layer becomes one layer of a functional tf-keras model, which computes with the Keras 3
layer itself and its variables: whatever works with tf-keras models works with it, gradients, dense
evaluation and export among it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models.adapters.tf_keras import check_graph, wrap_keras
from actprobe.models.keras_model import KerasModel


def wrap_keras3(
    keras_model: Any, frontend: FrontEnd | None, name: str, axes: str, outputs: Sequence[str] | None
) -> KerasModel:
    """Open a Keras 3 model, see `actprobe.wrap_model`."""
    engine = backend.keras3.backend.backend()
    if engine != "tensorflow":
        raise UsageError(
            f"{name} is a Keras 3 model that computes with {engine}: set KERAS_BACKEND=tensorflow before "
            f"keras is imported, and load it again"
        )
    graph = _graph_of(keras_model)
    check_graph(keras_model, graph, name)
    try:
        architecture = keras_model.to_json()
    except Exception:  # a layer of the user's own need not describe itself
        architecture = None
    return wrap_keras(_in_tf_keras(graph, name), frontend, name, axes, outputs, architecture)


def _graph_of(thing: Any) -> Any:
    """Give the functional model that a model is or holds; None if there is none."""
    keras3 = backend.keras3
    if isinstance(thing, keras3.Sequential):
        return thing._functional if thing.built else None
    return thing if hasattr(thing, "_nodes_by_depth") and isinstance(thing, keras3.Model) else None


def _in_tf_keras(graph: Any, name: str) -> Any:
    """Write a functional Keras 3 model as one of tf-keras, with the same inputs and outputs."""
    keras, tf = backend.keras, backend.tf
    inputs = [keras.Input(tuple(tensor.shape[1:]), dtype=tensor.dtype) for tensor in graph.inputs]
    found = {id(theirs): ours for theirs, ours in zip(graph.inputs, inputs, strict=True)}
    taken: dict[str, int] = {}
    by_depth = graph._nodes_by_depth
    for node in [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]:
        if node.is_input:
            continue
        safe = _safe(node.operation.name)
        taken[safe] = taken.get(safe, 0) + 1
        safe = f"{safe}_again_{taken[safe]}" if taken[safe] > 1 else safe
        nested = _graph_of(node.operation)
        layer = _in_tf_keras(nested, safe) if nested is not None else _stand_in()(node, safe)
        object.__setattr__(layer, "stands_for", node.operation)
        given = [found[id(tensor)] for tensor in node.input_tensors]
        produced = tf.nest.flatten(layer(given if len(given) > 1 else given[0]))
        found.update(zip(map(id, node.output_tensors), produced, strict=True))
    return keras.Model(inputs, [found[id(tensor)] for tensor in graph.outputs], name=_safe(name))


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", name) or "model"


@cache
def _stand_in() -> type:
    """Make the class of layers that stand for a call of a Keras 3 layer; tf-keras loads when it is asked."""
    keras, tf = backend.keras, backend.tf

    class StandIn(keras.layers.Layer):  # type: ignore[misc,name-defined]
        def __init__(self, node: Any, name: str) -> None:
            super().__init__(name=name, autocast=False)
            operation = node.operation
            self.held = [variable.value for variable in getattr(operation, "variables", ())]
            object.__setattr__(self, "node", node)
            trained = isinstance(operation, backend.keras3.Layer) and operation._call_has_training_arg
            object.__setattr__(self, "fixed", {"training": False} if trained else {})

        def call(self, inputs: Any) -> Any:
            return tf.autograph.experimental.do_not_convert(self._call_original)(inputs)

        def _call_original(self, inputs: Any) -> Any:
            given = inputs if isinstance(inputs, list | tuple) else [inputs]
            tensors = {id(theirs): ours for theirs, ours in zip(self.node.input_tensors, given, strict=True)}
            args, kwargs = self.node.arguments.fill_in(tensors)
            return self.node.operation(*args, **{**kwargs, **self.fixed})

    return StandIn
