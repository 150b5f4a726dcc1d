"""A training in a folder, and the book that is kept of it.

Adam with 1e-3, 0.9, 0.999 and 1e-8, as the program of Mishra et al. Everything that a step does depends
on the seed and the number of the step alone, and after each epoch everything is saved, so that a run that
is started again goes on where it was and ends as it would have.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe import backend
from actprobe.analyses.inversion.networks.arrays import get_arrays, initial_arrays, set_arrays
from actprobe.analyses.inversion.networks.inverter_file import Origin, save_inverter
from actprobe.analyses.inversion.networks.build import build_inverter
from actprobe.analyses.inversion.training.losses import Objective
from actprobe.analyses.inversion.training.training_model import Function, training_model
from actprobe.errors import ActprobeError, UsageError
from actprobe.models.inverter_specs import Plan
from actprobe.provenance import write_json
from actprobe.training.batches import Batches
from actprobe.training.schedule import SCHEDULES, published_rate
from actprobe.training.summaries import write_image, write_scalar

__all__ = ["Settings", "Training"]

SECONDS_BETWEEN_LINES = 30.0
PICTURES = 4


@dataclass(frozen=True)
class Settings:
    """The numbers of a training.

    Parameters
    ----------
    epochs : int
        How many.
    steps_per_epoch : int or None
        Steps in an epoch; None for a pass over all examples.
    batch_size : int
        Examples in a step, over all replicas.
    learning_rate : float
        Of the first epoch.
    schedule : str
        One of `actprobe.training.schedule.SCHEDULES`.
    precision : str
        ``float32`` or ``mixed_bfloat16``; weights, losses and statistics are float32 always.
    seed : int
        Seeds weights and the order of the examples.
    adversarial_weight : float
        Factor of the adversarial term; 0 for none.
    validation_excerpts : int or None
        How many excerpts an epoch is judged by, evenly spaced; None for all.
    jit_compile : bool
        Whether the step is compiled with XLA.
    """

    epochs: int = 30
    steps_per_epoch: int | None = None
    batch_size: int = 32
    learning_rate: float = 1e-3
    schedule: str = "published"
    precision: str = "float32"
    seed: int = 0
    adversarial_weight: float = 0.0
    validation_excerpts: int | None = None
    jit_compile: bool = False

    def __post_init__(self) -> None:
        """Refuse a schedule that does not exist."""
        if self.schedule not in SCHEDULES:
            raise UsageError(f"there is no schedule {self.schedule!r}; there is {', '.join(SCHEDULES)}")


class Training:
    """A training in a folder.

    Parameters
    ----------
    output_dir : Path
        Gets NAME.npz (best on validation so far), history.json, training.json, backup/ and logs/.
    name : str
        Name of the weight file, without its ending.
    plan : Plan
        The inverter.
    origin : Origin
        What it is for.
    objective : Objective
        The loss.
    settings : Settings
        The numbers.
    batches : Batches
        To learn from.
    valid : Batches or None
        What epochs are judged by: mean squared error of the excerpts; without them the last is the best.
    described : mapping
        What else decides the outcome, JSON-able: data, network, comparator.
    features_of, compared_of : callable, optional
        See `actprobe.analyses.inversion.training.training_model`.

    Raises
    ------
    UsageError
        The folder holds a training with other numbers or other data.
    """

    def __init__(
        self,
        output_dir: Path,
        name: str,
        plan: Plan,
        origin: Origin,
        objective: Objective,
        settings: Settings,
        batches: Batches,
        valid: Batches | None,
        described: Mapping[str, Any],
        features_of: Function | None = None,
        compared_of: Function | None = None,
    ) -> None:
        self.output_dir, self.plan, self.origin = output_dir, plan, origin
        self.objective, self.settings = objective, settings
        self.batches, self.valid = batches, valid
        self.path = output_dir / f"{name}.npz"
        self.described = dict(described)
        self.steps = settings.steps_per_epoch or batches.steps_per_pass
        self.history: list[dict[str, float]] = []
        output_dir.mkdir(parents=True, exist_ok=True)
        self._claim()
        keras = backend.keras
        with backend.tf.distribute.get_strategy().scope():
            inverter = build_inverter(plan, precision=settings.precision)
            set_arrays(inverter, initial_arrays(plan, settings.seed), plan)
            keras.utils.set_random_seed(settings.seed)
            self.model = training_model(
                inverter, objective, features_of, compared_of, settings.adversarial_weight
            )
            rate: Any = settings.learning_rate
            if settings.schedule == "cosine":
                rate = keras.optimizers.schedules.CosineDecay(rate, settings.epochs * self.steps)
            optimizer = keras.optimizers.Adam(rate, epsilon=1e-8)
            self.model.compile(optimizer=optimizer, jit_compile=settings.jit_compile)
            optimizer.build(inverter.trainable_variables)

    def _claim(self) -> None:
        """Refuse to mix two trainings in a folder."""
        path = self.output_dir / "training.json"
        wanted = json.loads(json.dumps(self.described))
        if self.settings.schedule != "cosine":  # a finished training may be given more epochs
            wanted["settings"].pop("epochs")
        if path.exists():
            held = json.loads(path.read_text())
            if held != wanted:
                differing = ", ".join(sorted(key for key in wanted if held.get(key) != wanted[key]))
                raise UsageError(
                    f"{self.output_dir} holds a training with other {differing}; see {path.name}"
                )
        else:
            write_json(path, wanted)

    def run(
        self, deadline: float = math.inf, log: Callable[[str], None] = logging.info
    ) -> list[dict[str, float]]:
        """Train until the last epoch, or the last that ends before the deadline.

        Parameters
        ----------
        deadline : float, optional
            ``time.time()`` after which no epoch is begun that would not end by then.
        log : callable, optional
            Takes lines of progress.

        Returns
        -------
        list of dict
            For each epoch: epoch, loss, its terms, valid_input, learning_rate, seconds, examples_per_second.

        Raises
        ------
        ActprobeError
            The loss is no longer a number; what was best so far stands.
        """
        book = _bookkeeping_class()(self, deadline, log)
        valid = None if self.valid is None else self.valid.once(self.settings.validation_excerpts)
        self.model.fit(
            self.batches.endless(),
            epochs=self.settings.epochs,
            steps_per_epoch=self.steps,
            validation_data=valid,
            callbacks=[book],
            verbose=0,
        )
        return self.history

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the results."""
        resolver = backend.tf.distribute.get_strategy().cluster_resolver
        return resolver is None or resolver.task_id in (None, 0)


