"""What a network gives: its output units, with labels where they are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from absl import logging

from actprobe.models.layer_table import LayerTable

THRESHOLD = 0.5  # of a detector without a model card


@dataclass(frozen=True)
class Output:
    """One output unit of a network: number `unit` of `layer`.

    `label` is a short name, such as a tag or an instrument, and `meaning` what its value is, such as
    ``probability of the tag``; each is empty where it is not known.
    """

    layer: str
    unit: int
    label: str = ""
    meaning: str = ""

    def __str__(self) -> str:
        """Give its label, or layer and number where it has none."""
        return self.label or f"{self.layer}/{self.unit}"


def labelled(layer: str, labels: Sequence[str], meaning: str = "") -> tuple[Output, ...]:
    """Label the units of an output layer, in order."""
    return tuple(Output(layer, unit, label, meaning) for unit, label in enumerate(labels))


def output_layer_of(layers: LayerTable) -> str:
    """Name the last layer that is no pre-activation."""
    return [name for name, layer in layers.items() if not layer.is_pre_activation][-1]


def threshold_beside(weights: str) -> float:
    """Read the decision threshold of a detector from the model card beside its weight file.

    It is the one in metrics.json, tuned on validation recordings; 0.5 without a card or a path.
    """
    path = Path(weights).parent / "metrics.json" if weights else None
    if path is None or not path.is_file():
        return THRESHOLD
    try:
        card = json.loads(path.read_text("utf-8"))
        return float(card["figures"]["valid"]["labels as they are"]["threshold"])
    except (OSError, ValueError, KeyError, TypeError):
        logging.warning("%s: tells no threshold; %.1f is taken", path, THRESHOLD)
        return THRESHOLD
