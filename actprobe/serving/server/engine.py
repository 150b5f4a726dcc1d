"""Start TensorFlow's own tensorflow_model_server with the same settings, where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path

from actprobe.errors import ActprobeError, UsageError
from actprobe.serving.server.config import ModelConfig, models_in, read_models
from actprobe.serving.server.options import ServerOptions

BINARY = "tensorflow_model_server"


def find_binary() -> str:
    """Find the binary; `ActprobeError` if it is not on the PATH."""
    found = shutil.which(BINARY)
    if found is None:
        raise ActprobeError(
            f"{BINARY} is not on the PATH: install it, run the image tensorflow/serving, or omit --engine"
        )
    return found


def command(options: ServerOptions) -> list[str]:
    """Write the command that serves the same models in the same way; they are listed in a new file.

    Raises
    ------
    UsageError
        An option that the binary does not have.
    ActprobeError
        The binary is not on the PATH.
    """
    binary = find_binary()
    if options.bearer_token_file or options.access_log:
        raise UsageError(f"{BINARY} has no --bearer_token_file and no --access_log")
    base = Path(options.model_base).resolve() if options.model_base else None
    if options.model_config_file:
        models = read_models(Path(options.model_config_file), base)
    elif base is not None:
        models = models_in(base, options.model_name or None)
    else:
        raise UsageError("nothing to serve: give --model_base or --model_config_file")
    handle, listed = tempfile.mkstemp(prefix="actprobe-models-", suffix=".config")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(_text(models))
    flags = {
        "model_config_file": listed,
        "port": _port(options.port),
        "rest_api_port": max(0, _port(options.rest_api_port)),
        "rest_api_timeout_in_ms": options.rest_api_timeout_in_ms,
        "file_system_poll_wait_seconds": max(1, round(options.file_system_poll_wait_seconds)),
        "enable_batching": str(options.enable_batching).lower(),
        "enable_model_warmup": str(options.enable_model_warmup).lower(),
        "batching_parameters_file": options.batching_parameters_file,
        "monitoring_config_file": options.monitoring_config_file,
        "ssl_config_file": options.ssl_config_file,
        "tensorflow_intra_op_parallelism": options.tensorflow_intra_op_parallelism,
        "tensorflow_inter_op_parallelism": options.tensorflow_inter_op_parallelism,
        "allow_version_labels_for_unavailable_models": str(
            options.allow_version_labels_for_unavailable_models
        ).lower(),
    }
    return [binary, *(f"--{name}={value}" for name, value in flags.items() if value not in ("", None))]


def _port(port: int) -> int:
    """A free port in place of 0, which the binary does not know."""
    if port:
        return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _text(models: dict[str, ModelConfig]) -> str:
    from google.protobuf import text_format

    from actprobe import backend

    message = backend.serving.model_server_config_pb2.ModelServerConfig()
    for model in models.values():
        entry = message.model_config_list.config.add(
            name=model.name, base_path=str(model.base_path), model_platform="tensorflow"
        )
        policy = entry.model_version_policy
        if model.policy.kind == "all":
            policy.all.SetInParent()
        elif model.policy.kind == "specific":
            policy.specific.versions.extend(model.policy.specific)
        else:
            policy.latest.num_versions = model.policy.latest
        for label, number in model.labels.items():
            entry.version_labels[label] = number
    return str(text_format.MessageToString(message))
