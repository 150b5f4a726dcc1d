"""A finished training of a detector, as Python and notebooks see it."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from actprobe.batch.result import Result
from actprobe.detection.evaluation import PLAIN
from actprobe.detection.training import NORMALIZATION, WEIGHTS
from actprobe.plotting import OKABE_ITO
from actprobe.training.history import draw_history, read_history


class DetectorResult(Result):
    """A finished training: what `actprobe.train_detector` returns; ``table`` has a row an epoch.

    Examples
    --------
    >>> found = actprobe.load_run("DETECTOR")
    >>> model = actprobe.load_model(found.model, found.path, found.normalization)
    """

    KIND = "detector"
    TABLE = WEIGHTS

    @property
    def path(self) -> Path:
        """The weights of the epoch best on validation."""
        return self.folder / WEIGHTS

    @property
    def normalization(self) -> Path:
        """What the front end standardises by."""
        return self.folder / NORMALIZATION

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json: data, settings, figures and history."""
        return dict(json.loads((self.folder / "metrics.json").read_text("utf-8")))

    @cached_property
    def table(self) -> pd.DataFrame:
        """The history: loss, learning rate, speed and validation AUC of every epoch."""
        return pd.DataFrame(read_history(self.folder))

    @cached_property
    def figures(self) -> pd.DataFrame:
        """How well it finds singing: a row a set of recordings and way of counting."""
        rows = [
            {"recordings": name, "counted_with": way, **scores}
            for name, ways in self.metrics["figures"].items()
            for way, scores in ways.items()
        ]
        return pd.DataFrame(rows)

    @property
    def summary(self) -> str:
        """Figures of every set, in the lines that the binary prints."""
        lines = []
        for name, ways in self.metrics["figures"].items():
            found = {key: "-" if value is None else f"{value:.3f}" for key, value in ways[PLAIN].items()}
            told = f"accuracy {found['accuracy']}"
            if ways[PLAIN]["sung"]:
                told = f"AUC {found['auc']}, {told}, F {found['f']}"
            lines.append(f"{name}: {told}")
        return "\n".join(lines)

    def plot(self) -> Figure:
        """Draw loss and validation AUC by epoch.

        Returns
        -------
        matplotlib.figure.Figure
            The curves.
        """
        return draw_history(self.table, "valid_auc", "validation AUC", OKABE_ITO)
