"""`actprobe.export`: networks and inverters as SavedModels, frozen graphs and TensorFlow Lite files.

What is written holds numbers and a graph, nothing of Keras and no Python, so it loads and runs where only
TensorFlow is. Every weight is stored once, however many signatures use it.
"""

from __future__ import annotations

import html
import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from absl import logging

from actprobe import backend
from actprobe.analyses.inversion.networks.inverter import Inverter
from actprobe.errors import ActprobeError, UsageError
from actprobe.extras import require
from actprobe.models.model import Model
from actprobe.models.source import ModelSource
from actprobe.models.weights import WeightsRecord
from actprobe.provenance import run_record, versions, write_json
from actprobe.serving.bundle import check_name, new_version, read_models_config, write_settings
from actprobe.serving.model_card import FACTS, Subject, inverter_subject, network_subject, write_card
from actprobe.serving.pb import write_frozen_graph
from actprobe.serving.proof import requests_for
from actprobe.serving.saved_model import write_saved_model
from actprobe.serving.signatures import ExportSignature, inverter_signatures, network_signatures
from actprobe.serving.tflite import write_tflite

FOLDERS = {"savedmodel": "models", "pb": "pb", "tflite": "tflite"}  # format -> folder of OUT


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote.

    Parameters
    ----------
    name : str
        Name of the served model.
    version : int
        Its version.
    folder : Path
        The folder of this version, with README.md, the model card.
    signatures : tuple of str
        What it can be asked.
    deviation : float
        Largest difference from Python of any output, relative to its largest value or to 1.
    notes : tuple of str
        What a careful reader should know, such as a signature that there cannot be.
    weights : dict
        What the weights are of -> WeightsRecord.
    bytes : int
        What it takes on disk.
    """

    name: str
    version: int
    folder: Path
    signatures: tuple[str, ...]
    deviation: float
    notes: tuple[str, ...]
    weights: dict[str, WeightsRecord]
    bytes: int

    @cached_property
    def facts(self) -> dict[str, Any]:
        """export.json: inputs and outputs of each signature, weights, front end, versions."""
        return dict(json.loads((self.folder / FACTS).read_text("utf-8")))

    def _repr_html_(self) -> str:
        """Show the signatures in a notebook."""
        rows = [
            "<tr>"
            + "".join(
                f"<td>{html.escape(cell)}</td>"
                for cell in (name, _shown(one["input"]), ", ".join(map(_shown, one["outputs"])))
            )
            + "</tr>"
            for name, one in self.facts["signatures"].items()
        ]
        head = "<tr><th>signature</th><th>takes</th><th>gives</th></tr>"
        title = f"{self.name}, version {self.version}, in {self.folder}; deviation {self.deviation:.1e}"
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<p>{html.escape(title)}</p><table>{head}{''.join(rows)}</table>{notes}"


def _shown(tensor: dict[str, Any]) -> str:
    return f"{tensor['name']} [{', '.join(map(str, tensor['shape']))}]"


def export(
    model: Model | ModelSource | Inverter,
    *,
    output_dir: str | Path,
    network: Model | ModelSource | None = None,
    name: str | None = None,
    version: int | None = None,
    label: str | None = None,
    layers: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    file_format: str = "savedmodel",
) -> ExportResult:
    """Export a network or a feature inverter for TensorFlow Serving, essentia or TensorFlow Lite.

    Parameters
    ----------
    model : Model, ModelSource or Inverter
        What is exported.
    output_dir : str or Path
        OUT; the version goes to OUT/models/NAME/VERSION, of the other formats to OUT/pb or OUT/tflite.
    network : Model or ModelSource, optional
        The network whose features an inverter inverts; without it there is no ``from_mel`` and no
        ``from_waveform``.
    name : str, optional
        Name of the served model; by default that of the network, or ``NETWORK_inverter_LAYER``.
    version : int, optional
        Number of the version; by default one more than the highest there is.
    label : str, optional
        Label to be put on the version in models.config, such as ``canary``.
    layers : sequence of str, optional
        Layers of a network that the signature ``activations`` gives; by default all, of a tflite file the
        outputs.
    outputs : sequence of str, optional
        Layers of a network that ``serving_default`` and ``from_waveform`` give; by default its outputs.
    file_format : str, optional
        ``savedmodel``, ``pb`` or ``tflite``.

    Returns
    -------
    ExportResult
        What was written. Where the front end is not written with TensorFlow operations, ``from_waveform``
        is left out, and ``notes`` say so.

    Raises
    ------
    UsageError
        No such layer or format, a name that is none, a network that does not fit the inverter, a version that
        is there already.
    ActprobeError
        What was written does not answer as Python does, could not be converted, or not be written.

    Examples
    --------
    >>> exported = actprobe.export(model, output_dir="SERVED")
    >>> exported.signatures
    ('serving_default', 'activations', 'from_waveform')
    """
    began = time.time()
    arguments = {
        "model": repr(model), "network": network and network.name, "output_dir": str(output_dir),
        "name": name, "version": version, "label": label,
        "layers": layers if isinstance(layers, str) else layers and list(layers),
        "outputs": outputs and list(outputs), "file_format": file_format,
    }  # fmt: skip
    if file_format not in FOLDERS:
        raise UsageError(f"there is no format {file_format!r}; there is {', '.join(FOLDERS)}")
    if file_format == "savedmodel":
        require("serve", "the format savedmodel")
    if label is not None and file_format != "savedmodel":
        raise UsageError(f"label={label}: only a savedmodel is served, so only its versions have labels")
    if isinstance(model, Inverter):
        if layers is not None or outputs is not None:
            raise UsageError("an inverter has no layers to give")
        layer = model.layer.replace("/", "_")
        name = check_name(name or f"{model.model_name}_inverter_{layer}")
        opened = None if network is None else network.open()
        signatures, missing = inverter_signatures(model, opened)
        subject = inverter_subject(model, opened)
        weights = {f"inverter of {model.model_name} {model.layer}": model.weights}
    else:
        if network is not None:
            raise UsageError("network= goes with an inverter; a network is exported by itself")
        name = check_name(name or model.name)
        for asked in (layers, outputs):  # refused before the network is built
            if asked is not None:
                model.layers.select(asked)
        opened = model.open()
        outputs = outputs or opened.exported
        if file_format == "tflite":
            layers = layers or outputs
        signatures, missing = network_signatures(opened, layers, outputs)
        subject = network_subject(opened)
        weights = {}
    if opened is not None:
        weights[opened.name] = opened.weights
    for note in missing:
        logging.warning("%s: %s", name, note)
    subject = replace(subject, notes=(*subject.notes, *missing))
    with nullcontext() if opened is None else opened.computing():
        result = _write(
            Path(output_dir), name, version, label, signatures, subject, file_format, opened, weights
        )
    found = {"name": result.name, "version": result.version, "path": str(result.folder)}
    provenance = {
        "exported": {**found, "deviation": result.deviation, "notes": list(result.notes)},
        "weights": {what: vars(record) for what, record in weights.items()},
        "versions": versions(),
    }
    write_json(Path(output_dir) / "run.json", run_record("export", began, arguments, provenance))
    return result


def _write(
    output_dir: Path,
    name: str,
    version: int | None,
    label: str | None,
    signatures: Sequence[ExportSignature],
    subject: Subject,
    file_format: str,
    model: Model | None,
    weights: dict[str, WeightsRecord],
) -> ExportResult:
    """Write a version and enter it into the settings; it appears whole or not at all."""
    requests = requests_for(signatures, model)
    if file_format == "savedmodel":
        read_models_config(output_dir / "models.config")  # refused before anything is written
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with new_version(output_dir, FOLDERS[file_format], name, version) as draft:
            written = list(signatures)
            if file_format == "savedmodel":
                deviation = write_saved_model(draft.folder, name, requests)
            elif file_format == "pb":
                written, deviation = write_frozen_graph(draft.folder / f"{name}.pb", requests)
            else:
                written, deviation = write_tflite(draft.folder / f"{name}.tflite", requests)
            write_card(draft.folder, name, written, subject, file_format, deviation)
            size = sum(path.stat().st_size for path in draft.folder.rglob("*") if path.is_file())
        if file_format == "savedmodel":
            write_settings(output_dir, name, draft.version, label)
    except (OSError, backend.tf.errors.OpError) as error:
        raise ActprobeError(f"{output_dir}: {_reason(error)}") from error
    names = tuple(one.name for one in written)
    return ExportResult(name, draft.version, draft.path, names, deviation, subject.notes, weights, size)


def _reason(error: Exception) -> str:
    """Say in one line why nothing could be written; TensorFlow names an operation and a file first."""
    if isinstance(error, OSError):
        return f"cannot be written to ({error.strerror or error})"
    message = str(getattr(error, "message", error)).strip().splitlines()[0]
    return f"cannot be written to ({message.rpartition('; ')[2].partition(' [Op:')[0]})"
