"""Elementwise arithmetic in one pass over memory.

A training step on a processor is bound by memory in everything that is not a convolution: each operation of
TensorFlow reads and writes whole maps. XLA makes one loop of several. On accelerators TensorFlow's own
operations are fast, and a compiler may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actprobe import backend

__all__ = ["fused"]


def fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make one loop of a function of elementwise operations, where that pays.

    Parameters
    ----------
    function : callable
        Of tensors, without a gradient of its own.

    Returns
    -------
    callable
        The same, compiled by XLA unless there is a GPU.
    """
    tf = backend.tf
    if tf.config.list_logical_devices("GPU"):
        return function
    compiled: Callable[..., Any] = tf.function(function, jit_compile=True, autograph=False)
    return compiled
