"""The Keras model of a training: what learns, with its step, and the counters that are saved with it.

`fit` does the rest: XLA, mixed precision and the strategies of tf.distribute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from actprobe import backend
from actprobe.training.judge import Judge


class Learner(Protocol):
    """What learns.

    Attributes
    ----------
    parts : mapping
        Name -> what has weights (Keras models, further optimizers): saved and restored under these names.
    variables : sequence of tf.Variable
        What the optimizer changes.
    means : sequence of str
        Names of what `train` gives, ``loss`` among them: averaged over an epoch.
    """

    @property
    def parts(self) -> Mapping[str, Any]: ...
    @property
    def variables(self) -> Sequence[Any]: ...
    @property
    def means(self) -> Sequence[str]: ...

    def train(self, batch: Mapping[str, Any], optimizer: Any) -> Mapping[str, Any]:
        """Take a step; gives scalar tensors by name."""


def training_model(learner: Learner, judge: Judge) -> Any:
    """Make the Keras model that is trained, with the parts of the learner as attributes."""
    return _model_class()(learner, judge)


@cache
def _model_class() -> Any:
    """Make the class; tf_keras is loaded first."""
    keras, tf = backend.keras, backend.tf

    class TrainingModel(keras.Model):  # type: ignore[misc,name-defined]
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

        @property
        def metrics(self) -> list[Any]:
            return list(self.means.values())

        def _averaged(self, found: Mapping[str, Any]) -> dict[str, Any]:
            for name, value in found.items():
                self.means[name].update_state(value)
            return {name: self.means[name].result() for name in found}

        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def train_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
            found = self.learner.train(batch, self.optimizer)
            return self._averaged({name: found[name] for name in self.means})

        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def test_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
            return self._averaged(self.judge.step(batch))

    return TrainingModel
