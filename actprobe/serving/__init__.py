"""Serving: SavedModels for TensorFlow Serving, an embedded server that speaks its protocol, a client."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actprobe.serving.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        return importlib.import_module("actprobe.serving.client").Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
