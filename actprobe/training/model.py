"""The Keras model of a training: what learns, and the counters that are saved and restored with it.

`fit` does the rest: XLA, mixed precision and the strategies of tf.distribute. Importing this module loads
TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from actprobe import backend
from actprobe.training.parts import Judge, Learner

keras, tf = backend.keras, backend.tf


FIRST_STEPS = 10  # in which an average follows what it is of, as in tf.train.ExponentialMovingAverage


class TrainingModel(keras.Model):  # type: ignore[misc,name-defined]
    """What is trained, with the parts of its learner as attributes.

    ``average``: what moving averages of the weights, and of the statistics of batch normalisation, keep of
    themselves in a step; 0 for none.
    """

    def __init__(self, learner: Learner, judge: Judge, average: float = 0.0) -> None:
        super().__init__(name="training")
        self.learner, self.judge, self.average = learner, judge, average
        for name, part in learner.parts.items():
            setattr(self, name, part)
        self.means = {name: keras.metrics.Mean(name=name) for name in learner.means}
        only_first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self.epochs_done = tf.Variable(0, False, dtype=tf.int64, aggregation=only_first)
        self.best = tf.Variable(judge.worst, False, dtype=tf.float64, aggregation=only_first)
        self.previous_loss = tf.Variable(0.0, False, dtype=tf.float64, aggregation=only_first)
        followed = self._followed() if average else []
        self.averages = [tf.Variable(each.numpy(), False, aggregation=only_first) for each in followed]

    def _followed(self) -> list[Any]:
        """List what has a moving average."""
        networks = [part for part in self.learner.parts.values() if isinstance(part, keras.Model)]
        statistics = [each for network in networks for each in network.non_trainable_variables]
        return [*self.learner.variables, *statistics]

    def _follow(self) -> None:
        steps = tf.cast(self.optimizer.iterations, tf.float32)
        kept = tf.minimum(self.average, steps / (FIRST_STEPS + steps))
        for average, value in zip(self.averages, self._followed(), strict=True):
            average.assign(kept * average + (1 - kept) * value)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put moving averages in the place of the weights for a while, where there are any."""
        followed = self._followed() if self.averages else []
        kept = [variable.numpy() for variable in followed]
        for variable, average in zip(followed, self.averages, strict=True):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, values in zip(followed, kept, strict=True):
                variable.assign(values)

    @property
    def metrics(self) -> list[Any]:
        """The means, which Keras begins anew with every epoch."""
        return list(self.means.values())

    def _averaged(self, found: Mapping[str, Any]) -> dict[str, Any]:
        for name, value in found.items():
            self.means[name].update_state(value)
        return {name: self.means[name].result() for name in found}

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def train_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Take a step."""
        found = self.learner.train(batch, self.optimizer)
        if self.averages:
            self._follow()
        return self._averaged({name: found[name] for name in self.means})

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def test_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Judge a validation batch."""
        return self._averaged(self.judge.step(batch))
