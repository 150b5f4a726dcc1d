"""What stands in place of a front end when a model was wrapped without one: it refuses, and says why."""

from __future__ import annotations

from typing import Any

from actprobe.errors import UsageError
from actprobe.frontends.base import FrontEnd


class NoFrontEnd(FrontEnd):
    """What a wrapped model has in place of a front end when none was given.

    `network` is the model's name, for messages; `example_shape` is the (time, mel) that the model takes.
    """

    name = "none"
    known = False

    def __init__(self, network: str, example_shape: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.example_shape = example_shape

    def __getattr__(self, name: str) -> Any:
        """Refuse everything that needs a front end."""
        if name in ("sample_rate", "example_samples", "frame_hop", "frame_length", "first_frame"):
            self._refuse()
        raise AttributeError(name)

    def _refuse(self, *given: Any, **named: Any) -> Any:
        raise UsageError(f"{self.network} was wrapped without a front end: wrap_model(..., frontend=...)")

    example_starts = examples = band_edges_hz = frames = framing = reference = to_power = _refuse
    example_graph = _refuse

    def constants(self) -> dict[str, Any]:
        return {}
