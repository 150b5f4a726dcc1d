"""Results as the report reads them: with what only the page needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pandas as pd

from actprobe.analyses.finished_runs import load_run
from actprobe.batch.result import Result
from actprobe.corpora import open_corpus
from actprobe.corpora.named import parse_named
from actprobe.errors import ActprobeError, CorpusError

Read = TypeVar("Read")
SHOWN = (
    "neurons",
    "maps",
    "evaluation",
    "inversion",
    "attribution",
    "attribution_scores",
    "excitation",
    "tuning",
    "dissection",
    "ablation",
    "probe",
)  # the kinds of runs that a page has a part for


@dataclass(frozen=True)
class ShownRun:
    """A finished run on the page.

    Parameters
    ----------
    result : Result
        The run.
    place : int
        Place among the runs of its kind, from 0, by which addresses name it.
    """

    result: Result
    place: int = 0

    @property
    def key(self) -> str:
        """Short name of the run, unique on the page."""
        return f"{self.kind}-{self.place + 1}"

    @property
    def kind(self) -> str:
        """One of `SHOWN`."""
        return self.result.KIND

    @property
    def folder(self) -> Path:
        """Where everything is."""
        return self.result.folder

    @property
    def record(self) -> dict[str, Any]:
        """run.json."""
        return self.result.record

    @property
    def model(self) -> str:
        """Name of the network."""
        return self.result.model

    @property
    def table(self) -> pd.DataFrame:
        """The main table."""
        return self.result.table

    @property
    def recordings(self) -> pd.DataFrame:
        """recordings.csv; empty when the run has none."""
        return self.result.recordings

    def frame(self, name: str) -> pd.DataFrame:
        """Read a table of the run; empty when the run did not write it."""
        return self.result.frame(name)

    @property
    def corpus(self) -> str:
        """What the run went over: a folder, a manifest, a recording."""
        flags = self.record.get("flags", {})
        given = [flags.get(name) for name in ("corpus_dir", "input", "corpus")]  # of a command, or a call
        given += [self.record.get("recording"), self.record.get("corpus")]
        return next((str(named) for named in given if named), "")

    @property
    def corpus_name(self) -> str:
        """Short name of the corpus: its last part, of a manifest with the folder it stands in."""
        path = Path(self.corpus)
        if path.suffix.lower() == ".csv":
            return f"{path.parent.name}/{path.name}".removeprefix("/")
        return path.name or "a corpus"

    @property
    def title(self) -> str:
        """What the page calls the run where several can be picked."""
        return f"{self.model} on {self.corpus_name} ({self.key})"

    def address(self, what: str, name: str, feature: str | None = None) -> str:
        """Give the address of something of the run in the page: ``#neuron=MODEL/LAYER/12``."""
        shown = f"#{what}={quote(f'{self.model}/{name}', safe='/')}"
        return shown if feature is None else f"{shown}&feature={quote(feature, safe='')}"

    def recording_path(self, name: str) -> Path | None:
        """Find a recording by its name in recordings.csv; None when it is no longer where it was."""
        base = Path(str(self.record.get("corpus") or self.corpus))
        # The phantom corpus stands in the run's own folder, wherever that was moved.
        for folder in (base if base.is_dir() else base.parent, self.folder / "phantom"):
            path = folder / name
            if path.is_file():
                return path
        return self._named.get(name)

    @cached_property
    def _named(self) -> dict[str, Path]:
        """Name -> path in a corpus that was opened by its name: such names need not be paths."""
        corpus = str(self.record.get("corpus", ""))
        if parse_named(corpus) is None:
            return {}
        try:
            return {one.name: one.path for one in open_corpus(corpus) if one.path.is_file()}
        except ActprobeError:  # it is no longer there
            return {}


def shown_runs(runs: Sequence[Result | str | os.PathLike[str]]) -> list[ShownRun]:
    """Open the runs of a page, folders or results; one that it has no part for is a `CorpusError`."""
    shown: list[ShownRun] = []
    for run in runs:
        result = run if isinstance(run, Result) else load_run(Path(run))
        if result.KIND not in SHOWN:
            reason = f"holds a run of kind {result.KIND}; a report shows {', '.join(SHOWN)}"
            raise CorpusError(result.folder, reason)
        shown.append(ShownRun(result, sum(each.kind == result.KIND for each in shown)))
    return shown


def read_from(run: ShownRun, work: Callable[[ShownRun], Read]) -> Read:
    """Read something from a run; a run that lacks what it should hold is a `CorpusError`."""
    try:
        return work(run)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError) as error:
        reason = f"does not hold what a run of its kind leaves ({type(error).__name__}: {error})"
        raise CorpusError(run.folder, reason) from error
