"""`report`: finished runs -> one page that opens from a file, offline."""

from __future__ import annotations

import html
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from actprobe.batch.result import Result
from actprobe.batch.tables import read_frame
from actprobe.errors import UsageError
from actprobe.explorer.assets import Assets
from actprobe.explorer.attribution_part import attribution_part, passages_shown, scores_of
from actprobe.explorer.causal_part import causal_part
from actprobe.explorer.clips import Clips
from actprobe.explorer.evidence import JUDGED, evidence
from actprobe.explorer.excitation_part import excitation_part, excited_of
from actprobe.explorer.findings import cautions, listed
from actprobe.explorer.inversion_part import errors_of, excerpt_of, inversion_part
from actprobe.explorer.layers_part import layers_part
from actprobe.explorer.maps_part import maps_part
from actprobe.explorer.neurons_part import neurons_part
from actprobe.explorer.overview import analysed, cards, heading
from actprobe.explorer.reading import SHOWN, ShownRun, read_from, shown_runs
from actprobe.models import WeightsRecord
from actprobe.provenance import ESCAPED, atomic_path, write_csv

MIB = 1 << 20
EVIDENCE = "evidence.csv"
TABS = {
    "overview": "Overview",
    "neurons": "Neurons",
    "maps": "Activation maps",
    "layers": "Layers",
    "inversion": "Feature inversion",
    "attribution": "Attribution",
    "causal": "Causal tests",
}
RANDOM_WEIGHTS = "the network was not trained; its results are a control, not findings."


@dataclass(frozen=True)
class ReportResult:
    """A report that was written.

    Parameters
    ----------
    path : Path
        ``index.html``; what it loads is in the folder beside it.
    """

    path: Path

    @property
    def evidence(self) -> pd.DataFrame:
        """evidence.csv: what several analyses say of each neuron; empty with fewer than two kinds of them.

        ``follows``, ``responds``, ``detects`` and ``matters`` are judged by the test of each analysis.
        """
        table = read_frame(self.path.parent / EVIDENCE)
        return table.astype({name: "boolean" for name in JUDGED if name in table})

    def _repr_html_(self) -> str:
        """Show a link in a notebook."""
        return f'<a href="{html.escape(self.path.resolve().as_uri())}">{html.escape(str(self.path))}</a>'


