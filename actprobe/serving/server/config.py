"""Which models there are: a folder, or a text file as TensorFlow Serving reads it.

A base folder may be one model (its subfolders are versions), a folder of models, or what ``actprobe-export``
wrote (``models.config`` beside ``models/``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actprobe.errors import UsageError
from actprobe.serving.bundle import SERVER_BASE, versions_in
from actprobe.serving.protocol.settings import read_message


@dataclass(frozen=True)
class Policy:
    """Which of the versions that are there are served: ``all``, ``specific`` or the ``latest`` few."""

    kind: str = "latest"
    latest: int = 1
    specific: tuple[int, ...] = ()

    def choose(self, versions: list[int]) -> list[int]:
        """Choose the versions to be served, the highest first."""
        ordered = sorted(versions, reverse=True)
        if self.kind == "all":
            return ordered
        if self.kind == "specific":
            return [version for version in ordered if version in self.specific]
        return ordered[: self.latest]


@dataclass(frozen=True)
class ModelConfig:
    """A model to be served: its name in requests, the folder of its versions, labels of versions."""

    name: str
    base_path: Path
    policy: Policy = field(default_factory=Policy)
    labels: Mapping[str, int] = field(default_factory=dict)


def configs_of(message: Any, root: Path, base: Path | None = None) -> dict[str, ModelConfig]:
    """Read a ModelServerConfig: name -> model.

    Relative paths begin at `root`; `base` stands for ``/models``, the place of models in the official image.

    Raises
    ------
    UsageError
        No list of models, a name twice or empty, another platform, a policy without versions.
    """
    if message.WhichOneof("config") == "custom_model_config":
        raise UsageError("custom_model_config is not there; give model_config_list")
    found: dict[str, ModelConfig] = {}
    for entry in message.model_config_list.config:
        if not entry.name or any(sign in entry.name for sign in "/:"):
            raise UsageError(f"{entry.name!r} cannot be the name of a model")
        if entry.name in found:
            raise UsageError(f"model {entry.name} is there twice")
        if entry.model_platform not in ("", "tensorflow"):
            raise UsageError(f"model {entry.name}: platform {entry.model_platform!r} is not there")
        if not entry.base_path:
            raise UsageError(f"model {entry.name} has no base_path")
        path = Path(entry.base_path)
        if base is not None and path.is_relative_to(SERVER_BASE):
            path = base / path.relative_to(SERVER_BASE)
        policy = _policy(entry.name, entry.model_version_policy)
        found[entry.name] = ModelConfig(entry.name, root / path, policy, dict(entry.version_labels))
    return found


def _policy(name: str, message: Any) -> Policy:
    kind = message.WhichOneof("policy_choice")
    if kind == "all":
        return Policy("all")
    if kind == "specific":
        if not message.specific.versions:
            raise UsageError(f"model {name}: policy specific without versions")
        return Policy("specific", specific=tuple(message.specific.versions))
    return Policy("latest", latest=message.latest.num_versions or 1)


def read_models(path: Path, base: Path | None = None) -> dict[str, ModelConfig]:
    """Read a models.config, see `configs_of`; relative paths in it begin at its folder."""
    message = read_message(path, "ModelServerConfig")
    try:
        return configs_of(message, path.resolve().parent, base)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def models_in(base: Path, name: str | None = None) -> dict[str, ModelConfig]:
    """Find the models of a base folder, the newest version of each or as its ``models.config`` says.

    `name` is that of the model where the folder is one, by default the folder's. No such folder, or a name
    that several models do not have, is a `UsageError`.
    """
    if not base.is_dir():
        raise UsageError(f"{base}: there is no such folder")
    base = base.resolve()
    if versions_in(base):
        return {name or base.name: ModelConfig(name or base.name, base)}
    if (base / "models").is_dir():
        found = models_in(base / "models")
        if (base / "models.config").is_file():
            found |= read_models(base / "models.config", base / "models")
    else:
        folders = [path for path in sorted(base.iterdir()) if path.is_dir() and not path.name.startswith(".")]
        found = {path.name: ModelConfig(path.name, path) for path in folders if versions_in(path)}
    if name is not None:
        if name not in found:
            raise UsageError(f"{base}: holds no model {name}; it holds {', '.join(found) or 'none'}")
        return {name: found[name]}
    return found
