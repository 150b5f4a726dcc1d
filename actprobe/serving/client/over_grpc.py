"""Requests over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actprobe import backend
from actprobe.errors import ServingError
from actprobe.serving.client.transport import Target, Transport
from actprobe.serving.protocol.documents import as_json
from actprobe.serving.protocol.tensors import Arrays, fill_tensor_proto, from_tensor_proto


class GrpcTransport(Transport):
    """Over gRPC, to ``HOST:PORT``; `authority` are certificates to trust, in PEM."""

    def __init__(self, address: str, token: str | None, secure: bool, authority: bytes | None) -> None:
        import grpc

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
        request = self._protocol.predict_pb2.PredictRequest()
        self._aim(request.model_spec, target)
        request.model_spec.signature_name = signature
        request.output_filter.extend(outputs)
        for name, array in inputs.items():
            fill_tensor_proto(request.inputs[name], array)
        response = self._ask(self._prediction.Predict, request, seconds)
        return {name: from_tensor_proto(value, name) for name, value in sorted(response.outputs.items())}

    def metadata(self, target: Target, seconds: float) -> dict[str, Any]:
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
        request = self._protocol.get_model_status_pb2.GetModelStatusRequest()
        self._aim(request.model_spec, target)
        response = self._ask(self._models.GetModelStatus, request, seconds)
        return list(as_json(response)["model_version_status"])

    def close(self) -> None:
        self._channel.close()
