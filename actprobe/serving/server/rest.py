"""The REST side: paths, statuses and bodies as TensorFlow Serving's documentation states them.

A request whose caller has gone or whose time is up is taken back, unless TensorFlow has begun with it.
"""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from actprobe import backend
from actprobe.errors import ServingError
from actprobe.serving.protocol.documents import HTTP_STATUS, as_json, load_json
from actprobe.serving.server.metrics import CONTENT_TYPE
from actprobe.serving.server.options import ServerOptions
from actprobe.serving.server.predict import Predictor, Request, offload
from actprobe.serving.server.predict_json import dump_columns, dump_rows, read_inputs
from actprobe.serving.server.priority import lower_priority
from actprobe.serving.server.security import Tokens
from actprobe.serving.server.status import metadata_json, status_message

_PATH = re.compile(
    r"/v1/models(?:/(?P<name>[^/:]+))?(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<rest>/metadata|:predict|:classify|:regress)?"
)
_JSON = b"application/json"
_SOON_SECONDS = 0.05


class Rest:
    """An ASGI application that answers; metrics are at `metrics_path`, nowhere if that is empty."""

    def __init__(
        self, predictor: Predictor, options: ServerOptions, tokens: Tokens, metrics_path: str
    ) -> None:
        self._predictor, self._options, self._tokens = predictor, options, tokens
        self._metrics_path = metrics_path
        self._pending = 0
        self._threads = ThreadPoolExecutor(
            options.rest_api_num_threads, thread_name_prefix="rest", initializer=lower_priority
        )

    def close(self) -> None:
        """Let the threads go when they have answered."""
        self._threads.shutdown(wait=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._pending >= self._options.max_pending_requests:
            await _reply(send, 429, _error("too many requests are under way"))
            return
        kind = _JSON
        self._pending += 1
        try:
            if self._metrics_path and scope["path"] == self._metrics_path:
                status, body, kind = *await self._metrics(scope), CONTENT_TYPE.encode()
            else:
                status, body = await self._answer(scope, receive)
        except ServingError as error:
            status, body, kind = HTTP_STATUS[error.code], _error(error.reason), _JSON
        finally:
            self._pending -= 1
        await _reply(send, status, body, kind)

    async def _metrics(self, scope: Any) -> tuple[int, bytes]:
        if not self._tokens.admit(dict(scope["headers"]).get(b"authorization")):
            raise ServingError("UNAUTHENTICATED", "a bearer token is needed")
        if scope["method"] not in ("GET", "HEAD"):
            raise ServingError("UNIMPLEMENTED", "metrics are to be had by GET")
        return 200, await asyncio.to_thread(self._predictor.metrics.page)

    async def _answer(self, scope: Any, receive: Any) -> tuple[int, bytes]:
        headers = dict(scope["headers"])
        if not self._tokens.admit(headers.get(b"authorization")):
            raise ServingError("UNAUTHENTICATED", "a bearer token is needed")
        if headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity"):
            raise ServingError("UNIMPLEMENTED", "compressed requests are not there")
        method, path = scope["method"], scope["path"]
        found = _PATH.fullmatch(path)
        if not path.startswith("/v1/"):
            raise ServingError("NOT_FOUND", f"there is nothing at {path[:128]}")
        if found is None or (method == "POST") is not (found["rest"] or "").startswith(":"):
            raise ServingError("INVALID_ARGUMENT", f"Malformed request: {method} {path[:256]}")
        if found["name"] is None or method not in ("GET", "POST"):
            what = "Missing model name in request." if method == "GET" else f"Malformed request: {method}"
            raise ServingError("INVALID_ARGUMENT", what)
        seconds = self._options.rest_api_timeout_in_ms / 1000
        request = Request("REST", _peer(scope), found["name"], deadline=time.monotonic() + seconds)
        with _Patience(seconds) as patience:
            body = await self._read(headers, receive)
            request.bytes_in = len(body)
            if len(body) > self._options.rest_max_body_bytes:
                return 413, _error(f"the request is larger than {self._options.rest_max_body_bytes} bytes")
            patience.watch(receive)
            return 200, await self._dispatch(request, found, body)

    async def _read(self, headers: dict[bytes, bytes], receive: Any) -> bytes:
        """The body; of one that is too large, no more than shows it."""
        most = self._options.rest_max_body_bytes
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and len(announced) < 20 and int(announced) > most:
            return bytes(most + 1)
        parts, size, more = [], 0, True
        while more and size <= most:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServingError("CANCELLED", "the caller is gone")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
        return b"".join(parts)

    async def _dispatch(self, request: Request, found: re.Match[str], body: bytes) -> bytes:
        spec = backend.serving.model_pb2.ModelSpec(name=found["name"])
        if found["label"] is not None:
            spec.version_label = found["label"]
        if found["version"] is not None:
            try:
                spec.version.value = int(found["version"])
            except ValueError:
                reason = f"Failed to convert version: {found['version'][:64]} to numeric."
                raise ServingError("INVALID_ARGUMENT", reason) from None
        match found["rest"]:
            case None:
                return _json(as_json(status_message(self._predictor.repository.status(spec))))
            case "/metadata":
                with self._predictor.repository.lease(spec) as servable:
                    return _json(metadata_json(servable))
            case ":predict":
                with self._predictor.accounted(request):
                    return await self._predict(request, spec, body)
        raise ServingError("UNIMPLEMENTED", f"{found['rest'][1:]} is not there: this server answers predict")

    async def _predict(self, request: Request, spec: Any, body: bytes) -> bytes:
        document = await offload(self._threads, len(body), load_json, body)
        name = document.get("signature_name", "")
        if not isinstance(name, str):
            raise ServingError("INVALID_ARGUMENT", "'signature_name' key must be a string value.")
        spec.signature_name = name.encode("utf-8", "replace").decode("utf-8")
        with self._predictor.open(request, spec) as (servable, signature):
            inputs, rows = await offload(self._threads, len(body), read_inputs, document, signature)
            del document
            with self._predictor.timed(request, servable, inputs):
                outputs = await self._predictor.runner.run(servable, signature, inputs, (), self._threads)
        size = sum(array.nbytes for array in outputs.values())
        answer: bytes = await offload(self._threads, size, dump_rows if rows else dump_columns, outputs)
        request.bytes_out = len(answer)
        return answer


class _Patience:
    """Cancels the coroutine that runs when its time is up or its caller has gone, and says which it was."""

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._reason = task, ""
        self._loop = asyncio.get_running_loop()
        self._waits: list[asyncio.TimerHandle | asyncio.Task[None]] = [
            self._loop.call_later(seconds, self._cancel, "DEADLINE_EXCEEDED")
        ]

    def watch(self, receive: Any) -> None:
        """Wait for the caller to leave, unless the answer comes soon."""

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self._cancel("CANCELLED")

        def begin() -> None:
            self._waits.append(self._loop.create_task(gone()))

        self._waits.append(self._loop.call_later(_SOON_SECONDS, begin))

    def _cancel(self, reason: str) -> None:
        self._reason = reason
        self._task.cancel()

    def __enter__(self) -> _Patience:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        for wait in self._waits:
            wait.cancel()
        if isinstance(error, asyncio.CancelledError) and self._reason:
            late = self._reason == "DEADLINE_EXCEEDED"
            reason = "the request was not answered in time" if late else "the caller is gone"
            raise ServingError(self._reason, reason) from None


def _peer(scope: Any) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)


def _error(reason: str) -> bytes:
    return orjson.dumps({"error": reason.encode("utf-8", "replace").decode("utf-8")})


async def _reply(send: Any, status: int, body: bytes, kind: bytes = _JSON) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if status in (413, 401):  # what is left of the request is not read
        headers.append((b"connection", b"close"))
    if status == 429:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
