"""One pass over the excerpts of an evaluation: everything is inverted and given to the network again.

Of every excerpt and inversion a few numbers are kept: the error, the distance of the features of the
inversion from those of the excerpt, and the outputs for both. The features of all layers are computed
in one pass. Excerpts go through in a seeded random order, some hundred at a time; what a killed run has
finished is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.inversion.evaluation.nre import errors_of
from actprobe.batch.shards import Shard, read_shard, write_shard
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.provenance import digest

EXCERPTS_IN_SHARD = 256
CONSTANT = 1e-9  # deviation of an output vector below which a correlation means nothing

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Inversion:
    """A way to invert a layer, to be evaluated.

    ``method`` is its name in the tables, such as ``joint``; ``layer`` is the layer whose features it takes,
    empty for one that takes the excerpts themselves. ``invert`` takes the features (or excerpts) of a batch
    and gives float32 [batch, time, mel]. ``identity`` distinguishes it from others, such as the hash of its
    weights. ``rows``, bool [excerpts], are those it is evaluated on, for a method too slow for all.
    ``training`` numbers trainings of one method, from 1.
    ``by_position``: whether ``invert`` also takes the positions of the excerpts, int64 [batch].
    """

    method: str
    layer: str
    invert: Callable[..., Floats] = field(repr=False)
    identity: str = ""
    rows: NDArray[np.bool_] | None = field(default=None, repr=False)
    by_position: bool = False
    training: int = 1

    def judged(self, count: int) -> NDArray[np.bool_]:
        """Which of all excerpts it is judged on."""
        return np.ones(count, np.bool_) if self.rows is None else self.rows


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one way to invert a layer; float64 [excerpts], NaN where it was not tried.

    - ``error``: distance of the inversion from the excerpt.
    - ``layer_error``: distance of the layer's features of the inversion from those of the excerpt.
    - ``layer_pairs``: mean distance of the layer's features of the excerpt from those of the others of its
      batch.
    - ``comparator_error``, ``comparator_pairs``: the same for the layer of the comparator.
    - ``output_original``, ``output_inverted``: the output for the excerpt and for the inversion, where it is
      one number.
    - ``correlation``: Pearson correlation of the two outputs, where they are vectors.
    """

    method: str
    layer: str
    error: Doubles
    layer_error: Doubles
    layer_pairs: Doubles
    comparator_error: Doubles
    comparator_pairs: Doubles
    output_original: Doubles
    output_inverted: Doubles
    correlation: Doubles


COLUMNS = tuple(each.name for each in fields(Scores))[2:]


def score_inversions(
    model: Model,
    excerpts: Floats,
    inversions: Sequence[Inversion],
    *,
    comparator: str | None = None,
    batch_size: int = 32,
    seed: int = 0,
    folder: Path | None = None,
    identity: str = "",
    advance: Callable[[int], None] = lambda count: None,
) -> list[Scores]:
    """Invert all excerpts, float32 [excerpts, time, mel], in all ways.

    ``comparator`` is a layer in which excerpts and inversions are compared too; ``seed`` is that of the order
    of the excerpts. ``folder`` gets a shard for every 256 excerpts, from which the same call goes on;
    ``identity`` distinguishes these excerpts from others there. ``advance`` is told how many excerpts were
    finished. UsageError: nothing to evaluate, or an inversion of another shape or that is not finite.
    """
    if not inversions:
        raise UsageError("there is no inversion to evaluate")
    count = len(excerpts)
    order = np.random.default_rng([seed, count]).permutation(count)
    tables = np.full((len(inversions), len(COLUMNS), count), np.nan)
    key = digest(
        [
            identity,
            model.name,
            model.weights.sha256,
            model.weights.seed,
            comparator,
            batch_size,
            seed,
            count,
            [
                (
                    each.method,
                    each.layer,
                    each.training,
                    each.identity,
                    np.flatnonzero(each.judged(count)).tolist(),
                )
                for each in inversions
            ],
        ]
    )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, count, EXCERPTS_IN_SHARD):
        rows = order[start : start + EXCERPTS_IN_SHARD]
        path = None if folder is None else folder / f"{key}-{start // EXCERPTS_IN_SHARD:05d}.npz"
        shard = None if path is None else read_shard(path)
        if shard is None:
            batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
            scored = [_score(model, excerpts[batch], inversions, comparator, batch) for batch in batches]
            shard = Shard({}, {"scores": np.concatenate(scored, axis=2)})
            if path is not None:
                write_shard(path, shard)
        tables[:, :, rows] = shard.arrays["scores"]
        advance(len(rows))
    return [
        Scores(inversion.method, inversion.layer, **dict(zip(COLUMNS, table, strict=True)))
        for inversion, table in zip(inversions, tables, strict=True)
    ]


