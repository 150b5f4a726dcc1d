"""A job that takes recordings one by one: each is prepared, worked on, and kept as a shard of arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.batch.handle import ModelHandle
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.batch.shards import Shard, ShardStore
from actprobe.corpora import Recording
from actprobe.errors import UsageError
from actprobe.features import Feature
from actprobe.frontends import FrontEnd
from actprobe.frontends.excerpts import examples_at, refuse_not_finite, some_starts
from actprobe.models import Model

Arrays = Mapping[str, NDArray[Any]]


@dataclass
class RecordingJob(ABC):
    """What is to be done with every recording; see `actprobe.batch.jobs.Job`.

    An analysis derives its job and gives `work`. ``handle`` opens the network where the work is done. A fault
    is that of its recording alone, but for a UsageError: what is wrong with the command is wrong with every
    recording.
    """

    handle: ModelHandle

    def __getstate__(self) -> dict[str, Any]:
        """Leave the networks behind that have been opened here."""
        return {name: value for name, value in vars(self).items() if name != "_networks"}

    def prepare(self, recording: Recording) -> Prepared:
        """Decode a recording, in a process without TensorFlow."""
        return prepare_recording(recording, self.handle.frontend)

    @abstractmethod
    def work(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> Arrays:
        """Compute what is kept of a recording, in the process of the network; ``frontend`` is its own."""

    def networks(self, random_seeds: Sequence[int]) -> list[Model]:
        """Open the network and its controls with random weights, once."""
        if "_networks" not in vars(self):
            model = self.handle.model
            self._networks = [model, *(model.with_random_weights(seed) for seed in random_seeds)]
        return self._networks

    def consumer(self, store: ShardStore) -> RecordingConsumer:
        """Make what does the work and writes to the store."""
        return RecordingConsumer(self, store)


@dataclass
class ExcerptJob(RecordingJob):
    """A job that looks at so many ``excerpts`` of each recording, spread evenly."""

    excerpts: int

    def prepare(self, recording: Recording) -> Prepared:
        return self.prepared(recording)

    def prepared(
        self, recording: Recording, features: Sequence[Feature] = (), unit: str = "recording"
    ) -> Prepared:
        """Prepare a recording, with the features of it or of its excerpts; see `prepare_recording`."""
        chosen = partial(some_starts, count=self.excerpts)
        return prepare_recording(recording, self.handle.frontend, features, unit, excerpts=chosen)

    def starts(self, prepared: Prepared, frontend: FrontEnd) -> NDArray[np.int64]:
        """Give the first samples of the excerpts."""
        return np.asarray(np.round(prepared.starts * frontend.sample_rate), np.int64)

    def examples(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> NDArray[np.float32]:
        """Cut the excerpts; AudioError where they are not finite."""
        examples = examples_at(frontend, prepared.samples, self.starts(prepared, frontend))
        refuse_not_finite(examples, frontend, recording.path)
        return examples


class RecordingConsumer:
    """Finishes one recording after the other."""

    def __init__(self, job: RecordingJob, store: ShardStore) -> None:
        self.job, self.store = job, store

    def add(self, recording: Recording, prepared: Prepared) -> list[LedgerRow]:
        """Work on a recording and keep what comes out."""
        try:
            frontend = self.job.handle.frontend.of(recording.path)
            arrays = dict(self.job.work(recording, prepared, frontend))
            self.store.save(recording, Shard(prepared.row.facts(), arrays))
        except UsageError:
            raise
        except Exception as error:  # one bad recording must not stop the run
            return [failed_row(recording, error)]
        return [prepared.row]

    def flush(self) -> list[LedgerRow]:
        """Nothing is left: every recording is finished by itself."""
        return []
