"""An embedded server for a subset of TensorFlow Serving's API, gRPC and REST.

`actprobe.serving.server.app.serve` runs it; ``actprobe-serve`` is its binary. Importing it does not import
TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from actprobe.extras import require

if TYPE_CHECKING:
    from actprobe.serving.server.app import Server, serve
    from actprobe.serving.server.options import ServerOptions

_HOMES = {
    "Server": "actprobe.serving.server.app",
    "ServerOptions": "actprobe.serving.server.options",
    "serve": "actprobe.serving.server.app",
}

__all__ = ["Server", "ServerOptions", "serve"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        if name != "ServerOptions":
            require("serve", "the server")
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
