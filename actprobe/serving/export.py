"""Networks and inverters as SavedModels, frozen graphs and TensorFlow Lite files.

What is written holds numbers and a graph, nothing of Keras and no Python, so it loads and runs where only
TensorFlow is. Every weight is stored once, however many signatures use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actprobe import backend
from actprobe.errors import ActprobeError, UsageError
from actprobe.models import Model
from actprobe.serving.bundle import check_name, new_version, read_models_config, write_settings
from actprobe.serving.model_card import Subject, inverter_subject, network_subject, write_card
from actprobe.serving.pb import write_frozen_graph
from actprobe.serving.saved_model import write_saved_model
from actprobe.serving.signatures import Signature, inverter_signatures, network_outputs, network_signatures
from actprobe.serving.tflite import write_tflite
from actprobe.serving.warmup import warmup_requests

if TYPE_CHECKING:
    from actprobe.analyses.inversion.networks.inverter import Inverter

__all__ = ["FORMATS", "Exported", "export_inverter", "export_model"]

FORMATS = ("savedmodel", "pb", "tflite")


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Parameters
    ----------
    name : str
        Name of the model.
    version : int
        Its version.
    path : Path
        The folder of this version.
    signatures : tuple of str
        What it can be asked.
    bytes : int
        What it takes on disk.
    """

    name: str
    version: int
    path: Path
    signatures: tuple[str, ...]
    bytes: int


def export_model(
    model: Model,
    output_dir: str | Path,
    *,
    name: str | None = None,
    version: int | None = None,
    label: str | None = None,
    layers: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    file_format: str = "savedmodel",
) -> Exported:
    """Export a network.

    Parameters
    ----------
    model : Model
        What `actprobe.load_model` or `actprobe.wrap_model` gave.
    output_dir : str or Path
        OUT; the version goes to OUT/models/NAME/VERSION, for the other formats OUT/pb or OUT/tflite.
    name : str, optional
        Name of the served model; by default that of the network.
    version : int, optional
        Number of the version; by default one more than the highest there is.
    label : str, optional
        Label to be put on the version in models.config, such as ``canary``.
    layers : sequence of str, optional
        Layers that the signature ``activations`` gives; by default all, of a tflite file the outputs.
    outputs : sequence of str, optional
        Layers that ``serving_default`` and ``from_waveform`` give; by default the network's last.
    file_format : str, optional
        ``savedmodel``, ``pb`` or ``tflite``.

    Returns
    -------
    Exported
        What was written.

    Raises
    ------
    UsageError
        No such layer or format, a name that is none, a version that is there already.
    ActprobeError
        What was written does not answer as the model does, or could not be converted.
    """
    name = check_name(name or model.name)
    _check_format(file_format)
    outputs = outputs or network_outputs(model)
    if file_format == "tflite":
        layers = layers or outputs
    signatures = network_signatures(model, layers, outputs)
    subject = network_subject(model)
    return _export(Path(output_dir), name, version, label, signatures, subject, file_format, model)


def export_inverter(
    inverter: Inverter,
    output_dir: str | Path,
    *,
    model: Model | None = None,
    name: str | None = None,
    version: int | None = None,
    label: str | None = None,
    file_format: str = "savedmodel",
) -> Exported:
    """Export a feature inverter.

    Parameters
    ----------
    inverter : Inverter
        What `actprobe.load_inverter` gave.
    output_dir : str or Path
        OUT, see `export_model`.
    model : Model, optional
        The network whose features it inverts, which ``from_mel`` and ``from_waveform`` need.
    name : str, optional
        Name of the served model; by default ``NETWORK_inverter_LAYER``.
    version : int, optional
        Number of the version; by default one more than the highest there is.
    label : str, optional
        Label to be put on the version in models.config, such as ``canary``.
    file_format : str, optional
        ``savedmodel``, ``pb`` or ``tflite``.

    Returns
    -------
    Exported
        What was written.

    Raises
    ------
    UsageError
        A network that does not fit, no such format, a name that is none, a version that is there already.
    ActprobeError
        What was written does not answer as the inverter does, or could not be converted.
    """
    layer = inverter.layer.replace("/", "_")
    name = check_name(name or f"{inverter.model_name}_inverter_{layer}")
    _check_format(file_format)
    signatures = inverter_signatures(inverter, model)
    subject = inverter_subject(inverter, model)
    return _export(Path(output_dir), name, version, label, signatures, subject, file_format, model)


def _check_format(file_format: str) -> None:
    if file_format not in FORMATS:
        raise UsageError(f"there is no format {file_format!r}; there is {', '.join(FORMATS)}")


def _export(
    output_dir: Path,
    name: str,
    version: int | None,
    label: str | None,
    signatures: Sequence[Signature],
    subject: Subject,
    file_format: str,
    model: Model | None,
) -> Exported:
    if label is not None and file_format != "savedmodel":
        raise UsageError(f"label={label}: only a savedmodel is served, so only its versions have labels")
    kind = {"savedmodel": "models"}.get(file_format, file_format)
    requests = warmup_requests(signatures, model)
    if file_format == "savedmodel":
        read_models_config(output_dir / "models.config")  # refused before anything is written
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with new_version(output_dir, kind, name, version) as draft:
            written = list(signatures)
            if file_format == "savedmodel":
                write_saved_model(draft.folder, name, requests)
            elif file_format == "pb":
                written = write_frozen_graph(draft.folder / f"{name}.pb", requests)
            else:
                written = write_tflite(draft.folder / f"{name}.tflite", requests)
            write_card(draft.folder, name, written, subject, file_format)
            size = sum(path.stat().st_size for path in draft.folder.rglob("*") if path.is_file())
        if file_format == "savedmodel":
            write_settings(output_dir, name, draft.version, label)
    except (OSError, backend.tf.errors.OpError) as error:
        raise ActprobeError(f"{output_dir}: {_reason(error)}") from error
    return Exported(name, draft.version, draft.path, tuple(one.name for one in written), size)


def _reason(error: Exception) -> str:
    """Say in one line why nothing could be written; TensorFlow names an operation and a file first."""
    if isinstance(error, OSError):
        return f"cannot be written to ({error.strerror or error})"
    message = str(getattr(error, "message", error)).strip().splitlines()[0]
    return f"cannot be written to ({message.rpartition('; ')[2].partition(' [Op:')[0]})"
