"""Elementwise arithmetic in one pass over memory.

A training step on a processor is bound by memory in everything that is not a convolution: each operation of
TensorFlow reads and writes whole maps. XLA makes one loop of several. On accelerators TensorFlow's own
operations are fast, and a compiler may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from actprobe import backend

Function = Callable[..., Any]


def fused(function: Function) -> Function:
    """Compile a function of elementwise operations by XLA when it is first called, unless there is a GPU.

    It has no gradient of its own.
    """

    @cache
    def chosen() -> Function:
        tf = backend.tf
        if tf.config.list_logical_devices("GPU"):
            return function
        compiled: Function = tf.function(function, jit_compile=True, autograph=False)
        return compiled

    return lambda *tensors: chosen()(*tensors)
