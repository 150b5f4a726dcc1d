"""One number a neuron: what an analysis of neurons takes of a layer's activations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actprobe.models.model import Model


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


def neuron_values(
    model: Model, examples: NDArray[np.float32], layers: Sequence[str], batch_size: int | None = None
) -> dict[str, NDArray[np.float64]]:
    """Compute the neurons of some layers for examples, by batches: layer -> float64 [examples, neurons]."""
    batches = [
        {layer: unit_means(values) for layer, values in batch.items()}
        for batch in model.iter_activations(examples, layers, batch_size=batch_size)
    ]
    return {layer: np.concatenate([batch[layer] for batch in batches]) for layer in layers}
