"""How strongly the neurons of a layer follow a feature, from a finished neuron run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.batch.result import Result, read_record
from actprobe.batch.tables import read_frame
from actprobe.errors import CorpusError, UsageError
from actprobe.models import Model

Floats = NDArray[np.float64]


class Followers:
    """What a neuron run found; ``features`` are those that are asked for, by default all of the run.

    CorpusError: no finished neuron run in the folder. UsageError: a feature or layer that it does not have.
    """

    def __init__(
        self, run: Result | str | os.PathLike[str], layers: Sequence[str], features: Sequence[str] | None
    ) -> None:
        self.folder = run.folder if isinstance(run, Result) else Path(run)
        self.record = read_record(self.folder)
        self._table = read_frame(self.folder / "neurons.csv")
        if self._table.empty:
            raise CorpusError(self.folder, "holds no finished neuron run (no neurons.csv)")
        self.features = list(features or dict.fromkeys(self._table["feature"]))
        for name, asked in (("feature", self.features), ("layer", list(layers))):
            there = list(dict.fromkeys(self._table[name]))
            for each in asked:
                if each not in there:
                    raise UsageError(
                        f"{self.folder}: no {name} {each!r} was compared; there is {_listed(there)}"
                    )

    def check(self, model: Model) -> None:
        """Warn where the run was of other weights."""
        weights = self.record.get("weights", {})
        if self.record.get("model") != model.name or weights.get("sha256") != model.weights.sha256:
            logging.warning(
                "%s is of other weights (%s) than %s", self.folder, self.record.get("model"), model
            )

    def strengths(self, layer: str, units: int) -> dict[str, Floats]:
        """Give |r| of every unit of a layer by feature, NaN for those that are constant."""
        found = {}
        for feature in self.features:
            rows = self._table[(self._table["layer"] == layer) & (self._table["feature"] == feature)]
            strength = np.full(units, np.nan)
            numbers = rows["neuron"].to_numpy(np.int64)
            if len(numbers) and numbers.max() >= units:
                raise UsageError(
                    f"{self.folder}: {layer} has {numbers.max() + 1} neurons there, {units} here"
                )
            strength[numbers] = np.abs(rows["r"].to_numpy(np.float64))
            found[feature] = strength
        return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(str, names))
