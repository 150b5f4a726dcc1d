"""The dense network that is derived from the graph of a Keras model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import lcm, prod
from typing import Any

from actprobe import backend
from actprobe.models import dense_rows
from actprobe.models.dense_layers import followed, merged
from actprobe.models.dense_places import Compute, Place, Refused, Shared, Single, as_singles, shared
from actprobe.models.dense_rows import Rows
from actprobe.models.keras_kinds import MERGES, POOLINGS, each, is_one_of, original

COMPARISON = 30  # products that take as long as one step of a pooling


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the dense network, numbered after those that it is computed from.

    `place` is where the excerpts lie in it, `width` how many numbers a row, or an excerpt, has, and
    `products` how many products each of these takes.
    """

    number: int
    inputs: tuple[Value, ...]
    compute: Compute
    place: Place
    width: int
    products: float = 1

    @property
    def of_excerpt(self) -> float:
        """Count the products that an excerpt takes by itself."""
        return self.products * (prod(self.place.shape) if isinstance(self.place, Shared) else self.width)

    def of_excerpt_densely(self, hop: int) -> float:
        """Count the products that an excerpt takes, where one is asked for every `hop` frames."""
        # A dense layer on flattened rows is computed for every frame.
        flat = any(is_flat(value.place) for value in self.inputs) and isinstance(self.place, Single)
        return self.products * hop * (self.width if flat else self.numbers(hop))

    def numbers(self, hop: int) -> float:
        """Count the numbers for each frame, where an excerpt is asked for every `hop` frames."""
        if isinstance(self.place, Shared):
            return self.width * (1 + sum(self.place.edges) / hop)
        return self.width / hop


class DenseGraph:
    """The dense network of a Keras model, and of the models nested in it.

    The model takes [batch, time, mel] and gives a dict with every layer by name; `example_shape` is the
    (time, mel) of an excerpt.
    """

    def __init__(self, keras_model: Any, example_shape: tuple[int, int]) -> None:
        self._count = 0
        self._calls: dict[Any, list[Value]] = {}
        self.source = self._add((), lambda: None, shared(1, example_shape))
        outputs = self._model(keras_model, [self.source])
        places = [id(tensor) for tensor in backend.tf.nest.flatten(keras_model.output)]
        self._values = dict(zip(places, outputs, strict=True))
        self._named: Mapping[str, Any] = keras_model.output

    def __getitem__(self, name: str) -> Value:
        """Give the value of a layer's tensor."""
        return self._values[id(self._named[name])]

    def needed(self, values: Sequence[Value]) -> list[Value]:
        """List what has to be computed for some values, in order."""
        found: dict[int, Value] = {}
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if value.number not in found:
                found[value.number] = value
                waiting += value.inputs
        return [found[number] for number in sorted(found)]

    def compute(self, values: Sequence[Value], frames: Any, starts: Any) -> list[Any]:
        """Compute values from frames [frame, mel] of a recording, for excerpts that begin at `starts`."""
        tensors = {self.source.number: Rows(frames[backend.tf.newaxis], starts)}
        for value in self.needed(values):
            if value is not self.source:
                tensors[value.number] = value.compute(*(tensors[given.number] for given in value.inputs))
        return [tensors[value.number] for value in values]

    def phases(self, values: Sequence[Value]) -> int:
        """Count the excerpts after which all rows repeat their phases."""
        places = (value.place for value in self.needed(values))
        return lcm(*(place.stride for place in places if isinstance(place, Shared)))

    def _add(
        self, inputs: tuple[Value, ...], compute: Compute, place: Place, width: int = 0, products: float = 1
    ) -> Value:
        """Enter a value; what is one row long is laid out by excerpt at once."""
        width = prod(place.shape[1:]) if isinstance(place, Shared) else width
        value = Value(self._count, inputs, compute, place, width, products)
        self._count += 1
        if isinstance(place, Shared) and place.natural and place.shape[0] == 1:

            def lay_out(rows: Rows) -> Any:
                return backend.tf.expand_dims(dense_rows.of_excerpts(rows.shared, rows.starts), 1)

            return self._add((value,), lay_out, Single(), width)
        return value

    def _model(self, keras_model: Any, given: Sequence[Value]) -> list[Value]:
        """Follow all calls of a model's layers."""
        seen = {id(tensor): value for tensor, value in zip(keras_model.inputs, given, strict=True)}
        for node in _nodes(keras_model):
            inputs = [seen[id(tensor)] for tensor in node.keras_inputs]
            produced = backend.tf.nest.flatten(node.outputs)
            # A layer that meets the same tensors again, in another nesting, is computed once.
            key = (id(node if node.call_kwargs else node.layer), *(value.number for value in inputs))
            if key not in self._calls:
                nested = getattr(node.layer, "_is_graph_network", False)
                self._calls[key] = (
                    self._model(node.layer, inputs) if nested else self._call(node, inputs, produced)
                )
            seen.update(zip(map(id, produced), self._calls[key], strict=True))
        return [seen[id(tensor)] for tensor in keras_model.outputs]

    def _call(self, node: Any, inputs: list[Value], produced: Sequence[Any]) -> list[Value]:
        """Follow one call of a layer."""
        widths = [prod(size or 1 for size in tensor.shape[1:]) for tensor in produced]
        call: Compute = partial(_called, node)
        refusal = next((value.place for value in inputs if isinstance(value.place, Refused)), None)
        if refusal is not None:
            return [self._add((), call, refusal) for _ in produced]
        called = getattr(node.layer, "pre_activation_of", node.layer)
        layer = original(called)
        if len(inputs) > 1 and is_one_of(layer, MERGES):
            inputs = [self.laid_out(value) if is_flat(value.place) else value for value in inputs]
        places = [value.place for value in inputs]
        place: Place = Single()
        if len(places) > 1 and any(isinstance(each, Shared) for each in places):
            shapes = [tuple(tensor.shape[1:]) for tensor in node.keras_inputs]
            place, call = merged(layer, places, shapes, call)
        elif places and isinstance(places[0], Shared):
            linear = called is not node.layer
            place, call = followed(layer, places[0], call, _arguments(node), linear=linear)
        if len(produced) == 1 or isinstance(place, Refused):
            products = _products(layer, produced[0])
            return [self._add(tuple(inputs), call, place, width, products) for width in widths]
        whole = self._add(tuple(inputs), call, place)
        return [self._add((whole,), partial(_part, i), place, width) for i, width in enumerate(widths)]

    def laid_out(self, value: Value) -> Value:
        """Lay shared rows out by excerpt."""
        assert isinstance(value.place, Shared)
        return self._add((value,), as_singles(value.place), Single(), prod(value.place.shape))


