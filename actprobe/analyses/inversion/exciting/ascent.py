"""Activation maximisation: ascent to the input, or an inverter's features, that excite a neuron most.

With z(x) the standard score of the neuron's value of an input x [time, mel] among excerpts of the recordings,
and R the mean range of a band, what is maximised is

    asinh z(x) - b_t mean ((x[t+1, m] - x[t, m]) / R)^2 - b_m mean ((x[t, m+1] - x[t, m]) / R)^2

within the bounds that recordings reach (`Reach`). asinh grows like a logarithm, so that a doubled value
weighs the same for every neuron: of some the value can rise ten standard deviations, of others hundreds.
Erhan, Bengio, Courville and Vincent (Visualizing higher-layer features of a deep network, 2009) maximise the
value alone. The total variation is that of `gradient`. The gradient is taken at inputs shifted in time, so
that no detail depends on one place; frequencies are not shifted, since a place on the mel axis means
something. With an inverter G of a layer, x = G(f), and the features f are searched for, which keeps x close
to what recordings look like (Nguyen, Dosovitskiy, Yosinski, Brox and Clune: Synthesizing the preferred inputs
for neurons in neural networks via deep generator networks, NIPS 2016).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.analyses.inversion.exciting.reach import Reach
from actprobe.analyses.inversion.exciting.settings import MEAN, ExcitationSettings
from actprobe.analyses.inversion.inverting.gradient import variation
from actprobe.models import Model
from actprobe.models.target import Target, values_of

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Excited:
    """An input that excites a neuron, and how it came about.

    - ``start``, ``input``: float32 [time, mel], before the first and after the best step.
    - ``values``: float64 [steps + 1], the neuron's value from the start to the last step.
    - ``value_start``, ``value``: of ``start`` and of ``input``.
    """

    start: Floats = field(repr=False)
    input: Floats = field(repr=False)
    values: Doubles = field(repr=False)
    value_start: float
    value: float


class Ascent:
    """Searches for the input that excites one neuron of one network.

    ``reach`` bounds the input. With an ``inverter``, a tf-keras model features [batch, ...] -> [batch, time,
    mel], its features are searched for, within ``space``. ``background``, [excerpts, time, mel], is
    what the neuron's values are standardised by.
    """

    def __init__(
        self,
        model: Model,
        target: Target,
        settings: ExcitationSettings,
        reach: Reach,
        background: Floats,
        *,
        inverter: Any = None,
        space: Reach | None = None,
    ) -> None:
        self.model, self.target, self.settings = model, target, settings
        self.reach, self.inverter = reach, inverter
        self.space = space or reach
        usual = self.values_of(background)
        spread = float(np.std(usual))
        self.centre, self.scale = float(np.mean(usual)), spread if spread > 0 else 1.0
        self.range = float(reach.width.mean())
        tensor = model.layers[target.layer].tensor
        self._part = backend.keras.Model(model.keras_model.input, model.keras_model.output[tensor])
        tf = backend.tf
        self._slope = tf.function(self._slope_of, autograph=False)
        self._look = tf.function(self._look_of, autograph=False)

    def values_of(self, examples: Floats) -> Doubles:
        """Compute the neuron's value, float64 [batch], of examples [batch, time, mel]."""
        return values_of(self.target, self.model.activations(examples, [self.target.layer]))

    @cached_property
    def begin(self) -> Floats:
        """The start, as shares of the range of what is searched for."""
        if self.settings.start == MEAN:
            return self.space.shares(self.space.mean)
        rng = np.random.default_rng([self.settings.seed, 1])
        return rng.random(self.space.mean.shape).astype(np.float32)

    def input_of(self, shares: Any) -> Any:
        """Give the input, [time, mel], of shares of the range; NumPy or TensorFlow."""
        values = self.space.at(shares)
        return values if self.inverter is None else self.inverter(values[np.newaxis], training=False)[0]

    def objective(self, inputs: Any) -> tuple[Any, Any]:
        """Compute the objective and the neuron's value, [batch], of inputs [batch, time, mel]."""
        settings, x = self.settings, inputs / self.range
        value = self.target.of(self._part(inputs, training=False))
        over_time = variation(x[:, 1:], x[:, :-1])
        over_mel = variation(x[:, :, 1:], x[:, :, :-1])
        score = backend.tf.asinh((value - self.centre) / self.scale)
        return score - settings.time_weight * over_time - settings.mel_weight * over_mel, value

    def _slope_of(self, shares: Any, shift: Any) -> Any:
        tf = backend.tf
        with tf.GradientTape() as tape:
            tape.watch(shares)
            objective, _ = self.objective(shifted(self.input_of(shares), shift)[tf.newaxis])
        gradient = tape.gradient(objective, shares)
        if gradient is None:
            return tf.zeros_like(shares)
        return tf.where(tf.math.is_finite(gradient), gradient, 0.0)

    def _look_of(self, shares: Any) -> tuple[Any, Any]:
        objective, value = self.objective(self.input_of(shares)[np.newaxis])
        return objective[0], value[0]

    def is_flat(self) -> bool:
        """Whether the neuron's value does not change around the start."""
        with self.model.computing(), backend.tf.GradientTape() as tape:
            shares = backend.tf.constant(self.begin)
            tape.watch(shares)
            value = self.objective(self.input_of(shares)[np.newaxis])[1]
        gradient = tape.gradient(value, shares)
        return gradient is None or not np.any(gradient.numpy())

    def run(self) -> Excited:
        """Run Adam; the step with the highest objective is kept."""
        settings, shares = self.settings, self.begin
        jitter = settings.jitter_frames
        shifts = np.random.default_rng([settings.seed, 2]).integers(-jitter, jitter + 1, settings.steps)
        first, second = np.zeros_like(shares), np.zeros_like(shares)
        best, most, values = shares, -np.inf, []
        with self.model.computing():
            for step in range(settings.steps + 1):
                objective, value = (float(each) for each in self._look(shares))
                values.append(value)
                if objective > most:  # false for NaN
                    best, most = shares, objective
                if step == settings.steps:
                    break
                gradient = self._slope(shares, np.int32(shifts[step])).numpy()
                first = 0.9 * first + 0.1 * gradient
                second = 0.999 * second + 0.001 * np.square(gradient)
                rate = settings.learning_rate * 0.5 * (1 + np.cos(np.pi * step / settings.steps))
                unbiased = np.sqrt(second / (1 - 0.999 ** (step + 1)))
                change = rate * (first / (1 - 0.9 ** (step + 1))) / (unbiased + 1e-8)
                shares = np.clip(shares + change, 0, 1).astype(np.float32)
        start, found = (np.asarray(self.input_of(each), np.float32) for each in (self.begin, best))
        value_start, value = self.values_of(np.stack([start, found]))
        return Excited(start, found, np.array(values), float(value_start), float(value))


def shifted(values: Any, frames: Any) -> Any:
    """Shift an input [time, mel] in time; what moves in repeats the frame at that end."""
    tf = backend.tf
    length = values.shape[0]
    return tf.gather(values, tf.clip_by_value(tf.range(length) + frames, 0, length - 1))
