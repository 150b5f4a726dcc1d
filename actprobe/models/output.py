"""What a network says of an excerpt: which layer says it, and from where on a detector means "sung"."""

from __future__ import annotations

import json
from pathlib import Path

from absl import logging

from actprobe.models import Model

__all__ = ["output_layer", "threshold_of"]

THRESHOLD = 0.5  # of a detector that has no card


def output_layer(model: Model) -> str:
    """Name the layer that is the network's output.

    Parameters
    ----------
    model : Model
        The network.

    Returns
    -------
    str
        The last layer that is no pre-activation.
    """
    return str([layer.name for layer in model.layers if not layer.name.endswith("/linear")][-1])


def threshold_of(model: Model) -> float:
    """Look up where a detector says that somebody sings.

    Parameters
    ----------
    model : Model
        The detector.

    Returns
    -------
    float
        The threshold that its card (metrics.json beside the weights) tuned on validation recordings; 0.5
        without one.
    """
    path = Path(model.weights.path).parent / "metrics.json" if model.weights.path else None
    if path is None or not path.is_file():
        return THRESHOLD
    try:
        card = json.loads(path.read_text("utf-8"))
        return float(card["figures"]["valid"]["labels as they are"]["threshold"])
    except (OSError, ValueError, KeyError, TypeError):
        logging.warning("%s: tells no threshold; %.1f is taken", path, THRESHOLD)
        return THRESHOLD