def is_flat(place: Place) -> bool:
    """Whether the network has shared rows as one vector."""
    return isinstance(place, Shared) and place.flat


def _products(layer: Any, produced: Any) -> float:
    """Count the products that a number takes: by the weights of its unit or channel, or the window pooled."""
    weights = sum(prod(weight.shape) for weight in layer.weights)
    window: int = prod(each(layer.pool_size)) if is_one_of(layer, POOLINGS) else 0
    return float(1 + weights / (produced.shape[-1] or 1) + COMPARISON * window)


def _nodes(keras_model: Any) -> Iterator[Any]:
    by_depth = keras_model._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from (node for node in by_depth[depth] if not node.is_input)


def _called(node: Any, *tensors: Any) -> Any:
    """Call a layer as the model does, on other tensors."""
    feed: dict[str, list[Any]] = {}
    for key, tensor in zip(node.flat_input_ids, tensors, strict=True):
        feed.setdefault(key, []).append(tensor)
    args, kwargs = node.map_arguments(feed)
    if node.layer._call_spec.expects_training_arg:
        kwargs.setdefault("training", False)
    return node.layer(*args, **kwargs)


def _part(index: int, outputs: Any) -> Any:
    return backend.tf.nest.flatten(outputs)[index]


def _arguments(node: Any) -> dict[str, Any]:
    """Give by name what a layer is called with beside its tensor, but for names and types."""
    values = {f"{i}": value for i, value in enumerate(node.call_args)} | dict(node.call_kwargs)
    kept = {key: value for key, value in values.items() if not isinstance(value, str | backend.tf.DType)}
    given = {id(tensor) for tensor in node.keras_inputs}
    found = {key: value for key, value in kept.items() if value is not None and id(value) not in given}
    if "axis" not in found and "1" in found:
        found["axis"] = found["1"]
    return found
