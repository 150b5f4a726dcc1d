"""Run folders -> one page that opens from a file, offline."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from actprobe.errors import CorpusError, UsageError
from actprobe.explorer.assets import Assets
from actprobe.explorer.clips import Clips
from actprobe.explorer.findings import findings
from actprobe.explorer.inversion_part import errors_of, excerpt_name, excerpt_of, inversion_part
from actprobe.explorer.layers_part import layers_part
from actprobe.explorer.maps_part import maps_part
from actprobe.explorer.neurons_part import neurons_part
from actprobe.explorer.reading import RunFolder, open_run
from actprobe.provenance import atomic_path

__all__ = ["write_report"]

MIB = 1 << 20


def write_report(run_dirs: Sequence[Path], output_dir: Path, *, audio_mib: float = 40) -> Path:
    """Write report/index.html and its assets.

    Parameters
    ----------
    run_dirs : sequence of Path
        ``--output_dir`` of finished runs, of any kind.
    output_dir : Path
        Gets the folder ``report``; one that is there is replaced.
    audio_mib : float, optional
        Room for excerpts of the recordings, in MiB; 0 leaves sound out.

    Returns
    -------
    Path
        ``index.html``.

    Raises
    ------
    CorpusError
        A folder does not hold a finished run.
    UsageError
        No folder.
    """
    if not run_dirs:
        raise UsageError("a report needs the folder of at least one finished run")
    runs: list[RunFolder] = []
    for directory in run_dirs:
        runs.append(open_run(directory, [run.key for run in runs]))
    output_dir.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".report-", dir=output_dir))
    try:
        partial.chmod(0o777 & ~_umask())
        _write(runs, partial, int(audio_mib * MIB))
        report = output_dir / "report"
        shutil.rmtree(report, ignore_errors=True)
        partial.replace(report)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report / "index.html"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(runs: Sequence[RunFolder], report: Path, audio_bytes: int) -> None:
    assets = Assets(report / "assets")
    clips = Clips(assets, audio_bytes)
    # Inversions first: their sounds are few, and neurons take what room is left.
    inversion = inversion_part(
        _each(runs, ("evaluation",), errors_of), _each(runs, ("inversion",), excerpt_of), assets, clips
    )
    parts = {
        "neurons": _each(runs, ("neurons",), lambda run: neurons_part(run, assets, clips)),
        "maps": _each(runs, ("maps",), lambda run: maps_part(run, assets)),
        "layers": layers_part(runs),
        "inversion": inversion,
    }
    tabs = [{"id": "overview", "name": "Overview"}]
    tabs += [{"id": name, "name": name.capitalize()} for name, part in parts.items() if part]
    models = list(dict.fromkeys(run.model for run in runs if run.model))
    environment = Environment(
        loader=PackageLoader("actprobe.explorer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    html = environment.get_template("index.html").render(
        title=f"What {' and '.join(models)} learned" if models else "Report",
        tabs=tabs,
        runs=_each(runs, tuple(TITLES), _overview),
        failures=[failure for run in runs for failure in _failures(run)],
        parts=parts,
        scripts=assets.install_scripts(),
    )
    with atomic_path(report / "index.html") as temporary:
        temporary.write_text(html, "utf-8")


def _each(runs: Sequence[RunFolder], kinds: Sequence[str], work: Callable[[RunFolder], Any]) -> list[Any]:
    """Do something with every run of some kinds; one that lacks what it should hold is named."""
    done = []
    for run in runs:
        if run.kind not in kinds:
            continue
        try:
            done.append(work(run))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError) as error:
            reason = f"does not hold what a run of its kind leaves ({type(error).__name__}: {error})"
            raise CorpusError(run.directory, reason) from error
    return done


RANDOM_WEIGHTS = (
    "The network has seeded random weights. What follows shows what a network that learned nothing does; "
    "it is not a finding about a trained one."
)
TITLES = {
    "neurons": "Neurons of {}, {}",
    "maps": "Activation maps of {}, {}",
    "evaluation": "What the layers of {} keep, {}",
    "inversion": "Inverted from {}, {}",
}


def _title(run: RunFolder) -> str:
    over = excerpt_name(run) if run.kind == "inversion" else run.corpus_name
    return TITLES[run.kind].format(run.model or "a network", over)


def _overview(run: RunFolder) -> dict[str, Any]:
    record = run.record
    weights = record.get("weights", {})
    kind = weights.get("kind", "not recorded")
    named = weights.get("catalog_name") or weights.get("path") or f"seed {weights.get('seed')}"
    warning = None
    if kind == "seeded random":
        warning = (
            "Control.",
            RANDOM_WEIGHTS,
        )
    elif kind == "unverified":
        warning = ("Unverified weights.", f"{weights.get('path')} is not a file of the catalog.")
    frontend = record.get("frontend", {})
    described = [f"{name} {value}" for name, value in frontend.items() if not isinstance(value, dict | list)]
    ledger = run.ledger()
    failed = int((ledger["status"] == "failed").sum())
    warned = int((ledger["warning"] != "").sum()) if "warning" in ledger else 0
    counts = f"{len(ledger) - failed} recordings entered, {failed} failed, {warned} carry a warning."
    return {
        "title": _title(run),
        "warning": warning,
        "findings": findings(run),
        "counts": counts if len(ledger) else "",
        "weights": f"{record.get('model', '')}, {kind} ({named})",
        "licence": weights.get("licence", ""),
        "sha256": weights.get("sha256", ""),
        "frontend": ", ".join(described),
        "corpus": run.corpus,
        "command": record.get("command", ""),
        "record": json.dumps(record, indent=2, ensure_ascii=False),
    }


def _failures(run: RunFolder) -> list[dict[str, str]]:
    ledger = run.ledger()
    failed = ledger[ledger["status"] == "failed"]
    return [
        {"run": _title(run), "path": str(row.path), "reason": str(row.reason)} for row in failed.itertuples()
    ]
