"""Run folders as the report reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from actprobe.errors import CorpusError

__all__ = ["KINDS", "RunFolder", "open_run"]

# What a run of each kind leaves behind when it has finished.
KINDS = {
    "neurons": "neurons.parquet",
    "maps": "maps.parquet",
    "evaluation": "nre.csv",
    "inversion": "inversion.npz",
}


@dataclass(frozen=True)
class RunFolder:
    """The folder of a finished run.

    Parameters
    ----------
    directory : Path
        ``--output_dir`` of the run.
    kind : str
        One of `KINDS`.
    record : dict
        run.json.
    key : str
        Short name of the run, unique in a report.
    """

    directory: Path
    kind: str
    record: dict[str, Any]
    key: str = field(default="")

    @property
    def model(self) -> str:
        """Name of the network."""
        return str(self.record.get("model", ""))

    @property
    def corpus(self) -> str:
        """What the run went over: a folder, a manifest, a recording."""
        flags = self.record.get("flags", {})
        for named in (flags.get("corpus_dir"), flags.get("input"), self.record.get("corpus")):
            if named:
                return str(named)
        return ""

    @property
    def corpus_name(self) -> str:
        """Short name of the corpus: its last part, of a manifest with the folder it stands in."""
        path = Path(self.corpus)
        if path.suffix.lower() == ".csv":
            return f"{path.parent.name}/{path.name}"
        return path.name or "a corpus"

    @property
    def place(self) -> int:
        """Place among the runs of its kind, from 0, by which addresses name it."""
        return int(self.key.rsplit("-", 1)[1]) - 1

    @property
    def title(self) -> str:
        """What the page calls the run where several can be picked."""
        return f"{self.model} on {self.corpus_name} ({self.key})"

    def table(self, name: str) -> pd.DataFrame:
        """Read a table of the run.

        Parameters
        ----------
        name : str
            File name, ``.csv`` or ``.parquet``.

        Returns
        -------
        pandas.DataFrame
            Empty when the run did not write it.

        Raises
        ------
        CorpusError
            The table is damaged.
        """
        path = self.directory / name
        if not path.exists():
            return pd.DataFrame()
        try:
            if path.suffix == ".parquet":
                return pd.read_parquet(path)
            return pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise CorpusError(path, f"is not a readable table ({error})") from error

    def ledger(self) -> pd.DataFrame:
        """Read recordings.csv as text.

        Returns
        -------
        pandas.DataFrame
            Every column as text, empty where nothing is known; no rows when the run has no ledger.
        """
        path = self.directory / "recordings.csv"
        if not path.exists():
            return pd.DataFrame(columns=["path", "status", "reason", "warning", "seconds"])
        try:
            return pd.read_csv(path, keep_default_na=False, dtype=str)
        except (OSError, ValueError) as error:
            raise CorpusError(path, f"is not a readable table ({error})") from error

    def recording_path(self, name: str) -> Path | None:
        """Find a recording of the run.

        Parameters
        ----------
        name : str
            As the ledger names it.

        Returns
        -------
        Path or None
            None when it is no longer where the run found it.
        """
        base = Path(str(self.record.get("corpus") or self.corpus))
        # The phantom corpus stands in the run's own folder, wherever that was moved.
        for folder in (base if base.is_dir() else base.parent, self.directory / "phantom"):
            path = folder / name
            if path.is_file():
                return path
        return None


def open_run(directory: Path, taken: Sequence[str] = ()) -> RunFolder:
    """Open the folder of a finished run.

    Parameters
    ----------
    directory : Path
        ``--output_dir`` of a run.
    taken : sequence of str, optional
        Keys of the runs opened before.

    Returns
    -------
    RunFolder
        With its kind and record.

    Raises
    ------
    CorpusError
        There is no finished run in it.
    """
    try:
        record = json.loads((directory / "run.json").read_text("utf-8"))
    except OSError as error:
        reason = "does not exist" if not directory.exists() else "holds no finished run (no run.json)"
        raise CorpusError(directory, reason) from error
    except ValueError as error:
        raise CorpusError(directory, f"its run.json is damaged ({error})") from error
    kinds = [kind for kind, file in KINDS.items() if (directory / file).is_file()]
    if not isinstance(record, dict) or not kinds:
        raise CorpusError(directory, f"holds none of {', '.join(KINDS.values())}")
    number = 1
    while f"{kinds[0]}-{number}" in taken:
        number += 1
    return RunFolder(directory, kinds[0], record, f"{kinds[0]}-{number}")
