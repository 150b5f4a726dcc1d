"""Finished attributions, as Python and notebooks see them."""

from __future__ import annotations

import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.analyses.attribution.explaining import FACTS
from actprobe.analyses.attribution.passages import passages_of
from actprobe.analyses.attribution.showing import arrays_of, passage_figure
from actprobe.batch.result import Result
from actprobe.errors import CorpusError, UsageError


class AttributionResult(Result):
    """Attributions of a target over recordings: what `actprobe.attribute` returns.

    Examples
    --------
    >>> found = actprobe.load_run("ATTRIBUTED")
    >>> found.arrays["input"].shape
    (1, 115, 80)
    >>> figure = found.plot()
    """

    KIND = "attribution"
    TABLE = "attributions.csv"

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """attributions.npz: ``input`` and each method [excerpt, time, mel], ``times``, ``bands_hz``, ..."""
        path = self.folder / "attributions.npz"
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise CorpusError(path, f"is not a readable attribution ({error})") from error

    @property
    def methods(self) -> list[str]:
        """The methods of the run."""
        return list(self.record["methods"])

    @property
    def sounds(self) -> dict[str, dict[str, Path]]:
        """Passage, ``RECORDING at SECONDS`` -> ``original`` and each method -> wav."""
        return {
            f"{shown['recording']} at {shown['start_seconds']:.2f}": {
                name: self.folder / "sounds" / file for name, file in shown.get("sounds", {}).items()
            }
            for shown in self.record["shown"]
        }

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints: medians over the excerpts."""
        table = self.table
        shares = [str(name) for name in table if str(name).startswith("share_")]
        lines = []
        for method, rows in table.groupby("method", sort=False):
            told = [f"{name} {rows[name].median():.2f}" for name in shares if rows[name].notna().any()]
            facts = [fact for fact in FACTS if fact in table and rows[fact].notna().any()]
            told += [f"{fact} {rows[fact].median():.3f}" for fact in facts]
            lines.append(f"{method}: {len(rows)} excerpts, median {', '.join(told)}")
        return "\n".join(lines)

    def plot(self, recording: str | None = None, *, at: float = 0.0) -> Figure:
        """Draw a passage of a recording and its attributions, as in the folder ``figures``.

        Parameters
        ----------
        recording : str, optional
            Its name in recordings.csv; by default the first.
        at : float, optional
            The passage that begins last before this time, in seconds.

        Returns
        -------
        matplotlib.figure.Figure
            The input, and a map with its sums over frequency and time for each method.

        Raises
        ------
        UsageError
            No such recording.
        """
        names = self.arrays["recordings"].tolist()
        if not names:
            raise UsageError("no recording was attributed")
        name = names[0] if recording is None else recording
        arrays = arrays_of(self.arrays, name)
        passages = passages_of(arrays["times"], bool(self.record["joined"]))
        before = [passage for passage in passages if arrays["start_seconds"][passage.first] <= at]
        return passage_figure(arrays, (before or passages[:1])[-1], self.record, name)
