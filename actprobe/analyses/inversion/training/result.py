"""A finished training of a feature inverter, as Python and notebooks see it."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from actprobe.analyses.inversion.networks.inverter import Inverter, load_inverter
from actprobe.analyses.inversion.training.card import file_name
from actprobe.analyses.inversion.training.losses import Objective
from actprobe.batch.result import Result
from actprobe.models.model import Model
from actprobe.plotting import OKABE_ITO
from actprobe.training.history import draw_history, read_history


class TrainingResult(Result):
    """A finished training: what `actprobe.train_inverter` returns; ``table`` has a row an epoch.

    Examples
    --------
    >>> found = actprobe.load_run("TRAINED")
    >>> inverter = found.inverter()
    >>> inverter.layer
    'fc8'
    """

    KIND = "training"
    TABLE = "metrics.json"

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json: data, settings, network, comparator, best epoch and history."""
        return dict(json.loads((self.folder / self.TABLE).read_text("utf-8")))

    @property
    def layer(self) -> str:
        """The layer whose features are inverted."""
        return str(self.metrics["model"]["layer"])

    @property
    def path(self) -> Path:
        """The weights of the epoch best on validation."""
        return self.folder / f"{file_name(self.metrics['model']['name'], self.layer)}.npz"

    @cached_property
    def table(self) -> pd.DataFrame:
        """The history: loss, its terms, validation error, learning rate and speed of every epoch."""
        return pd.DataFrame(read_history(self.folder))

    @property
    def summary(self) -> str:
        """The best epoch, in the line that the binary prints; empty without validation."""
        best = self.metrics["valid_input"]
        if best is None:
            return ""
        error = Objective(**self.metrics["objective"]).error
        return f"validation: {error} {best:.4f}, epoch {self.metrics['best_epoch']}"

    def inverter(self, model: Model | None = None) -> Inverter:
        """Open the inverter.

        Parameters
        ----------
        model : Model, optional
            The network, needed where it is one of your own.

        Returns
        -------
        Inverter
            Features -> excerpts.

        Raises
        ------
        UsageError
            The network has no name that is known.
        WeightsError
            The weight file is damaged or gone.
        """
        return load_inverter(self.metrics["model"]["name"] if model is None else model, self.layer, self.path)

    def plot(self) -> Figure:
        """Draw loss, its terms and validation error by epoch.

        Returns
        -------
        matplotlib.figure.Figure
            The curves.
        """
        return draw_history(self.table, "valid_input", "validation error", OKABE_ITO)
