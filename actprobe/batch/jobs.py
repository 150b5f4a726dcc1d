"""What can be done with every recording of a corpus, and where such work keeps what it has finished."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

from actprobe.batch.ledger import LedgerRow
from actprobe.corpora import Recording


class Store(Protocol):
    """Where a run keeps what it has finished; it can be pickled."""

    def finished(self, recording: Recording) -> LedgerRow | None:
        """Give the row of a recording that is finished, None for one that has to be computed."""


class Consumer(Protocol):
    """Takes prepared recordings in and finishes them, in order or in batches."""

    def add(self, recording: Recording, prepared: Any) -> list[LedgerRow]:
        """Take in a recording and what the job's ``prepare`` returned for it.

        Returns
        -------
        list of LedgerRow
            Rows of the recordings that are finished now, their shards on disk, or that failed. What is
            raised instead ends the run.
        """

    def flush(self) -> list[LedgerRow]:
        """Finish what is left; rows as `add` returns them."""


class Job(Protocol):
    """What is to be done with every recording; it can be pickled (by cloudpickle).

    A consumer that keeps account of its time has it as `StageSeconds` in an attribute ``seconds``.
    """

    def prepare(self, recording: Recording) -> Any:
        """Do what needs no TensorFlow, in a process of its own.

        Returns
        -------
        object
            What the consumer takes in; it can be pickled. What is raised instead becomes the reason of
            a failed recording.
        """

    def consumer(self, store: Any) -> Consumer:
        """Make what takes prepared recordings in and writes to the store, in the process of the network."""


@dataclass
class StageSeconds:
    """Where the time went, in seconds; stages that run side by side add up to more than the clock.

    ``decode`` and ``features`` are summed over the feature processes; ``frontend``, ``network`` and
    ``shards`` are those of the process of the network, or summed over those of a cluster; ``waiting`` is how
    long the process of the network waited for the feature processes.
    """

    decode: float = 0.0
    features: float = 0.0
    frontend: float = 0.0
    network: float = 0.0
    shards: float = 0.0
    waiting: float = 0.0

    def add(self, other: StageSeconds) -> None:
        """Add another account to this one."""
        for stage in fields(self):
            setattr(self, stage.name, getattr(self, stage.name) + getattr(other, stage.name))
