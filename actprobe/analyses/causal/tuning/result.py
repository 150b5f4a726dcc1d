"""Finished tuning runs, as Python and notebooks see them."""

from __future__ import annotations

from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from actprobe.analyses.causal.tuning.factors import FACTORS
from actprobe.analyses.causal.tuning.figures import curve_figure, share_figure
from actprobe.analyses.causal.tuning.tables import is_tuned
from actprobe.batch.result import Result
from actprobe.errors import UsageError
from actprobe.statistics.criteria import Q_LIMIT


class TuningResult(Result):
    """Tuning curves: what `actprobe.tune` returns; ``table`` is tuning.csv.

    Examples
    --------
    >>> found = actprobe.load_run("TUNING")
    >>> found.table["factor"].unique().tolist()
    ['level', 'pitch']
    """

    KIND = "tuning"
    TABLE = "tuning.csv"

    @cached_property
    def curves(self) -> pd.DataFrame:
        """tuning_curves.parquet: a row for each neuron, factor and dose."""
        return self.frame("tuning_curves.parquet")

    @cached_property
    def layers(self) -> pd.DataFrame:
        """tuning_layers.csv: a row for each layer and factor."""
        return self.frame("tuning_layers.csv")

    @property
    def tuned(self) -> pd.DataFrame:
        """The rows of ``table`` with a q of 0.05 at most."""
        return self.table[is_tuned(self.table)]

    def plot(self, neuron: str | None = None, factor: str | None = None) -> Figure:
        """Draw the share of every layer and factor, or the tuning curve of a neuron.

        Parameters
        ----------
        neuron : str, optional
            ``LAYER/NUMBER``; by default the overview.
        factor : str, optional
            By default the first of the run.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.

        Raises
        ------
        UsageError
            There is no such neuron or factor in the run.
        """
        if neuron is None:
            return share_figure(self.layers, str(self.record.get("title", "")))
        there = list(dict.fromkeys(self.table["factor"]))
        factor = there[0] if factor is None else factor
        if factor not in there:
            raise UsageError(f"the run has no factor {factor!r}; it has {', '.join(there)}")
        layer, _, number = neuron.rpartition("/")
        table = self.table
        rows = table[
            (table["layer"] == layer) & (table["neuron"].astype(str) == number) & (table["factor"] == factor)
        ]
        if rows.empty:
            layers = ", ".join(dict.fromkeys(table["layer"]))
            raise UsageError(f"there is no neuron {neuron!r}: give LAYER/NUMBER, of {layers}")
        return curve_figure(rows, self.curves, factor, f"{self.model} {neuron}: {factor.replace('_', ' ')}")

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints."""
        lines = [self._of_factor(str(factor), rows) for factor, rows in self._by_factor()]
        constant = self.layers.drop_duplicates("layer")
        lines += [
            f"{row.layer}: {row.constant} of {row.neurons} neurons are constant for {row.factor}"
            for row in constant[constant["constant"] > 0].itertuples()
        ]
        failed = self.recordings[self.recordings["status"] == "failed"]
        return "\n".join([*lines, *(f"left out: {row.path}: {row.reason}" for row in failed.itertuples())])

    def _by_factor(self) -> list[tuple[str, pd.DataFrame]]:
        return [(str(name), rows) for name, rows in self.layers.groupby("factor", sort=False)]

    def _of_factor(self, factor: str, layers: pd.DataFrame) -> str:
        """Tell of one factor: the layer whose share is furthest above random weights, and the best neuron."""
        told = f"{factor}: no p and q (one variant, or no permutations)"
        if self.table.loc[self.table["factor"] == factor, "q"].notna().any():
            count, neurons = int(layers["tuned"].sum()), int(layers["neurons"].sum())
            told = f"{factor}: {count} of {neurons} neurons are tuned (q <= {Q_LIMIT})"
            if layers["above_random"].notna().all():
                told += (
                    f", {int(layers['above_random'].sum())} of them with a higher r2 than with random weights"
                )
        shares = layers.dropna(subset=["share"])
        if shares.empty:
            return f"{factor}: no neuron varies"
        most = shares.iloc[int((shares["share"] - shares["random"].fillna(0)).argmax())]
        told += f"; the factor explains {_percent(most)} of the variance of {most['layer']}"
        if pd.notna(most["random"]):
            told += f" ({100 * most['random']:.0f} % with random weights)"
        tuned = self.tuned[self.tuned["factor"] == factor]
        if tuned.empty:
            return told
        best = tuned.iloc[int(tuned["r2"].argmax())]
        unit = FACTORS[factor].unit
        return (
            f"{told}; most tuned neuron: {best['layer']}/{best['neuron']}, r2 {best['r2']:.2f}, "
            f"preferred {best['preferred']:.4g} {unit}".rstrip()
        )


def _percent(row: pd.Series) -> str:
    if pd.isna(row["low"]):
        return f"{100 * row['share']:.0f} %"
    return f"{100 * row['share']:.0f} % [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"
