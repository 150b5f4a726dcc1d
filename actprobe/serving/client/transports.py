"""How a request travels: gRPC, or REST, which needs no TensorFlow on the client's side."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import ServingError, UsageError

__all__ = ["Arrays", "GrpcTransport", "RestTransport", "Target", "transport_to"]

Arrays = dict[str, NDArray[Any]]
Target = tuple[str, int | None, str | None]  # model, version, label


class Transport(Protocol):
    """What a client needs of a connection; times are seconds, errors are `ServingError`."""

    def predict(
        self, target: Target, signature: str, inputs: Arrays, outputs: Sequence[str], seconds: float
    ) -> Arrays:
        """Ask a signature.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        signature : str
            Its name.
        inputs : dict
            Name -> array.
        outputs : sequence of str
            Outputs to give; empty for all.
        seconds : float
            How long to wait.

        Returns
        -------
        dict
            Name -> array.
        """

    def metadata(self, target: Target, seconds: float) -> dict[str, Any]:
        """Ask for the signatures.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        seconds : float
            How long to wait.

        Returns
        -------
        dict
            As the REST API writes GetModelMetadata's answer.
        """

    def status(self, target: Target, seconds: float) -> list[dict[str, Any]]:
        """Ask for the states of versions.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        seconds : float
            How long to wait.

        Returns
        -------
        list of dict
            ``version``, ``state`` and ``status``, as the REST API writes them.
        """

    def close(self) -> None:
        """Close the connection."""


def transport_to(address: str, token: str | None, authority: bytes | None) -> Transport:
    """Make a connection for an address.

    Parameters
    ----------
    address : str
        ``HOST:PORT``, ``grpc://HOST:PORT`` or ``grpcs://HOST:PORT`` for gRPC; ``http://...`` or
        ``https://...`` for REST.
    token : str or None
        Bearer token.
    authority : bytes or None
        Certificates to trust, in PEM, in place of the system's.

    Returns
    -------
    Transport
        The connection; nothing is sent yet.

    Raises
    ------
    UsageError
        No such address.
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


class GrpcTransport:
    """Over gRPC.

    Parameters
    ----------
    address : str
        ``HOST:PORT``.
    token : str or None
        Bearer token.
    secure : bool
        TLS.
    authority : bytes or None
        Certificates to trust, in PEM.
    """

    def __init__(self, address: str, token: str | None, secure: bool, authority: bytes | None) -> None:
        import grpc

        from actprobe import backend

        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.enable_http_proxy", 0),
        ]
        if secure or authority:
            credentials = grpc.ssl_channel_credentials(authority)
            self._channel = grpc.secure_channel(address, credentials, options)
        else:
            self._channel = grpc.insecure_channel(address, options)
        self._address = address
        self._headers = (("authorization", f"Bearer {token}"),) if token else ()
        self._protocol = backend.serving  # its messages
        self._prediction = backend.serving.prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = backend.serving.model_service_pb2_grpc.ModelServiceStub(self._channel)

    def _ask(self, method: Any, request: Any, seconds: float) -> Any:
        import grpc

        try:
            return method(request, timeout=seconds, metadata=self._headers)
        except grpc.RpcError as error:
            raise ServingError(error.code().name, f"{self._address}: {error.details()}") from None

    def _aim(self, spec: Any, target: Target) -> None:
        spec.name, version, label = target[0], target[1], target[2]
        if version is not None:
            spec.version.value = version
        if label is not None:
            spec.version_label = label

    def predict(
        self, target: Target, signature: str, inputs: Arrays, outputs: Sequence[str], seconds: float
    ) -> Arrays:
        """Ask a signature, see `Transport.predict`.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        signature : str
            Its name.
        inputs : dict
            Name -> array.
        outputs : sequence of str
            Outputs to give; empty for all.
        seconds : float
            How long to wait.

        Returns
        -------
        dict
            Name -> array.
        """
        from actprobe.serving.server.tensors import fill_tensor_proto, from_tensor_proto

        request = self._protocol.predict_pb2.PredictRequest()
        self._aim(request.model_spec, target)
        request.model_spec.signature_name = signature
        request.output_filter.extend(outputs)
        for name, array in inputs.items():
            fill_tensor_proto(request.inputs[name], array)
        response = self._ask(self._prediction.Predict, request, seconds)
        return {name: from_tensor_proto(value, name) for name, value in sorted(response.outputs.items())}

    def metadata(self, target: Target, seconds: float) -> dict[str, Any]:
        """Ask for the signatures, see `Transport.metadata`.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        seconds : float
            How long to wait.

        Returns
        -------
        dict
            As the REST API writes it.
        """
        from actprobe.serving.server.status import as_json

        messages = self._protocol.get_model_metadata_pb2
        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._aim(request.model_spec, target)
        response = self._ask(self._prediction.GetModelMetadata, request, seconds)
        signatures = messages.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        spec = {
            "name": response.model_spec.name,
            "signature_name": "",
            "version": str(response.model_spec.version.value),
        }
        return {"model_spec": spec, "metadata": {"signature_def": as_json(signatures)}}

    def status(self, target: Target, seconds: float) -> list[dict[str, Any]]:
        """Ask for the states of versions, see `Transport.status`.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        seconds : float
            How long to wait.

        Returns
        -------
        list of dict
            One for each version.
        """
        from actprobe.serving.server.status import as_json

        request = self._protocol.get_model_status_pb2.GetModelStatusRequest()
        self._aim(request.model_spec, target)
        response = self._ask(self._models.GetModelStatus, request, seconds)
        return list(as_json(response)["model_version_status"])

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


