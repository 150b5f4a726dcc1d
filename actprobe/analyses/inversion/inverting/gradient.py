"""Inversion by optimisation: a mel spectrogram is estimated whose features are those that were given.

Mahendran and Vedaldi: Understanding deep image representations by inverting them, CVPR 2015, equation 1; the
method that Mishra, Sturm and Dixon (ISMIR 2018, equation 1) argue against for being slow. With F the features
of a layer and f those to invert, in normalised units of time frames t and mel bands m,

    x* = argmin ||F(x) - f||^2 / ||f||^2 + a mean |x / B|^6 + b_t mean (x[t+1, m] - x[t, m])^2
                                                            + b_m mean (x[t, m+1] - x[t, m])^2

The alpha-norm keeps the values close to the range B of real mel spectrograms, the total variation (with
exponent 2) keeps neighbours alike; the latter has a weight for each axis, because sound changes faster over
time than over bands. Every excerpt starts from the same seeded noise, or from a mel spectrogram that is
given, and has an objective of its own, so that what it becomes does not depend on the batch it is in. The
best of all steps is kept, the start included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.models import Model

ALPHA = 6

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class GradientSettings:
    """How to estimate a mel spectrogram.

    ``steps`` of Adam; the ``learning_rate`` of the first falls to 0 along half a cosine.

    - ``alpha_weight``: weight a of the alpha-norm.
    - ``time_weight``, ``mel_weight``: weights b_t and b_m of the total variation along time and mel.
    - ``range_``: B, up to which the alpha-norm costs little, in normalised units.
    - ``start_deviation``: standard deviation of the noise to start from, which ``seed`` decides.
    """

    steps: int = 300
    learning_rate: float = 0.2
    alpha_weight: float = 0.01
    time_weight: float = 0.5
    mel_weight: float = 0.5
    range_: float = 3.0
    start_deviation: float = 0.1
    seed: int = 0


class GradientInverter:
    """Inverts the features of one layer of any network, without training.

    UsageError for a layer that the network does not have, or settings out of range.
    """

    def __init__(self, model: Model, layer: str, settings: GradientSettings | None = None) -> None:
        self.settings = settings or GradientSettings()
        if self.settings.steps < 1 or not self.settings.learning_rate > 0 or not self.settings.range_ > 0:
            raise UsageError(
                f"gradient inversion takes positive steps, rates and ranges, not {self.settings}"
            )
        self.model_name = model.name
        self.layer = layer
        self.feature_shape = model.layers[layer].shape
        self.example_shape = model.frontend.example_shape
        tensor = model.layers[layer].tensor
        self._part = backend.keras.Model(model.keras_model.input, model.keras_model.output[tensor])
        self._run = backend.tf.function(self._search, autograph=False, reduce_retracing=True)

    def start(self) -> Floats:
        """Give the noise, float32 [time, mel], that every search starts from."""
        rng = np.random.default_rng(self.settings.seed)
        return (self.settings.start_deviation * rng.standard_normal(self.example_shape)).astype(np.float32)

    def objective(self, mel_spectrograms: Any, features: Any) -> Any:
        """Compute the objective [batch] of mel spectrograms [batch, time, mel] for features [batch, ...]."""
        tf, settings = backend.tf, self.settings
        axes = tuple(range(1, 1 + len(self.feature_shape)))
        found = self._part(mel_spectrograms, training=False)
        distance = tf.reduce_sum(tf.square(found - features), axes)
        norm = tf.reduce_sum(tf.square(features), axes)
        distance /= tf.where(norm > 0, norm, 1.0)  # a layer may be silent altogether
        x = mel_spectrograms
        over_time = variation(x[:, 1:], x[:, :-1])
        over_mel = variation(x[:, :, 1:], x[:, :, :-1])
        size = tf.reduce_mean(tf.pow(x / settings.range_, ALPHA), (1, 2))
        return (
            distance
            + settings.alpha_weight * size
            + settings.time_weight * over_time
            + settings.mel_weight * over_mel
        )

    def _search(self, features: Any, start: Any) -> tuple[Any, Any, Any]:
        """Run Adam on every excerpt: the best mel spectrograms, their objective and that of the start."""
        tf, settings = backend.tf, self.settings

        def slope(x: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                tape.watch(x)
                objective = self.objective(x, features)
            gradient = tape.gradient(objective, x)
            return objective, tf.where(tf.math.is_finite(gradient), gradient, 0.0)

        def keep(best: Any, least: Any, x: Any, objective: Any) -> tuple[Any, Any]:
            better = objective < least  # false for NaN
            best = tf.where(better[:, tf.newaxis, tf.newaxis], x, best)
            return best, tf.where(better, objective, least)

        def body(step: Any, x: Any, first: Any, second: Any, best: Any, least: Any) -> tuple[Any, ...]:
            objective, gradient = slope(x)
            best, least = keep(best, least, x, objective)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * tf.square(gradient)
            count = tf.cast(step, tf.float32)
            rate = settings.learning_rate * 0.5 * (1 + tf.cos(np.pi * count / settings.steps))
            unbiased = tf.sqrt(second / (1 - 0.999 ** (count + 1)))
            x -= rate * (first / (1 - 0.9 ** (count + 1))) / (unbiased + 1e-8)
            return step + 1, x, first, second, best, least

        begin = self.objective(start, features)
        nothing = tf.zeros_like(start)
        least = tf.where(tf.math.is_finite(begin), begin, np.inf)
        state = (tf.constant(0), start, nothing, nothing, start, least)
        state = tf.while_loop(lambda step, *_: step < settings.steps, body, state, parallel_iterations=1)
        _, x, _, _, best, least = state
        best, least = keep(best, least, x, self.objective(x, features))
        return best, least, begin

    def search(
        self, features: NDArray[Any], start: NDArray[Any] | None = None
    ) -> tuple[Floats, Floats, Floats]:
        """Invert the features of a batch, [batch, ...], and say how far it got.

        ``start`` [batch, time, mel] is where each excerpt starts, by default the noise. Gives mel
        spectrograms, float32 [batch, time, mel], their objective and that of the start, float32 [batch].
        UsageError for features or a start of another shape, or not finite.
        """
        features = np.asarray(features, np.float32)
        if features.shape[1:] != tuple(self.feature_shape) or len(features) == 0:
            raise UsageError(
                f"features of {self.layer} have shape [batch, {', '.join(map(str, self.feature_shape))}], "
                f"not {list(features.shape)}"
            )
        if not np.isfinite(features).all():
            raise UsageError(f"features of {self.layer} hold NaN or infinity")
        shape = (len(features), *self.example_shape)
        start = np.asarray(np.broadcast_to(self.start(), shape) if start is None else start, np.float32)
        if start.shape != shape or not np.isfinite(start).all():
            raise UsageError(f"{self.layer}: a start is finite and of shape {list(shape)}")
        best, least, begin = (each.numpy() for each in self._run(features, start))
        lost = int((~np.isfinite(least)).sum())
        if lost:
            logging.warning("%s: the objective of %d excerpts was never finite", self.layer, lost)
        return best, least, begin

    def __call__(self, features: NDArray[Any], *, batch_size: int | None = None) -> Floats:
        """Invert features, [batch, ...], to float32 [batch, time, mel] in the front end's unit; see `search`.

        ``batch_size`` excerpts go through together, by default all.
        """
        step = batch_size or max(len(features), 1)
        found = [self.search(features[i : i + step])[0] for i in range(0, max(len(features), 1), step)]
        return np.concatenate(found)


def variation(later: Any, earlier: Any) -> Any:
    """Mean squared step between neighbours, [batch]; 0 along an axis of one position."""
    tf = backend.tf
    if 0 in later.shape[1:]:
        return tf.zeros(tf.shape(later)[:1])
    return tf.reduce_mean(tf.square(later - earlier), (1, 2))
