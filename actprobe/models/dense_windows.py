"""Dense evaluation of what slides windows along time, or pads or cuts the ends of an excerpt.

A layer that pads in time is its padding, which gives an excerpt edges of its own, and then the same layer
without padding in time, which slides along the shared rows and along the edges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from actprobe import backend
from actprobe.models import dense_rows
from actprobe.models.dense_places import Compute, Place, Refused, Shared, Single, on_singles, shared
from actprobe.models.dense_rows import Rows, by_part
from actprobe.models.keras_kinds import POOLINGS, each, is_one_of, pairs

Amounts = tuple[int, int]


def windowed(layer: Any, place: Shared, call: Compute, *, linear: bool) -> tuple[Place, Compute]:
    """Follow a convolution or pooling."""
    pooling = is_one_of(layer, POOLINGS)
    lengths, steps = each(layer.pool_size if pooling else layer.kernel_size), each(layer.strides)
    reach, step = _reaches(layer, lengths)[0], steps[0]
    amounts = _padding(layer.padding, place.shape[0], reach, step)
    length = place.shape[0] + sum(amounts)
    edges = dense_rows.edges_behind(
        length, (place.edges[0] + amounts[0], place.edges[1] + amounts[1]), reach, step
    )
    if edges is None:
        return Single(), on_singles([place], call)
    shape = layer.compute_output_shape((None, *place.shape))[1:]
    found = shared(place.stride * step, shape, edges)
    if any(amounts):
        if not pooling and getattr(layer, "groups", 1) > 1:
            return Refused(f"{layer.name} pads in time and convolves in groups"), call
        return found, _unpadded(layer, length, amounts, edges, linear=linear)
    if pooling and found.shape[0] == 1 and layer.padding == "valid":  # a step that nobody takes
        kind = "MAX" if "Max" in type(layer).__name__ else "AVG"
        strides = (1, *steps[1:])

        def pool(tensor: Any) -> Any:
            seen = dense_rows.trimmed(tensor, 0, place.between - reach)
            return backend.tf.nn.pool(seen, lengths, kind, strides=strides, padding="VALID")

        return replace(found, stride=place.stride), lambda rows: Rows(pool(rows.shared), rows.starts)
    return found, lambda rows: dense_rows.slid(call, rows, length, reach, step, edges)


def put_around(layer: Any, place: Shared) -> tuple[Place, Compute]:
    """Follow what puts zeros around an excerpt, in time or beside."""
    (before, behind), *beside = pairs(layer.padding)
    shape = layer.compute_output_shape((None, *place.shape))[1:]
    widen = by_part(lambda tensor: _beside(tensor, beside, 0.0))
    edges = (place.edges[0] + before, place.edges[1] + behind)
    return (
        shared(place.stride, shape, edges),
        lambda rows: dense_rows.padded(widen(rows), (before, behind), 0.0),
    )


def cut(layer: Any, place: Shared, call: Compute) -> tuple[Place, Compute]:
    """Follow what cuts rows off at both ends, and beside."""
    (first, last), *beside = pairs(layer.cropping)
    shape = layer.compute_output_shape((None, *place.shape))[1:]
    before, behind = place.edges
    if max(before, first) + max(behind, last) >= place.shape[0]:
        return Single(), on_singles([place], call)

    def compute(rows: Rows) -> Rows:
        return Rows(
            dense_rows.trimmed(rows.shared, max(first - before, 0), max(last - behind, 0)),
            rows.starts,
            rows.before[:, first:] if first < before else None,
            rows.behind[:, : behind - last] if last < behind else None,
        )

    def narrow(tensor: Any) -> Any:
        for low, high in beside:
            tensor = tensor[:, :, low : tensor.shape[2] - high]
        return tensor

    edges = (max(before - first, 0), max(behind - last, 0))
    return shared(place.stride, shape, edges), lambda rows: by_part(narrow)(compute(rows))


def global_pooling(layer: Any, place: Shared) -> Compute:
    """Pool over all of an excerpt."""
    greatest = is_one_of(layer, ("GlobalMaxPooling1D", "GlobalMaxPooling2D"))

    def compute(rows: Rows) -> Any:
        tf = backend.tf
        if len(place.shape) == 3:
            reduce = tf.reduce_max if greatest else tf.reduce_mean
            rows = by_part(lambda tensor: reduce(tensor, 2))(rows)
        found = dense_rows.over_time(rows, place.shape[0], "MAX" if greatest else "AVG")
        ones = (1,) * (len(place.shape) - 1)
        return tf.reshape(found, (-1, *ones, place.shape[-1])) if layer.keepdims else found

    return compute


def _reaches(layer: Any, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Give how far windows reach along each axis."""
    dilations = each(getattr(layer, "dilation_rate", 1))
    if len(dilations) < len(lengths):
        dilations *= len(lengths)
    return tuple((size - 1) * rate + 1 for size, rate in zip(lengths, dilations, strict=True))


