"""Recordings -> batches of a training, with features from files where that pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from actprobe.analyses.inversion.training.comparator import feature_function
from actprobe.analyses.inversion.training.feature_cache import cached_features, feature_bytes
from actprobe.analyses.inversion.training.losses import Objective
from actprobe.analyses.inversion.training.store import Excerpts, FrameStore
from actprobe.analyses.inversion.training.task import Task
from actprobe.corpora.labelled import LabelledRecording
from actprobe.models.model import Model
from actprobe.training.batches import Batches, Rows
from actprobe.training.settings import Settings

SHALLOW_BYTES = 1 << 20  # of features of an example; reading more takes longer than computing it
VARIANCE_EXCERPTS = 1024
LEVEL_EXCERPTS = 64


class TrainingData:
    """The batches of a training.

    Frames and features are in ``folder``. ``compares``: whether the loss compares features. Features of a
    layer that take more than ``cache_bytes`` are computed again in every step. ``keys`` and ``problems`` are
    those of the frame stores that were made: their keys, and a line for every recording that was left out.
    """

    def __init__(
        self, folder: Path, task: Task, compares: bool, settings: Settings, cache_bytes: float
    ) -> None:
        self.folder, self.task, self.compares = folder, task, compares
        self.settings, self.cache_bytes = settings, cache_bytes
        self.dtype = "bfloat16" if settings.precision == "mixed_bfloat16" else "float32"
        self.keys: list[str] = []
        self.problems: list[str] = []

    def batches(self, recordings: Sequence[LabelledRecording], *, judging: bool = False) -> Batches:
        """Make the batches of recordings; those for judging may be smaller, and are not compared."""
        task, batch_size = self.task, self.settings.batch_size
        store = FrameStore(self.folder, recordings, task.model.frontend)
        self.keys.append(store.key)
        self.problems += store.problems
        excerpts = store.excerpts(task.hop)
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
        return Batches(parts, batch_size, self.settings.seed, source=str(recordings[0].path.parent))

    def _pays(self, store: FrameStore, excerpts: Excerpts, model: Model, layer: str) -> bool:
        width = int(np.prod(model.layers[layer].shape)) * (2 if self.dtype == "bfloat16" else 4)
        whole = feature_bytes(store, excerpts, model, layer, self.dtype)
        return width <= SHALLOW_BYTES and whole <= self.cache_bytes

    def level(self, batches: Batches) -> tuple[float, float]:
        """Measure mean and standard deviation of all values of evenly spaced excerpts."""
        which = batches.spread(LEVEL_EXCERPTS)
        excerpts = np.asarray(batches.read(which)["excerpt"], np.float64)
        return float(excerpts.mean()), float(excerpts.std())

    def balance(self, objective: Objective, batches: Batches) -> Objective:
        """Measure the variances of excerpts and compared features on evenly spaced examples."""
        which = batches.spread(VARIANCE_EXCERPTS)
        compared_of = feature_function(self.task.comparator, self.task.comparator_layer)
        moments: dict[str, list[Any]] = {}
        for start in range(0, len(which), 32):
            batch = batches.read(which[start : start + 32])
            compared = batch["compared"] if "compared" in batch else compared_of(batch["excerpt"])
            for name, values in (("input", batch["excerpt"]), ("feature", compared)):
                doubles = np.asarray(values, np.float64)
                sums = moments.setdefault(name, [0.0, 0.0])
                sums[0] += doubles.sum(0)
                sums[1] += (doubles**2).sum(0)
        variances = {
            name: float(np.mean(squares / len(which) - (total / len(which)) ** 2))
            for name, (total, squares) in moments.items()
        }
        return replace(
            objective, input_variance=variances["input"], feature_variance=max(variances["feature"], 1e-12)
        )
