"""The second pass of a map run: activation maps against the features of their recording and its partners."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from actprobe.analyses.maps.describing import kept_keypoints
from actprobe.analyses.maps.recording import Mapper, count_stretch
from actprobe.analyses.maps.segments import Positions
from actprobe.analyses.maps.settings import MapSettings
from actprobe.batch.handle import ModelHandle
from actprobe.batch.jobs import StageSeconds
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.batch.shards import Shard, ShardStore, fingerprint
from actprobe.corpora import Recording
from actprobe.errors import ActprobeError, CorpusError
from actprobe.models import Model

__all__ = ["CountStore", "MapJob", "activations_at", "partners_of"]


def partners_of(recordings: Sequence[Recording], count: int, seed: int) -> dict[str, tuple[Recording, ...]]:
    """Choose for every recording the others whose features stand for the null.

    Recordings stand in a circle, in an order drawn by the seed and their names; the partners of one are
    those behind it. So every recording is a partner as often as it has partners, and one that is
    added or fails changes the partners of few others.

    Parameters
    ----------
    recordings : sequence of Recording
        Usable recordings.
    count : int
        Partners for each; fewer where there are fewer other recordings.
    seed : int
        Seed of the order.

    Returns
    -------
    dict
        Name of a recording -> its partners.
    """
    circle = sorted(
        recordings, key=lambda one: (hashlib.sha256(f"{seed} {one.name}".encode()).digest(), one.name)
    )
    count = min(count, len(circle) - 1)
    return {
        recording.name: tuple(circle[(place + step) % len(circle)] for step in range(1, count + 1))
        for place, recording in enumerate(circle)
    }


class CountStore(ShardStore):
    """Shards of the second pass, which stand only while a recording's partners are the same.

    Parameters
    ----------
    directory : Path
        Folder for the shards of all keys.
    key : str
        Digest of all else that decides the numbers.
    partners : mapping
        Name of a recording -> its partners.
    """

    def __init__(self, directory: Path, key: str, partners: Mapping[str, Sequence[Recording]]) -> None:
        super().__init__(directory, key)
        self.partners = {name: tuple(others) for name, others in partners.items()}

    def state(self, recording: Recording) -> list[Any]:
        """Say which state of a recording and of its partners is compared.

        Parameters
        ----------
        recording : Recording
            A recording of the corpus.

        Returns
        -------
        list
            JSON-able: their fingerprints, the recording's own first.
        """
        return [fingerprint(one) for one in (recording, *self.partners[recording.name])]


@dataclass(frozen=True)
class MapJob:
    """The second pass: activations, their keypoints, and matches.

    Parameters
    ----------
    handle : ModelHandle
        The network.
    settings : MapSettings
        What decides the images.
    features : ShardStore
        Shards of the first pass.
    threads : int
        Threads that find and match keypoints.
    keep_matches : bool
        Whether the shards keep every match with a recording's own features.
    """

    handle: ModelHandle
    settings: MapSettings
    features: ShardStore
    threads: int
    keep_matches: bool

    def prepare(self, recording: Recording) -> Prepared:
        """Decode a recording for the front end.

        Parameters
        ----------
        recording : Recording
            A recording of the corpus.

        Returns
        -------
        Prepared
            Samples and where examples begin.
        """
        return prepare_recording(recording, self.settings.frontend)

    def consumer(self, store: CountStore) -> _Comparer:
        """Make what compares, beside the network.

        Parameters
        ----------
        store : CountStore
            Where the shards go.

        Returns
        -------
        _Comparer
            A new one.
        """
        return _Comparer(self, store)


class _Comparer:
    """Compares one recording after the other, its channels in threads."""

    def __init__(self, job: MapJob, store: CountStore) -> None:
        self.job = job
        self.store = store
        self.seconds = StageSeconds()

    def add(self, recording: Recording, prepared: Prepared) -> list[LedgerRow]:
        self.seconds.add(prepared.seconds)
        try:
            return [self._compare(recording, prepared)]
        except ActprobeError as error:
            return [failed_row(recording, error)]

    def flush(self) -> list[LedgerRow]:
        return []

    def _compare(self, recording: Recording, prepared: Prepared) -> LedgerRow:
        settings, model = self.job.settings, self.job.handle.model
        choices = [
            kept_keypoints(self.job.features, one, settings)
            for one in (recording, *self.store.partners[recording.name])
        ]
        features = {
            grid: [[choice[grid, feature.name] for choice in choices] for feature in settings.features]
            for grid in settings.grids.values()
        }
        began = perf_counter()
        examples = model.frontend.examples(prepared.samples)
        self.seconds.frontend += perf_counter() - began
        arrays: dict[str, NDArray[Any]] = {}
        matches: dict[str, list[NDArray[Any]]] = {layer: [] for layer in settings.grids}
        faults: Counter[str] = Counter()
        with _channels_in_threads(self.job.threads) as mapper:
            for number, places in enumerate(settings.places(prepared)):
                began = perf_counter()
                activations = activations_at(model, examples, places)
                self.seconds.network += perf_counter() - began
                for layer, values in activations.items():
                    faults[layer] += int((~np.isfinite(values)).any(axis=(0, 1)).sum())
                    counts, kept = count_stretch(
                        values, places[layer], settings.grids[layer], features[settings.grids[layer]],
                        number, mapper=mapper, keep_matches=self.job.keep_matches,
                    )  # fmt: skip
                    arrays[layer] = arrays.get(layer, 0) + counts
                    matches[layer].append(kept)
        missing = [layer for layer in settings.grids if layer not in arrays]
        if missing:
            raise CorpusError(recording.path, f"is too short for a position of {missing[0]}")
        if self.job.keep_matches:
            arrays.update({f"{layer}/matches": np.concatenate(kept) for layer, kept in matches.items()})
        warnings = [
            f"{count} maps of {layer} hold NaN or infinity" for layer, count in faults.items() if count
        ]
        row = replace(prepared.row, warning="; ".join(filter(None, [prepared.row.warning, *warnings])))
        began = perf_counter()
        self.store.save(recording, Shard(row.facts(), arrays))
        self.seconds.shards += perf_counter() - began
        return row


@contextmanager
def _channels_in_threads(threads: int) -> Iterator[Mapper]:
    """Give a ``map`` that works in threads, with one thread each for OpenCV and for matrix products."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads, "channels") as pool:
            yield pool.map
    finally:
        cv2.setNumThreads(before)


def activations_at(
    model: Model, examples: NDArray[np.float32], places: Mapping[str, Positions]
) -> dict[str, NDArray[np.float32]]:
    """Compute layers at the positions of one stretch's images.

    Parameters
    ----------
    model : Model
        The network.
    examples : numpy.ndarray
        All examples of the recording.
    places : mapping
        Layer name -> what its image is made of.

    Returns
    -------
    dict
        Layer name -> float32, shape [time, mel, channel].
    """
    together: dict[tuple[int, ...], list[str]] = {}
    for layer, place in places.items():
        together.setdefault(place.examples, []).append(layer)
    found = {}
    for chosen, layers in together.items():
        for layer, values in model.activations(examples[list(chosen)], layers).items():
            found[layer] = values[places[layer].row, places[layer].position]
    return found
