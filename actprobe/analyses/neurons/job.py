"""What a neuron run does with every recording: means and extremes of every neuron, one shard each.

The network takes the examples of consecutive recordings packed into batches of one fixed size, the last
filled up with zeros. With the shape fixed, the numbers of an example do not depend on what else is in
its batch, so that resumed runs, chunks of a cluster and uninterrupted runs give the same bytes. Where
examples overlap much it takes whole recordings instead (dense evaluation), always in the same pieces.

An example with NaN or infinity, in what the front end gave or in any layer of the network or a control, is
left out of all layers alike, with a warning; a recording that has no other has failed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.neurons.pending import Pending
from actprobe.batch.handle import ModelHandle
from actprobe.batch.jobs import StageSeconds
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.batch.shards import ShardStore
from actprobe.corpora import Recording
from actprobe.features import Feature
from actprobe.models import Model
from actprobe.models.units import unit_means

Rows = Mapping[str, NDArray[Any]]


@dataclass
class NeuronJob:
    """What is to be done with every recording of a neuron run; see `actprobe.batch.jobs.Job`.

    Parameters
    ----------
    handle : ModelHandle
        The network.
    layers : tuple of str
        Layers whose neurons are described.
    features : tuple of Feature
        Scalar features.
    unit : str
        ``recording`` or ``excerpt``.
    batch_size : int
        Examples that go through the network together.
    random_seeds : tuple of int
        Seeds of the controls that get the same examples.
    evaluation : str
        ``dense`` or ``batches``.
    """

    handle: ModelHandle
    layers: tuple[str, ...]
    features: tuple[Feature, ...]
    unit: str
    batch_size: int
    random_seeds: tuple[int, ...]
    evaluation: str
    _networks: dict[str, _Network] = field(default_factory=dict, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_networks": {}}

    def prepare(self, recording: Recording) -> Prepared:
        return prepare_recording(recording, self.handle.frontend, self.features, self.unit)

    def consumer(self, store: ShardStore) -> NeuronConsumer:
        """The networks are opened once."""
        if not self._networks:
            self._networks = {"mean": self._network(self.handle.model)} | {
                f"random{i}": self._network(self.handle.model.with_random_weights(seed))
                for i, seed in enumerate(self.random_seeds)
            }
        return NeuronConsumer(self, store, self._networks)

    def _network(self, model: Model) -> _Network:
        return _Dense(model, self.layers) if self.evaluation == "dense" else _Batches(model, self.layers)


class _Network:
    """Examples -> one number a neuron."""

    def __init__(self, model: Model, layers: tuple[str, ...]) -> None:
        self.model = model
        self.layers = layers


class _Batches(_Network):
    def means(self, batch: NDArray[np.float32]) -> Rows:
        activations = self.model.activations(batch, self.layers, batch_size=len(batch))
        return {layer: unit_means(activations[layer]) for layer in self.layers}


class _Dense(_Network):
    def __init__(self, model: Model, layers: tuple[str, ...]) -> None:
        super().__init__(model, layers)
        self.evaluate = model.dense(layers, "mean")

    def pieces(self, frames: NDArray[np.float32], hop: int) -> Iterator[Rows]:
        for _, piece in self.evaluate.chunks(frames, hop):
            yield piece


class NeuronConsumer:
    """Takes recordings through a network and its controls and writes their shards.

    A thread waits for the disk while the networks go on, so the last rows are those that `flush` gives.

    Parameters
    ----------
    job : NeuronJob
        What is to be done.
    store : ShardStore
        Where the shards go.
    networks : mapping
        The network as ``mean`` and its controls.

    Attributes
    ----------
    seconds : StageSeconds
        Where the time went, that of the preparation included.
    """

    def __init__(self, job: NeuronJob, store: ShardStore, networks: Mapping[str, Any]) -> None:
        self.job = job
        self.store = store
        self.networks = networks
        self.seconds = StageSeconds()
        self.frontend = job.handle.frontend
        self._batch = np.zeros((job.batch_size, *self.frontend.example_shape), np.float32)
        self._owners: list[Pending] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._writing: deque[Future[list[LedgerRow]]] = deque()

    def add(self, recording: Recording, prepared: Prepared) -> list[LedgerRow]:
        self.seconds.add(prepared.seconds)
        dense = self.job.evaluation == "dense"
        began = perf_counter()
        try:
            frontend = self.frontend.of(recording.path)
            give = frontend.frames if dense else frontend.examples
            examples = np.asarray(give(prepared.samples), np.float32)
            finite = np.isfinite(examples)
            usable = self._windows(finite.all(axis=1)) if dense else finite.all(axis=(1, 2))
        except Exception as error:  # one bad recording must not stop the batch
            return [failed_row(recording, error)]
        each = self.job.unit == "excerpt"
        pending = Pending(recording, prepared, usable, list(self.networks), self.job.layers, each=each)
        if not usable.all():
            pending.note("the front end's output", int((~usable).sum()), examples[~finite])
            examples = np.where(finite, examples, np.float32(0))
        self.seconds.frontend += perf_counter() - began
        if not usable.any():
            return [failed_row(recording, pending.complaint or "the front end gives no example of it")]
        prepared.samples = np.zeros(0, np.float32)  # a part of them would keep them all
        return self._add_densely(pending, examples) if dense else self._add_batches(pending, examples)

    def _windows(self, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say of each example whether all of its frames can be used."""
        windows = np.lib.stride_tricks.sliding_window_view(usable, self.frontend.example_shape[0])
        return np.asarray(windows[:: self.frontend.hop].all(axis=1))

    def flush(self) -> list[LedgerRow]:
        rows = []
        if self._owners:
            self._batch[len(self._owners) :] = 0
            rows = self._run()
        rows += self._written(left=0)
        self._writer.shutdown()
        return rows

    def _add_batches(self, pending: Pending, examples: NDArray[np.float32]) -> list[LedgerRow]:
        finished = []
        for example in examples:
            self._batch[len(self._owners)] = example
            self._owners.append(pending)
            if len(self._owners) == len(self._batch):
                finished += self._run()
        return finished

    def _run(self) -> list[LedgerRow]:
        began = perf_counter()
        means = {
            (name, layer): rows
            for name, network in self.networks.items()
            for layer, rows in network.means(self._batch).items()
        }
        finished: list[Pending] = []
        for i, pending in enumerate(self._owners):
            # One example at a time: a sum over several would depend on where the batch was cut.
            pending.add({key: rows[i : i + 1] for key, rows in means.items()})
            if pending.done == len(pending.usable):
                finished.append(pending)
        self.seconds.network += perf_counter() - began
        self._owners = []
        return self._save(finished)

    def _add_densely(self, pending: Pending, frames: NDArray[np.float32]) -> list[LedgerRow]:
        began = perf_counter()
        pieces = (network.pieces(frames, self.frontend.hop) for network in self.networks.values())
        for means in zip(*pieces, strict=True):
            found = zip(self.networks, means, strict=True)
            pending.add({(name, layer): rows[layer] for name, rows in found for layer in self.job.layers})
        self.seconds.network += perf_counter() - began
        return self._save([pending])

    def _save(self, finished: Sequence[Pending]) -> list[LedgerRow]:
        """Have shards written, and give the rows of the ones before."""
        self._writing.append(self._writer.submit(self._write, finished))
        return self._written(left=1)

    def _written(self, left: int) -> list[LedgerRow]:
        rows: list[LedgerRow] = []
        while len(self._writing) > left:
            rows += self._writing.popleft().result()
        return rows

    def _write(self, finished: Sequence[Pending]) -> list[LedgerRow]:
        began = perf_counter()
        rows = []
        for pending in finished:
            if not pending.usable.any():
                rows.append(failed_row(pending.recording, pending.complaint))
                continue
            pending.leave_out()
            self.store.save(pending.recording, pending.shard())
            rows.append(pending.prepared.row)
        self.seconds.shards += perf_counter() - began
        return rows