def _padding(padding: str, size: int, reach: int, step: int) -> Amounts:
    """Give what a layer puts before and behind an axis."""
    if padding == "causal":
        return reach - 1, 0
    total = max((-(-size // step) - 1) * step + reach - size, 0) if padding == "same" else 0
    return total // 2, total - total // 2


def _beside(tensor: Any, amounts: list[Amounts], value: float) -> Any:
    """Pad the axes behind time and before channels."""
    if not any(map(any, amounts)):
        return tensor
    return backend.tf.pad(tensor, [(0, 0), (0, 0), *amounts, (0, 0)], constant_values=value)


def _unpadded(layer: Any, length: int, amounts: Amounts, edges: Amounts, *, linear: bool) -> Compute:
    """Make what pads in time as a layer does, and slides along that as it would without."""
    tf = backend.tf
    pooling = is_one_of(layer, POOLINGS)
    greatest = pooling and "Max" in type(layer).__name__
    lengths, steps = each(layer.pool_size if pooling else layer.kernel_size), each(layer.strides)
    reaches = _reaches(layer, lengths)
    value = -np.inf if greatest else 0.0

    def slide(tensor: Any) -> Any:
        around = [
            _padding(layer.padding, size, reach, step)
            for size, reach, step in zip(tensor.shape[2:-1], reaches[1:], steps[1:], strict=True)
        ]
        tensor = _beside(tensor, around, value)
        if not pooling:
            return _convolved(layer, tensor, linear=linear)
        return (tf.nn.max_pool if greatest else tf.nn.avg_pool)(tensor, lengths, steps, "VALID")

    def compute(rows: Rows) -> Rows:
        if pooling and not greatest:  # a channel of ones counts what lies within the excerpt
            rows = by_part(lambda part: tf.concat([part, tf.ones_like(part[..., :1])], -1))(rows)
        rows = dense_rows.padded(rows, amounts, value)
        rows = dense_rows.slid(slide, rows, length, reaches[0], steps[0], edges)
        if pooling and not greatest:
            rows = by_part(lambda part: part[..., :-1] / part[..., -1:])(rows)
        return rows

    return compute


def _convolved(layer: Any, tensor: Any, *, linear: bool) -> Any:
    """Compute a convolution without padding; one along time alone as one that is one band wide."""
    tf = backend.tf
    flat = tensor.shape.rank == 3
    steps, dilations = each(layer.strides), each(layer.dilation_rate)
    if flat:
        tensor, steps, dilations = tensor[:, :, tf.newaxis], steps * 2, dilations * 2

    def weights(*names: str) -> Any:
        kernel = next(getattr(layer, name) for name in names if hasattr(layer, name))
        kernel = tf.cast(kernel, layer.compute_dtype)
        return kernel[:, tf.newaxis] if flat else kernel

    tensor = tf.cast(tensor, layer.compute_dtype)
    separable = is_one_of(layer, ("SeparableConv1D", "SeparableConv2D"))
    if separable or is_one_of(layer, ("DepthwiseConv1D", "DepthwiseConv2D")):
        kernel = weights("depthwise_kernel", "kernel")
        found = tf.nn.depthwise_conv2d(tensor, kernel, (1, *steps, 1), "VALID", dilations=dilations)
        if separable:
            found = tf.nn.conv2d(found, weights("pointwise_kernel"), 1, "VALID")
    else:
        found = tf.nn.conv2d(tensor, weights("kernel"), steps, "VALID", dilations=dilations)
    if flat:
        found = found[:, :, 0]
    if layer.use_bias:
        found = tf.nn.bias_add(found, tf.cast(layer.bias, found.dtype))
    return found if linear or layer.activation is None else layer.activation(found)
