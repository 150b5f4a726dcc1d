"""Cascading randomisation: how similar attributions stay while layers get random weights, output first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.evaluation.randomisation import similarities
from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.method import Method, MethodSettings
from actprobe.analyses.attribution.methods.registry import open_methods
from actprobe.models.cascade import Cascade

Doubles = NDArray[np.float64]


class Cascading:
    """Methods on a network whose last layers are random, one more at a time; see `Cascade`."""

    def __init__(
        self, explained: Explained, names: Sequence[str], settings: MethodSettings, seed: int
    ) -> None:
        self._cascade = Cascade(explained.model, explained.target, seed)
        partly = Explained(self._cascade.model, explained.target, batch_size=explained.batch_size)
        self._methods = open_methods(names, partly, settings)
        self.layers = self._cascade.layers

    def similar(self, trained: Mapping[str, Method], excerpts: Excerpts) -> Doubles:
        """Compare attributions with those of the trained network, float64 [methods, layers, 3].

        The three are the mean over the excerpts of what `similarities` gives.
        """
        magnitude = np.abs(excerpts.examples - excerpts.fill)
        found = np.full((len(trained), len(self.layers), 3), np.nan)
        for i, (name, method) in enumerate(trained.items()):
            values = method(excerpts).values
            for depth in range(len(self.layers)):
                self._cascade.depth = depth + 1
                randomised = self._methods[name](excerpts).values
                found[i, depth] = similarities([values, randomised], magnitude)[:, 0, 1].mean(axis=1)
        return found
