"""What the server says of its models, as messages and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actprobe import backend
from actprobe.errors import ServingError
from actprobe.serving.server.servable import Servable
from actprobe.serving.server.versions import STATES

__all__ = ["as_json", "metadata_json", "metadata_message", "status_message"]

_FIELD = "signature_def"


def status_message(versions: Sequence[tuple[int, str, ServingError | None]]) -> Any:
    """Write the states of versions.

    Parameters
    ----------
    versions : sequence of tuple
        Number, state and error.

    Returns
    -------
    tensorflow.serving.GetModelStatusResponse
        The message.
    """
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
    """Write the signatures of a version.

    Parameters
    ----------
    servable : Servable
        The version.
    fields : sequence of str, optional
        What is asked for; ``signature_def`` is what there is.

    Returns
    -------
    tensorflow.serving.GetModelMetadataResponse
        The message.

    Raises
    ------
    ServingError
        INVALID_ARGUMENT: nothing, or something else, is asked for.
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
    """Write the signatures of a version as REST shows them.

    Parameters
    ----------
    servable : Servable
        The version.

    Returns
    -------
    dict
        ``model_spec`` and ``metadata``.
    """
    return {
        "model_spec": {"name": servable.name, "signature_name": "", "version": str(servable.version)},
        "metadata": {_FIELD: as_json(_signature_map(servable))},
    }


def _signature_map(servable: Servable) -> Any:
    signatures = backend.serving.get_model_metadata_pb2.SignatureDefMap()
    for key, definition in servable.meta_graph.signature_def.items():
        signatures.signature_def[key].CopyFrom(definition)
    return signatures


def as_json(message: Any) -> dict[str, Any]:
    """Write a message as TensorFlow Serving's REST API does: all fields, 64-bit numbers as strings.

    Parameters
    ----------
    message : google.protobuf.message.Message
        Any message.

    Returns
    -------
    dict
        Ready for JSON.
    """
    from google.protobuf import json_format

    try:  # the option's name since protobuf 5.26
        return dict(
            json_format.MessageToDict(
                message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
        )
    except TypeError:
        return dict(
            json_format.MessageToDict(
                message,
                preserving_proto_field_name=True,
                including_default_value_fields=True,  # type: ignore[call-arg,unused-ignore]
            )
        )
