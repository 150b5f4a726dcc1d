"""What a run of probes does with every recording: every layer, and the input, of some excerpts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.batch.recording_job import Arrays, RecordingJob
from actprobe.corpora import Recording
from actprobe.errors import AudioError
from actprobe.features import Feature
from actprobe.frontends import FrontEnd
from actprobe.frontends.excerpts import examples_at, some_starts
from actprobe.models import Model
from actprobe.models.units import unit_means

Floats = NDArray[np.float32]

INPUT = "input"  # arrays of a shard: this, STARTS, FEATURE/name, MODEL/layer and random0/layer, ...
STARTS, FEATURE, MODEL = "starts", "feature", "model"


def random_name(number: int) -> str:
    """Name the network with the random weights of a number, from 0, in shards."""
    return f"random{number}"


@dataclass
class ProbeJob(RecordingJob):
    """What is to be done with every recording; see `actprobe.batch.recording_job.RecordingJob`.

    ``excerpts`` of each recording, spread evenly, go through the network and its controls, ``batch_size`` at
    once. ``features`` are those of the recording, or with the ``unit`` ``excerpt`` of each of them.
    """

    layers: tuple[str, ...]
    features: tuple[Feature, ...]
    unit: str
    excerpts: int
    batch_size: int
    random_seeds: tuple[int, ...]
    _networks: dict[str, Model] = field(default_factory=dict, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_networks": {}}

    def prepare(self, recording: Recording) -> Prepared:
        chosen = partial(some_starts, count=self.excerpts)
        return prepare_recording(recording, self.handle.frontend, self.features, self.unit, excerpts=chosen)

    def work(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> Arrays:
        starts = np.round(prepared.starts * frontend.sample_rate).astype(np.int64)
        examples = examples_at(frontend, prepared.samples, starts)
        found = {INPUT: over_time(examples)} if frontend.has_examples else {}
        for name, network in self.networks.items():
            batches = [
                {layer: unit_means(values) for layer, values in batch.items()}
                for batch in network.iter_activations(examples, self.layers, batch_size=self.batch_size)
            ]
            for layer in self.layers:
                values = np.concatenate([batch[layer] for batch in batches])
                found[f"{name}/{layer}"] = values.astype(np.float32)
        usable = np.ones(len(examples), np.bool_)
        fault = ""
        for name, values in found.items():
            finite = np.isfinite(values).all(axis=1)
            fault = fault if finite.all() else fault or f"{name.removeprefix(MODEL + '/')} is NaN or infinite"
            usable &= finite
        if not usable.any():
            raise AudioError(recording.path, f"{fault} in all {len(examples)} excerpts")
        if fault:
            left_out = int((~usable).sum())
            kept = prepared.keep(usable, f"{fault}: {left_out} of {len(examples)} excerpts are left out")
            prepared.row, prepared.starts, prepared.by_example = kept.row, kept.starts, kept.by_example
        described = {f"{FEATURE}/{name}": values for name, values in prepared.by_example.items()}
        return {name: values[usable] for name, values in found.items()} | {
            STARTS: prepared.starts,
            **described,
        }

    @property
    def networks(self) -> dict[str, Model]:
        """The network and its controls, opened once."""
        if not self._networks:
            model = self.handle.model
            self._networks = {MODEL: model} | {
                random_name(i): model.with_random_weights(seed) for i, seed in enumerate(self.random_seeds)
            }
        return self._networks


def over_time(examples: Floats) -> Floats:
    """Give the mean and standard deviation of each band: [examples, time, mel] -> [examples, 2 mel]."""
    values = examples.astype(np.float64)
    described: Floats = np.hstack([values.mean(axis=1), values.std(axis=1)]).astype(np.float32)
    return described
