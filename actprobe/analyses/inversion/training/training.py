"""One training of an inverter, from recordings to weights, metrics.json and card."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from actprobe import backend
from actprobe.analyses.inversion.networks.arrays import at_level, get_arrays, initial_arrays, set_arrays
from actprobe.analyses.inversion.networks.build import build_inverter
from actprobe.analyses.inversion.networks.design import plan_for
from actprobe.analyses.inversion.networks.inverter_file import Origin, save_inverter
from actprobe.analyses.inversion.pictures import picture
from actprobe.analyses.inversion.training.card import file_name, inverter_card
from actprobe.analyses.inversion.training.comparator import feature_function, layer_function
from actprobe.analyses.inversion.training.data import TrainingData
from actprobe.analyses.inversion.training.learner import InverterLearner
from actprobe.analyses.inversion.training.task import Task
from actprobe.corpora.labelled import LabelledRecording
from actprobe.errors import CorpusError, UsageError
from actprobe.frontends import FrontEnd
from actprobe.provenance import atomic_path, write_json
from actprobe.training.batches import Batches
from actprobe.training.device import is_chief, wait_for_all_workers
from actprobe.training.loop import Picture, Training
from actprobe.training.parts import Best, Judge
from actprobe.training.settings import Settings

PICTURES = 4


def run_task(
    output_dir: Path,
    task: Task,
    train: Sequence[LabelledRecording],
    valid: Sequence[LabelledRecording],
    settings: Settings,
    *,
    command: str,
    cache_dir: Path,
    cache_bytes: float = 8e9,
    deadline: float = math.inf,
    held_out: Sequence[str] = (),
    mixes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train an inverter, write metrics.json and the card, and give what metrics.json holds.

    ``valid`` are the recordings to choose the epoch by; ``command`` is for the card. Frames and features are
    kept in ``cache_dir``; features of a layer that take more than
    ``cache_bytes`` are computed again in every step. ``deadline``: ``time.time()`` after which no epoch is
    begun that would not end by then. ``held_out`` names those of ``valid`` that the corpus has for training.
    ``mixes``: how ``train`` was mixed, see `actprobe.training.mixer.Mixer.describe`, for the card.
    """
    model, comparator = task.model, task.comparator
    if comparator.frontend.example_shape != model.frontend.example_shape:
        raise UsageError(
            f"the comparator {comparator.name} looks at excerpts of {comparator.frontend.example_shape}, "
            f"{model.name} at {model.frontend.example_shape}: name another with --comparator"
        )
    if not train:
        raise CorpusError(output_dir, "there are no recordings to train on")
    began = time.time()
    layer, objective = model.layers[task.layer].name, task.objective
    compared_of = None
    if objective.compares:
        compared_of = feature_function(comparator, task.comparator_layer, settings.precision)
    plan = plan_for(model.network, model.frontend, layer, ending=task.ending, architecture=task.architecture)
    data = TrainingData(cache_dir, task, objective.compares, settings, cache_bytes)
    batches, judged_by = data.batches(train), None
    if valid:
        try:
            judged_by = data.batches(valid, judging=True)
        except CorpusError as error:
            logging.warning("no validation, the last epoch will be taken: %s", error)
    if task.loss == "balanced":
        objective = data.balance(objective, batches)
        logging.info(
            "variance over the training set: excerpts %.4g, %s of %s %.4g",
            objective.input_variance, task.comparator_layer, comparator.name, objective.feature_variance,
        )  # fmt: skip
    numbers = {"adversarial_weight": task.adversarial_weight, "validation_excerpts": task.validation_excerpts}
    described = {
        "settings": {**asdict(settings), **numbers},
        "objective": asdict(objective),
        **task.describe(plan.ending),
        "data": {
            "train": batches.examples, "valid": 0 if judged_by is None else judged_by.examples,
            "keys": data.keys,
            **({} if mixes is None else {"mixes": dict(mixes)}),
        },
    }  # fmt: skip
    inverter = build_inverter(plan, precision=settings.precision)
    set_arrays(inverter, at_level(initial_arrays(plan, settings.seed), plan, *data.level(batches)), plan)
    backend.keras.utils.set_random_seed(settings.seed)
    learner = InverterLearner(
        inverter,
        objective,
        layer_function(model, layer, settings.precision),
        compared_of,
        task.adversarial_weight,
    )
    origin = Origin(model.name, layer, model.weights.sha256, plan.ending, task.architecture)
    judging = None if judged_by is None else judged_by.once(task.validation_excerpts)
    training = Training(
        output_dir,
        settings,
        described,
        learner,
        lambda rate: backend.keras.optimizers.Adam(rate, epsilon=1e-8),
        batches,
        Judge("valid_input", "validation", dataset=judging, step=learner.judge),
        Best(
            output_dir / f"{file_name(model.name, layer)}.npz",
            lambda: get_arrays(inverter, plan),
            lambda path, arrays: save_inverter(path, arrays, origin, task.file_dtype),
        ),
        _pictures(learner, judged_by or batches, model.frontend),
    )
    history = training.run(deadline)
    best = history[training.best_epoch - 1]["valid_input"]
    metrics = {
        "command": command,
        **described,
        "recordings": {"train": len(train), "valid": len(valid), "left_out": data.problems},
        "held_out": list(held_out),
        "parameters": int(sum(np.prod(each.shape) for each in inverter.weights)),
        "valid_input": None if judged_by is None else best,
        "session_hours": (time.time() - began) / 3600,
        **training.summary(),
    }
    if is_chief():
        write_json(output_dir / "metrics.json", metrics)
        with atomic_path(output_dir / "README.md") as temporary:
            temporary.write_text(inverter_card(metrics), "utf-8")
    wait_for_all_workers()
    return metrics


def _pictures(learner: InverterLearner, batches: Batches, frontend: FrontEnd) -> Callable[[], list[Picture]]:
    """Make what shows some excerpts and their inversions, one after the other in time."""
    shown = batches.read(batches.spread(PICTURES))
    rate = frontend.sample_rate / frontend.frame_hop

    def pictures() -> list[Picture]:
        inverted = learner.inverter(learner.features_in(shown), training=False).numpy()
        pairs = [
            [picture(values, rate) for values in pair]
            for pair in zip(shown["excerpt"].numpy(), inverted, strict=True)
        ]
        return [
            (f"excerpt {number}, then inverted", np.concatenate(pair), pair[0])
            for number, pair in enumerate(pairs, 1)
        ]

    return pictures
