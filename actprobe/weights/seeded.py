"""Seeded random weights: the untrained network that every analysis is compared with."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Sample a kernel with the variance that keeps activations of rectified layers at one scale.

    Zero-mean normal values of variance 2 / fan_in, where fan_in is the number of inputs of one output unit
    (He et al. 2015, equation 10). The shape is in Keras order, outputs last: [height, width, inputs, outputs]
    or [inputs, outputs].

    References
    ----------
    .. [1] He, K., Zhang, X., Ren, S. and Sun, J. (2015). Delving deep into rectifiers: surpassing
       human-level performance on ImageNet classification. ICCV.
    """
    fan_in = math.prod(shape[:-1])
    return (rng.standard_normal(shape) * math.sqrt(2.0 / fan_in)).astype(np.float32)


def seeded_kernel(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Sample the kernel of a named layer from a seed, by `he_normal`; the shape has the outputs last.

    The generator (PCG64) is seeded with the seed and the name, so that a kernel depends neither on the other
    layers nor on the order in which they are sampled.
    """
    digest = hashlib.sha256(name.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, len(digest), 4)]
    return he_normal(shape, np.random.Generator(np.random.PCG64([seed, *words])))
