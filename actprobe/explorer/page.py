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

from jinja2 import Environment, PackageLoader, StrictUndefined

from actprobe.batch.result import Result
from actprobe.errors import CorpusError, UsageError
from actprobe.explorer.assets import Assets
from actprobe.explorer.clips import Clips
from actprobe.explorer.findings import findings
from actprobe.explorer.inversion_part import errors_of, excerpt_name, excerpt_of, inversion_part
from actprobe.explorer.layers_part import layers_part
from actprobe.explorer.maps_part import maps_part
from actprobe.explorer.neurons_part import neurons_part
from actprobe.explorer.reading import ShownRun, shown_runs
from actprobe.provenance import ESCAPED, atomic_path

MIB = 1 << 20


@dataclass(frozen=True)
class ReportResult:
    """A report that was written.

    Parameters
    ----------
    path : Path
        ``index.html``; what it loads is in the folder beside it.
    """

    path: Path

    def _repr_html_(self) -> str:
        """Show a link in a notebook."""
        return f'<a href="{html.escape(self.path.resolve().as_uri())}">{html.escape(str(self.path))}</a>'


def report(
    *runs: Result | str | os.PathLike[str], output_dir: str | Path, audio_mib: float = 40
) -> ReportResult:
    """Turn finished runs into a page that opens from a file, offline.

    It has a part for neurons, activation maps, layers and feature inversion, as far as there are runs. The
    page loads nothing but what is in its own folder: copy ``report`` whole to hand it on. Excerpts of the
    recordings are part of it unless ``audio_mib=0``.

    Parameters
    ----------
    *runs : Result, str or Path
        What `actprobe.neurons`, `actprobe.maps`, `actprobe.evaluate_inverters` and `actprobe.invert` return,
        or the folders they wrote; the page shows several of a kind one at a time.
    output_dir : str or Path
        Gets the folder ``report``; one that is there is replaced.
    audio_mib : float, optional
        Room for excerpts of the recordings, in MiB; 0 leaves sound out.

    Returns
    -------
    ReportResult
        ``path`` of index.html; a notebook shows a link.

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
    page = environment.get_template("index.html").render(
        title=f"What {' and '.join(models)} learned" if models else "Report",
        tabs=tabs,
        runs=_each(runs, tuple(TITLES), _overview),
        failures=[failure for run in runs for failure in _failures(run)],
        parts=parts,
        scripts=assets.install_scripts(),
    )
    with atomic_path(report / "index.html") as temporary:
        temporary.write_text(page, "utf-8", ESCAPED)


def _each(runs: Sequence[ShownRun], kinds: Sequence[str], work: Callable[[ShownRun], Any]) -> list[Any]:
    """Do something with every run of some kinds; one that lacks what it should hold is named."""
    done = []
    for run in runs:
        if run.kind not in kinds:
            continue
        try:
            done.append(work(run))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError) as error:
            reason = f"does not hold what a run of its kind leaves ({type(error).__name__}: {error})"
            raise CorpusError(run.folder, reason) from error
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


def _title(run: ShownRun) -> str:
    over = excerpt_name(run) if run.kind == "inversion" else run.corpus_name
    return TITLES[run.kind].format(run.model or "a network", over)


def _overview(run: ShownRun) -> dict[str, Any]:
    record = run.record
    weights = record.get("weights", {})
    kind = weights.get("kind", "not recorded")
    named = weights.get("catalog_name") or weights.get("path") or f"seed {weights.get('seed')}"
    if kind == "user model" or (named.startswith("seed ") and weights.get("seed") is None):
        named = f"sha256 {(weights.get('sha256') or 'not recorded')[:12]}"
    warning = None
    if kind == "seeded random":
        warning = ("Control.", RANDOM_WEIGHTS)
    elif kind == "unverified":
        warning = ("Unverified weights.", f"{weights.get('path')} is not a file of the catalog.")
    repeated = {name: value for name, value in record.items() if name not in ("outputs", "layer_table")}
    frontend = record.get("frontend", {})
    described = [f"{name} {value}" for name, value in frontend.items() if not isinstance(value, dict | list)]
    rows = run.recordings
    counts = ""
    if len(rows):
        failed = int((rows["status"] == "failed").sum())
        warned = int((rows["warning"] != "").sum()) if "warning" in rows else 0
        counts = f"{len(rows) - failed} recordings entered, {failed} failed, {warned} carry a warning."
    return {
        "title": _title(run),
        "warning": warning,
        "findings": findings(run),
        "counts": counts,
        "weights": f"{record.get('model', '')}, {kind} ({named})",
        "licence": weights.get("licence", ""),
        "sha256": weights.get("sha256", ""),
        "frontend": ", ".join(described),
        "corpus": run.corpus,
        "command": record.get("command", ""),
        "record": json.dumps(repeated, indent=2, ensure_ascii=False),
    }


def _failures(run: ShownRun) -> list[dict[str, str]]:
    if run.recordings.empty:
        return []
    failed = run.recordings[run.recordings["status"] == "failed"]
    return [
        {"run": _title(run), "path": str(row.path), "reason": str(row.reason)} for row in failed.itertuples()
    ]
