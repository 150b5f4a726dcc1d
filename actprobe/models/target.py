"""A neuron as a target: what is explained or excited, a number for every example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError
from actprobe.models.layer_table import Layer, read_unit
from actprobe.models.model import Model
from actprobe.models.source import ModelSource

LINEAR = "/linear"
SHOWN = 12


@dataclass(frozen=True)
class Target:
    """A neuron: number `unit` of `layer`; of a map a channel, averaged over the map.

    `mel` restricts a map to one position along mel, where such a position means something by itself, such as
    the key of a piano. `label` is what the output is called.
    """

    layer: str
    unit: int
    mel: int | None = None
    label: str = ""

    def __str__(self) -> str:
        """Give ``LAYER/UNIT``, with the position along mel where there is one."""
        return "/".join([self.layer, str(self.unit), *([] if self.mel is None else [str(self.mel)])])

    @property
    def title(self) -> str:
        """The label with the neuron in brackets, for figures."""
        return f"{self.label} ({self})" if self.label else str(self)

    def of(self, values: Any) -> Any:
        """Take the target's value, [batch], out of the layer's: [batch, unit] or [batch, time, mel, channel].

        Works on arrays of NumPy and on tensors of TensorFlow, whose axes it averages by slicing alone.
        """
        chosen = values[..., self.unit]
        if self.mel is not None:
            chosen = chosen[:, :, self.mel]
        return _mean_of_rest(chosen)

    def probability_of(self, model: Model | ModelSource) -> Target:
        """Give the target behind its nonlinearity: the target itself where it is no pre-activation."""
        layer = self.layer.removesuffix(LINEAR)
        return Target(layer if layer in model.layers else self.layer, self.unit, self.mel, self.label)


def _mean_of_rest(values: Any) -> Any:
    """Average everything but the batch."""
    if isinstance(values, np.ndarray):
        return np.asarray(values.reshape(len(values), -1).mean(axis=1), np.float64)
    from actprobe import backend

    return backend.tf.reduce_mean(values, axis=tuple(range(1, len(values.shape))))


def read_target(model: Model | ModelSource, text: str | None) -> Target:
    """Read a target: ``LAYER/UNIT``, or the label of an output.

    Of an output that is named by its label, the pre-activation is taken where the network has it: behind a
    saturated sigmoid or softmax, gradients vanish. ``LAYER/UNIT`` is taken as it stands. None is the only
    output of a network that has one.

    Raises
    ------
    UsageError
        No such output or layer, a number out of range, or None where there are several outputs.
    """
    outputs = model.outputs
    if text is None:
        layer = model.layers[model.output_layer]
        if layer.is_map or layer.neurons != 1:
            raise UsageError(f"{model.name} has several outputs: name a target, {_what_there_is(model)}")
        label = outputs[0].label if len(outputs) == 1 else ""
        return Target(_before_nonlinearity(model, layer), 0, label=label)
    named = [each for each in outputs if each.label and each.label.lower() == text.lower()]
    if named:
        output = named[0]
        layer = model.layers[output.layer]
        return Target(_before_nonlinearity(model, layer), output.unit, output.mel, output.label)
    name, _, number = text.rpartition("/")
    if name not in model.layers or not number.isdecimal():
        raise UsageError(f"target {text!r}: {model.name} takes {_what_there_is(model)}")
    layer = model.layers[name]
    _, unit = read_unit(text, {name: layer.neurons})
    known = [each.label for each in outputs if (each.layer, each.unit) == (layer.name, unit)]
    return Target(name, unit, label=known[0] if len(known) == 1 else "")


def _before_nonlinearity(model: Model | ModelSource, layer: Layer) -> str:
    return layer.name + LINEAR if layer.name + LINEAR in model.layers else layer.name


def _what_there_is(model: Model | ModelSource) -> str:
    labels = [each.label for each in model.outputs if each.label]
    more = ", ..." if len(labels) > SHOWN else ""
    of_labels = f" or a label ({', '.join(labels[:SHOWN])}{more})" if labels else ""
    return f"LAYER/UNIT, such as {model.output_layer}/0,{of_labels}".rstrip(",")


def values_of(target: Target, activations: dict[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Take the target's values, float64 [batch], out of what `Model.activations` gave."""
    return np.asarray(target.of(activations[target.layer]), np.float64)
