"""Levels -> deviations from a mean, by constants or each example by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError

EXAMPLE = "example"
NO_DEVIATION = 1e-7  # of the mean: what rounding leaves of an example of equal values

Constant = NDArray[np.float64] | str


def constant(name: str, value: Any, neutral: float, n_mels: int) -> Constant:
    """Take a number, one for each band, ``example``, or None, which is the neutral number."""
    if isinstance(value, str):
        if value != EXAMPLE:
            raise UsageError(f"{name}={value!r}: a number, {n_mels} of them, or {EXAMPLE!r} is needed")
        return value
    try:
        found = np.asarray(neutral if value is None else value, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name}={value!r}: a number, or {n_mels} of them, is needed") from None
    if found.shape not in ((), (n_mels,)):
        raise UsageError(
            f"{name} has shape {list(found.shape)}: a number, or {n_mels} (one for each band), is needed"
        )
    if not np.isfinite(found).all():
        raise UsageError(f"{name} holds NaN or infinity")
    if name == "std" and (found <= 0).any():
        raise UsageError("std has to be positive in every band")
    return found


@dataclass(frozen=True, eq=False)
class Standardising:
    """(level - mean) / std; `EXAMPLE` stands for an example's own mean or deviation over time and mel.

    An example without deviation, such as digital silence, becomes zeros.
    """

    mean: Constant
    std: Constant

    @property
    def by_example(self) -> bool:
        """Whether an example is standardised by itself."""
        return isinstance(self.mean, str) or isinstance(self.std, str)

    @property
    def neutral(self) -> bool:
        """Whether nothing is done."""
        return not self.by_example and not np.any(self.mean) and bool(np.all(self.std == 1.0))

    def graph(self, levels: Any) -> Any:
        """Standardise float64 [..., time, mel] with TensorFlow operations."""
        tf = backend.tf
        mean, std = self.mean, self.std
        if self.by_example:
            own_mean, variance = tf.nn.moments(levels, axes=(-2, -1), keepdims=True)
            mean = own_mean if isinstance(mean, str) else mean
            own_std = tf.sqrt(variance)
            own_std = tf.where(own_std > NO_DEVIATION * tf.abs(own_mean), own_std, tf.zeros_like(own_std))
            std = own_std if isinstance(std, str) else std
        return levels if self.neutral else tf.math.divide_no_nan(levels - mean, std)

    def of_example(self, levels: NDArray[Any]) -> tuple[Any, Any]:
        """Give the mean and the deviation that an example, [time, mel], is standardised by."""
        levels = np.asarray(levels, np.float64)
        mean = float(levels.mean()) if isinstance(self.mean, str) else self.mean
        return mean, float(levels.std()) if isinstance(self.std, str) else self.std

    def constants(self) -> dict[str, Any]:
        """Give mean and std, for provenance."""
        return {
            name: value if isinstance(value, str) else value.tolist()
            for name, value in (("mean", self.mean), ("std", self.std))
        }