def report(
    *runs: Result | str | os.PathLike[str], output_dir: str | Path, audio_mib: float = 40
) -> ReportResult:
    """Turn finished runs into a page that opens from a file, offline.

    It has a part for neurons, activation maps, layers, feature inversion, attribution and causal tests, as
    far as there are runs. The page loads nothing but what is in its own folder: copy ``report`` whole to
    hand it on. Excerpts of the recordings are part of it unless ``audio_mib=0``.

    Parameters
    ----------
    *runs : Result, str or Path
        What `actprobe.neurons`, `actprobe.maps`, `actprobe.evaluate_inverters`, `actprobe.invert`,
        `actprobe.attribute`, `actprobe.evaluate_attributions`, `actprobe.excite`, `actprobe.tune`,
        `actprobe.dissect`, `actprobe.ablate` and `actprobe.probe` return, or the folders they wrote.
    output_dir : str or Path
        Gets the folder ``report``; one that is there is replaced.
    audio_mib : float, optional
        Room for excerpts of the recordings, in MiB; 0 leaves sound out.

    Returns
    -------
    ReportResult
        ``path`` of index.html; a notebook shows a link. ``evidence``: what neuron runs, tuning curves,
        dissection and ablation say together of each neuron.

    Raises
    ------
    CorpusError
        A folder does not hold a finished run, or one of a kind that a report does not show.
    UsageError
        No run.
    OSError
        The folder cannot be written.

    Examples
    --------
    >>> actprobe.report("NEURONS", "INVERTED", output_dir="REPORT").path.name
    'index.html'
    """
    if not runs:
        raise UsageError("a report needs the folder of at least one finished run")
    shown = shown_runs(runs)
    output = Path(output_dir)
    output.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".report-", dir=output))
    try:
        partial.chmod(0o777 & ~_umask())
        _write(shown, partial, int(audio_mib * MIB))
        folder = output / "report"
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ReportResult(folder / "index.html")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(runs: Sequence[ShownRun], report: Path, audio_bytes: int) -> None:
    table = evidence(runs)
    if len(table):
        write_csv(report / EVIDENCE, table)
    assets = Assets(report / "assets")
    clips = Clips(assets, audio_bytes)
    # Inversions first: their sounds are few, and neurons take what room is left.
    inversion = inversion_part(
        _each(runs, ("evaluation",), errors_of), _each(runs, ("inversion",), excerpt_of), assets, clips
    )
    excited = excitation_part(_each(runs, ("excitation",), excited_of), assets, clips)
    attribution = attribution_part(
        _each(runs, ("attribution",), passages_shown),
        _each(runs, ("attribution_scores",), scores_of),
        excited,
        assets,
        clips,
    )
    parts = {
        "neurons": _each(runs, ("neurons",), lambda run: neurons_part(run, assets, clips)),
        "maps": _each(runs, ("maps",), lambda run: maps_part(run, assets)),
        "layers": layers_part(runs),
        "inversion": inversion,
        "attribution": attribution,
        "causal": causal_part(runs, table, assets),
    }
    tabs = {name: title for name, title in TABS.items() if name == "overview" or parts[name]}
    weights = _each(runs, SHOWN, _weights)
    models = list(dict.fromkeys(run.model for run in runs if run.model))
    environment = Environment(
        loader=PackageLoader("actprobe.explorer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("index.html").render(
        title=f"Analysis of {listed(models)}" if models else "Report",
        analysed=analysed(runs, weights),
        tabs=tabs,
        notes=_notes(runs),
        cards=cards(runs, table, assets),
        cautions=[(heading(run), text) for run in runs for text in read_from(run, cautions)],
        provenance=[_provenance(run, named) for run, named in zip(runs, weights, strict=True)],
        failures=_failures(runs),
        parts=parts,
        excited=excited,
        scripts=assets.install_scripts(),
    )
    with atomic_path(report / "index.html") as temporary:
        temporary.write_text(page, "utf-8", ESCAPED)


def _each(runs: Sequence[ShownRun], kinds: Sequence[str], work: Callable[[ShownRun], Any]) -> list[Any]:
    """Do something with every run of some kinds; one that lacks what it should hold is named."""
    return [read_from(run, work) for run in runs if run.kind in kinds]


def _weights(run: ShownRun) -> str:
    """Name the weights of a run in words."""
    recorded = run.record.get("weights")
    return str(WeightsRecord(**recorded)) if recorded else "weights not recorded"


def _notes(runs: Sequence[ShownRun]) -> list[tuple[str, str]]:
    """Say which runs are controls or have weights that nobody has verified."""
    notes: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        weights = run.record.get("weights", {})
        if weights.get("kind") == "seeded random":
            notes.setdefault(("Control: random weights.", RANDOM_WEIGHTS), []).append(heading(run))
        elif weights.get("kind") == "unverified":
            unknown = f"{weights.get('path')} is not a file of the catalog."
            notes.setdefault(("Unverified weights.", unknown), []).append(heading(run))
    return [(name, f"{listed(of)}: {text}") for (name, text), of in notes.items()]


def _provenance(run: ShownRun, weights: str) -> dict[str, Any]:
    record = run.record
    repeated = {name: value for name, value in record.items() if name not in ("outputs", "layer_table")}
    frontend = record.get("frontend", {})
    described = [f"{name} {value}" for name, value in frontend.items() if not isinstance(value, dict | list)]
    return {
        "title": heading(run),
        "weights": f"{run.model}, {weights}",
        "licence": record.get("weights", {}).get("licence", ""),
        "sha256": record.get("weights", {}).get("sha256", ""),
        "frontend": ", ".join(described),
        "corpus": run.corpus,
        "command": record.get("command", ""),
        "record": json.dumps(repeated, indent=2, ensure_ascii=False),
    }


def _failures(runs: Sequence[ShownRun]) -> list[dict[str, str]]:
    """List the recordings that failed, each once for a reason, with the runs it failed in."""
    found: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        rows = run.recordings
        for row in rows[rows["status"] == "failed"].itertuples() if len(rows) else ():
            found.setdefault((str(row.path), str(row.reason)), []).append(heading(run))
    return [
        {"path": path, "reason": reason, "runs": listed(dict.fromkeys(names))}
        for (path, reason), names in found.items()
    ]
