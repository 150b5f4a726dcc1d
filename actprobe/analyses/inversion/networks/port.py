"""Weights of inverters between Lasagne's layout and the Keras layers: pure mappings, both ways.

Lasagne's ``Conv2DLayer`` convolves where TensorFlow correlates, so its kernels are flipped. Its
``TransposedConv2DLayer`` does not flip, but is the gradient of a convolution that does: its kernels come
out flipped, too. `BatchNorm` has Lasagne's own four arrays, so nothing is lost to a conversion of deviations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.models.inverter_specs import Plan

Floats = NDArray[np.float32]


def port(arrays: Sequence[Floats], plan: Plan) -> dict[str, list[Floats]]:
    """Map the arrays of a weight file, of the shapes of ``plan.arrays_in_file()``, to the Keras layers.

    Gives for each layer's name what its ``set_weights`` takes; ``NAME_norm`` are the normalisations.
    """
    rest = iter(arrays)
    ported: dict[str, list[Floats]] = {}
    for name, step, _, _ in plan.walk():
        kernel = next(rest)
        ported[name] = [kernel if step.kind == "dense" else _flipped(kernel.transpose(2, 3, 1, 0))]
        if step.normalized:
            ported[f"{name}_norm"] = [next(rest) for _ in range(4)]
        else:
            ported[name].append(next(rest))
    return ported


def unport(by_layer: Mapping[str, Sequence[NDArray[Any]]], plan: Plan) -> dict[str, Floats]:
    """Map what ``get_weights`` of each layer gives to ``param0`` and so on, the inverse of `port`."""
    arrays: list[NDArray[Any]] = []
    for name, step, _, _ in plan.walk():
        kernel, *bias = by_layer[name]
        arrays.append(kernel if step.kind == "dense" else _flipped(kernel).transpose(3, 2, 0, 1))
        arrays += by_layer[f"{name}_norm"] if step.normalized else bias
    return {f"param{i}": np.ascontiguousarray(array, np.float32) for i, array in enumerate(arrays)}


def _flipped(kernel: NDArray[Any]) -> NDArray[Any]:
    return kernel[::-1, ::-1]
