"""Trains the detector as Schlüter and Grill did, on segments of many excerpts.

Binary cross-entropy against 0.02 and 0.98, stochastic gradient descent with Nesterov momentum 0.95 and a
learning rate of 0.01 that falls to 0.85 of itself every epoch, orthogonal kernels, dropout of 0.5 before the
dense layers (ISMIR 2015, section 3.2, and train.py of f0k/ismir2015).

After every epoch everything is saved; a run that is started again in the same folder goes on where it was and
ends as it would have: data and dropout depend on the seed and the number of the step alone.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe import backend
from actprobe.corpora.labelled import LabelledRecording
from actprobe.detection.data import Segments
from actprobe.detection.evaluation import evaluate, log_mel_of, predict_all
from actprobe.detection.network import build_trainable, logits
from actprobe.errors import UsageError
from actprobe.models.networks import svd

__all__ = ["DetectorTraining", "Settings", "save_weights"]

WEIGHTS, NORMALIZATION = "svd.npz", "meanstd.npz"


@dataclass(frozen=True)
class Settings:
    """The numbers of a training.

    Parameters
    ----------
    epochs, steps_per_epoch : int
        How long.
    batch_size : int
        Segments in a step.
    learning_rate, decay, momentum : float
        Rate of the first epoch, its factor after every epoch, Nesterov momentum.
    targets : tuple of float
        What the network shall say for not sung and sung.
    precision : str
        ``float32`` or ``bfloat16``, see `actprobe.detection.network.logits`; weights are float32 always.
    seed : int
        Seeds weights, data and dropout.
    """

    epochs: int = 24
    steps_per_epoch: int = 1000
    batch_size: int = 10
    learning_rate: float = 0.01
    decay: float = 0.85
    momentum: float = 0.95
    targets: tuple[float, float] = (0.02, 0.98)
    precision: str = "float32"
    seed: int = 0


def save_weights(path: Path, model: Any) -> None:
    """Write the weights in the original's layout, all or nothing.

    Parameters
    ----------
    path : Path
        npz with ``param0`` to ``param13``.
    model : tf_keras.Model
        The network.
    """
    by_layer = {layer.name: layer.get_weights() for layer in model.layers if layer.get_weights()}
    save_arrays(path, svd.to_lasagne(by_layer))


def save_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write an npz, all or nothing.

    Parameters
    ----------
    path : Path
        Where to.
    arrays : dict
        What.
    """
    part = path.with_name(path.name + ".part")
    members: dict[str, Any] = dict(arrays)
    with part.open("wb") as file:
        np.savez(file, **members)
    os.replace(part, path)  # noqa: PTH105


def _write_scalar(name: str, value: float) -> None:
    """Write a point of a curve for TensorBoard, which itself need not be installed."""
    tf = backend.tf
    kind = tf.compat.v1.SummaryMetadata(data_class=1)  # a scalar
    kind.plugin_data.plugin_name = "scalars"
    tf.summary.write(name, tf.constant(value, tf.float32), metadata=kind)


