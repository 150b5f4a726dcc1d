"""What `activations` does with every recording, and in which process."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import scratch
from actprobe.analyses.activations.store import Activations, ActivationStore, Evaluate
from actprobe.batch.handle import ModelHandle
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.corpora import Recording
from actprobe.frontends.stored_files import file_facts
from actprobe.models import Layer, Model

BATCH_BYTES = 32 << 20  # of the largest layer, for the examples that go through the network together


@dataclass
class ActivationJob:
    """What is to be done with every recording; see `actprobe.batch.jobs.Job`."""

    handle: ModelHandle
    layers: tuple[str, ...]
    batch_size: int
    _evaluate: Evaluate | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_evaluate": None}

    def prepare(self, recording: Recording) -> Prepared:
        return prepare_recording(recording, self.handle.frontend)

    def consumer(self, store: ActivationStore) -> ActivationConsumer:
        model = self.handle.model
        if self._evaluate is None:
            self._evaluate = self._evaluator(model)
        return ActivationConsumer(model, model.layers.select(self.layers), self._evaluate, store)

    def manner(self, model: Model) -> str:
        """Say how examples go through the network, for provenance."""
        way = model.evaluation(self.layers)
        return f"batches of {self._batch(model)}" if way == "batches" else way

    def _batch(self, model: Model) -> int:
        largest = max(4 * math.prod(layer.shape) for layer in model.layers.values())
        return max(1, min(self.batch_size, BATCH_BYTES // largest))

    def _evaluator(self, model: Model) -> Evaluate:
        if model.evaluation(self.layers) != "dense":
            batch = self._batch(model)
            return lambda examples: model.iter_activations(examples, self.layers, batch_size=batch)
        dense, hop = model.dense(self.layers), model.frontend.hop

        def densely(examples: NDArray[np.float32]) -> Iterator[Activations]:
            last = examples[-1, hop:]
            frames = scratch.array((len(examples) * hop + len(last), examples.shape[2]), np.float32)
            np.concatenate([*examples[:, :hop], last], out=frames)
            return (piece for _, piece in dense.chunks(frames, hop))

        return densely


@dataclass
class ActivationConsumer:
    model: Model
    layers: Sequence[Layer]
    evaluate: Evaluate
    store: ActivationStore

    def add(self, recording: Recording, prepared: Prepared) -> list[LedgerRow]:
        """Write a recording's file; a fault, of the disk too, is that of this recording."""
        try:
            examples = self.model.frontend.of(recording.path).examples(prepared.samples)
            facts = file_facts(self.model.frontend)
            return [self.store.write(recording, prepared, examples, self.layers, self.evaluate, facts)]
        except Exception as error:  # one bad recording must not stop the batch
            return [failed_row(recording, error)]

    def flush(self) -> list[LedgerRow]:
        """Nothing is left: every recording is written at once."""
        return []
