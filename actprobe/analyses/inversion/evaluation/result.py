"""Finished evaluations of inverters, as Python and notebooks see them."""

from __future__ import annotations

from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from actprobe.analyses.inversion.evaluation.figures import difference_figure, nre_figure
from actprobe.batch.result import Result


class EvaluationResult(Result):
    """Inverters evaluated: what `actprobe.evaluate_inverters` returns; ``table`` is nre.csv.

    Examples
    --------
    >>> found = actprobe.load_run("NRE")
    >>> found.table["layer"].tolist()
    ['fc7', 'fc8', 'fc7', 'fc8']
    """

    KIND = "evaluation"
    TABLE = "nre.csv"

    @cached_property
    def detail(self) -> pd.DataFrame:
        """nre_detail.csv: a row for each measure, by class and with intervals; differences of methods."""
        return self.frame("nre_detail.csv")

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints."""
        failed = self.recordings[self.recordings["status"] == "failed"]
        left_out = [f"left out: {row.path}: {row.reason}" for row in failed.itertuples()]
        trainings: dict[tuple[str, str], int] = {}
        for each in self.record.get("inverters", []):
            trainings[each["method"], each["layer"]] = each.get("training", 1)
        means = [
            f"{method} of {layer} is the mean of {count} inverters, as of trainings with different seeds"
            for (method, layer), count in trainings.items()
            if count > 1
        ]
        return "\n".join([self.table.to_string(index=False, float_format="%.4f"), *means, *left_out])

    def plot(self, *, differences: bool = False) -> Figure:
        """Draw the NRE of every layer, as in figures/nre.png.

        Parameters
        ----------
        differences : bool, optional
            Whether to draw, as in figures/differences.png, what each method has more or less than those that
            it was compared with.

        Returns
        -------
        matplotlib.figure.Figure
            A line for each method, with intervals over recordings; baselines as dashed lines.

        Raises
        ------
        ValueError
            No two methods were compared.
        """
        if differences:
            return difference_figure(self.detail, self.record.get("layers", ()))
        return nre_figure(self.table, self.detail, self.record.get("layers", ()))
