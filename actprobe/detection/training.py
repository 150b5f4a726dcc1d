"""Trains the detector as Schlüter and Grill did, on segments of many excerpts.

Binary cross-entropy against 0.02 and 0.98, stochastic gradient descent with Nesterov momentum 0.95 and a
learning rate of 0.01 that falls to 0.85 of itself every epoch, orthogonal kernels, dropout of 0.5 before the
dense layers (ISMIR 2015, section 3.2, and train.py of f0k/ismir2015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.corpora.labelled import LabelledRecording
from actprobe.detection.evaluation import evaluate
from actprobe.detection.network import build_trainable, logits
from actprobe.detection.prediction import predict_all
from actprobe.detection.segments import SegmentBatches, Segments
from actprobe.detection.spectra import log_mel_of
from actprobe.models.networks import svd
from actprobe.provenance import write_npz
from actprobe.training.loop import Training
from actprobe.training.parts import Best, Judge
from actprobe.training.settings import Settings

WEIGHTS, NORMALIZATION = "svd.npz", "meanstd.npz"
MOMENTUM = 0.95
TARGETS = (0.02, 0.98)  # what the network is trained to give for not sung and sung

Normalization = tuple[NDArray[np.float64], NDArray[np.float64]]


class DetectorLearner:
    """The detector with its training step, see `actprobe.training.parts.Learner`.

    ``normalization`` is mean and standard deviation of the bands; of the settings it takes the precision, and
    the seed of dropout.
    """

    means = ("loss",)

    def __init__(self, network: Any, normalization: Normalization, settings: Settings) -> None:
        self.network, self.normalization, self.settings = network, normalization, settings
        self.parts = {"network": network}
        self.variables = network.trainable_variables

    def train(self, batch: Mapping[str, Any], optimizer: Any) -> dict[str, Any]:
        """Take a step; dropout depends on the seed and the number of the step alone."""
        tf = backend.tf
        mean, std = (tf.constant(each, tf.float32) for each in self.normalization)
        low, high = TARGETS
        dropout_seed = tf.stack([self.settings.seed, tf.cast(optimizer.iterations, tf.int32)])
        with tf.GradientTape() as tape:
            frames = (batch["frames"] - mean) / std
            found = logits(self.network, frames, dropout_seed, self.settings.precision)
            targets = low + (high - low) * batch["labels"]
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, found))
        gradients = tape.gradient(loss, self.variables)
        optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        return {"loss": loss}


def detector_training(
    output_dir: Path,
    segments: Segments,
    valid: Sequence[LabelledRecording],
    settings: Settings,
    normalization: Normalization,
) -> Training:
    """Set up the training of a detector in a folder; its ``model.network`` is the detector.

    The folder gets svd.npz (the best on validation so far), meanstd.npz and what any training writes. The
    epochs are judged by every ninth frame of ``valid``; without any recording there the last epoch is the
    best. ``normalization`` is mean and standard deviation of the bands, float64 [80] each. UsageError where
    the folder holds a training with other settings or other data.
    """
    network = build_trainable(settings.seed)
    frames_of = cache(log_mel_of)

    def area() -> float:
        return evaluate(predict_all(network, normalization, valid, hop=9, frames_of=frames_of), 0.5).auc

    def weights() -> dict[str, NDArray[Any]]:
        by_layer = {layer.name: layer.get_weights() for layer in network.layers if layer.get_weights()}
        return svd.to_lasagne(by_layer)

    numbers = {**asdict(settings), "momentum": MOMENTUM, "targets": TARGETS}
    sgd = backend.keras.optimizers.SGD
    training = Training(
        output_dir,
        settings,
        {"settings": numbers, "data": segments.describe()},
        DetectorLearner(network, normalization, settings),
        lambda rate: sgd(rate, momentum=MOMENTUM, nesterov=True),
        SegmentBatches(segments, settings.batch_size),
        Judge("valid_auc", "valid AUC", larger=True, measure=area if valid else None),
        Best(output_dir / WEIGHTS, weights, write_npz),
    )
    write_npz(output_dir / NORMALIZATION, dict(zip(("mean", "std"), normalization, strict=True)))
    return training
