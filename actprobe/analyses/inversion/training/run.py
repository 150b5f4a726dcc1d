"""One training from recordings to a folder with the inverter, its figures and its card."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from actprobe.analyses.inversion.networks.design import plan_for
from actprobe.analyses.inversion.networks.inverter_file import Origin
from actprobe.analyses.inversion.training.card import inverter_card
from actprobe.analyses.inversion.training.comparator import feature_function
from actprobe.analyses.inversion.training.feature_cache import cached_features, feature_bytes
from actprobe.analyses.inversion.training.losses import Objective
from actprobe.analyses.inversion.training.store import Excerpts, FrameStore
from actprobe.analyses.inversion.training.training import Settings, Training
from actprobe.corpora.labelled import LabelledRecording
from actprobe.errors import CorpusError, UsageError
from actprobe.models.model import Model
from actprobe.provenance import write_json
from actprobe.training.batches import Batches, Rows

__all__ = ["Task", "file_name", "train_inverter"]

SHALLOW_BYTES = 1 << 20  # of features of an example; reading more takes longer than computing it
VARIANCE_EXCERPTS = 1024


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be inverted, and what it is compared by.

    Parameters
    ----------
    model : Model
        The network whose features are inverted.
    layer : str
        Its layer.
    comparator : Model
        The network of the feature term.
    comparator_layer : str
        Its layer.
    loss : str
        One of `actprobe.analyses.inversion.training.losses.LOSSES`.
    input_weight, feature_weight : float
        Factors of the terms.
    ending : str or None
        See `actprobe.analyses.inversion.networks.design.default_ending`.
    architecture : str
        See `actprobe.analyses.inversion.networks.design.plan_for`.
    hop : int
        Frames between the starts of excerpts.
    l2 : float or None
        See `actprobe.analyses.inversion.training.losses.Objective`.
    """

    model: Model
    layer: str
    comparator: Model
    comparator_layer: str = "conv5"
    loss: str = "joint"
    input_weight: float = 1.0
    feature_weight: float = 1.0
    ending: str | None = None
    architecture: str = "published"
    hop: int = 10
    l2: float | None = None


def file_name(model: str, layer: str) -> str:
    """Name the files of an inverter.

    Parameters
    ----------
    model, layer : str
        Whose features it inverts.

    Returns
    -------
    str
        Such as ``svd-inverter-fc8``.
    """
    return f"{model}-inverter-{layer}".replace("/", "_")


def train_inverter(
    output_dir: Path,
    task: Task,
    train: Sequence[LabelledRecording],
    valid: Sequence[LabelledRecording],
    settings: Settings,
    *,
    command: str,
    cache_dir: Path | None = None,
    cache_bytes: float = 8e9,
    deadline: float = math.inf,
) -> dict[str, Any]:
    """Train an inverter and write its card.

    Parameters
    ----------
    output_dir : Path
        Gets everything.
    task : Task
        What to invert.
    train, valid : sequence of LabelledRecording
        To learn from, and to choose the epoch by.
    settings : Settings
        Numbers of the training.
    command : str
        For the card.
    cache_dir : Path, optional
        Where frames and features are kept, ``output_dir/cache`` by default; trainings may share it.
    cache_bytes : float, optional
        Features of a layer that take more are computed again in every step; 0 caches none.
    deadline : float, optional
        ``time.time()`` after which no epoch is begun that would not end by then.

    Returns
    -------
    dict
        What metrics.json holds.

    Raises
    ------
    CorpusError
        No recording can be used, or there are too few excerpts for one batch.
    UsageError
        A comparator for excerpts of another shape, or a folder that holds another training.
    """
    model, comparator = task.model, task.comparator
    layer = model.layers[task.layer]
    if comparator.frontend.example_shape != model.frontend.example_shape:
        raise UsageError(
            f"the comparator {comparator.name} looks at excerpts of {comparator.frontend.example_shape}, "
            f"{model.name} at {model.frontend.example_shape}: name another with --comparator"
        )
    if not train:
        raise CorpusError(output_dir, "there are no recordings to train on")
    began = time.time()
    plan = plan_for(
        model.network, model.frontend, layer.name, ending=task.ending, architecture=task.architecture
    )
    objective = Objective(task.loss, task.input_weight, task.feature_weight, l2=task.l2)
    folder = output_dir / "cache" if cache_dir is None else cache_dir
    data = _Data(folder, task, objective.compares, settings, cache_bytes)
    batches = data.batches(train, settings.seed)
    valid_batches = None
    if valid:
        try:
            valid_batches = data.batches(valid, settings.seed, judging=True)
        except CorpusError as error:
            logging.warning("no validation, the last epoch will be taken: %s", error)
    if task.loss == "balanced":
        objective = data.balance(objective, batches)
        logging.info(
            "variance over the training set: excerpts %.4g, %s of %s %.4g",
            objective.input_variance, task.comparator_layer, comparator.name, objective.feature_variance,
        )  # fmt: skip
    described = {
        "settings": asdict(settings),
        "objective": asdict(objective),
        "model": {"name": model.name, "layer": layer.name, "weights": asdict(model.weights)},
        "comparator": _described(task) if objective.compares else None,
        "inverter": {"ending": plan.ending, "architecture": task.architecture, "hop": task.hop},
        "frontend": model.frontend.describe(),
        "data": {
            "train": batches.examples, "valid": 0 if valid_batches is None else valid_batches.examples,
            "keys": data.keys,
        },
    }  # fmt: skip
    training = Training(
        output_dir,
        file_name(model.name, layer.name),
        plan,
        Origin(model.name, layer.name, model.weights.sha256, plan.ending, task.architecture),
        objective,
        settings,
        batches,
        valid_batches,
        described,
        feature_function(model, layer.name, settings.precision),
        feature_function(comparator, task.comparator_layer, settings.precision),
    )
    history = training.run(deadline)
    judged = [line["valid_input"] for line in history]
    best = len(history) - 1 if valid_batches is None else int(np.nanargmin(judged))
    metrics = {
        "command": command,
        **described,
        "recordings": {"train": len(train), "valid": len(valid), "left_out": data.problems},
        "parameters": int(sum(np.prod(each.shape) for each in training.model.inverter.weights)),
        "steps_per_epoch": training.steps,
        "epochs": len(history),
        "best_epoch": best + 1,
        "valid_input": None if valid_batches is None else judged[best],
        "training_hours": sum(line["seconds"] for line in history) / 3600,
        "session_hours": (time.time() - began) / 3600,
        "examples_per_second": float(np.median([line["examples_per_second"] for line in history])),
        "history": [
            {k: None if v is None or math.isnan(v) else v for k, v in line.items()} for line in history
        ],
    }
    if training.is_chief:
        write_json(output_dir / "metrics.json", metrics)
        (output_dir / "README.md").write_text(inverter_card(metrics), encoding="utf-8")
    return metrics