class RestTransport:
    """Over REST.

    Parameters
    ----------
    address : str
        ``http://HOST:PORT``, with a path before ``/v1`` if a gateway wants one.
    token : str or None
        Bearer token.
    authority : bytes or None
        Certificates to trust, in PEM.
    """

    def __init__(self, address: str, token: str | None, authority: bytes | None) -> None:
        import urllib3

        self._address = address
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        options: dict[str, Any] = {"retries": False, "maxsize": 64}
        if authority:
            options["ssl_context"] = ssl.create_default_context(cadata=authority.decode("ascii"))
        self._pool = urllib3.PoolManager(**options)
        self._types: dict[tuple[Target, str], dict[str, Any]] = {}

    def _ask(self, method: str, path: str, seconds: float, body: bytes | None = None) -> dict[str, Any]:
        import urllib3

        from actprobe.serving.server.json_codec import load_json

        try:
            response = self._pool.request(
                method, self._address + path, body=body, headers=self._headers, timeout=seconds
            )
        except urllib3.exceptions.NewConnectionError as error:  # to urllib3 a kind of timeout
            raise ServingError("UNAVAILABLE", f"{self._address}: {error}") from None
        except urllib3.exceptions.TimeoutError:
            reason = f"{self._address}: no answer within {seconds:.3g} s"
            raise ServingError("DEADLINE_EXCEEDED", reason) from None
        except urllib3.exceptions.SSLError as error:
            raise ServingError("UNAUTHENTICATED", f"{self._address}: {error}") from None
        except urllib3.exceptions.HTTPError as error:
            raise ServingError("UNAVAILABLE", f"{self._address}: {error}") from None
        try:
            found = load_json(response.data)
        except ServingError:
            found = {"error": response.data[:200].decode("utf-8", "replace") or "no body"}
        if response.status == 200 and "error" not in found:
            return found
        raise ServingError(_code(response.status), f"{self._address}: {found.get('error', response.status)}")

    def predict(
        self, target: Target, signature: str, inputs: Arrays, outputs: Sequence[str], seconds: float
    ) -> Arrays:
        """Ask a signature, see `Transport.predict`.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        signature : str
            Its name.
        inputs : dict
            Name -> array.
        outputs : sequence of str
            Outputs to give; empty for all.
        seconds : float
            How long to wait.

        Returns
        -------
        dict
            Name -> array, of the types that the signature has.
        """
        from actprobe.serving.server.json_codec import dump_json

        columns = {name: _plain(array) for name, array in inputs.items()}
        body = dump_json({"signature_name": signature, "inputs": columns})
        found = self._ask("POST", f"{_path(target)}:predict", seconds, body)["outputs"]
        types = self._output_types(target, signature, seconds)
        values = {next(iter(types)): found} if len(types) == 1 else found
        asked = set(outputs) or types.keys()  # REST always gives all
        return {name: _array(values[name], types[name]) for name in sorted(asked)}

    def _output_types(self, target: Target, signature: str, seconds: float) -> dict[str, Any]:
        key = (target, signature)
        if key not in self._types:
            signatures = self.metadata(target, seconds)["metadata"]["signature_def"]["signature_def"]
            outputs = signatures[signature or "serving_default"]["outputs"]
            self._types[key] = {name: info["dtype"] for name, info in outputs.items()}
        return self._types[key]

    def metadata(self, target: Target, seconds: float) -> dict[str, Any]:
        """Ask for the signatures, see `Transport.metadata`.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        seconds : float
            How long to wait.

        Returns
        -------
        dict
            As the REST API writes it.
        """
        return self._ask("GET", f"{_path(target)}/metadata", seconds)

    def status(self, target: Target, seconds: float) -> list[dict[str, Any]]:
        """Ask for the states of versions, see `Transport.status`.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        seconds : float
            How long to wait.

        Returns
        -------
        list of dict
            One for each version.
        """
        return list(self._ask("GET", _path(target), seconds)["model_version_status"])

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def _path(target: Target) -> str:
    from urllib.parse import quote

    model, version, label = target
    path = f"/v1/models/{quote(model, safe='')}"
    if version is not None:
        return f"{path}/versions/{version}"
    return path if label is None else f"{path}/labels/{quote(label, safe='')}"


