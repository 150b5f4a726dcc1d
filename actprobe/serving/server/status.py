"""What the server says of its models, as messages and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actprobe import backend
from actprobe.errors import ServingError
from actprobe.serving.protocol.documents import as_json
from actprobe.serving.server.servable import Servable
from actprobe.serving.server.versions import STATES

_FIELD = "signature_def"


def status_message(versions: Sequence[tuple[int, str, ServingError | None]]) -> Any:
    """Write number, state and error of versions as a GetModelStatusResponse."""
    from grpc import StatusCode

    response = backend.serving.get_model_status_pb2.GetModelStatusResponse()
    for number, state, error in versions:
        entry = response.model_version_status.add(version=number, state=STATES[state])
        entry.status.SetInParent()
        if error is not None:
            entry.status.error_code = StatusCode[error.code].value[0]
            entry.status.error_message = error.reason
    return response


def metadata_message(servable: Servable, fields: Sequence[str] = (_FIELD,)) -> Any:
    """Write the signatures of a version as a GetModelMetadataResponse.

    Fields other than ``signature_def``, and none, are INVALID_ARGUMENT.
    """
    if not fields:
        raise ServingError(
            "INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in fields:
        if field != _FIELD:
            raise ServingError("INVALID_ARGUMENT", f"Metadata field {field[:64]} is not supported")
    response = backend.serving.get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.metadata[_FIELD].Pack(_signature_map(servable))
    return response


def metadata_json(servable: Servable) -> dict[str, Any]:
    """Write the signatures of a version as REST shows them."""
    return {
        "model_spec": {"name": servable.name, "signature_name": "", "version": str(servable.version)},
        "metadata": {_FIELD: as_json(_signature_map(servable))},
    }


def _signature_map(servable: Servable) -> Any:
    signatures = backend.serving.get_model_metadata_pb2.SignatureDefMap()
    for key, definition in servable.meta_graph.signature_def.items():
        signatures.signature_def[key].CopyFrom(definition)
    return signatures
