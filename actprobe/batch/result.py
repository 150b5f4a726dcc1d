"""What an analysis gives back: the folder it wrote, with its tables, figures and provenance.

A result reads from its folder what it is asked for, so the one that an analysis returns and the one that
`actprobe.load_run` opens later are the same.
"""

from __future__ import annotations

import html
import json
import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.batch.tables import read_frame
from actprobe.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self

SHOWN_ROWS = 10


class Result:
    """A finished run.

    Parameters
    ----------
    folder : str or Path
        ``--output_dir`` of the run.

    Attributes
    ----------
    folder : Path
        Where everything is.
    record : dict
        run.json: what was run, on what, by which versions, and what was found.

    Raises
    ------
    CorpusError
        The folder holds no finished run of this kind.
    """

    KIND: ClassVar[str]
    TABLE: ClassVar[str]  # the file whose presence says that such a run has finished here; its main table

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.record = read_record(self.folder)
        if not (self.folder / self.TABLE).is_file():
            raise CorpusError(self.folder, f"holds no finished run of kind {self.KIND} (no {self.TABLE})")
        self._frames: dict[str, pd.DataFrame] = {}

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open the folder of a finished run.

        Parameters
        ----------
        folder : str or Path
            ``--output_dir`` of the run.

        Returns
        -------
        Result
            The run.
        """
        return cls(folder)

    @property
    def model(self) -> str:
        """Name of the network."""
        return str(self.record.get("model", ""))

    @cached_property
    def table(self) -> pd.DataFrame:
        """The main table."""
        return self.frame(self.TABLE)

    @cached_property
    def recordings(self) -> pd.DataFrame:
        """recordings.csv: one row a recording, with the reason where one could not be used."""
        return self.frame("recordings.csv")

    def frame(self, name: str) -> pd.DataFrame:
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
        if name not in self._frames:
            self._frames[name] = read_frame(self.folder / name)
        return self._frames[name]

    def read_npz(self, name: str) -> dict[str, NDArray[Any]]:
        """Read the arrays of an npz of the run.

        Parameters
        ----------
        name : str
            File name.

        Returns
        -------
        dict
            Name -> array.

        Raises
        ------
        CorpusError
            It is missing or damaged.
        """
        path = self.folder / name
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {each: archive[each] for each in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise CorpusError(path, f"is not a readable {self.KIND} ({error})") from error

    def plot(self, *what: Any, **options: Any) -> Figure:
        """Draw what was found.

        Parameters
        ----------
        *what, **options
            As the analysis has it.

        Returns
        -------
        matplotlib.figure.Figure
            The figure; a notebook shows it.

        Raises
        ------
        UsageError
            There is nothing like that to draw.
        """
        raise UsageError(f"a run of kind {self.KIND} has no figure of its own; see {self.folder / 'figures'}")

    def __repr__(self) -> str:
        """Name the kind of run, the network and the folder."""
        return f"<actprobe {self.KIND} of {self.model or '?'} in {self.folder}: {len(self.table)} rows>"

    def _repr_html_(self) -> str:
        """Show the head of the main table in a notebook."""
        head = self.table.head(SHOWN_ROWS).to_html(index=False, border=0, float_format="{:.3g}".format)
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{head}"


def read_record(folder: Path) -> dict[str, Any]:
    """Read run.json, refusing a folder without one."""
    try:
        record = json.loads((folder / "run.json").read_text("utf-8"))
    except OSError as error:
        reason = "holds no finished run (no run.json)" if folder.exists() else "does not exist"
        raise CorpusError(folder, reason) from error
    except ValueError as error:
        raise CorpusError(folder, f"its run.json is damaged ({error})") from error
    if not isinstance(record, Mapping):
        raise CorpusError(folder, "its run.json is damaged (not an object)")
    return dict(record)
