"""One number a neuron: what an analysis of neurons takes of a layer's activations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def unit_means(activations: NDArray[np.float32]) -> NDArray[np.float64]:
    """Reduce activations to one number a neuron: a unit as it is, a channel by its mean over the map.

    Parameters
    ----------
    activations : numpy.ndarray
        [batch, unit] or [batch, time, mel, channel].

    Returns
    -------
    numpy.ndarray
        float64, shape [batch, neurons]. Sums run in float64: a map of the first layers holds more
        positions than float32 can add up without loss.
    """
    if activations.ndim == 2:
        return activations.astype(np.float64)
    positions = activations.reshape(len(activations), -1, activations.shape[-1])
    with np.errstate(invalid="ignore"):  # infinities of both signs; such an example is left out
        means: NDArray[np.float64] = positions.mean(axis=1, dtype=np.float64)
    return means
