"""What an inverter is trained for: the layer, what inversions are compared by, and the loss."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from actprobe.analyses.inversion.training.losses import Objective
from actprobe.errors import UsageError
from actprobe.models.model import Model
from actprobe.models.registry import layers_of
from actprobe.models.source import ModelSource

Comparator: TypeAlias = tuple[Model | ModelSource, str]


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be inverted, and what it is compared by.

    - ``comparator`` and ``comparator_layer``: network and layer of the feature term.
    - ``loss``: one of `actprobe.analyses.inversion.training.losses.LOSSES`.
    - ``distance``: one of `actprobe.analyses.inversion.training.losses.DISTANCES`.
    - ``input_weight``, ``feature_weight``: factors of its terms.
    - ``l2``: see `actprobe.analyses.inversion.training.losses.Objective`.
    - ``adversarial_weight``: factor of the adversarial term, 0 for none.
    - ``ending``: see `actprobe.analyses.inversion.networks.design.default_ending`.
    - ``architecture``: see `actprobe.analyses.inversion.networks.design.plan_for`.
    - ``hop``: frames between the starts of excerpts, where they are windows of common frames.
    - ``file_dtype``: ``float32``, or ``float16`` for a file half as large.
    - ``validation_excerpts``: how many an epoch is judged by, evenly spaced; None for all.
    """

    model: Model
    layer: str
    comparator: Model
    comparator_layer: str
    loss: str = "joint"
    distance: str = "squared"
    input_weight: float = 1.0
    feature_weight: float = 1.0
    ending: str | None = None
    architecture: str = "published"
    hop: int = 10
    l2: float | None = None
    adversarial_weight: float = 0.0
    validation_excerpts: int | None = None
    file_dtype: str = "float32"

    @property
    def objective(self) -> Objective:
        """The loss, its variances not measured yet."""
        return Objective(self.loss, self.distance, self.input_weight, self.feature_weight, l2=self.l2)

    def describe(self, ending: str) -> dict[str, Any]:
        """Say what is inverted and compared, JSON-able; the ending is that of the plan."""
        model, comparator = self.model, self.comparator
        layer = model.layers[self.layer].name
        weights = asdict(comparator.weights)
        compared = {"name": comparator.name, "layer": self.comparator_layer, "weights": weights}
        return {
            "model": {"name": model.name, "layer": layer, "weights": asdict(model.weights)},
            "comparator": compared if self.objective.compares else None,
            "inverter": {
                "ending": ending,
                "architecture": self.architecture,
                "hop": self.hop if model.frontend.windows else None,
            },
            "frontend": model.frontend.describe(),
        }


def choose_comparator(
    model: Model | ModelSource,
    layer: str,
    loss: str,
    comparator: str | Comparator | None = None,
    checkpoint: str | Path | None = None,
) -> Comparator:
    """Find what inversions are compared by, before anything is opened.

    Without a feature term in the ``loss`` any layer does. ``comparator``: see `actprobe.train_inverter`;
    ``checkpoint``: weights of another comparator. UsageError: none is named and the network has none, no such
    network or layer, or one without weights.
    """
    named = comparator
    if named is None:
        named = layer if loss == "input" else model.network.comparator  # nothing is compared
    if named is None:
        name = model.name
        raise UsageError(f"--comparator=MODEL:LAYER is needed for {name}, such as {name}:LAYER")
    if not isinstance(named, str):
        other, its_layer = named
        return other, other.layers[its_layer].name
    name, _, its_layer = named.partition(":")
    if named in model.layers or not its_layer:
        name, its_layer = model.name, named
    if checkpoint is None:
        if name == model.name:
            return model, model.layers[its_layer].name
        raise UsageError(f"--comparator_checkpoint is needed for the weights of the comparator {name}")
    return ModelSource(name, checkpoint), layers_of(name)[its_layer].name