def _score(
    model: Model,
    excerpts: Floats,
    inversions: Sequence[Inversion],
    comparator: str | None,
    batch: NDArray[np.int64],
) -> Doubles:
    """Judge all inversions on one batch; float64 [inversions, columns, batch]."""
    excerpts = np.asarray(excerpts, np.float32)
    output = model.output_layer
    wanted = dict.fromkeys([*(each.layer for each in inversions), comparator or "", output])
    layers = [name for name in wanted if name]
    features = model.activations(excerpts, layers, batch_size=len(excerpts))
    pairs = {name: _mean_distances(features[name]) for name in layers}
    found = np.full((len(inversions), len(COLUMNS), len(excerpts)), np.nan)
    for inversion, table in zip(inversions, found, strict=True):
        here = np.flatnonzero(np.ones(len(batch), bool) if inversion.rows is None else inversion.rows[batch])
        if not len(here):
            continue
        source = features[inversion.layer] if inversion.layer else excerpts
        given = (source[here], batch[here]) if inversion.by_position else (source[here],)
        inverted = np.asarray(inversion.invert(*given), np.float32)
        if not np.isfinite(inverted).all():
            raise UsageError(f"the inversions of {inversion.layer} by {inversion.method} are not finite")
        column = dict(zip(COLUMNS, table, strict=True))
        column["error"][here] = errors_of(excerpts[here], inverted)
        again_layers = list(dict.fromkeys(name for name in (inversion.layer, comparator, output) if name))
        again = model.activations(inverted, again_layers, batch_size=len(inverted))
        for name, distance, between in (
            (inversion.layer, "layer_error", "layer_pairs"),
            (comparator, "comparator_error", "comparator_pairs"),
        ):
            if name:
                column[distance][here] = errors_of(features[name][here], again[name])
                column[between][here] = pairs[name][here]
        before, after = features[output][here], again[output]
        if before.shape[1:] == (1,):
            column["output_original"][here], column["output_inverted"][here] = before[:, 0], after[:, 0]
        else:
            column["correlation"][here] = _correlations(before, after)
    return found


def _mean_distances(features: Floats) -> Doubles:
    """Mean distance of each from the others; NaN if it is alone."""
    flat = features.reshape(len(features), -1)
    flat = flat - flat.mean(axis=0)
    squares = np.square(flat).sum(axis=1, dtype=np.float64)
    products = np.asarray(flat @ flat.T, np.float64)
    distances = np.sqrt(np.maximum(squares[:, np.newaxis] + squares - 2 * products, 0))
    np.fill_diagonal(distances, 0)
    others = len(features) - 1
    return np.asarray(distances.sum(axis=1) / others if others else np.full(1, np.nan), np.float64)


def _correlations(before: NDArray[Any], after: NDArray[Any]) -> Doubles:
    """Pearson correlation of every two vectors; NaN where one of them is constant."""
    one, other = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (before, after))
    one, other = (each - each.mean(axis=1, keepdims=True) for each in (one, other))
    scale = np.sqrt(np.square(one).sum(axis=1) * np.square(other).sum(axis=1))
    meaningless = scale < CONSTANT
    return np.where(meaningless, np.nan, (one * other).sum(axis=1) / np.where(meaningless, 1.0, scale))
