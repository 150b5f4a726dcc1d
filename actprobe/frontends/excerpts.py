"""Some excerpts of a recording: where they can begin, and the examples that begin there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import AudioError
from actprobe.frontends.base import FrontEnd, cut_out

Floats = NDArray[np.float32]
Starts = NDArray[np.int64]


def possible_starts(frontend: FrontEnd, samples: int) -> Starts:
    """Give the first samples of all excerpts of a recording of so many ``samples``, ascending.

    Any frame will do where no zeros are put around the recording; otherwise they are those of
    `FrontEnd.example_starts`.
    """
    starts = frontend.example_starts(samples)
    if frontend.free_starts and samples >= frontend.example_samples and starts[0] >= 0:
        hop = frontend.frame_hop
        return np.asarray(hop * np.arange((samples - frontend.example_samples) // hop + 1), np.int64)
    return starts


def spread(starts: Starts, count: int) -> Starts:
    """Choose so many of the possible starts, or all if there are fewer, evenly, each amid its share."""
    places = (np.arange(count) + 0.5) / count * len(starts) - 0.5
    return starts[np.unique(places.round().astype(np.int64))]


def sounds_at(frontend: FrontEnd, samples: Floats, starts: Starts) -> Floats:
    """Cut the sound of examples out of a recording, float32 [starts, example_samples]."""
    return np.stack([cut_out(samples, start, frontend.example_samples) for start in starts.tolist()])


def examples_at(frontend: FrontEnd, samples: Floats, starts: Starts) -> Floats:
    """Give the examples that begin at some of `possible_starts`, float32 [starts, time, mel]."""
    if frontend.free_starts and len(samples) >= frontend.example_samples:
        found = np.stack([frontend.example_of(sound) for sound in sounds_at(frontend, samples, starts)])
    else:
        positions = np.searchsorted(frontend.example_starts(len(samples)), starts)
        found = np.ascontiguousarray(frontend.examples(samples)[positions])
    return np.asarray(found, np.float32)


def some_starts(frontend: FrontEnd, samples: int, count: int) -> Starts:
    """Choose so many of the `possible_starts` of a recording of so many ``samples``, see `spread`."""
    return spread(possible_starts(frontend, samples), count)


def refuse_not_finite(examples: Floats, frontend: FrontEnd, recording: str | Path) -> None:
    """Refuse examples with NaN or infinity: an AudioError that names the recording."""
    if not np.isfinite(examples).all():
        raise AudioError(recording, f"the front end {frontend.name} gives NaN or infinity for it")
