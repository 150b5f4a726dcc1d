"""The gRPC side: PredictionService, ModelService and health.

Calls are coroutines of one event loop: threads that hand Python's lock to each other for every call cost more
than the call. A call that waits is dropped when its caller is gone or its deadline has passed.
"""

from __future__ import annotations

import asyncio
import operator
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from actprobe import backend
from actprobe.errors import ServingError, UsageError
from actprobe.serving.protocol.tensors import Arrays, claimed_bytes, fill_tensor_proto, from_tensor_proto
from actprobe.serving.server.options import ServerOptions
from actprobe.serving.server.predict import Predictor, Request, offload
from actprobe.serving.server.priority import lower_priority
from actprobe.serving.server.security import Certificate, Tokens, token_interceptor
from actprobe.serving.server.status import metadata_message, status_message

SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
_METHODS = {
    "Predict": ("predict_pb2", "PredictRequest"),
    "GetModelMetadata": ("get_model_metadata_pb2", "GetModelMetadataRequest"),
    "Classify": ("classification_pb2", "ClassificationRequest"),
    "Regress": ("regression_pb2", "RegressionRequest"),
    "MultiInference": ("inference_pb2", "MultiInferenceRequest"),
    "GetModelStatus": ("get_model_status_pb2", "GetModelStatusRequest"),
    "HandleReloadConfigRequest": ("model_management_pb2", "ReloadConfigRequest"),
}
_NOT_HERE = "{} is not there: this embedded server answers Predict and GetModelMetadata"


class GrpcServer:
    """A gRPC server in the event loop that runs; `reload` takes a ModelServerConfig.

    `UsageError` if the address cannot be had.
    """

    def __init__(
        self,
        predictor: Predictor,
        reload: Callable[[Any], None],
        options: ServerOptions,
        tokens: Tokens,
        certificate: Certificate | None = None,
    ) -> None:
        from grpc import aio
        from grpc_health.v1 import health, health_pb2_grpc

        self._health = health.aio.HealthServicer()
        self._threads = ThreadPoolExecutor(
            options.grpc_max_threads, thread_name_prefix="grpc", initializer=lower_priority
        )
        self._server = aio.server(
            interceptors=[token_interceptor(tokens)] if tokens.known else [],
            maximum_concurrent_rpcs=options.max_pending_requests,
            options=[
                ("grpc.max_receive_message_length", options.grpc_max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        most = options.grpc_max_message_bytes
        servicers = (_Prediction(predictor, self._threads, most), _Models(predictor, reload))
        self._server.add_generic_rpc_handlers(tuple(map(_handler, SERVICES, servicers)))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"{host}:{options.port}"
        try:
            if certificate is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, certificate.grpc_credentials())
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise UsageError(f"{address}: gRPC cannot listen there")

    async def start(self) -> None:
        """Take calls, and tell health."""
        from grpc_health.v1 import health_pb2

        await self._server.start()
        for service in ("", *SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls and wait so long until those that were taken are answered."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_seconds)
        self._threads.shutdown(wait=False)


def _handler(service: str, servicer: Any) -> Any:
    """The methods of a service; bytes that are no message are refused here, where gRPC would log each."""
    import grpc
    from google.protobuf.message import DecodeError

    def method(name: str, module: str, request_type: str) -> Any:
        request_class = getattr(getattr(backend.serving, module), request_type)
        work = getattr(servicer, name)

        def read(body: bytes) -> Any:
            try:
                return request_class.FromString(body)
            except DecodeError:
                return None

        async def answer(request: Any, context: Any) -> Any:
            if request is None:
                await context.abort(grpc.StatusCode.INTERNAL, f"Failed to parse the {request_type}")
            return await work(request, context)

        write = operator.methodcaller("SerializeToString")
        return grpc.unary_unary_rpc_method_handler(answer, read, write)

    methods = {name: method(name, *where) for name, where in _METHODS.items() if hasattr(servicer, name)}
    return grpc.method_handlers_generic_handler(service, methods)


@asynccontextmanager
async def _statuses(context: Any) -> AsyncIterator[None]:
    """End the call with the status that an error stands for."""
    import grpc

    try:
        yield
    except ServingError as error:
        await context.abort(grpc.StatusCode[error.code], error.reason)


class _Prediction:
    def __init__(self, predictor: Predictor, threads: Executor, most_bytes: int) -> None:
        self._predictor, self._threads, self._most_bytes = predictor, threads, most_bytes
        self._response = backend.serving.predict_pb2.PredictResponse

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        remaining = context.time_remaining()
        noted = Request("GRPC", context.peer(), request.model_spec.name, request.ByteSize())
        noted.deadline = None if remaining is None else time.monotonic() + remaining
        async with _statuses(context):
            with self._predictor.accounted(noted):
                return await self._predict(request, noted)

    async def _predict(self, request: Any, noted: Request) -> Any:
        with self._predictor.open(noted, request.model_spec) as (servable, signature):
            size = noted.bytes_in + sum(claimed_bytes(value) for value in request.inputs.values())
            inputs = await offload(self._threads, size, _arrays, request, self._most_bytes)
            with self._predictor.timed(noted, servable, inputs):
                found = await self._predictor.runner.run(
                    servable, signature, inputs, request.output_filter, self._threads
                )
            response = self._response()
            spec = response.model_spec
            spec.name, spec.signature_name = servable.name, signature.name
            spec.version.value = servable.version
            size = sum(array.nbytes for array in found.values())
            await offload(self._threads, size, _fill, response, found)
        noted.bytes_out = response.ByteSize()
        return response

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with _statuses(context):
            with self._predictor.repository.lease(request.model_spec) as servable:
                return metadata_message(servable, list(request.metadata_field))

    async def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._refuse(context, "Classify")

    async def Regress(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._refuse(context, "Regress")

    async def MultiInference(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._refuse(context, "MultiInference")

    async def _refuse(self, context: Any, method: str) -> None:
        async with _statuses(context):
            raise ServingError("UNIMPLEMENTED", _NOT_HERE.format(method))


def _arrays(request: Any, most_bytes: int) -> Arrays:
    """Read the inputs; what they unfold to is bounded as the message is."""
    found = {}
    for name, value in request.inputs.items():
        found[name] = from_tensor_proto(value, name[:64], most_bytes)
        most_bytes -= claimed_bytes(value)
    return found


def _fill(response: Any, found: Arrays) -> None:
    for name, array in found.items():
        fill_tensor_proto(response.outputs[name], array)


class _Models:
    def __init__(self, predictor: Predictor, reload: Callable[[Any], None]) -> None:
        self._predictor, self._reload = predictor, reload

    async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with _statuses(context):
            if not request.model_spec.name:
                raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
            return status_message(self._predictor.repository.status(request.model_spec))

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:  # noqa: N802
        import grpc

        response = backend.serving.model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        try:
            await asyncio.to_thread(self._reload, request.config)
        except UsageError as error:
            response.status.error_code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
            response.status.error_message = str(error)
        except ServingError as error:
            response.status.error_code = grpc.StatusCode[error.code].value[0]
            response.status.error_message = error.reason
        return response