def _bookkeeping_class() -> Any:
    """Make the callback that restores, saves, schedules and reports; tf_keras is loaded first."""
    keras, tf = backend.keras, backend.tf

    class Bookkeeping(keras.callbacks.BackupAndRestore):  # type: ignore[misc,name-defined]
        def __init__(self, training: Training, deadline: float, log: Callable[[str], None]) -> None:
            super().__init__(str(training.output_dir / "backup"), delete_checkpoint=False)
            self.training, self.deadline, self.log = training, deadline, log
            self.slowest = 0.0

        def _implements_train_batch_hooks(self) -> bool:
            return True  # Keras asks, and BackupAndRestore says no

        def on_train_begin(self, logs: Any = None) -> None:
            super().on_train_begin(logs)
            training = self.training
            done = int(self.model.epochs_done.numpy())
            training.batches.first_step = done * training.steps
            path = training.output_dir / "history.json"
            if done:
                stored = json.loads(path.read_text())["epochs"][:done]
                training.history = [
                    {key: math.nan if value is None else value for key, value in line.items()}
                    for line in stored
                ]
                self.log(f"goes on after epoch {done}")
            if training.is_chief:
                self.writer = tf.summary.create_file_writer(str(training.output_dir / "logs"))
            valid = training.valid or training.batches
            numbers = np.linspace(0, valid.examples - 1, PICTURES).round().astype(np.int64)
            self.shown = valid.read(numbers)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_begin(epoch, logs)
            self.began = self.spoke = time.time()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            super().on_train_batch_end(batch, logs)
            loss = float(logs["loss"])
            if not math.isfinite(loss):
                done = len(self.training.history)
                kept = f"; {self.training.path} holds the best epoch before" if done else ""
                raise ActprobeError(f"the loss is {loss} at step {batch + 1} of epoch {done + 1}{kept}")
            now = time.time()
            if now - self.spoke > SECONDS_BETWEEN_LINES:
                self.spoke = now
                rate = (batch + 1) * self.training.settings.batch_size / (now - self.began)
                epoch, steps = len(self.training.history) + 1, self.training.steps
                left = (steps - batch - 1 + (self.training.settings.epochs - epoch) * steps) / (batch + 1)
                minutes = left * (now - self.began) / 60
                self.log(
                    f"epoch {epoch}, step {batch + 1} of {steps}: loss {loss:.4f}, {rate:.0f} examples/s, "
                    f"{minutes:.0f} min left"
                )

        def on_test_begin(self, logs: Any = None) -> None:
            self.trained_until = time.time()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            training, model, settings = self.training, self.model, self.training.settings
            seconds = getattr(self, "trained_until", time.time()) - self.began
            rate = model.optimizer.learning_rate
            line = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
            line["valid_input"] = line.pop("val_input", math.nan)
            line["learning_rate"] = float(rate.numpy())
            line["seconds"] = seconds
            line["examples_per_second"] = training.steps * settings.batch_size / seconds
            if settings.schedule == "published":
                previous = float(model.previous_loss.numpy())
                rate.assign(published_rate(line["learning_rate"], previous, line["loss"]))
            model.previous_loss.assign(line["loss"])
            model.epochs_done.assign(epoch + 1)
            better = not line["valid_input"] >= float(model.best.numpy())
            if better:
                model.best.assign(line["valid_input"])
            training.history.append(line)
            # Moving averages are a mean over all workers: each has to ask for them.
            arrays = get_arrays(model.inverter, training.plan) if better else {}
            inverted = model.inverter(model.features_in(self.shown), training=False).numpy()
            if training.is_chief:
                if better:
                    save_inverter(training.path, arrays, training.origin)
                self._write(line, inverted)
            verbosity = logging.get_verbosity()
            logging.set_verbosity(logging.WARNING)  # TensorFlow tells how long it took to save
            super().on_epoch_end(epoch, logs)
            logging.set_verbosity(verbosity)
            whole = time.time() - self.began
            self.slowest = max(self.slowest, whole)
            left = (settings.epochs - epoch - 1) * whole / 60
            terms = ", ".join(f"{name} {line[name]:.4f}" for name in model.means)
            judged = f"validation {line['valid_input']:.4f}{' (best)' if better else ''}"
            speed = f"{line['examples_per_second']:.0f} examples/s, {left:.0f} min left"
            self.log(f"epoch {epoch + 1} of {settings.epochs}: {terms}, {judged}, {speed}")
            if time.time() + self.slowest > self.deadline and epoch + 1 < settings.epochs:
                self.log(f"no time for epoch {epoch + 2} of {settings.epochs}")
                model.stop_training = True

        def _write(self, line: Mapping[str, float], inverted: NDArray[np.float32]) -> None:
            plain = [
                {key: None if math.isnan(value) else value for key, value in each.items()}
                for each in self.training.history
            ]
            write_json(self.training.output_dir / "history.json", {"epochs": plain})
            with self.writer.as_default(step=int(line["epoch"])):
                for name, value in line.items():
                    if name != "epoch" and math.isfinite(value):
                        write_scalar(name, value)
                pairs = zip(self.shown["excerpt"].numpy(), inverted, strict=True)
                for number, (wanted, found) in enumerate(pairs):
                    both = np.concatenate([wanted, found])
                    write_image(f"excerpt {number + 1}, then inverted", both, wanted)
            self.writer.flush()

    return Bookkeeping
