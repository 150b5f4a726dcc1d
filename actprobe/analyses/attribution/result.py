"""Finished attributions, as Python and notebooks see them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.analyses.attribution.explaining import COLUMNS
from actprobe.analyses.attribution.passages import passages_of
from actprobe.analyses.attribution.showing import passage_figure
from actprobe.analyses.attribution.store import read_recording
from actprobe.batch.result import Result


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
        return self.read_npz("attributions.npz")

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
        told_of = [name for name in map(str, table) if name not in COLUMNS or name == "share_positive"]
        lines = []
        for method, rows in table.groupby("method", sort=False):
            known = [name for name in told_of if rows[name].notna().any()]
            told = [f"{name} {rows[name].median():.3g}" for name in known]
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
        name = str(self.table["recording"][0]) if recording is None else recording
        arrays = read_recording(self.folder / "attributions.npz", name)
        passages = passages_of(arrays["times"], bool(self.record["joined"]))
        before = [passage for passage in passages if arrays["start_seconds"][passage.first] <= at]
        return passage_figure(arrays, (before or passages[:1])[-1], self.record, name)
