"""One training from recordings to a folder with weights, figures and model card."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.splits import Splits
from actprobe.detection.card import model_card
from actprobe.detection.data import Augmentation, Segments, SpectraStore
from actprobe.detection.evaluation import predict_all, report
from actprobe.detection.training import WEIGHTS, DetectorTraining, Settings
from actprobe.models.networks import svd
from actprobe.provenance import write_json

__all__ = ["train_detector"]


def train_detector(
    output_dir: Path,
    recordings: Splits,
    settings: Settings,
    augment: Augmentation,
    excerpts: int,
    *,
    command: str,
    threads: int = 2,
    deadline: float = float("inf"),
) -> dict[str, Any]:
    """Train, judge, and write the model card.

    Parameters
    ----------
    output_dir : Path
        Gets everything.
    recordings : Splits
        What to train on and to judge by.
    settings : Settings
        Numbers of the training.
    augment : Augmentation
        How examples are varied.
    excerpts : int
        Excerpts in a segment.
    command : str
        For the model card.
    threads : int, optional
        Threads that draw examples.
    deadline : float, optional
        ``time.time()`` after which no epoch is begun that would not end by then.

    Returns
    -------
    dict
        What metrics.json holds.
    """
    began = time.time()
    store = SpectraStore(output_dir / "spectra", recordings.train)
    segments = Segments(store, excerpts, augment, settings.seed)
    training = DetectorTraining(output_dir, segments, recordings.valid, settings, store.normalization())
    training.run(threads, deadline)
    logging.info("judging every frame of the validation and test recordings")
    metrics = judge(training, recordings)
    metrics["command"] = command
    metrics["session_hours"] = (time.time() - began) / 3600
    write_json(output_dir / "metrics.json", metrics)
    (output_dir / "README.md").write_text(model_card(metrics), encoding="utf-8")
    return metrics


def judge(training: DetectorTraining, recordings: Splits) -> dict[str, Any]:
    """Judge the best epoch of a training.

    Parameters
    ----------
    training : DetectorTraining
        A training with at least one epoch behind it; its model gets the weights of the best.
    recordings : Splits
        What to judge by.

    Returns
    -------
    dict
        JSON-able: history, data, settings, figures of every set and AUC of every song.
    """
    ported = svd.port(svd.read(training.output_dir / WEIGHTS))
    for name, arrays in ported.items():
        training.model.get_layer(name).set_weights(arrays)
    tuned_on = recordings.valid or recordings.train

    def predictions(group: Sequence[LabelledRecording]) -> Any:
        return predict_all(training.model, training.normalization, group)

    tests = {name: predictions(group) for name, group in recordings.tests.items()}
    each: Mapping[str, Any] = {
        found.recording.name: report([found], {})["valid"]["labels as they are"]["auc"]
        for name, group in tests.items()
        if len(group) <= 40
        for found in group
    }
    trained = [line["seconds"] for line in training.history]
    judged = {
        "figures": report(predictions(tuned_on), tests),
        "auc_of_each": each,
        "best_epoch": _best_epoch(training.history),
        "epochs": len(training.history),
        "training_hours": float(np.sum(trained)) / 3600,
        "excerpts_per_second": float(np.median([line["excerpts_per_second"] for line in training.history])),
        "recordings": {"train": len(recordings.train), "valid": len(recordings.valid)}
        | {name: len(group) for name, group in recordings.tests.items()},
        "settings": training.describe(),
        "history": training.history,
    }
    return dict(_without_nan(judged))


def _without_nan(value: Any) -> Any:
    """Put None where there is no figure: JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    aucs = [line["valid_auc"] for line in history]
    return int(np.argmax(aucs)) + 1 if not np.isnan(aucs).any() else len(history)
