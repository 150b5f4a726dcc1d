"""Moving averages of the weights of a training: their values, and that a run goes on with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actprobe.training.parts import Judge

AVERAGE = 0.6
STEPS = 12


class Doubling:
    """A learner of which each step doubles the only weight, and sets a statistic to the batch's number."""

    means = ("loss",)

    def __init__(self) -> None:
        from actprobe import backend

        keras = backend.keras
        self.network = keras.Sequential([keras.layers.Input((1,)), keras.layers.BatchNormalization()])
        self.norm = self.network.layers[-1]
        self.parts = {"network": self.network}
        self.norm.gamma.assign([1.0])
        self.variables = [self.norm.gamma]

    def train(self, batch: Any, optimizer: Any) -> Any:
        optimizer.iterations.assign_add(1)
        self.norm.gamma.assign(2 * self.norm.gamma)
        self.norm.moving_mean.assign(batch)
        return {"loss": self.norm.gamma[0]}


def model_of(average: float) -> Any:
    from actprobe import backend
    from actprobe.training.model import TrainingModel

    model = TrainingModel(Doubling(), Judge("none", "none"), average)
    model.compile(optimizer=backend.keras.optimizers.SGD(0.1))
    model.optimizer.build(model.learner.variables)
    return model


def stepped(model: Any, numbers: Any) -> Any:
    from actprobe import backend

    for number in numbers:
        model.train_step(backend.tf.constant([float(number)]))
    return model


def expected(first: float, values: Any) -> float:
    """As tf.train.ExponentialMovingAverage with num_updates, with steps counted from 1."""
    average = first
    for step, value in enumerate(values, 1):
        kept = min(AVERAGE, step / (10 + step))
        average = kept * average + (1 - kept) * value
    return average


def test_weights_and_statistics_have_averages_that_begin_fast() -> None:
    model = stepped(model_of(AVERAGE), range(STEPS))
    norm = model.learner.norm
    with model.averaged():
        weight, statistic = float(norm.gamma[0]), float(norm.moving_mean[0])
    assert weight == pytest.approx(expected(1, 2.0 ** np.arange(1, STEPS + 1)), rel=1e-5)
    assert statistic == pytest.approx(expected(0, range(STEPS)), rel=1e-5)
    assert expected(1, np.zeros(3)) < 1e-2 < AVERAGE**3  # the weights at random are soon forgotten


def test_after_they_were_judged_training_goes_on_with_the_weights_themselves() -> None:
    model = stepped(model_of(AVERAGE), range(STEPS))
    with pytest.raises(RuntimeError, match="judging"), model.averaged():
        raise RuntimeError("judging failed")
    assert float(model.learner.norm.gamma[0]) == 2.0**STEPS
    assert float(model.learner.norm.moving_mean[0]) == STEPS - 1


def test_without_averages_the_weights_are_judged_as_they_are() -> None:
    model = stepped(model_of(0.0), range(STEPS))
    with model.averaged():
        assert float(model.learner.norm.gamma[0]) == 2.0**STEPS


def test_averages_are_saved_with_the_state_of_a_run(tmp_path: Path) -> None:
    from actprobe import backend

    model = stepped(model_of(AVERAGE), range(STEPS))
    path = backend.tf.train.Checkpoint(model=model).write(str(tmp_path / "state"))
    restored = model_of(AVERAGE)
    backend.tf.train.Checkpoint(model=restored).read(path).assert_existing_objects_matched()
    for one, other in zip(model.averages, restored.averages, strict=True):
        assert np.array_equal(one.numpy(), other.numpy())
    with restored.averaged():
        assert float(restored.learner.norm.gamma[0]) == pytest.approx(
            expected(1, 2.0 ** np.arange(1, STEPS + 1)), rel=1e-5
        )
