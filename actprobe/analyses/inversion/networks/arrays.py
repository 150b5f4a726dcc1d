"""The weights of an inverter: sampled, set and got, in the layout of Lasagne."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.inversion.networks.port import port, unport
from actprobe.models.inverter_specs import Plan

Floats = NDArray[np.float32]


def set_arrays(keras_model: Any, arrays: list[Floats], plan: Plan) -> None:
    """Set the weights of what `build_inverter` built, from arrays in the layout of Lasagne."""
    for name, values in port(arrays, plan).items():
        keras_model.get_layer(name).set_weights(values)


def get_arrays(keras_model: Any, plan: Plan) -> dict[str, Floats]:
    """Get the weights as ``param0`` and so on, in the layout of Lasagne."""
    by_layer = {layer.name: layer.get_weights() for layer in keras_model.layers if layer.weights}
    return unport(by_layer, plan)


def initial_arrays(plan: Plan, seed: int) -> list[Floats]:
    """Sample weights as Lasagne's HeNormal with gain 1 does: of variance 1 / fan_in, in its layout.

    fan_in is what Lasagne takes for it: the inputs of a unit or of a convolution's output, but for an
    up-convolution its *output* channels times the size of the kernel. Normalisations are neutral, biases 0.
    The same seed gives the same weights on every version of TensorFlow.
    """
    shapes = iter(plan.arrays_in_file())
    arrays: list[Floats] = []
    for number, (_, step, _, _) in enumerate(plan.walk()):
        shape = next(shapes)
        fan_in = shape[0] if step.kind == "dense" else math.prod(shape[1:])
        rng = np.random.Generator(np.random.PCG64([seed, number]))
        arrays.append((rng.standard_normal(shape) / math.sqrt(fan_in)).astype(np.float32))
        neutral = (0, 1, 0, 1) if step.normalized else (0,)
        arrays += [np.full(next(shapes), value, np.float32) for value in neutral]
    return arrays


def at_level(arrays: list[Floats], plan: Plan, mean: float, deviation: float) -> list[Floats]:
    """Let what comes out of sampled weights have the level of the excerpts, so that it need not be learned.

    Adam changes a weight by its rate in a step at most: to get from 0 to the -10 of a log-mel front end that
    standardises nothing, or from 1 to samples of 0.01, takes it thousands. Arrays are in the layout of
    Lasagne; of an ending in ELU, which is for standardised excerpts, nothing is changed.
    """
    if plan.ending != "linear":
        return arrays
    last = len(plan.arrays_in_file()) - (5 if plan.steps[-1].normalized else 2)
    found = list(arrays)
    if plan.steps[-1].normalized:
        found[last + 1], found[last + 2] = arrays[last + 1] + mean, arrays[last + 2] * deviation
    else:
        found[last], found[last + 1] = arrays[last] * deviation, arrays[last + 1] + mean
    return [array.astype(np.float32) for array in found]
