"""The folder that a server reads: versions that appear whole, and the files of settings beside them.

    OUT/models/NAME/VERSION/         one model; TensorFlow Serving polls models/NAME for new versions
    OUT/models.config                which models there are (--model_config_file)
    OUT/batching_parameters.txt      how requests are batched (--batching_parameters_file)
    OUT/monitoring.config            where Prometheus reads (--monitoring_config_file)

A version is written in OUT/.exporting and renamed in when it is complete and on disk. Whatever is killed
on the way leaves nothing that a server would load.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actprobe import backend
from actprobe.errors import ActprobeError, UsageError
from actprobe.provenance import atomic_path
from actprobe.serving.protocol.settings import parse_message

SERVER_BASE = "/models"  # where the official image looks for models
METRICS_PATH = "/monitoring/prometheus/metrics"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MOST = 2**63 - 1  # TensorFlow Serving keeps versions in 64 bits

# An example goes through a network in milliseconds: a batch takes what is waiting and does not wait itself.
# No sizes are prescribed: filling a batch up to one of them costs a processor up to twice the work. Inputs
# must not be padded to one length: waveforms filled up with their first sample would give examples that
# nobody asked for.
BATCHING = """\
max_batch_size { value: 32 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 4 }
pad_variable_length_inputs: false
"""

MONITORING = f"""\
prometheus_config {{
  enable: true
  path: "{METRICS_PATH}"
}}
"""


def check_name(name: str) -> str:
    """Refuse what is no name of a folder and of a model in a URL (`UsageError`), and give it back."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a model: up to 128 letters, digits, '_', '-' and '.', the first "
            f"a letter or digit"
        )
    return name


def versions_in(folder: Path) -> list[int]:
    """List the versions of a model, OUT/models/NAME, as a server does: ascending; none without it."""
    if not folder.is_dir():
        return []
    numbered = ((version_number(child.name), child) for child in folder.iterdir())
    return sorted(number for number, child in numbered if number is not None and child.is_dir())


def version_number(name: str) -> int | None:
    """Read the name of a version's folder; None where a server, which keeps 64 bits, takes it for none."""
    number = int(name) if re.fullmatch("[0-9]+", name) else _MOST + 1
    return number if number <= _MOST else None


@dataclass
class Draft:
    """A version that is written in `folder` and will stand at `path`; its number is settled at the rename."""

    folder: Path
    path: Path

    @property
    def version(self) -> int:
        """Number of the version."""
        return int(self.path.name)


@contextmanager
def new_version(output_dir: Path, kind: str, name: str, version: int | None = None) -> Iterator[Draft]:
    """Write a version beside the others and rename it in when the block ends well; scraps beside it vanish.

    Parameters
    ----------
    output_dir : Path
        OUT.
    kind : str
        Folder of OUT: ``models``, ``pb`` or ``tflite``.
    name : str
        Name of the model.
    version : int, optional
        Number of the version; by default one more than the highest there is.

    Raises
    ------
    UsageError
        No such name, a version below 1, or one that is there already.
    """
    check_name(name)
    if version is not None and not 1 <= version <= _MOST:
        raise UsageError(f"version={version}: versions are numbered from 1 to {_MOST}")
    folder = output_dir / kind / name
    if version is not None and (folder / str(version)).exists():
        raise UsageError(f"{folder / str(version)} is there already and is not overwritten")
    workshop = output_dir / ".exporting" / uuid.uuid4().hex
    draft = Draft(workshop / "draft", folder / str(version or _next(folder)))
    draft.folder.mkdir(parents=True)
    try:
        yield draft
        _flush(draft.folder)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(output_dir):
            draft.path = folder / str(version or _next(folder))
            if draft.path.exists():
                raise UsageError(f"{draft.path} is there already and is not overwritten")
            draft.folder.rename(draft.path)
            _flush_folder(folder)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        with suppress(OSError):  # another export is at work there
            workshop.parent.rmdir()


def _next(folder: Path) -> int:
    highest = max([0, *versions_in(folder)])
    if highest == _MOST:
        raise UsageError(f"{folder / str(highest)} is the highest version there can be; give another number")
    return highest + 1


@contextmanager
def _locked(output_dir: Path) -> Iterator[None]:
    """Let one export at a time touch what all share."""
    handle = os.open(output_dir / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _flush(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _flush_folder(path)


def _flush_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_models_config(path: Path) -> Any:
    """Read models.config as a ModelServerConfig, empty if there is none; `ActprobeError` if it is damaged."""
    if not path.exists():
        return backend.serving.model_server_config_pb2.ModelServerConfig()
    try:
        return parse_message(path.read_text("utf-8"), "ModelServerConfig")
    except (UsageError, UnicodeDecodeError) as error:
        raise ActprobeError(f"{path}: is not a models.config of TensorFlow Serving ({error})") from None


def write_settings(output_dir: Path, name: str, version: int, label: str | None = None) -> None:
    """Enter a model into models.config and put the other settings there, if they are not there yet.

    Everything else in models.config stays as it is, version labels and policies included. Without a label a
    new entry serves the latest version. A label makes the entry serve the versions that it lists, which this
    one joins; without ``specific`` versions before, the latest one there was is listed, too. `ActprobeError`
    if models.config cannot be read.
    """
    from google.protobuf import text_format

    with _locked(output_dir):
        path = output_dir / "models.config"
        config = read_models_config(path)
        if config.WhichOneof("config") == "custom_model_config":
            raise ActprobeError(f"{path}: holds a custom_model_config, not a list of models")
        found = [entry for entry in config.model_config_list.config if entry.name == name]
        entry = found[0] if found else config.model_config_list.config.add()
        if not found:
            entry.name, entry.base_path, entry.model_platform = name, f"{SERVER_BASE}/{name}", "tensorflow"
        if label is not None:
            specific = entry.model_version_policy.specific
            others = [number for number in versions_in(output_dir / "models" / name) if number < version]
            listed = set(specific.versions) or set(others[-1:])
            specific.versions[:] = sorted({*listed, *entry.version_labels.values(), version})
            entry.version_labels[label] = version
        with atomic_path(path) as temporary:
            temporary.write_text(text_format.MessageToString(config), "utf-8")
        for file, content in (("batching_parameters.txt", BATCHING), ("monitoring.config", MONITORING)):
            if not (output_dir / file).exists():
                with atomic_path(output_dir / file) as temporary:
                    temporary.write_text(content, "utf-8")
