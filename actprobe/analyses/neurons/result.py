"""Finished neuron runs and comparisons of two, as Python and notebooks see them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.analyses.neurons.figures import best_neurons, cka_figure, neuron_figure
from actprobe.analyses.neurons.found import Comparison, NeuronFindings
from actprobe.analyses.neurons.merged import Merged, open_merged
from actprobe.analyses.neurons.summary import comparison_summary, neuron_summary
from actprobe.batch.result import Result
from actprobe.errors import UsageError


class NeuronResult(Result):
    """A finished neuron run: what `actprobe.neurons` returns.

    Examples
    --------
    >>> found = actprobe.load_run("NEURONS")
    >>> strongest = found.table.sort_values("q").head()
    >>> figure = found.plot("fc8/12", "loudness")
    """

    KIND = "neurons"
    TABLE = "neurons.parquet"

    @cached_property
    def detail(self) -> pd.DataFrame:
        """neurons_detail.csv: the rows of ``table``, with ranks and partial correlations."""
        return self.frame("neurons_detail.csv")

    @cached_property
    def layers(self) -> pd.DataFrame:
        """layers.csv: one row a layer, feature and set of weights, the model's and the random ones."""
        return self.frame("layers.csv")

    @cached_property
    def merged(self) -> Merged:
        """What every neuron did, as memory maps, with the units and the excerpts at both ends."""
        return open_merged(self.folder)

    @property
    def activity(self) -> dict[str, NDArray[Any]]:
        """Layer -> [units, neurons], memory maps; units are recordings or excerpts."""
        return self.merged.activity

    @property
    def features(self) -> dict[str, NDArray[Any]]:
        """Feature -> float64 [units], NaN where it is not known."""
        return self.merged.features

    @cached_property
    def playlists(self) -> pd.DataFrame:
        """playlists/playlists.csv: the excerpts that drive neurons highest and lowest; empty without any."""
        return self.frame("playlists/playlists.csv")

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints."""
        return neuron_summary(self._found).text

    @cached_property
    def _found(self) -> NeuronFindings:
        tables = (self.table, self.detail, self.layers, self.recordings)
        return NeuronFindings(*tables, self.activity, self.features, self.record)

    def plot(self, neuron: str | None = None, feature: str | None = None) -> Figure:
        """Draw a neuron against a feature, as in the folder ``figures``.

        Parameters
        ----------
        neuron : str, optional
            ``LAYER/NUMBER``; by default the one whose correlation with the feature is the strongest.
        feature : str, optional
            A feature of the run, by default the first one.

        Returns
        -------
        matplotlib.figure.Figure
            A scatter, the two aligned curves, and the correlations of all neurons of the layer.

        Raises
        ------
        UsageError
            No such neuron or feature, or nothing that varies.
        """
        names = list(self.features)
        feature = names[0] if feature is None else feature
        if feature not in names:
            raise UsageError(f"the run has no feature {feature!r}; it has {', '.join(names)}")
        table = self.table
        if neuron is not None:
            layer, number = self.merged.neuron(neuron)
            table = table[(table["layer"] == layer) & (table["neuron"] == number)]
        rows = best_neurons(table, feature, 1)
        if not rows:
            raise UsageError(f"{neuron or 'every neuron'} or {feature} is constant: there is nothing to draw")
        return neuron_figure(self._found, rows[0])


class ComparisonResult(Result):
    """Two neuron runs compared: what `actprobe.compare` returns; ``table`` is alignment.csv.

    Examples
    --------
    >>> found = actprobe.load_run("COMPARED")
    >>> figure = found.plot()
    """

    KIND = "comparison"
    TABLE = "alignment.csv"

    @property
    def model(self) -> str:
        """Names of both networks and runs."""
        return " and ".join(self._found.names)

    @cached_property
    def cka(self) -> pd.DataFrame:
        """cka.csv: linear CKA of every layer of A with every layer of B."""
        return self.frame("cka.csv")

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints."""
        return comparison_summary(self._found).text

    @cached_property
    def _found(self) -> Comparison:
        models = (self.table["model_a"].iloc[0], self.table["model_b"].iloc[0])
        folders = (Path(folder).name for folder in self.record["compared"])
        one, other = (f"{model}, {folder}" for model, folder in zip(models, folders, strict=True))
        counted = self.record["recordings"]
        return Comparison(
            (one, other), self.table, self.cka, counted["common"], counted["only_a"], counted["only_b"]
        )

    def plot(self) -> Figure:
        """Draw how alike the layers of both networks are, as in figures/cka.png.

        Returns
        -------
        matplotlib.figure.Figure
            Linear CKA of all pairs of layers, the plain estimate and the debiased one.
        """
        return cka_figure(self._found)
