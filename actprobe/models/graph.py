"""TensorFlow's graph of operations: what is computed from what."""

from __future__ import annotations

from typing import Any


def depending_on(tensor: Any) -> set[str]:
    """Find the names of all tensors that are computed from one, and its own name."""
    found, open_ = {tensor.name}, [tensor]
    while open_:
        for consumer in open_.pop().consumers():
            new = [each for each in consumer.outputs if each.name not in found]
            found.update(each.name for each in new)
            open_ += new
    return found
