"""The model card beside an exported model: what it is, whose weights it holds, what it answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actprobe.analyses.inversion.networks.inverter import Inverter
from actprobe.checkpoints.catalog import find
from actprobe.errors import UsageError
from actprobe.models.model import Model
from actprobe.models.weights import WeightsRecord
from actprobe.provenance import versions, write_json
from actprobe.serving.licences import licence_text
from actprobe.serving.signatures import ExportSignature

CARD, LICENCE, FACTS = "README.md", "WEIGHTS_LICENCE.txt", "export.json"
_MADE_WITH = ("actprobe", "tensorflow", "tf-keras", "numpy")


@dataclass(frozen=True)
class Subject:
    """What a card is about: what the weights are for, and where they are from; the front end's constants."""

    title: str
    weights: dict[str, WeightsRecord]
    frontend: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def network_subject(model: Model) -> Subject:
    """Say what an exported network is."""
    title = f"The network {model.name} of actprobe, with {_kind(model.weights)}"
    return Subject(title, {f"network {model.name}": model.weights}, _frontend(model), _notes(model.weights))


def inverter_subject(inverter: Inverter, model: Model | None) -> Subject:
    """Say what an exported inverter is, and the network that goes with it."""
    title = (
        f"The feature inverter of {inverter.layer} of {inverter.model_name}, with {_kind(inverter.weights)}"
    )
    weights = {f"inverter of {inverter.layer}": inverter.weights}
    if model is None:
        return Subject(title, weights, notes=_notes(inverter.weights))
    weights[f"network {model.name}"] = model.weights
    notes = _notes(*weights.values())
    known = {inverter.weights.kind, model.weights.kind}
    if known == {"original", "open"}:
        belonging = f"{inverter.weights} and {model.weights} do not belong together"
        notes += (f"This inverter was not made for these weights of the network: {belonging}.",)
    return Subject(title, weights, _frontend(model), notes)


def _kind(weights: WeightsRecord) -> str:
    return re.sub(r"\(\S*/", "(", str(weights))  # a folder of this machine says nothing elsewhere


def _frontend(model: Model) -> dict[str, Any]:
    try:
        described = model.frontend.describe()
    except UsageError:  # the model was wrapped without a front end
        return {}
    constants = {key: value for key, value in described.items() if key != "resampler"}
    hidden = {
        key: re.sub(r"of \S*/(?=[^/\s]+, sha256)", "of ", value)
        for key, value in constants.items()
        if isinstance(value, str)
    }
    return constants | hidden


def _notes(*records: WeightsRecord) -> tuple[str, ...]:
    notes = []
    for record in records:
        if record.kind == "seeded random":
            notes.append("These weights are random: the control of an analysis, of no use for anything else.")
        if record.kind == "unverified":
            notes.append("The catalog of actprobe does not know the file that these weights were read from.")
        if "not to be passed on" in record.licence:
            notes.append("Nobody has licensed these weights to be passed on: keep this model to yourself.")
    return tuple(dict.fromkeys(notes))


def write_card(
    folder: Path,
    name: str,
    signatures: Sequence[ExportSignature],
    subject: Subject,
    file_format: str,
    deviation: float,
) -> None:
    """Write the card, the licence of the weights and, for programs, export.json into a version's folder.

    `deviation` is the largest from Python, relative to an output's largest value.
    """
    (folder / CARD).write_text(_card(name, signatures, subject, file_format, deviation), "utf-8")
    (folder / LICENCE).write_text(licence_text(subject.weights), "utf-8")
    write_json(
        folder / FACTS,
        {
            "name": name,
            "format": file_format,
            "signatures": {
                signature.name: {
                    "input": _fact(signature.input),
                    "outputs": [_fact(output) for output in signature.outputs],
                }
                for signature in signatures
            },
            "deviation": deviation,
            "notes": list(subject.notes),
            "weights": {
                what: {
                    "kind": record.kind,
                    "file": Path(record.path).name,
                    "sha256": record.sha256,
                    "seed": record.seed,
                    "catalog_name": record.catalog_name,
                    "licence": record.licence,
                }
                for what, record in subject.weights.items()
            },
            "frontend": subject.frontend,
            "versions": versions(),
        },
    )


def _fact(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape), "what": tensor.what}


def _card(
    name: str,
    signatures: Sequence[ExportSignature],
    subject: Subject,
    file_format: str,
    deviation: float,
) -> str:
    lines = [f"# {name}", "", f"{subject.title}.", ""]
    for note in subject.notes:
        lines += [f"**{note}**", ""]
    lines += ["## Weights", "", "| of | kind | file | sha256 | licence |", "|---|---|---|---|---|"]
    for what, record in subject.weights.items():
        file = Path(record.path).name or "none"
        seed = "" if record.seed is None else f", seed {record.seed}"
        cells = (what, f"{record.kind}{seed}", file, record.sha256 or "none", record.licence or "not known")
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *_origins(subject), f"The licence is in {LICENCE}.", ""]
    if subject.frontend:
        lines += ["## Front end", "", "| constant | value |", "|---|---|"]
        lines += [f"| {key} | {value} |" for key, value in subject.frontend.items()]
        lines += [
            "",
            f"Waveforms are mono at {subject.frontend['sample_rate']} Hz; nothing here resamples.",
            "",
        ]
    lines += ["## Signatures", "", "Every input and output has the batch as its first axis.", ""]
    for signature in signatures:
        lines += [f"### {signature.name}", "", "| | name | type | shape | what |", "|---|---|---|---|---|"]
        rows = [("in", signature.input), *(("out", output) for output in signature.outputs)]
        for way, tensor in rows:
            shape = ", ".join(map(str, tensor.shape))
            lines.append(f"| {way} | `{tensor.name}` | {tensor.dtype} | [{shape}] | {tensor.what} |")
        lines.append("")
    if file_format == "savedmodel":
        lines += _requests(name, signatures)
    proof = "Its answers were compared with Python's before it was written: they differ by at most"
    made = ", ".join(f"{library} {number}" for library, number in versions().items() if library in _MADE_WITH)
    return "\n".join(
        [*lines, f"{proof} {deviation:.1e} of an output's largest value.", "", f"Made with {made}.", ""]
    )


def _origins(subject: Subject) -> list[str]:
    entries = {
        record.catalog_name: find(record.catalog_name)
        for record in subject.weights.values()
        if record.catalog_name
    }
    return [line for name, entry in entries.items() if entry for line in (f"`{name}`: {entry.origin}.", "")]


def _requests(name: str, signatures: Sequence[ExportSignature]) -> list[str]:
    lines = ["## Requests", "", "    curl http://localhost:8501/v1/models/" + name + "/metadata"]
    for signature in signatures:
        shape = [1 if axis == "batch" else axis for axis in signature.input.shape]
        shape = [22050 if axis == "samples" else axis for axis in shape]
        asked = f'{{"signature_name": "{signature.name}", "inputs": {{"{signature.input.name}": x}}}}'
        program = f"import json, numpy; x = numpy.zeros({shape}).tolist(); print(json.dumps({asked}))"
        lines += [
            "",
            f"    python -c '{program}' \\",
            f"        | curl -d @- http://localhost:8501/v1/models/{name}:predict",
        ]
    return [*lines, ""]