def _described(task: Task) -> dict[str, Any]:
    weights = asdict(task.comparator.weights)
    return {"name": task.comparator.name, "layer": task.comparator_layer, "weights": weights}


class _Data:
    """Recordings -> batches, with features from files where that pays."""

    def __init__(
        self, folder: Path, task: Task, compares: bool, settings: Settings, cache_bytes: float
    ) -> None:
        self.folder, self.task, self.compares = folder, task, compares
        self.settings, self.cache_bytes = settings, cache_bytes
        self.dtype = "bfloat16" if settings.precision == "mixed_bfloat16" else "float32"
        self.keys: list[str] = []
        self.problems: list[str] = []

    def batches(
        self, recordings: Sequence[LabelledRecording], seed: int, *, judging: bool = False
    ) -> Batches:
        task, settings = self.task, self.settings
        store = FrameStore(self.folder, recordings, task.model.frontend)
        self.keys.append(store.key)
        self.problems += store.problems
        excerpts = store.excerpts(task.hop)
        batch_size = settings.batch_size
        if judging:
            batch_size = min(batch_size, len(excerpts))
        parts = {"excerpt": store.rows(excerpts)}
        wanted = [("features", task.model, task.layer)]
        if self.compares and not judging:
            wanted.append(("compared", task.comparator, task.comparator_layer))
        by_model: dict[int, tuple[Model, list[str]]] = {}
        for _, model, layer in wanted:
            if self._pays(store, excerpts, model, layer):
                by_model.setdefault(id(model), (model, []))[1].append(layer)
        found: dict[tuple[int, str], Rows] = {}
        for model, layers in by_model.values():
            unique = list(dict.fromkeys(layers))
            rows = cached_features(store, excerpts, model, unique, self.dtype)
            found |= {(id(model), layer): rows[layer] for layer in unique}
        for part, model, layer in wanted:
            if (id(model), layer) in found:
                parts[part] = found[id(model), layer]
        return Batches(parts, batch_size, seed, source=str(recordings[0].path.parent))

    def _pays(self, store: FrameStore, excerpts: Excerpts, model: Model, layer: str) -> bool:
        width = int(np.prod(model.layers[layer].shape)) * (2 if self.dtype == "bfloat16" else 4)
        whole = feature_bytes(store, excerpts, model, layer, self.dtype)
        return width <= SHALLOW_BYTES and whole <= self.cache_bytes

    def balance(self, objective: Objective, batches: Batches) -> Objective:
        """Measure the variances of excerpts and compared features on evenly spaced examples."""
        count = min(VARIANCE_EXCERPTS, batches.examples)
        which = np.linspace(0, batches.examples - 1, count).round().astype(np.int64)
        compared_of = feature_function(self.task.comparator, self.task.comparator_layer)
        moments: dict[str, list[Any]] = {}
        for start in range(0, count, 32):
            batch = batches.read(which[start : start + 32])
            compared = batch["compared"] if "compared" in batch else compared_of(batch["excerpt"])
            for name, values in (("input", batch["excerpt"]), ("feature", compared)):
                doubles = np.asarray(values, np.float64)
                sums = moments.setdefault(name, [0.0, 0.0])
                sums[0] += doubles.sum(0)
                sums[1] += (doubles**2).sum(0)
        variances = {
            name: float(np.mean(squares / count - (total / count) ** 2))
            for name, (total, squares) in moments.items()
        }
        return replace(
            objective, input_variance=variances["input"], feature_variance=max(variances["feature"], 1e-12)
        )
