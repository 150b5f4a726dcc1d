"""One pass over the recordings: the value of every neuron in every excerpt, and what the recordings reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.inversion.exciting.reach import Reach, merge_reaches, reach_of
from actprobe.batch.handle import ModelHandle
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.batch.shards import Shard, ShardStore
from actprobe.corpora import Recording
from actprobe.errors import AudioError
from actprobe.frontends.excerpts import refuse_not_finite
from actprobe.models import Model
from actprobe.models.target import Target

INPUT = "input"
SPREAD = 64  # excerpts of a recording, evenly spread, of which its reach is computed
KEPT = 4  # of these, kept as background
BACKGROUND = 64  # excerpts over all recordings, for the scale of a neuron

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of the recordings.

    - ``values``: float64 [excerpts, neurons], in the order of the targets.
    - ``owner``, ``number``, ``starts_seconds``: of each excerpt the number of its recording in
      ``recordings``, its own in there, and where it begins.
    - ``reach``: of the input, under `INPUT`, and of the layers that inverters invert.
    - ``background``: float32 [excerpts, time, mel], some excerpts.
    """

    values: Doubles = field(repr=False)
    recordings: list[Recording] = field(repr=False)
    owner: NDArray[np.int64] = field(repr=False)
    number: NDArray[np.int64] = field(repr=False)
    starts_seconds: Doubles = field(repr=False)
    reach: dict[str, Reach] = field(repr=False)
    background: Floats = field(repr=False)

    def best(self, neuron: int) -> int:
        """Give the excerpt with the highest value of a neuron; the first of several."""
        return int(np.argmax(self.values[:, neuron]))


@dataclass
class SurveyJob:
    """What is to be done with every recording; see `actprobe.batch.jobs.Job`.

    ``spaces`` are the layers whose reach is wanted.
    """

    handle: ModelHandle
    targets: tuple[Target, ...]
    spaces: tuple[str, ...]

    def prepare(self, recording: Recording) -> Prepared:
        return prepare_recording(recording, self.handle.frontend)

    def consumer(self, store: ShardStore) -> SurveyConsumer:
        return SurveyConsumer(self.handle.model, self.targets, self.spaces, store)


class SurveyConsumer:
    """Takes recordings through the network and writes their shards."""

    def __init__(
        self, model: Model, targets: Sequence[Target], spaces: Sequence[str], store: ShardStore
    ) -> None:
        self.model, self.targets, self.spaces, self.store = model, targets, list(spaces), store
        self.layers = list(dict.fromkeys(target.layer for target in targets))
        self._dense: Any = None
        if model.evaluation(self.layers) == "dense":
            positions = any(target.mel is not None for target in targets)
            self._dense = model.dense(self.layers, None if positions else "mean")

    def add(self, recording: Recording, prepared: Prepared) -> list[LedgerRow]:
        """Write a recording's shard; a fault is that of this recording."""
        try:
            self.store.save(recording, self._shard(recording, prepared))
            return [prepared.row]
        except Exception as error:  # one bad recording must not stop the batch
            return [failed_row(recording, error)]

    def flush(self) -> list[LedgerRow]:
        """Nothing is left: every recording is finished at once."""
        return []

    def _shard(self, recording: Recording, prepared: Prepared) -> Shard:
        frontend = self.model.frontend.of(recording.path)
        examples = np.asarray(frontend.examples(prepared.samples), np.float32)
        refuse_not_finite(examples, frontend, recording.path)
        frames = frontend.frames(prepared.samples) if self._dense else None
        values = [
            np.stack([target.of(piece[target.layer]) for target in self.targets], axis=1)
            for piece in self._pieces(examples, frames)
        ]
        found = np.concatenate(values).astype(np.float64)
        if not np.isfinite(found).all():
            raise AudioError(recording.path, "the network gives NaN or infinity for it")
        spread = examples[_evenly(len(examples), SPREAD)]
        arrays: dict[str, NDArray[Any]] = {"values": found, "starts": prepared.starts}
        whole = len(prepared.samples) >= frontend.example_samples
        arrays["whole"] = np.array(whole)
        arrays["background"] = spread[_evenly(len(spread), KEPT)]
        arrays |= reach_of(spread).arrays(INPUT)
        if self.spaces:
            features = self.model.activations(spread, self.spaces)
            for space in self.spaces:
                arrays |= reach_of(features[space]).arrays(space)
        return Shard(prepared.row.facts(), arrays)

    def _pieces(self, examples: Floats, frames: Floats | None) -> Iterator[dict[str, Floats]]:
        if frames is None:
            yield from self.model.iter_activations(examples, self.layers)
        else:
            yield from (piece for _, piece in self._dense.chunks(frames, self.model.frontend.hop))


def _evenly(count: int, wanted: int) -> NDArray[np.int64]:
    """Choose so many of some at most, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def merge_survey(store: ShardStore, recordings: Sequence[Recording], spaces: Sequence[str]) -> Survey:
    """Put the shards of recordings together.

    Recordings shorter than an example, which are filled up, count for the reach only if there are no others.
    """
    shards = [store.needed(recording).arrays for recording in recordings]
    counts = [len(shard["values"]) for shard in shards]
    whole = [shard for shard in shards if shard["whole"]] or shards
    if len(whole) < len(shards):
        logging.warning(
            "%d of %d recordings are shorter than an example: the mean excerpt and the bounds leave them out",
            len(shards) - len(whole),
            len(shards),
        )
    background = np.concatenate([shard["background"] for shard in whole])
    return Survey(
        np.concatenate([shard["values"] for shard in shards]),
        list(recordings),
        np.repeat(np.arange(len(shards)), counts),
        np.concatenate([np.arange(count) for count in counts]),
        np.concatenate([shard["starts"] for shard in shards]),
        {name: merge_reaches(name, whole) for name in (INPUT, *spaces)},
        background[_evenly(len(background), BACKGROUND)],
    )
