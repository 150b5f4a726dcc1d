"""Walking many recordings: durable shards, resume, a ledger of failures, processes and clusters."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actprobe.runs.activations import ActivationRun, run_activations
    from actprobe.runs.neurons import NeuronRun, run_neurons

__all__ = ["ActivationRun", "NeuronRun", "run_activations", "run_neurons"]

# Feature processes start by importing a module of this package: nothing else may come along with it.
_HOMES = {
    "ActivationRun": "actprobe.runs.activations",
    "NeuronRun": "actprobe.runs.neurons",
    "run_activations": "actprobe.runs.activations",
    "run_neurons": "actprobe.runs.neurons",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