def _code(status: int) -> str:
    from actprobe.serving.server.rest import HTTP_STATUS

    named = {403: "PERMISSION_DENIED", 400: "INVALID_ARGUMENT", 409: "ABORTED", 413: "INVALID_ARGUMENT"}
    codes = {number: name for name, number in HTTP_STATUS.items() if number not in (400, 409, 500)}
    return (codes | named | {502: "UNAVAILABLE"}).get(status, "INTERNAL" if status >= 500 else "UNKNOWN")


def _plain(array: NDArray[Any]) -> Any:
    """Strings as base64, which holds any bytes; numbers stay as they are."""
    if array.dtype != np.dtype(object):
        return np.ascontiguousarray(array).reshape(array.shape)
    import base64

    def encoded(item: Any) -> Any:
        if isinstance(item, list):
            return [encoded(one) for one in item]
        return {"b64": base64.b64encode(item).decode("ascii")}

    return encoded(array.tolist())


def _array(value: Any, type_name: str) -> NDArray[Any]:
    from actprobe.serving.server.tensors import DTYPES, dtype_name

    numbers: Mapping[str, Any] = {dtype_name(number): dtype for number, dtype in DTYPES.items()}
    dtype = numbers.get(type_name)
    if dtype is None:
        raise ServingError("UNIMPLEMENTED", f"outputs of {type_name} are not read")
    if dtype == np.dtype(object):
        return _strings(value)
    return np.array(value, dtype)


def _strings(value: Any) -> NDArray[Any]:
    import base64

    def decoded(item: Any) -> Any:
        if isinstance(item, list):
            return [decoded(one) for one in item]
        return base64.b64decode(item["b64"]) if isinstance(item, dict) else item.encode()

    return np.array(decoded(value), object)
