"""Sentences about files that Keras wrote: which Keras opens them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

METADATA = 1 << 16  # bytes


def how_to_open(path: Path) -> str:
    """Say what to do with a model's file, which `actprobe.wrap_model` does not read itself."""
    written = _keras_version(path)
    if not written:
        return f"{path}: wrap_model takes an opened network, not a file: load it with its framework first"
    keras = "keras" if int(written.split(".")[0]) >= 3 else "tf_keras"
    return (
        f"{path} was written by Keras {written}: load it by {keras}.models.load_model({str(path)!r}) and "
        f"give wrap_model what that returns"
    )


def explained(error: BaseException) -> str | None:
    """Say what to do about tf-keras's error for a file that Keras 3 wrote; None for any other error."""
    text = str(error)
    foreign = "Unrecognized keyword arguments" in text and ("'batch_shape'" in text or "'optional'" in text)
    if not (isinstance(error, TypeError | ValueError) and foreign) and "DTypePolicy" not in text:
        return None
    return (
        "the model's file was written by Keras 3, which tf-keras cannot read: load it by `import keras; "
        "keras.models.load_model(FILE)`; wrap_model takes Keras 3 models"
    )


def _keras_version(path: Path) -> str:
    """Read which Keras wrote a .keras file; empty where that cannot be said."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("metadata.json") as file:
            version = str(json.loads(file.read(METADATA))["keras_version"])
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError):
        return ""
    return version if version.split(".")[0].isdigit() else ""
