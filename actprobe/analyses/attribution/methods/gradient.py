"""Gradients of the target: plain, times the input, and averaged over noisy copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.methods.batches import sum_of_gradients
from actprobe.analyses.attribution.methods.method import Attribution, Floats, Method


class Gradient(Method):
    """dT / dx, with its sign: where more energy raises the target.

    Simonyan, Vedaldi and Zisserman: Deep inside convolutional networks, ICLR workshop 2014, equation 3.
    """

    name = "gradient"
    needs_gradients = True

    def __call__(self, excerpts: Excerpts) -> Attribution:
        return Attribution(self.explained.gradients(excerpts.examples)[1])


class GradientTimesInput(Method):
    """(x - fill) dT / dx.

    Shrikumar and others: Learning important features through propagating activation differences, ICML 2017,
    section 2.
    """

    name = "gradient_x_input"
    needs_gradients = True
    uses_fill = True

    def __call__(self, excerpts: Excerpts) -> Attribution:
        gradients = self.explained.gradients(excerpts.examples)[1]
        return Attribution((excerpts.examples - excerpts.fill) * gradients)


class SmoothGrad(Method):
    """The mean gradient over copies with Gaussian noise, the same noise for every excerpt.

    Smilkov and others: SmoothGrad: removing noise by adding noise, 2017.
    """

    name = "smoothgrad"
    needs_gradients = True

    def __call__(self, excerpts: Excerpts) -> Attribution:
        examples, settings = excerpts.examples, self.settings
        scale = (settings.noise * np.ptp(examples, axis=(1, 2), keepdims=True)).astype(np.float32)
        weights = np.full(settings.noisy_samples, 1 / settings.noisy_samples)

        def noisy(excerpt: NDArray[np.int64], copy: NDArray[np.int64]) -> Floats:
            noise = np.stack([self._noise(each) for each in copy])
            return np.asarray(examples[excerpt] + scale[excerpt] * noise, np.float32)

        found = sum_of_gradients(self.explained, len(excerpts), weights, noisy)
        return Attribution(found.astype(np.float32))

    def _noise(self, copy: int) -> Floats:
        rng = np.random.default_rng([self.settings.seed, copy])
        return rng.standard_normal(self.explained.model.frontend.example_shape, np.float32)