class DetectorTraining:
    """A training in a folder.

    Parameters
    ----------
    output_dir : Path
        Gets svd.npz (the best on validation so far), meanstd.npz, history.json, checkpoints/ and logs/.
    segments : Segments
        What to learn from.
    valid : sequence of LabelledRecording
        What the epochs are judged by, every ninth frame; without any the last epoch is the best.
    settings : Settings
        The numbers.
    normalization : tuple of numpy.ndarray
        Mean and standard deviation of the bands, float64, shape [80] each.

    Raises
    ------
    UsageError
        The folder holds a training with other numbers or other data.
    """

    def __init__(
        self,
        output_dir: Path,
        segments: Segments,
        valid: Sequence[LabelledRecording],
        settings: Settings,
        normalization: tuple[NDArray[np.float64], NDArray[np.float64]],
    ) -> None:
        tf, keras = backend.tf, backend.keras
        self.output_dir, self.segments, self.valid, self.settings = output_dir, segments, valid, settings
        self.normalization = normalization
        self.model = build_trainable(settings.seed)
        self.optimizer = keras.optimizers.SGD(
            settings.learning_rate, momentum=settings.momentum, nesterov=True
        )
        self.optimizer.build(self.model.trainable_variables)
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.history: list[dict[str, float]] = []
        output_dir.mkdir(parents=True, exist_ok=True)
        save_arrays(output_dir / NORMALIZATION, dict(zip(("mean", "std"), normalization, strict=True)))
        self._claim()
        checkpoint = tf.train.Checkpoint(model=self.model, optimizer=self.optimizer, epoch=self.epoch)
        self._manager = tf.train.CheckpointManager(
            checkpoint, str(output_dir / "checkpoints"), max_to_keep=2, checkpoint_name="epoch"
        )
        if self._manager.latest_checkpoint:
            checkpoint.restore(self._manager.latest_checkpoint).assert_consumed()
            history = json.loads((output_dir / "history.json").read_text())
            self.history = history[: int(self.epoch.numpy())]
            logging.info("goes on after epoch %d", int(self.epoch.numpy()))
        self._step = tf.function(self._train_step, reduce_retracing=True, autograph=False)
        self._valid_frames: dict[str, NDArray[np.float32]] = {}

    def _claim(self) -> None:
        """Refuse to mix two trainings in a folder."""
        wanted = self.describe()
        wanted["settings"].pop("epochs")  # a finished training may be given more of them
        path = self.output_dir / "training.json"
        if path.exists() and json.loads(path.read_text()) != wanted:
            raise UsageError(
                f"{self.output_dir} holds a training with other settings or data; see {path.name}"
            )
        path.write_text(json.dumps(wanted, indent=1))

    def describe(self) -> dict[str, Any]:
        """Say what is trained how.

        Returns
        -------
        dict
            JSON-able: settings and data.
        """
        described = {"settings": asdict(self.settings), "data": self.segments.describe()}
        return dict(json.loads(json.dumps(described)))

    def _train_step(self, frames: Any, labels: Any, dropout_seed: Any) -> Any:
        tf = backend.tf
        mean, std = (tf.constant(each, tf.float32) for each in self.normalization)
        low, high = self.settings.targets
        with tf.GradientTape() as tape:
            found = logits(self.model, (frames - mean) / std, dropout_seed, self.settings.precision)
            targets = low + (high - low) * labels
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, found))
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def run(
        self, threads: int = 2, deadline: float = math.inf, log: Callable[[str], None] = logging.info
    ) -> list[dict[str, float]]:
        """Train until the last epoch, or the last that ends before the deadline.

        Parameters
        ----------
        threads : int, optional
            Threads that draw segments.
        deadline : float, optional
            ``time.time()`` after which no epoch is begun that would not end by then.
        log : callable, optional
            Takes lines of progress.

        Returns
        -------
        list of dict
            For each epoch: epoch, loss, learning_rate, seconds, excerpts_per_second, valid_auc.
        """
        tf = backend.tf
        writer = tf.summary.create_file_writer(str(self.output_dir / "logs"))
        settings = self.settings
        slowest = 0.0
        for epoch in range(int(self.epoch.numpy()), settings.epochs):
            began = time.time()
            if began + slowest > deadline:
                log(f"no time for epoch {epoch + 1} of {settings.epochs}")
                break
            rate = settings.learning_rate * settings.decay**epoch
            self.optimizer.learning_rate.assign(rate)
            losses = self._run_epoch(epoch, threads, log)
            seconds = time.time() - began
            line = {
                "epoch": epoch + 1,
                "loss": float(np.mean(losses)),
                "learning_rate": rate,
                "seconds": seconds,
                "excerpts_per_second": len(losses) * settings.batch_size * self.segments.excerpts / seconds,
                "valid_auc": self._validate(),
            }
            best = max((past["valid_auc"] for past in self.history), default=-math.inf)
            self.history.append(line)
            if not line["valid_auc"] <= best:
                save_weights(self.output_dir / WEIGHTS, self.model)
            with writer.as_default(step=epoch + 1):
                for name in ("loss", "learning_rate", "excerpts_per_second", "valid_auc"):
                    _write_scalar(name, line[name])
            writer.flush()
            (self.output_dir / "history.json").write_text(json.dumps(self.history, indent=1))
            self.epoch.assign(epoch + 1)
            self._manager.save()
            slowest = max(slowest, time.time() - began)
            left = (settings.epochs - epoch - 1) * slowest / 60
            log(
                f"epoch {epoch + 1} of {settings.epochs}: loss {line['loss']:.4f}, valid AUC "
                f"{line['valid_auc']:.4f}, {line['excerpts_per_second']:.0f} excerpts/s, {left:.0f} min left"
            )
        writer.close()
        return self.history

    def _run_epoch(self, epoch: int, threads: int, log: Callable[[str], None]) -> list[float]:
        tf, settings = backend.tf, self.settings
        count = settings.steps_per_epoch * settings.batch_size
        losses: list[float] = []
        batches = self.segments.dataset(epoch * count, count, settings.batch_size, threads)
        spoke = time.time()
        for frames, labels in batches:
            step = epoch * settings.steps_per_epoch + len(losses)
            losses.append(float(self._step(frames, labels, tf.constant([settings.seed, step], tf.int32))))
            if time.time() - spoke > 30:
                spoke = time.time()
                part = f"step {len(losses)} of {settings.steps_per_epoch}"
                log(f"epoch {epoch + 1}, {part}: loss {np.mean(losses[-50:]):.4f}")
        return losses

    def _validate(self) -> float:
        if not self.valid:
            return math.nan

        def frames_of(recording: LabelledRecording) -> NDArray[np.float32]:
            if recording.name not in self._valid_frames:
                self._valid_frames[recording.name] = log_mel_of(recording)
            return self._valid_frames[recording.name]

        found = predict_all(self.model, self.normalization, self.valid, hop=9, frames_of=frames_of)
        return evaluate(found, 0.5).auc
