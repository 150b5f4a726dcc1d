"""Grad-CAM: the channels of a convolutional layer, weighted by the gradient that reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.method import Attribution, Floats, Method, MethodSettings
from actprobe.errors import UsageError
from actprobe.models.layer_table import Layer
from actprobe.models.positions import place_refusal, position_bands

# What the model does to give a layer's values the axes [batch, time, mel, channel].
ARRANGING = ("Cast", "ExpandDims", "Identity", "Transpose")


class GradCam(Method):
    """ReLU(sum over channels k of a_k A_k), where a_k is the mean of dT / dA_k over the map A_k.

    Selvaraju and others: Grad-CAM, ICCV 2017, equations 1 and 2. A is a layer of the network after its
    nonlinearity. Its positions are put where they lie in the sound, by the layer's hops and the centres of
    its receptive fields: between the centres values are interpolated linearly in time and in bands, before
    the first and behind the last they are constant. A layer with one position along mel is constant in
    frequency.
    """

    name = "grad_cam"
    needs_gradients = True

    def __init__(self, explained: Explained, settings: MethodSettings) -> None:
        super().__init__(explained, settings)
        layers = _candidates(explained, settings.cam_layer)
        tensors = [layer.tensor for layer in layers]
        outputs = explained.model.keras_model.output
        part = backend.keras.Model(
            explained.model.keras_model.input,
            [outputs[name] for name in [explained.model.layers[explained.target.layer].tensor, *tensors]],
        )

        def weighted(examples: Any) -> tuple[Any, ...]:
            values, *maps = part(examples, training=False)
            target = explained.target.of(values)
            number, gradients = _first_followed(target, maps)
            followed.append(number)
            return () if number is None else (_class_activation(maps[number], gradients),)

        followed: list[int | None] = []
        self.at_positions = explained.in_batches(weighted)
        if followed[0] is None:
            names = ", ".join(layer.name for layer in layers)
            raise UsageError(f"method grad_cam: {explained.target} does not follow from layer {names}")
        self.layer = layers[followed[0]]
        self._time, self._mel = _placing(self.layer, explained)

    def __call__(self, excerpts: Excerpts) -> Attribution:
        (maps,) = self.at_positions(excerpts.examples)
        placed = np.einsum("tp,epq,mq->etm", self._time, maps, self._mel, optimize=True)
        return Attribution(placed.astype(np.float32))


def _candidates(explained: Explained, name: str | None) -> list[Layer]:
    """Give the layer that is wanted, or all that could be taken, the last first."""
    layers, bands = explained.model.layers, explained.model.frontend.example_shape[1]
    if name is None:
        order = list(layers)
        before = [layers[each] for each in order[: order.index(layers[explained.target.layer].name)]]
        found = [
            each for each in reversed(before) if not each.is_pre_activation and not _refusal(each, bands)
        ]
        if not found:
            raise UsageError(
                f"method grad_cam: no layer before {explained.target} is a map of several positions whose "
                f"place in the sound is known"
            )
        return found
    layer = layers[name]
    refusal = _refusal(layer, bands)
    if layer.is_pre_activation:
        refusal = f"it is what enters a nonlinearity; take {name.removesuffix('/linear')}"
    if refusal:
        raise UsageError(f"method grad_cam: layer {name}: {refusal}")
    return [layer]


def _refusal(layer: Layer, bands: int) -> str:
    if not layer.is_map:
        return "it is a vector, not a map"
    if layer.shape[0] * layer.shape[1] == 1:
        return "it has a single position"
    if layer.shape[1] > bands:
        return "its second axis is not mel"
    return place_refusal(layer)


def _first_followed(target: Any, maps: Sequence[Any]) -> tuple[int | None, Any]:
    """Find the first of some layers from which the target follows, and dT / dA there."""
    for number, values in enumerate(maps):
        gradients = _gradients(target, values)
        if gradients is not None:
            return number, gradients
    return None, None


def _gradients(target: Any, values: Any) -> Any:
    """Compute dT / dA; None where the target does not follow from A.

    A user's network gives a rearranged copy of a layer's values, from which nothing follows: then the
    gradient of what it is a copy of is rearranged in the same way, by differentiating twice what is linear.
    """
    tf = backend.tf
    source = values
    while (gradients := tf.gradients(target, source)[0]) is None:
        if source.op.type not in ARRANGING:
            return None
        source = source.op.inputs[0]
    if source is values:
        return gradients
    anything = tf.zeros_like(values)
    (back,) = tf.gradients(values, source, grad_ys=anything)
    return tf.gradients(back, anything, grad_ys=gradients)[0]


def _class_activation(maps: Any, gradients: Any) -> Any:
    """Weight channels, [batch, time, mel, channel], and add them up, [batch, time, mel]."""
    tf = backend.tf
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))


def _placing(layer: Layer, explained: Explained) -> tuple[Floats, Floats]:
    """Give the weights of positions in frames, [time, positions], and in bands, [mel, positions]."""
    frontend = explained.model.frontend
    frames, bands = frontend.example_shape
    times = (frontend.first_frame + frontend.frame_hop * np.arange(frames)) / frontend.sample_rate
    return (
        _interpolating(times, layer.times()),
        _interpolating(np.arange(bands, dtype=np.float64), position_bands(layer, frontend)),
    )


def _interpolating(wanted: NDArray[np.float64], centres: NDArray[np.float64]) -> Floats:
    """Give the weights of linear interpolation between centres, [wanted, centres]."""
    columns = [np.interp(wanted, centres, one) for one in np.eye(len(centres))]
    return np.stack(columns, axis=1).astype(np.float32)
