"""The linear readout of each layer, as a way to invert it beside the inverters.

A ridge regression from the features of a layer to the values of the excerpt. It takes no training but an
eigendecomposition, and does not know that values are neighbours in time and frequency: an inverter that is no
better than it has not been trained. All excerpts are reconstructed at once, before anything is evaluated.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.inversion.evaluation.readout.data import Excerpts, ReadoutData
from actprobe.analyses.inversion.evaluation.readout.features import FeaturePass, LayerFeatures
from actprobe.analyses.inversion.evaluation.readout.ridge import (
    READOUT,
    STRENGTHS,
    Doubles,
    Ridge,
    dual,
    primal,
)
from actprobe.analyses.inversion.evaluation.scores import Inversion
from actprobe.batch.progress import Progress
from actprobe.batch.shards import Shard, read_shard, write_shard
from actprobe.models import Model
from actprobe.provenance import digest

open_memmap: Any = np.lib.format.open_memmap  # it has no types

TARGETS_AT_ONCE = 1 << 22  # values of all excerpts that are fitted on
ROWS_AT_ONCE = 1024

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class LinearReadout:
    """Linear readouts of some layers.

    ``data`` gives what they are made of, when it is needed; ``identity`` distinguishes it, the evaluated
    excerpts included, from any other. ``folder`` keeps what run.json says of the readouts, and the scratch
    files until `close`.
    """

    def __init__(
        self,
        model: Model,
        layers: Sequence[str],
        data: Callable[[Path], ReadoutData],
        folder: Path,
        identity: str,
        *,
        batch_size: int = 32,
    ) -> None:
        self._model, self._layers, self._data = model, layers, data
        weights = model.weights
        decides = [identity, model.name, weights.sha256, weights.seed, list(layers), STRENGTHS]
        self.identity = digest(decides)
        self._store = folder / f"readout-{self.identity}.npz"
        self._scratch = folder / "readout"
        self._batch_size = batch_size
        self.close()
        finished = read_shard(self._store)
        self.facts: dict[str, Any] | None = None if finished is None else finished.facts
        """For each layer where and on how many excerpts it was fitted, and the strengths; None before."""

    def inversions(self) -> list[Inversion]:
        """Give the readouts as ways to invert; only of layers that were fitted."""
        return [
            Inversion(READOUT, layer, partial(self._reconstructed, layer), self.identity, by_position=True)
            for layer in self._layers
            if layer in (self.facts or {})
        ]

    def fit(self) -> None:
        """Fit the readouts of all layers and reconstruct the evaluated excerpts."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        data = self._data(self._scratch)
        count = len(data.excerpts)
        passed = FeaturePass(
            self._model, data.excerpts, count, data.fitted, self._scratch, batch_size=self._batch_size
        )
        facts = {}
        groups = passed.groups(self._layers)
        with Progress(count * len(groups), "excerpts of linear readouts") as bar:
            for features in (each for group in groups for each in passed.layers(group, bar.advance)):
                facts[features.layer] = fit_layer(features, data, self._path(features.layer))
        write_shard(self._store, Shard(facts))
        self.facts = facts

    def close(self) -> None:
        """Remove the scratch files."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> LinearReadout:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _reconstructed(self, layer: str, features: NDArray[Any], rows: Rows) -> Floats:
        """Look up the reconstructions of the evaluated excerpts at some positions."""
        path = self._path(layer)
        if not path.exists():  # the run was killed after they had been made
            self.fit()
        found = np.asarray(np.load(path, mmap_mode="r")[rows])
        return found.reshape(len(rows), *self._model.frontend.example_shape)

    def _path(self, layer: str) -> Path:
        return self._scratch / f"{layer.replace('/', '-')}.reconstructed.npy"


def fit_layer(features: LayerFeatures, data: ReadoutData, path: Path) -> dict[str, Any]:
    """Fit the readout of a layer and write its reconstructions, float32 [evaluated, values], as npy.

    Gives what run.json says of it; numbers of excerpts and strengths fold by fold.
    """
    excerpts = data.excerpts
    evaluated = sum(len(fold.evaluated) for fold in data.folds)
    found = open_memmap(path, "w+", np.float32, (evaluated, int(np.prod(excerpts.shape))))
    strengths = []
    for fold in data.folds:
        ridge = _decomposed(features, fold.inner)
        strength = choose_strength(
            ridge, features.of(fold.choose, fold.inner), excerpts, fold.inner, fold.choose
        )
        strengths.append(strength)
        if len(fold.fit) > len(fold.inner):
            ridge = _decomposed(features, fold.fit)
        for values in _blocks(excerpts, len(fold.fit)):
            targets = excerpts.columns(fold.fit, values.start, values.stop).astype(np.float64)
            coefficients, mean = ridge.coefficients(targets, strength), targets.mean(axis=0)
            for rows in _some(fold.evaluated):
                found[rows, values] = ridge.centre(features.of(rows, fold.fit)) @ coefficients + mean
    found.flush()
    at_an_end = sorted({STRENGTHS[0], STRENGTHS[-1]} & set(strengths))
    if at_an_end:
        logging.warning(
            "linear readout of %s: the best strength, %s mean eigenvalues, is at an end of the grid",
            features.layer, " and ".join(f"{each:g}" for each in at_an_end),
        )  # fmt: skip
    return {
        "fitted_on": data.fitted_on,
        "chosen_on": data.chosen_on,
        "excerpts": [len(fold.fit) for fold in data.folds],
        "choosing": [len(fold.choose) for fold in data.folds],
        "strengths": strengths,
        "solver": "dual" if features.products else "primal",
    }


def choose_strength(ridge: Ridge, given: NDArray[Any], excerpts: Excerpts, fit: Rows, choose: Rows) -> float:
    """Find the strength with the smallest mean distance from the excerpts at ``choose``.

    ``given`` are the features of these; ``ridge`` is of the excerpts at ``fit``.
    """
    projected = ridge.centre(given) @ ridge.vectors
    squares: Doubles = np.zeros((len(STRENGTHS), len(choose)))
    for values in _blocks(excerpts, len(fit)):
        targets = excerpts.columns(fit, values.start, values.stop).astype(np.float64)
        wanted = excerpts.columns(choose, values.start, values.stop) - targets.mean(axis=0)
        parts = ridge.parts(targets)
        for strength, square in zip(STRENGTHS, squares, strict=True):
            square += np.square(ridge.shrunk(projected, strength) @ parts - wanted).sum(axis=1)
    return STRENGTHS[int(np.sqrt(squares).mean(axis=1).argmin())]


def _decomposed(features: LayerFeatures, fit: Rows) -> Ridge:
    return (dual if features.products else primal)(features.of(fit, fit))


def _blocks(excerpts: Excerpts, fitted: int) -> Iterator[slice]:
    """Divide the values of an excerpt into blocks that hold few values of all that are fitted on."""
    count, step = int(np.prod(excerpts.shape)), max(TARGETS_AT_ONCE // fitted, 1)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _some(rows: Rows) -> Iterator[Rows]:
    for first in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[first : first + ROWS_AT_ONCE]
