"""From an address to a connection."""

from __future__ import annotations

from actprobe.errors import UsageError
from actprobe.serving.client.over_grpc import GrpcTransport
from actprobe.serving.client.over_rest import RestTransport
from actprobe.serving.client.transport import Transport


def transport_to(address: str, token: str | None, authority: bytes | None) -> Transport:
    """Make a connection for an address; nothing is sent yet.

    ``HOST:PORT``, ``grpc://HOST:PORT`` and ``grpcs://HOST:PORT`` are gRPC, ``http://...`` and ``https://...``
    REST; anything else is a `UsageError`. `authority` are certificates to trust, in PEM, in place of the
    system's.
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        scheme, rest = "grpc", address
    rest = rest.rstrip("/")
    host, _, port = rest.rpartition(":")
    if scheme in ("grpc", "grpcs") and host and port.isdecimal():
        return GrpcTransport(rest, token, scheme == "grpcs", authority)
    if scheme in ("http", "https") and rest:
        return RestTransport(f"{scheme}://{rest}", token, authority)
    raise UsageError(
        f"{address!r} is no address of a server: HOST:PORT, grpc://HOST:PORT or http://HOST:PORT"
    )
