"""What a network offers, known without opening it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from actprobe.frontends.base import FrontEnd
from actprobe.models.inverter_specs import Plan
from actprobe.models.layer_table import LayerTable
from actprobe.models.output import Output, output_layer_of
from actprobe.models.specs import Spec


@dataclass(frozen=True, eq=False)
class Network:
    """A network and what it offers; every analysis asks this, never for its name.

    - `outputs`: output units with labels; None for the units of the last layer without labels
    - `comparator`: layer in which feature inversion compares excerpts unless told otherwise
    - `exported`: layers that an exported model gives; by default the output layer
    - `inverters`: published feature inverters by layer
    - `specs`: the network in the words of `actprobe.models.specs`
    - `frontend`: makes its front end, from a normalisation and options
    - `build`: builds the Keras model; None for a user's own
    - `read`, `port`: weight file -> arrays, and these -> Keras layers; None where no weights are published
    - `smoke`: the authors' smoke test: (model, file of parameters or None) -> (lines, whether it passed)
    """

    name: str
    layers: LayerTable
    outputs: tuple[Output, ...] | None = None
    comparator: str | None = None
    exported: tuple[str, ...] = ()
    inverters: Mapping[str, Plan] = field(default_factory=dict)
    specs: tuple[Spec, ...] | None = None
    frontend: Callable[..., FrontEnd] | None = None
    build: Callable[[], Any] | None = None
    read: Callable[..., Any] | None = None
    port: Callable[[Any], Any] | None = None
    smoke: Callable[..., tuple[list[str], bool]] | None = None

    def __post_init__(self) -> None:
        """Fill in what follows from the output layer."""
        last = self.layers[output_layer_of(self.layers)]
        if self.outputs is None:
            units = tuple(Output(last.name, unit) for unit in range(last.neurons))
            object.__setattr__(self, "outputs", units)
        if not self.exported:
            object.__setattr__(self, "exported", (last.name,))


def network_in(module: ModuleType, name: str) -> Network:
    """Read what a network's file declares: LAYERS, FRONTEND and build, and whatever else it offers.

    The file of a family has a function ``variant``, name -> `Network`, instead.
    """
    declared = vars(module)
    if "variant" in declared:
        variant: Network = declared["variant"](name)
        return variant
    optional = {
        "outputs": "OUTPUTS",
        "comparator": "COMPARATOR",
        "exported": "EXPORTED",
        "inverters": "INVERTERS",
        "specs": "SPECS",
        "read": "read",
        "port": "port",
        "smoke": "SMOKE",
    }
    return Network(
        name,
        declared["LAYERS"],
        frontend=declared["FRONTEND"],
        build=declared["build"],
        **{key: declared[name] for key, name in optional.items() if name in declared},
    )
