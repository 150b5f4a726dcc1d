"""What the server listens with: event loop, HTTP server and socket."""

from __future__ import annotations

import asyncio
import importlib
import socket
from typing import Any

from actprobe.errors import UsageError
from actprobe.serving.server.options import ServerOptions
from actprobe.serving.server.security import Certificate

_BACKLOG = 2048


def new_loop() -> asyncio.AbstractEventLoop:
    """Make uvloop's event loop, where it is installed."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def http_server(application: Any, certificate: Certificate | None, options: ServerOptions) -> Any:
    """Make the server of an ASGI application, with TLS if there is a certificate."""
    import uvicorn

    config = uvicorn.Config(
        application,
        log_config=None,
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        date_header=False,
        ws="none",
        backlog=_BACKLOG,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=int(options.shutdown_grace_seconds) or None,
    )
    config.load()
    if certificate is not None:
        config.ssl = certificate.context()
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Listen for REST; port 0 picks one. UsageError where that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UsageError(f"{host}:{port}: REST cannot listen there ({error.strerror or error})") from None
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.listen(_BACKLOG)
    return listening
