"""TLS and bearer tokens, both optional, for gRPC and REST alike."""

from __future__ import annotations

import hmac
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actprobe.errors import UsageError
from actprobe.serving.protocol.settings import read_message

_HEALTH = "/grpc.health.v1.Health/"


@dataclass(frozen=True)
class Tokens:
    """Tokens, one of which a request has to carry; none let everybody in."""

    known: tuple[bytes, ...] = ()

    def admit(self, header: bytes | str | None) -> bool:
        """Whether a request with this ``authorization`` may pass.

        The time it takes does not tell how much of a token was right.
        """
        if not self.known:
            return True
        given = header.encode() if isinstance(header, str) else header or b""
        scheme, _, token = given.partition(b" ")
        right = [hmac.compare_digest(token.strip(), known) for known in self.known]
        return scheme.lower() == b"bearer" and any(right)


def read_tokens(path: str) -> Tokens:
    """Read a file of tokens, one in a line; an empty path is none.

    A file that cannot be read or holds none is a `UsageError`: a server that is to be closed must not stand
    open.
    """
    if not path:
        return Tokens()
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    known = tuple(line.strip() for line in lines if line.strip())
    if not known:
        raise UsageError(f"{path}: holds no token")
    return Tokens(known)


@dataclass(frozen=True)
class Certificate:
    """What TLS needs, each in PEM; an empty `authority` of the clients' certificates is the system's."""

    key: bytes
    certificate: bytes
    authority: bytes = b""
    verify_clients: bool = False

    def grpc_credentials(self) -> Any:
        """Make gRPC's form of it."""
        import grpc

        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)],
            root_certificates=self.authority or None,
            require_client_auth=self.verify_clients,
        )

    def context(self) -> ssl.SSLContext:
        """Make Python's form of it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:  # Python reads key and certificate from a file only
            file.write(self.key + b"\n" + self.certificate)
            file.flush()
            context.load_cert_chain(file.name)
        if self.verify_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.authority.decode("ascii"))
        return context


def read_certificate(path: str) -> Certificate | None:
    """Read a text-format SSLConfig, whose key and certificate have to fit; an empty path is no TLS."""
    if not path:
        return None
    message = read_message(path, "SSLConfig")
    found = Certificate(
        message.server_key.encode(),
        message.server_cert.encode(),
        message.custom_ca.encode(),
        message.client_verify,
    )
    try:
        found.context()
    except (ssl.SSLError, ValueError, OSError) as error:
        raise UsageError(f"{path}: is no key with its certificate ({error})") from None
    return found


def token_interceptor(tokens: Tokens) -> Any:
    """Make what guards the methods of a gRPC server: UNAUTHENTICATED without a token.

    Health stays open, for whoever restarts the server.
    """
    import grpc

    async def refuse(request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a bearer token is needed")

    refused = grpc.unary_unary_rpc_method_handler(refuse)

    class Interceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc,unused-ignore]
        async def intercept_service(self, go_on: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
            header = dict(details.invocation_metadata).get("authorization")
            if details.method.startswith(_HEALTH) or tokens.admit(header):
                return await go_on(details)
            return refused

    return Interceptor()
