"""An inverter with its training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actprobe import backend
from actprobe.analyses.inversion.training.discriminator import build_discriminator
from actprobe.analyses.inversion.training.losses import Objective, squared_weights

Function = Callable[[Any], Any]


class InverterLearner:
    """What learns in the training of an inverter, see `actprobe.training.parts.Learner`.

    Batches are ``excerpt``, perhaps ``features`` and ``compared``; averaged over an epoch are ``loss``,
    ``input``, ``feature`` and ``l2``. ``features_of`` takes excerpts and gives the features to be inverted,
    for batches that come without them; ``compared_of`` those of the comparator, needed when the objective
    compares. ``adversarial_weight`` is the factor of the adversarial term.
    """

    def __init__(
        self,
        inverter: Any,
        objective: Objective,
        features_of: Function | None = None,
        compared_of: Function | None = None,
        adversarial_weight: float = 0.0,
    ) -> None:
        from actprobe.analyses.inversion.networks.batch_norm import BatchNorm

        for layer in inverter.layers:
            if isinstance(layer, BatchNorm):
                layer.counts = objective.norm_updates
        self.inverter, self.objective = inverter, objective
        self.features_of, self.compared_of = features_of, compared_of
        self.adversarial_weight = adversarial_weight
        self.parts: dict[str, Any] = {"inverter": inverter}
        self.means = ["loss", "input", "feature", "l2"] if objective.compares else ["loss", "input", "l2"]
        if adversarial_weight:
            self.means += ["adversarial", "discriminator"]
            self.discriminator = build_discriminator(inverter.output_shape[1:])
            self.discriminator_optimizer = backend.keras.optimizers.Adam(1e-4, beta_1=0.5)
            self.discriminator_optimizer.build(self.discriminator.trainable_variables)
            self.parts["discriminator"] = self.discriminator
            self.parts["discriminator_optimizer"] = self.discriminator_optimizer

    @property
    def variables(self) -> Sequence[Any]:
        """What the optimizer changes."""
        return list(self.inverter.trainable_variables)

    def features_in(self, batch: Mapping[str, Any]) -> Any:
        """Give the features of a batch, computed where they are not in it."""
        if "features" in batch:
            return batch["features"]
        assert self.features_of is not None
        return backend.tf.cast(self.features_of(batch["excerpt"]), self.inverter.inputs[0].dtype)

    def terms(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Compute the terms of the loss in training, and the inverted excerpts."""
        tf, objective, excerpts = backend.tf, self.objective, batch["excerpt"]
        inverted = self.inverter(self.features_in(batch), training=True)
        found = {"input": objective.measure(inverted, excerpts)}
        if objective.compares:
            assert self.compared_of is not None
            compared = batch["compared"] if "compared" in batch else self.compared_of(excerpts)
            seen = inverted if objective.connected else tf.stop_gradient(inverted)
            found["feature"] = objective.measure(self.compared_of(seen), tf.stop_gradient(compared))
        squared = squared_weights(self.inverter.trainable_variables)
        found["l2"] = objective.l2_weight * squared
        found["loss"] = objective.total(found["input"], found.get("feature"), squared)
        return found, inverted

    def train(self, batch: Mapping[str, Any], optimizer: Any) -> dict[str, Any]:
        """Take a step, of the discriminator too where there is one."""
        tf = backend.tf
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        variables = self.inverter.trainable_variables
        with tf.GradientTape(persistent=bool(self.adversarial_weight)) as tape:
            found, inverted = self.terms(batch)
            total = found["loss"]
            if self.adversarial_weight:
                real, made = self.discriminator(batch["excerpt"]), self.discriminator(inverted)
                found["adversarial"] = tf.reduce_mean(tf.square(made - 1))
                judged = self.discriminator(tf.stop_gradient(inverted))
                found["discriminator"] = tf.reduce_mean(tf.square(real - 1) + tf.square(judged))
                total = total + self.adversarial_weight * found["adversarial"]
            scaled = total / replicas  # gradients are summed over replicas
        optimizer.apply_gradients(zip(tape.gradient(scaled, variables), variables, strict=True))
        if self.adversarial_weight:
            theirs = self.discriminator.trainable_variables
            slopes = [each / replicas for each in tape.gradient(found["discriminator"], theirs)]
            self.discriminator_optimizer.apply_gradients(zip(slopes, theirs, strict=True))
            found["loss"] = total
        return found

    def judge(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Measure the error of each excerpt of a validation batch, as the objective does."""
        inverted = self.inverter(self.features_in(batch), training=False)
        return {"input": self.objective.each(inverted, batch["excerpt"])}
