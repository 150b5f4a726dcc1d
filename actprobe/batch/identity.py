"""What made the numbers of a run: its block of run.json, and the key under which its shards are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actprobe.models import Model, WeightsRecord
from actprobe.provenance import digest, versions


def made_by(model: Model, **decides: Any) -> dict[str, Any]:
    """Put together what decides the numbers of a run, JSON-able.

    The network's weights and front end are described; ``decides`` is all else: layers, features, settings,
    the ``format`` of the shards.
    """
    described = {"weights": {**vars(model.weights)}, "frontend": model.frontend.describe()}
    return {"model": model.name, **described, **decides, "versions": versions()}


def run_key(decides: Mapping[str, Any], weights: WeightsRecord) -> str:
    """Name a run by what decides its numbers: the weights count by what they are, not by where they lie."""
    return digest({**decides, "weights": [weights.sha256, weights.seed]})
