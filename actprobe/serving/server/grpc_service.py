"""The gRPC side: PredictionService, ModelService and health.

Calls are answered by threads that wait in TensorFlow, outside Python's lock. A call that waits for a thread
is dropped when its caller is gone or its deadline has passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from actprobe import backend
from actprobe.errors import ServingError, UsageError
from actprobe.serving.server.options import ServerOptions
from actprobe.serving.server.predict import Predictor, Request
from actprobe.serving.server.security import Certificate, Tokens, token_interceptor
from actprobe.serving.server.status import metadata_message, status_message
from actprobe.serving.server.tensors import fill_tensor_proto, from_tensor_proto

__all__ = ["SERVICES", "GrpcServer"]

SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
_NOT_HERE = "{} is not there: this embedded server answers Predict and GetModelMetadata"


class GrpcServer:
    """A gRPC server.

    Parameters
    ----------
    predictor : Predictor
        What answers.
    reload : callable
        Takes a ModelServerConfig; raises ServingError or UsageError.
    options : ServerOptions
        Address, limits and threads.
    tokens : Tokens
        Who may pass.
    certificate : Certificate, optional
        Speaks TLS with it.

    Raises
    ------
    UsageError
        The address cannot be had.
    """

    def __init__(
        self,
        predictor: Predictor,
        reload: Callable[[Any], None],
        options: ServerOptions,
        tokens: Tokens,
        certificate: Certificate | None = None,
    ) -> None:
        import grpc
        from grpc_health.v1 import health, health_pb2_grpc

        self._health = health.HealthServicer()
        self._threads = ThreadPoolExecutor(options.grpc_max_threads, thread_name_prefix="grpc")
        self._server = grpc.server(
            self._threads,
            interceptors=[token_interceptor(tokens)] if tokens.known else [],
            maximum_concurrent_rpcs=options.max_pending_requests,
            options=[
                ("grpc.max_receive_message_length", options.grpc_max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        grpc_modules = (backend.serving.prediction_service_pb2_grpc, backend.serving.model_service_pb2_grpc)
        grpc_modules[0].add_PredictionServiceServicer_to_server(_Prediction(predictor), self._server)
        grpc_modules[1].add_ModelServiceServicer_to_server(_Models(predictor, reload), self._server)
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
        self._server.start()

    def set_serving(self, serving: bool) -> None:
        """Tell health.

        Parameters
        ----------
        serving : bool
            SERVING or NOT_SERVING.
        """
        from grpc_health.v1 import health_pb2

        state = health_pb2.HealthCheckResponse
        for service in ("", *SERVICES):
            self._health.set(service, state.SERVING if serving else state.NOT_SERVING)

    def stop(self, grace_seconds: float) -> Any:
        """Take no more calls; those that were taken are answered.

        Parameters
        ----------
        grace_seconds : float
            How long they may take.

        Returns
        -------
        threading.Event
            Set when all have been answered.
        """
        self._health.enter_graceful_shutdown()
        return self._server.stop(grace_seconds)


@contextmanager
def _statuses(context: Any) -> Iterator[None]:
    """End the call with the status that an error stands for."""
    import grpc

    try:
        yield
    except ServingError as error:
        context.abort(grpc.StatusCode[error.code], error.reason)


class _Prediction:
    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._response = backend.serving.predict_pb2.PredictResponse

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        remaining = context.time_remaining()
        noted = Request("GRPC", context.peer(), request.model_spec.name, request.ByteSize())
        noted.deadline = None if remaining is None else time.monotonic() + remaining
        with _statuses(context), self._predictor.accounted(noted):
            if not context.is_active():
                raise ServingError("CANCELLED", "the caller is gone")
            with self._predictor.open(noted, request.model_spec) as (servable, signature):
                inputs = {name: from_tensor_proto(value, name[:64]) for name, value in request.inputs.items()}
                with self._predictor.timed(noted, servable, inputs):
                    found = self._predictor.runner.run(servable, signature, inputs, request.output_filter)
                response = self._response()
                spec = response.model_spec
                spec.name, spec.version.value, spec.signature_name = (
                    servable.name,
                    servable.version,
                    signature.name,
                )
                for name, array in found.items():
                    fill_tensor_proto(response.outputs[name], array)
            noted.bytes_out = response.ByteSize()
            return response

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _statuses(context), self._predictor.repository.lease(request.model_spec) as servable:
            return metadata_message(servable, list(request.metadata_field))

    def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._refuse(context, "Classify")

    def Regress(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._refuse(context, "Regress")

    def MultiInference(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._refuse(context, "MultiInference")

    def _refuse(self, context: Any, method: str) -> Any:
        with _statuses(context):
            raise ServingError("UNIMPLEMENTED", _NOT_HERE.format(method))


class _Models:
    def __init__(self, predictor: Predictor, reload: Callable[[Any], None]) -> None:
        self._predictor, self._reload = predictor, reload

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _statuses(context):
            if not request.model_spec.name:
                raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
            return status_message(self._predictor.repository.status(request.model_spec))

    def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:  # noqa: N802
        import grpc

        response = backend.serving.model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        try:
            self._reload(request.config)
        except UsageError as error:
            response.status.error_code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
            response.status.error_message = str(error)
        except ServingError as error:
            response.status.error_code = grpc.StatusCode[error.code].value[0]
            response.status.error_message = error.reason
        return response
