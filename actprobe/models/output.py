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

    Of a map `unit` is the channel. `mel` is the position along the mel axis of a map whose positions mean
    something each by itself, such as the keys of a piano; None of any other output. `label` is a short name,
    such as a tag or an instrument, and `meaning` what its value is, such as ``probability of the tag``; each
    is empty where it is not known.
    """

    layer: str
    unit: int
    label: str = ""
    meaning: str = ""
    mel: int | None = None

    def __str__(self) -> str:
        """Give its label, or layer and number where it has none."""
        numbers = [self.unit] if self.mel is None else [self.unit, self.mel]
        return self.label or "/".join([self.layer, *map(str, numbers)])


def labelled(layer: str, labels: Sequence[str], meaning: str = "") -> tuple[Output, ...]:
    """Label the units of an output layer, in order."""
    return tuple(Output(layer, unit, label, meaning) for unit, label in enumerate(labels))


def labelled_bands(layer: str, labels: Sequence[str], meaning: str = "") -> tuple[Output, ...]:
    """Label the mel positions of an output layer that is a map of one channel, in order."""
    return tuple(Output(layer, 0, label, meaning, mel) for mel, label in enumerate(labels))


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
