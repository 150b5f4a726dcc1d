"""Serving: SavedModels for TensorFlow Serving, an embedded server that speaks its protocol, a client."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actprobe.serving.client import Client
    from actprobe.serving.export import Exported, export_inverter, export_model

_HOMES = {
    "Client": "actprobe.serving.client",
    "Exported": "actprobe.serving.export",
    "export_inverter": "actprobe.serving.export",
    "export_model": "actprobe.serving.export",
}

__all__ = ["Client", "Exported", "export_inverter", "export_model"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
