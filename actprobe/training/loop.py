"""The training loop: a training in a folder, and the book that is kept of it.

Everything that a step does depends on the seed and the number of the step alone, and after each epoch
everything is saved, so that a run that is started again goes on where it was and ends as it would have. The
best weights and the history are written first and the state that a run goes on from last: a kill in between
repeats that epoch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import ActprobeError, UsageError
from actprobe.provenance import write_json
from actprobe.training.batches import Source
from actprobe.training.device import is_chief
from actprobe.training.history import Line, read_history, without_nan, write_history
from actprobe.training.parts import Best, Judge, Learner
from actprobe.training.progress import Progress
from actprobe.training.schedule import first_rate, next_rate
from actprobe.training.settings import Settings
from actprobe.training.summaries import write_image, write_scalar

Picture = tuple[str, NDArray[np.float32], NDArray[np.float32]]  # as `write_image` takes it


class Training:
    """A training in a folder, within the strategy that is in scope.

    ``output_dir`` gets the best weights, history.json, training.json, backup/ and logs/. ``described`` is
    what decides the outcome, JSON-able, with the settings as ``settings``: it claims the folder; UsageError
    where that holds a training with other settings or other data. ``optimizer`` takes a learning rate, or
    Keras' schedule of it, and gives Keras' optimizer. ``pictures`` gives pictures for TensorBoard after an
    epoch.

    Attributes: ``model``, a `TrainingModel` with the parts of the learner as attributes; ``steps`` of an
    epoch; ``history``, for each epoch a dict of epoch, loss and its terms, the judge's column, learning_rate,
    seconds and UNIT_per_second.
    """

    def __init__(
        self,
        output_dir: Path,
        settings: Settings,
        described: Mapping[str, Any],
        learner: Learner,
        optimizer: Callable[[Any], Any],
        source: Source,
        judge: Judge,
        best: Best,
        pictures: Callable[[], Iterable[Picture]] = tuple,
    ) -> None:
        from actprobe.training.model import TrainingModel

        self.output_dir, self.settings, self.described = output_dir, settings, described
        self.source, self.judge, self.best, self.pictures = source, judge, best, pictures
        self.steps = settings.steps_per_epoch or source.steps_per_pass
        self.speed = f"{source.unit}_per_second"
        self.history: list[Line] = []
        self._claim()
        self.model = TrainingModel(learner, judge, settings.average)
        chosen = optimizer(first_rate(settings, self.steps))
        self.model.compile(optimizer=chosen, jit_compile=settings.jit_compile)
        chosen.build(learner.variables)

    def _claim(self) -> None:
        """Refuse to mix two trainings in a folder."""
        self.output_dir.mkdir(parents=True, exist_ok=True)
        path = self.output_dir / "training.json"
        wanted = json.loads(json.dumps(self.described))
        if self.settings.schedule != "cosine":  # a finished training may be given more epochs
            wanted["settings"].pop("epochs")
        if path.exists():
            held = json.loads(path.read_text("utf-8"))
            if held != wanted:
                differing = ", ".join(sorted(key for key in wanted if held.get(key) != wanted[key]))
                raise UsageError(
                    f"{self.output_dir} holds a training with other {differing}; see {path.name}"
                )
        else:
            write_json(path, wanted)

    def run(self, deadline: float = math.inf, log: Callable[[str], None] = logging.info) -> list[Line]:
        """Train until the last epoch, or the last that ends before the deadline, and give the history.

        ``deadline``: ``time.time()`` after which no epoch is begun that would not end by then. ``log`` takes
        lines of progress. ActprobeError: the loss is no longer a number; the best weights so far are kept.
        """
        settings, source, callbacks = self.settings, self.source, backend.keras.callbacks
        units = (source.unit, source.units_per_step)
        self.progress = Progress(settings.epochs, self.steps, *units, deadline, log)
        averaged = ExitStack()

        def judging(logs: Any) -> None:
            self.progress.end_training()
            averaged.enter_context(self.model.averaged())

        before = callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self.progress.begin(),
            on_train_batch_end=self._stepped,
            on_test_begin=judging,
            on_test_end=lambda logs: averaged.close(),
            on_epoch_end=self._keep,
            _supports_tf_logs=True,
        )
        after = callbacks.LambdaCallback(
            on_train_begin=self._restored, on_epoch_end=self._report, _supports_tf_logs=True
        )
        backup = callbacks.BackupAndRestore(str(self.output_dir / "backup"), delete_checkpoint=False)
        self.verbosity = logging.get_verbosity()
        try:
            self.model.fit(
                source.endless(),
                epochs=settings.epochs,
                steps_per_epoch=self.steps,
                validation_data=self.judge.dataset,
                callbacks=[before, backup, after],
                verbose=0,
            )
        finally:
            logging.set_verbosity(self.verbosity)
        return self.history

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept, counted from 1."""
        kept, best = 0, self.judge.worst
        for number, line in enumerate(self.history, 1):
            if self.judge.better(line[self.judge.column], best):
                kept, best = number, line[self.judge.column]
        return kept

    def summary(self) -> dict[str, Any]:
        """What metrics.json says of any training, JSON-able."""
        return {
            "steps_per_epoch": self.steps,
            "epochs": len(self.history),
            "best_epoch": self.best_epoch,
            "training_hours": sum(line["seconds"] for line in self.history) / 3600,
            self.speed: float(np.median([line[self.speed] for line in self.history])),
            "history": without_nan(self.history),
        }

    def _restored(self, logs: Any = None) -> None:
        done = int(self.model.epochs_done.numpy())
        self.source.first_step = done * self.steps
        if done:
            self.history = read_history(self.output_dir)[:done]
            self.progress.log(f"goes on after epoch {done}")
        if is_chief():
            self.writer = backend.tf.summary.create_file_writer(str(self.output_dir / "logs"))

    def _stepped(self, batch: int, logs: Mapping[str, Any]) -> None:
        loss, epoch = float(logs["loss"]), len(self.history) + 1
        if not math.isfinite(loss):
            kept = f"; {self.best.path} holds the best epoch before" if self.history else ""
            raise ActprobeError(f"the loss is {loss} at step {batch + 1} of epoch {epoch}{kept}")
        self.progress.step(epoch, batch + 1, loss)

    def _keep(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Judge an epoch and write its best weights, the history and TensorBoard's curves."""
        model, settings, column = self.model, self.settings, self.judge.column
        seconds, rate = self.progress.seconds(), model.optimizer.learning_rate
        found = {name.replace("val_", "valid_", 1): float(value) for name, value in logs.items()}
        if self.judge.measure is not None:
            with model.averaged():
                found[column] = self.judge.measure()
        judged = found.pop(column, math.nan)
        line = {"epoch": epoch + 1, **found, column: judged, "learning_rate": float(rate.numpy())}
        line["seconds"] = seconds
        line[self.speed] = self.steps * self.source.units_per_step / seconds
        if settings.schedule != "cosine":
            previous = float(model.previous_loss.numpy())
            rate.assign(next_rate(settings, epoch + 1, line["learning_rate"], previous, line["loss"]))
        model.previous_loss.assign(line["loss"])
        model.epochs_done.assign(epoch + 1)
        self.better = self.judge.better(line[column], float(model.best.numpy()))
        if self.better:
            model.best.assign(line[column])
        self.history.append(line)
        with model.averaged():
            weights = self.best.weights() if self.better else {}
            pictures = list(self.pictures())
        if is_chief():
            if self.better:
                self.best.save(self.best.path, weights)
            write_history(self.output_dir, self.history)
            self._summarise(line, pictures)
        logging.set_verbosity(logging.WARNING)  # TensorFlow tells how long it took to save

    def _summarise(self, line: Line, pictures: Iterable[Picture]) -> None:
        with self.writer.as_default(step=int(line["epoch"])):
            for name, value in line.items():
                if name != "epoch" and math.isfinite(value):
                    write_scalar(name, value)
            for picture in pictures:
                write_image(*picture)
        self.writer.flush()

    def _report(self, epoch: int, logs: Any = None) -> None:
        logging.set_verbosity(self.verbosity)
        line = self.history[-1]
        terms = ", ".join(f"{name} {line[name]:.4f}" for name in self.model.means)
        value = line[self.judge.column]
        judged = f", {self.judge.label} {value:.4f}{' (best)' if self.better else ''}"
        told = terms if math.isnan(value) else terms + judged
        if not self.progress.end(epoch + 1, told, line[self.speed]):
            self.model.stop_training = True
