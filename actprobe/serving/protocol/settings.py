"""TensorFlow Serving's settings in text form: models.config, batching parameters, monitoring, TLS.

The messages of the last three are not in tensorflow-serving-api; they are described here by their published
names and numbers, so that the same files are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from actprobe import backend
from actprobe.errors import UsageError

# Field -> (number, type); a dict is a message within. "int64?" and "string?" are Google's wrapper messages,
# written `name { value: 3 }`, "int64*" a repeated field.
_DESCRIBED: dict[str, dict[str, tuple[int, Any]]] = {
    "BatchingParameters": {
        "max_batch_size": (1, "int64?"),
        "batch_timeout_micros": (2, "int64?"),
        "max_enqueued_batches": (3, "int64?"),
        "num_batch_threads": (4, "int64?"),
        "thread_pool_name": (5, "string?"),
        "allowed_batch_sizes": (6, "int64*"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, "bool?"),
        "max_execution_batch_size": (9, "int64?"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, "PrometheusConfig")},
    "SSLConfig": {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
}
_WRAPPERS = {"int64?": "Int64Value", "string?": "StringValue", "bool?": "BoolValue"}


def parse_message(text: str, kind: str) -> Any:
    """Parse the text form of a message, such as ``max_batch_size { value: 32 }``; `UsageError` if it is none.

    `kind` is ``ModelServerConfig``, ``BatchingParameters``, ``MonitoringConfig`` or ``SSLConfig``.
    """
    from google.protobuf import text_format

    if kind == "ModelServerConfig":
        message = backend.serving.model_server_config_pb2.ModelServerConfig()
    else:
        message = _described_classes()[kind]()
    try:
        return text_format.Parse(text, message)
    except (text_format.ParseError, UnicodeError) as error:
        raise UsageError(f"is no {kind} in text form ({error})") from None


def read_message(path: str | Path, kind: str) -> Any:
    """Read a text file that holds a message, see `parse_message`; a `UsageError` names the file."""
    try:
        return parse_message(Path(path).read_text("utf-8"), kind)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


@cache
def _described_classes() -> Mapping[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="actprobe/serving/settings.proto",
        package="actprobe.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    field_type = descriptor_pb2.FieldDescriptorProto
    for message, fields in _DESCRIBED.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            label = field_type.LABEL_REPEATED if kind.endswith("*") else field_type.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, label=label)
            if kind in _WRAPPERS:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".google.protobuf.{_WRAPPERS[kind]}"
            elif kind in _DESCRIBED:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".actprobe.serving.{kind}"
            else:
                field.type = getattr(field_type, f"TYPE_{kind.rstrip('*').upper()}")
    pool.AddSerializedFile(file.SerializeToString())
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"actprobe.serving.{name}")) for name in _DESCRIBED}
