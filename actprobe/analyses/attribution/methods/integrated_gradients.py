"""Integrated gradients: the gradient along the straight line from the fill to the excerpt."""

from __future__ import annotations

import numpy as np

from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.methods.batches import sum_of_gradients
from actprobe.analyses.attribution.methods.method import Attribution, Method

SMALLEST_CHANGE = 1e-6  # of the target, by which the error of completeness is divided


class IntegratedGradients(Method):
    """(x - fill) times the mean of dT / dx along the line from the fill to x.

    Sundararajan, Taly and Yan: Axiomatic attribution for deep networks, ICML 2017, equation 1, as a sum over
    the middles of ``steps`` equal parts of the line. The values add up to T(x) - T(fill) (their proposition
    1) but for what the steps leave out: ``completeness_error`` is that rest over T(x) - T(fill).
    """

    name = "integrated_gradients"
    needs_gradients = True
    uses_fill = True

    def __call__(self, excerpts: Excerpts) -> Attribution:
        fill, difference = excerpts.fill, excerpts.examples - excerpts.fill
        steps = self.settings.steps
        places = ((np.arange(steps) + 0.5) / steps).astype(np.float32)
        gradients = sum_of_gradients(
            self.explained,
            len(excerpts),
            np.full(steps, 1 / steps),
            lambda excerpt, step: fill[excerpt] + places[step, None, None] * difference[excerpt],
        )
        values = difference * gradients
        change = self.explained.values(excerpts.examples) - self.explained.values(fill)
        error = np.abs(values.sum(axis=(1, 2)) - change) / np.maximum(np.abs(change), SMALLEST_CHANGE)
        return Attribution(values.astype(np.float32), {"completeness_error": error})
