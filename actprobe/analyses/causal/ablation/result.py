"""Finished ablations, as Python and notebooks see them."""

from __future__ import annotations

from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from actprobe.analyses.causal.ablation.figures import METRIC_NAMES, curve_figure, unit_figure
from actprobe.analyses.causal.ablation.sets import LEAST, RANDOM, TOP, UNIT
from actprobe.batch.result import Result
from actprobe.errors import UsageError
from actprobe.statistics.criteria import Q_LIMIT


class AblationResult(Result):
    """Units ablated: what `actprobe.ablate` returns; ``table`` is ablation.csv.

    Examples
    --------
    >>> found = actprobe.load_run("ABLATION")
    >>> found.table["kind"].unique().tolist()
    ['unit', 'top', 'least', 'random']
    """

    KIND = "ablation"
    TABLE = "ablation.csv"

    @cached_property
    def sets(self) -> pd.DataFrame:
        """ablation_sets.parquet: a row for each random set."""
        return self.frame("ablation_sets.parquet")

    def rows(
        self, layer: str, fill: str | None = None, target: str | None = None, metric: str | None = None
    ) -> pd.DataFrame:
        """Choose the rows of a layer.

        Parameters
        ----------
        layer : str
            One of those that were ablated.
        fill : str, optional
            By default the first.
        target : str, optional
            ``LAYER/UNIT`` as in the column; by default the first.
        metric : str, optional
            By default the first, or none where no truth is known.

        Returns
        -------
        pandas.DataFrame
            Rows of ablation.csv.

        Raises
        ------
        UsageError
            There are none.
        """
        rows = self.table
        for name, asked in (("layer", layer), ("fill", fill), ("target", target), ("metric", metric)):
            there = list(dict.fromkeys(rows[name]))
            if asked is not None and asked not in there:
                raise UsageError(f"no {name} {asked!r} was ablated; there is {', '.join(map(str, there))}")
            rows = rows[rows[name] == (there[0] if asked is None else asked)]
        return rows

    def plot(
        self,
        layer: str | None = None,
        feature: str | None = None,
        *,
        fill: str | None = None,
        target: str | None = None,
        metric: str | None = None,
    ) -> Figure:
        """Draw what a layer's units are worth.

        Parameters
        ----------
        layer : str, optional
            By default the first.
        feature : str, optional
            A feature of the neuron run: the curve over the units that follow it. By default every unit alone.
        fill, target, metric : str, optional
            See `rows`.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.

        Raises
        ------
        UsageError
            There is nothing like that.
        """
        layer = str(self.table["layer"].iloc[0]) if layer is None else layer
        rows = self.rows(layer, fill, target, metric)
        first = rows.iloc[0]
        title = f"{self.model} {layer}: {first['label'] or first['target']}, fill {first['fill']}"
        if feature is None:
            return unit_figure(rows, first["metric"], title)
        if feature not in set(rows["feature"]) - {""}:
            raise UsageError(f"no units were chosen by {feature!r}; give the neuron run when ablating")
        return curve_figure(rows, first["metric"], [feature], title)

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints: of the first output of each layer and fill."""
        lines = []
        for layer in dict.fromkeys(self.table["layer"]):
            for fill in dict.fromkeys(self.table["fill"]):
                rows = self.rows(layer, fill)
                lines += [_of_units(layer, fill, rows), *_of_features(layer, fill, rows)]
        failed = self.recordings[self.recordings["status"] == "failed"]
        return "\n".join([*lines, *(f"left out: {row.path}: {row.reason}" for row in failed.itertuples())])


def _of_units(layer: str, fill: str, rows: pd.DataFrame) -> str:
    metric = str(rows["metric"].iloc[0])
    value, q = ("metric_change", "metric_q") if metric else ("absolute_change", "q")
    units = rows[(rows["kind"] == UNIT) & rows[value].notna()]
    what = METRIC_NAMES.get(metric, "") or f"output {rows['label'].iloc[0] or rows['target'].iloc[0]}"
    if units.empty:
        return f"{layer}, fill {fill}: no unit has a known change of the {what}"
    found = int((units[q] <= Q_LIMIT).sum())
    most = units.iloc[int(units[value].abs().argmax())]
    told = f"{layer}, fill {fill}: {found} of {len(units)} units "
    if metric:
        told += f"change the {what} when ablated alone (q <= {Q_LIMIT})"
        return f"{told}; largest change: unit {most['units']}, {_signed(most, metric)}"
    told += f"shift the {what} on average when ablated alone (q <= {Q_LIMIT})"
    return f"{told}; largest mean absolute change: unit {most['units']}, {most[value]:.4f}"


def _of_features(layer: str, fill: str, rows: pd.DataFrame) -> list[str]:
    metric = str(rows["metric"].iloc[0])
    what = METRIC_NAMES.get(metric, "output")
    lines = []
    for feature, of_feature in rows[rows["feature"] != ""].groupby("feature", sort=False):
        k = int(of_feature["k"].max())
        by_kind = {str(row["kind"]): row for _, row in of_feature[of_feature["k"] == k].iterrows()}
        told = f"{layer}, fill {fill}: without the {_following(k)} {feature} most, "
        told += f"the {what} changes by {_signed(by_kind[TOP], metric)}"
        if RANDOM in by_kind:
            p = by_kind[TOP]["metric_p" if metric else "p"]
            others = "another unit" if k == 1 else f"{k} others"
            told += f", without {others} of similar variance by {_signed(by_kind[RANDOM], metric)}"
            told += f" (p = {p:.3f})"
        told += f"; without the {_following(k)} it least by {_signed(by_kind[LEAST], metric)}"
        lines.append(told)
    return lines


def _following(k: int) -> str:
    return "unit that follows" if k == 1 else f"{k} units that follow"


def _signed(row: pd.Series, metric: str) -> str:
    value, low, high = ("metric_change", "metric_low", "metric_high") if metric else ("change", "low", "high")
    if pd.isna(row[low]):
        return f"{row[value]:+.4f}"
    return f"{row[value]:+.4f} [{row[low]:+.4f}, {row[high]:+.4f}]"
