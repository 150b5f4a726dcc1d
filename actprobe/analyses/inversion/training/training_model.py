"""The Keras model that is trained: an inverter with a train step of its own.

`fit` does the rest: XLA, mixed precision and the strategies of tf.distribute. Its counters of epochs are
variables of the model, so that they are saved and restored with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from actprobe import backend
from actprobe.analyses.inversion.training.discriminator import build_discriminator
from actprobe.analyses.inversion.training.losses import Objective, squared_weights

__all__ = ["training_model"]

Function = Callable[[Any], Any]


def training_model(
    inverter: Any,
    objective: Objective,
    features_of: Function | None = None,
    compared_of: Function | None = None,
    adversarial_weight: float = 0.0,
) -> Any:
    """Make the Keras model that is trained.

    Parameters
    ----------
    inverter : tf_keras.Model
        What `actprobe.analyses.inversion.networks.build.build_inverter` gave.
    objective : Objective
        The loss.
    features_of : callable, optional
        Excerpts -> features to be inverted, for batches that come without them.
    compared_of : callable, optional
        Excerpts -> features of the comparator; needed when the objective compares.
    adversarial_weight : float, optional
        Factor of the adversarial term.

    Returns
    -------
    tf_keras.Model
        Takes batches ``excerpt``, perhaps ``features`` and ``compared``; logs ``loss``, ``input``,
        ``feature`` and ``l2`` as means over an epoch.
    """
    from actprobe.analyses.inversion.networks.batch_norm import BatchNorm

    keras, tf = backend.keras, backend.tf
    for layer in inverter.layers:
        if isinstance(layer, BatchNorm):
            layer.counts = objective.norm_updates

    class InverterTraining(keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__(name="training")
            self.inverter = inverter
            names = ["loss", "input", "feature", "l2"] if objective.compares else ["loss", "input", "l2"]
            names += ["adversarial", "discriminator"] if adversarial_weight else []
            self.means = {name: keras.metrics.Mean(name=name) for name in names}
            only_first = tf.VariableAggregation.ONLY_FIRST_REPLICA
            self.epochs_done = tf.Variable(0, False, dtype=tf.int64, aggregation=only_first)
            self.best = tf.Variable(np.inf, False, dtype=tf.float64, aggregation=only_first)
            self.previous_loss = tf.Variable(0.0, False, dtype=tf.float64, aggregation=only_first)
            if adversarial_weight:
                self.discriminator = build_discriminator(inverter.output_shape[1:])
                self.discriminator_optimizer = keras.optimizers.Adam(1e-4, beta_1=0.5)
                self.discriminator_optimizer.build(self.discriminator.trainable_variables)

        def call(self, features: Any, training: bool = False) -> Any:
            return self.inverter(features, training=training)

        @property
        def metrics(self) -> list[Any]:
            return list(self.means.values())

        def features_in(self, batch: Mapping[str, Any]) -> Any:
            if "features" in batch:
                return batch["features"]
            assert features_of is not None
            return tf.cast(features_of(batch["excerpt"]), self.inverter.inputs[0].dtype)

        def terms(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
            """The terms of the loss in training, and the inverted excerpts."""
            excerpts = batch["excerpt"]
            inverted = self.inverter(self.features_in(batch), training=True)
            found = {"input": objective.distance(inverted, excerpts)}
            if objective.compares:
                assert compared_of is not None
                compared = batch["compared"] if "compared" in batch else compared_of(excerpts)
                seen = inverted if objective.connected else tf.stop_gradient(inverted)
                found["feature"] = objective.distance(compared_of(seen), tf.stop_gradient(compared))
            squared = squared_weights(self.inverter.trainable_variables)
            found["l2"] = objective.l2_weight * squared
            found["loss"] = objective.total(found["input"], found.get("feature"), squared)
            return found, inverted

        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def train_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            variables = self.inverter.trainable_variables
            with tf.GradientTape(persistent=bool(adversarial_weight)) as tape:
                found, inverted = self.terms(batch)
                total = found["loss"]
                if adversarial_weight:
                    real, made = self.discriminator(batch["excerpt"]), self.discriminator(inverted)
                    found["adversarial"] = tf.reduce_mean(tf.square(made - 1))
                    judged = self.discriminator(tf.stop_gradient(inverted))
                    found["discriminator"] = tf.reduce_mean(tf.square(real - 1) + tf.square(judged))
                    total = total + adversarial_weight * found["adversarial"]
                scaled = total / replicas  # gradients are summed over replicas
            gradients = tape.gradient(scaled, variables)
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
            if adversarial_weight:
                theirs = self.discriminator.trainable_variables
                slopes = [each / replicas for each in tape.gradient(found["discriminator"], theirs)]
                self.discriminator_optimizer.apply_gradients(zip(slopes, theirs, strict=True))
                found["loss"] = total
            for name, mean in self.means.items():
                mean.update_state(found[name])
            return {name: mean.result() for name, mean in self.means.items()}

        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def test_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
            inverted = self.inverter(self.features_in(batch), training=False)
            squares = tf.math.squared_difference(inverted, batch["excerpt"])
            self.means["input"].update_state(tf.reduce_mean(squares, axis=(1, 2)))
            return {"input": self.means["input"].result()}

    return InverterTraining()
