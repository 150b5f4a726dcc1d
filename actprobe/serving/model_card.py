"""The model card beside an exported model: what it is, whose weights it holds, what it answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actprobe.checkpoints.catalog import find
from actprobe.models import Model, WeightsRecord
from actprobe.provenance import versions, write_json
from actprobe.serving.signatures import Signature

if TYPE_CHECKING:
    from actprobe.analyses.inversion.networks.inverter import Inverter

__all__ = ["CARD", "LICENCE", "Subject", "inverter_subject", "network_subject", "write_card"]

CARD, LICENCE, FACTS = "README.md", "WEIGHTS_LICENCE.txt", "export.json"

_MIT = """
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


@dataclass(frozen=True)
class Subject:
    """What a card is about.

    Parameters
    ----------
    title : str
        One line.
    weights : dict
        What they are for -> where they are from.
    frontend : dict
        Constants of the front end; empty if the model has none.
    notes : tuple of str
        What a careful reader should know.
    """

    title: str
    weights: dict[str, WeightsRecord]
    frontend: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def network_subject(model: Model) -> Subject:
    """Say what an exported network is.

    Parameters
    ----------
    model : Model
        The network.

    Returns
    -------
    Subject
        For `write_card`.
    """
    title = f"The network {model.name} of actprobe, with {_kind(model.weights)}"
    return Subject(title, {f"network {model.name}": model.weights}, _frontend(model), _notes(model.weights))


def inverter_subject(inverter: Inverter, model: Model | None) -> Subject:
    """Say what an exported inverter is.

    Parameters
    ----------
    inverter : Inverter
        The inverter.
    model : Model or None
        The network that goes with it.

    Returns
    -------
    Subject
        For `write_card`.
    """
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
    if model.frontend.name == "none":
        return {}
    constants = {key: value for key, value in model.frontend.describe().items() if key != "resampler"}
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
    folder: Path, name: str, signatures: Sequence[Signature], subject: Subject, file_format: str
) -> None:
    """Write the card, the licence of the weights and, for programs, export.json.

    Parameters
    ----------
    folder : Path
        The folder of the version.
    name : str
        Name of the served model.
    signatures : sequence of Signature
        What it answers.
    subject : Subject
        What it is.
    file_format : str
        ``savedmodel``, ``pb`` or ``tflite``.
    """
    (folder / CARD).write_text(_card(name, signatures, subject, file_format), "utf-8")
    (folder / LICENCE).write_text(_licences(subject), "utf-8")
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


def _card(name: str, signatures: Sequence[Signature], subject: Subject, file_format: str) -> str:
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
    made = ", ".join(f"{library} {number}" for library, number in versions().items() if library in _MADE_WITH)
    return "\n".join([*lines, f"Made with {made}.", ""])


_MADE_WITH = ("actprobe", "tensorflow", "tf-keras", "numpy")


def _origins(subject: Subject) -> list[str]:
    entries = {
        record.catalog_name: find(record.catalog_name)
        for record in subject.weights.values()
        if record.catalog_name
    }
    return [line for name, entry in entries.items() if entry for line in (f"`{name}`: {entry.origin}.", "")]


def _requests(name: str, signatures: Sequence[Signature]) -> list[str]:
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


def _licences(subject: Subject) -> str:
    parts = []
    for what, record in subject.weights.items():
        entry = find(record.catalog_name) if record.catalog_name else None
        licence = record.licence or {
            "seeded random": "random numbers, nobody's work",
            "user model": "that of whoever trained the model",
        }.get(record.kind, "not known; ask whoever gave you the file")
        parts.append(f"Weights of the {what}\nLicence: {licence}")
        if entry is not None:
            parts.append(f"Origin: {entry.origin}\nPublished at: {entry.url or 'no public address is known'}")
            if entry.packaged:
                parts.append(_packaged(entry.filename))
        if licence.startswith("MIT"):
            parts.append(f"The MIT License\n\nCopyright {licence.partition(', ')[2]}\n{_MIT}".rstrip())
        elif licence.startswith("Apache-2.0"):
            parts.append(_apache())
        elif licence.startswith("AGPL-3.0"):
            parts.append("Full text: https://www.gnu.org/licenses/agpl-3.0.txt")
    return "\n\n".join(parts) + "\n"


def _packaged(filename: str) -> str:
    from actprobe import checkpoints

    folder = (Path(checkpoints.__file__).parent / filename).parent
    return (folder / "README.md").read_text("utf-8")


def _apache() -> str:
    """Give the Apache license: actprobe comes with it, being under it, too."""
    try:
        found = [path for path in files("actprobe") or [] if path.name == "LICENSE"]
    except PackageNotFoundError:
        found = []
    return (
        found[0].read_text("utf-8") if found else "Full text: https://www.apache.org/licenses/LICENSE-2.0.txt"
    )
