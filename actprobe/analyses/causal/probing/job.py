"""What a run of probes does with every recording: every layer, and the input, of some excerpts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.batch.prepare import Prepared
from actprobe.batch.recording_job import Arrays, ExcerptJob
from actprobe.corpora import Recording
from actprobe.errors import AudioError
from actprobe.features import Feature
from actprobe.frontends import FrontEnd
from actprobe.frontends.excerpts import examples_at
from actprobe.models.units import neuron_values

Floats = NDArray[np.float32]

INPUT = "input"  # arrays of a shard: this, STARTS, FEATURE/name, MODEL/layer and random0/layer, ...
STARTS, FEATURE, MODEL = "starts", "feature", "model"


def random_name(number: int) -> str:
    """Name the network with the random weights of a number, from 0, in shards."""
    return f"random{number}"


@dataclass
class ProbeJob(ExcerptJob):
    """What is to be done with every recording; see `actprobe.batch.recording_job.ExcerptJob`.

    ``excerpts`` of each recording, spread evenly, go through the network and its controls, ``batch_size`` at
    once. ``features`` are those of the recording, or with the ``unit`` ``excerpt`` of each of them.
    """

    layers: tuple[str, ...]
    features: tuple[Feature, ...]
    unit: str
    batch_size: int
    random_seeds: tuple[int, ...]

    def prepare(self, recording: Recording) -> Prepared:
        return self.prepared(recording, self.features, self.unit)

    def work(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> Arrays:
        examples = examples_at(frontend, prepared.samples, self.starts(prepared, frontend))
        found = {INPUT: over_time(examples)} if frontend.has_examples else {}
        names = [MODEL, *map(random_name, range(len(self.random_seeds)))]
        for name, network in zip(names, self.networks(self.random_seeds), strict=True):
            of_network = neuron_values(network, examples, self.layers, self.batch_size)
            found |= {f"{name}/{layer}": each.astype(np.float32) for layer, each in of_network.items()}
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


def over_time(examples: Floats) -> Floats:
    """Give the mean and standard deviation of each band: [examples, time, mel] -> [examples, 2 mel]."""
    values = examples.astype(np.float64)
    described: Floats = np.hstack([values.mean(axis=1), values.std(axis=1)]).astype(np.float32)
    return described
