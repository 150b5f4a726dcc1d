"""Finished evaluations of attributions, as Python and notebooks see them."""

from __future__ import annotations

from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from actprobe.analyses.attribution.evaluation.figures import score_figure
from actprobe.analyses.attribution.evaluation.scoring import CHANCE, MAGNITUDE, RANDOM
from actprobe.batch.result import Result

TOLD = ("deletion", "insertion", "average_drop", "faithfulness", "truth_auc")


class AttributionScoresResult(Result):
    """Attributions evaluated: what `actprobe.evaluate_attributions` returns.

    ``table`` is attribution_scores.csv.

    Examples
    --------
    >>> found = actprobe.load_run("ATTRIBUTION-SCORES")
    >>> found.table["method"].unique().tolist()
    ['gradient_x_input', 'random', 'input_magnitude']
    """

    KIND = "attribution_scores"
    TABLE = "attribution_scores.csv"

    @cached_property
    def differences(self) -> pd.DataFrame:
        """attribution_differences.csv: each method minus each control, excerpt by excerpt, with intervals."""
        return self.frame("attribution_differences.csv")

    @cached_property
    def randomisation(self) -> pd.DataFrame:
        """attribution_randomisation.csv: similarity while layers get random weights, the output first."""
        return self.frame("attribution_randomisation.csv")

    @property
    def faithful(self) -> pd.DataFrame:
        """By method, metric and fill: whether the method is better than every control.

        Better means that the 95 % interval of the difference lies on the good side of 0. Against random
        weights the seed with the best score counts.
        """
        grouped = self.differences.groupby(["method", "metric", "fill"], sort=False)["better"]
        return grouped.all().rename("faithful").reset_index()

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints: some metrics of the first fill.

        An asterisk marks what is better than every control.
        """
        fill = self.record["fills"][0]
        table = self.table[
            (self.table["fill"] == fill) & ~self.table["method"].isin([RANDOM, MAGNITUDE, CHANCE])
        ]
        found = self.faithful[self.faithful["faithful"]]
        marked = set(zip(found["method"], found["metric"], found["fill"], strict=True))
        lines = [f"fill {fill}; * better than every control"]
        for method, rows in table.groupby("method", sort=False):
            told = [
                f"{row.metric} {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
                + "*" * ((method, row.metric, fill) in marked)
                for row in rows[rows["metric"].isin(TOLD)].itertuples()
            ]
            lines.append(f"{method}: {', '.join(told)}")
        failed = self.recordings[self.recordings["status"] == "failed"]
        return "\n".join([*lines, *(f"left out: {row.path}: {row.reason}" for row in failed.itertuples())])

    def plot(self) -> Figure:
        """Draw every metric beside its controls, as in figures/scores.png.

        Returns
        -------
        matplotlib.figure.Figure
            A panel for each metric, a line for each method, a colour for each fill.
        """
        return score_figure(self.table, str(self.record.get("title", "")))
