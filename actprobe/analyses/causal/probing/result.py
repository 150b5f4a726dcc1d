"""Finished probes, as Python and notebooks see them."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from actprobe.analyses.causal.probing.figures import probe_figure
from actprobe.analyses.causal.probing.scores import CHANCE
from actprobe.batch.result import Result
from actprobe.errors import UsageError
from actprobe.statistics.criteria import Q_LIMIT

CONTROLS = {"random": ("random_weights", "random weights"), "input": ("input", "the input")}


class ProbeResult(Result):
    """Linear probes of layers: what `actprobe.probe` returns; ``table`` is probe.csv.

    Examples
    --------
    >>> found = actprobe.load_run("PROBES")
    >>> found.table["target"].unique().tolist()
    ['loudness']
    """

    KIND = "probe"
    TABLE = "probe.csv"

    @property
    def targets(self) -> list[str]:
        """Names of the targets."""
        return list(dict.fromkeys(self.table["target"]))

    @property
    def best(self) -> pd.DataFrame:
        """The row of probe.csv with the highest value of each target; none for targets without a value."""
        known = self.table.dropna(subset=["value"])
        return known.loc[known.groupby("target", sort=False)["value"].idxmax()].reset_index(drop=True)

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints: the best layer for each target."""
        best = {row.target: row for row in self.best.itertuples()}
        lines = [
            self._sentence(best[target]) if target in best else self._unread(target)
            for target in self.targets
        ]
        lacking = [told for name, told in CONTROLS.values() if self.table[name].isna().all()]
        if lacking:
            why = ": stored activations" if self.record["stored"] else ""
            lines.append(f"no control with {' and '.join(lacking)}{why}")
        failed = self.recordings[self.recordings["status"] == "failed"]
        return "\n".join([*lines, *(f"left out: {row.path}: {row.reason}" for row in failed.itertuples())])

    def _sentence(self, row: Any) -> str:
        metric = {"r2": "R2", "auc": "AUC"}[row.metric]
        line = f"{row.target}: best in {row.layer}, {metric} {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
        controls = [f"permuted {row.permuted:.3f}"] if row.permuted == row.permuted else []
        verdicts = []
        for name, (column, told) in CONTROLS.items():
            value, low = getattr(row, column), getattr(row, f"over_{name}_low")
            if value == value:
                controls.append(f"{told} {value:.3f}")
                verdicts.append(f"{'above' if low > 0 else 'not above'} {told}")
        line += f" ({', '.join(controls)})" if controls else ""
        if not (row.q <= Q_LIMIT and row.value > CHANCE[row.metric]):
            return f"{line}: not found (q {row.q:.2g})"
        return f"{line}: {', '.join(verdicts)}" if verdicts else line

    def _unread(self, target: str) -> str:
        return f"{target}: {self.table.loc[self.table['target'] == target, 'note'].iloc[0]}"

    def plot(self, target: str | None = None) -> Figure:
        """Draw what each layer reads of a target beside its controls, as under ``figures``.

        Parameters
        ----------
        target : str, optional
            A target of the run; by default all, in a panel each.

        Returns
        -------
        matplotlib.figure.Figure
            Values over the layers, in the order of the network, with 95 % intervals.

        Raises
        ------
        UsageError
            No such target.
        """
        if target is not None and target not in self.targets:
            raise UsageError(f"the run has no target {target!r}; it has {', '.join(self.targets)}")
        chosen = self.targets if target is None else [target]
        return probe_figure(self.table, chosen, str(self.record.get("title", "")))
