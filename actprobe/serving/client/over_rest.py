"""Requests over REST, which needs no TensorFlow on the client's side."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import ServingError
from actprobe.serving.client.transport import Target, Transport
from actprobe.serving.protocol.documents import HTTP_STATUS, dump_json, load_json
from actprobe.serving.protocol.tensors import DTYPES_BY_NAME, Arrays


class RestTransport(Transport):
    """Over REST, to ``http://HOST:PORT``, with a path before ``/v1`` if a gateway wants one."""

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
        return self._ask("GET", f"{_path(target)}/metadata", seconds)

    def status(self, target: Target, seconds: float) -> list[dict[str, Any]]:
        return list(self._ask("GET", _path(target), seconds)["model_version_status"])

    def close(self) -> None:
        self._pool.clear()


def _path(target: Target) -> str:
    model, version, label = target
    path = f"/v1/models/{quote(model, safe='')}"
    if version is not None:
        return f"{path}/versions/{version}"
    return path if label is None else f"{path}/labels/{quote(label, safe='')}"


def _code(status: int) -> str:
    named = {403: "PERMISSION_DENIED", 400: "INVALID_ARGUMENT", 409: "ABORTED", 413: "INVALID_ARGUMENT"}
    codes = {number: name for name, number in HTTP_STATUS.items() if number not in (400, 409, 500)}
    return (codes | named | {502: "UNAVAILABLE"}).get(status, "INTERNAL" if status >= 500 else "UNKNOWN")


def _plain(array: NDArray[Any]) -> Any:
    """Strings as base64, which holds any bytes; numbers stay as they are."""
    if array.dtype != np.dtype(object):
        return np.ascontiguousarray(array).reshape(array.shape)

    def encoded(item: Any) -> Any:
        if isinstance(item, list):
            return [encoded(one) for one in item]
        return {"b64": base64.b64encode(item).decode("ascii")}

    return encoded(array.tolist())


def _array(value: Any, type_name: str) -> NDArray[Any]:
    dtype = DTYPES_BY_NAME.get(type_name)
    if dtype is None:
        raise ServingError("UNIMPLEMENTED", f"outputs of {type_name} are not read")
    if dtype == np.dtype(object):
        return _strings(value)
    return np.array(value, dtype)


def _strings(value: Any) -> NDArray[Any]:
    def decoded(item: Any) -> Any:
        if isinstance(item, list):
            return [decoded(one) for one in item]
        return base64.b64decode(item["b64"]) if isinstance(item, dict) else item.encode()

    return np.array(decoded(value), object)
