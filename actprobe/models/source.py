"""A network that is named but not opened yet: cheap checks come before TensorFlow loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from actprobe.errors import WeightsError
from actprobe.frontends import FrontEnd
from actprobe.models.layer_table import LayerTable
from actprobe.models.model import Model
from actprobe.models.network import Network
from actprobe.models.output import Output, output_layer_of
from actprobe.models.registry import frontend_of, load_model, network_named
from actprobe.weights.cache import locate


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from, in the arguments of `actprobe.load_model`; `options` are the front end's.

    Every analysis takes one in place of a `Model` and opens it when it is needed. `allow_unverified` takes
    weights that the catalog does not know.
    """

    name: str
    checkpoint: str | Path | None = None
    normalization: str | Path | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    allow_unverified: bool = True
    computes: ClassVar[bool] = True

    @property
    def network(self) -> Network:
        """What the network offers, without building it."""
        return network_named(self.name)

    @property
    def layers(self) -> LayerTable:
        """The layers by name, without building the network."""
        return self.network.layers

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The output units, with labels where they are known, without building the network."""
        return self.network.outputs or ()

    @property
    def output_layer(self) -> str:
        """The last layer that is no pre-activation, without building the network."""
        return output_layer_of(self.layers)

    @property
    def frontend(self) -> FrontEnd:
        """The front end but for its normalisation, without opening the network."""
        return frontend_of(self.name, **self.options)

    @property
    def example_seconds(self) -> float:
        """Sound that one example spans, without opening the network."""
        return self.frontend.example_samples / self.frontend.sample_rate

    def located(self) -> ModelSource:
        """Give it back if there is such a network and its files are there; an error of `open` if not."""
        network_named(self.name)
        if self.checkpoint is not None:
            locate(self.checkpoint, self.name, "weights")
        if self.normalization is not None:
            locate(self.normalization, self.name, "normalization")
        return self

    def open(self) -> Model:
        """Open the network as `actprobe.load_model` does.

        Weights that are unknown and were not allowed are a `WeightsError`, too.
        """
        model = load_model(self.name, self.checkpoint, self.normalization, seed=self.seed, **self.options)
        if model.weights.kind == "unverified" and not self.allow_unverified:
            sha256 = model.weights.sha256
            reason = f"its sha256 {sha256} is not in the catalog (--allow_unverified_weights takes it)"
            raise WeightsError(str(self.checkpoint), "", reason)
        return model
