"""The client of a model server, this project's or TensorFlow's, over gRPC or REST."""

from __future__ import annotations

from actprobe.serving.client.client import Client

__all__ = ["Client"]
