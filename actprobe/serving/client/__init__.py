"""The client of a model server, this project's or TensorFlow's, over gRPC or REST."""

from __future__ import annotations

from actprobe.extras import require

require("serve", "the client")

from actprobe.serving.client.client import Client  # noqa: E402

__all__ = ["Client"]
