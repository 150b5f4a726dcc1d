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


class TrainingModel(keras.Model):  # type: ignore[misc,name-defined]
    """What is trained, with the parts of its learner as attributes."""

    def __init__(self, learner: Learner, judge: Judge) -> None:
        super().__init__(name="training")
        self.learner, self.judge = learner, judge
        for name, part in learner.parts.items():
            setattr(self, name, part)
        self.means = {name: keras.metrics.Mean(name=name) for name in learner.means}
        only_first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self.epochs_done = tf.Variable(0, False, dtype=tf.int64, aggregation=only_first)
        self.best = tf.Variable(judge.worst, False, dtype=tf.float64, aggregation=only_first)
        self.previous_loss = tf.Variable(0.0, False, dtype=tf.float64, aggregation=only_first)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put moving averages in the place of the weights for a while, where there are any."""
        averages = getattr(self.optimizer, "_model_variables_moving_average", [])
        kept = [variable.numpy() for variable in self.learner.variables] if averages else []
        for variable, average in zip(self.learner.variables, averages, strict=False):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, values in zip(self.learner.variables, kept, strict=False):
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
        return self._averaged({name: found[name] for name in self.means})

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def test_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Judge a validation batch."""
        return self._averaged(self.judge.step(batch))
