"""One durable file per recording, so that a killed run loses nothing that was computed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.batch.ledger import LedgerRow
from actprobe.corpora import Recording
from actprobe.corpora.fingerprint import fingerprint
from actprobe.corpora.folder import plain_name
from actprobe.errors import CorpusError
from actprobe.provenance import canonical_json, write_npz


@dataclass(frozen=True)
class Shard:
    """The stored results of one recording, or of another part of a run.

    ``facts`` are JSON-able: duration, rate, feature values, warnings; ``arrays`` are by name.
    """

    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


class ShardStore:
    """The shards of one run, in a folder of ``directory`` that is named by the run's key.

    The key is a digest of all that decides the numbers, so that runs that would compute others never share a
    folder; a shard is taken as finished only if what it was computed from is still in the same `state`.
    """

    def __init__(self, directory: Path, key: str) -> None:
        self.directory = directory.absolute() / key
        self.directory.mkdir(parents=True, exist_ok=True)
        for leftover in self.directory.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def path(self, recording: Recording) -> Path:
        """Say where the shard of a recording is."""
        return self.directory / f"{file_stem(recording)}.npz"

    def load(self, recording: Recording) -> Shard | None:
        """Load a finished shard; None when there is none, it is damaged, or its `state` has changed."""
        shard = read_shard(self.path(recording))
        if shard is None or shard.facts.pop("source", None) != self.state(recording):
            return None
        return shard

    def state(self, recording: Recording) -> list[Any]:
        """Say which state of the corpus a recording's shard is computed from, JSON-able."""
        return fingerprint(recording)

    def needed(self, recording: Recording) -> Shard:
        """Load a shard that was there a moment ago; CorpusError if it or the recording has changed."""
        shard = self.load(recording)
        if shard is None:
            raise CorpusError(recording.path, "changed while the run was going on; run again")
        return shard

    def finished(self, recording: Recording) -> LedgerRow | None:
        """Give the ledger's row of a recording whose shard is there and right, and need not be done again."""
        shard = self.load(recording)
        row = None if shard is None else LedgerRow(path=recording.name, status="ok", **shard.facts)
        return None if row is None or row.again else row

    def save(self, recording: Recording, shard: Shard) -> None:
        """Write the shard of a recording, see `write_shard`."""
        facts = {**shard.facts, "source": self.state(recording)}
        write_shard(self.path(recording), Shard(facts, shard.arrays))


def write_shard(path: Path, shard: Shard) -> None:
    """Write a shard, whole or not at all, and make it last (fsync)."""
    write_npz(path, {"facts": np.array(canonical_json(shard.facts)), **shard.arrays})


def read_shard(path: Path) -> Shard | None:
    """Read a shard; None when there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return Shard(json.loads(str(arrays.pop("facts"))), arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def file_stem(recording: Recording) -> str:
    """Name a recording by a readable stem and a hash, so that it is a file name and unique in its corpus."""
    stem = plain_name(Path(recording.name).stem)
    return f"{stem}-{hashlib.sha256(recording.name.encode()).hexdigest()[:12]}"
