"""What the neurons of a run did, all recordings together: one memory-mapped file for each layer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.errors import CorpusError
from actprobe.models.layer_table import read_unit

EXTREMES = ("max", "max_at", "max_seconds", "min", "min_at", "min_seconds")

Array = NDArray[Any]


@dataclass(frozen=True)
class NeuronExtremes:
    """The examples that drive neurons highest and lowest; every array has shape [recordings, neurons].

    Parameters
    ----------
    highest : numpy.ndarray
        float32: the largest value.
    highest_examples : numpy.ndarray
        int32: number of that example in its recording.
    highest_seconds : numpy.ndarray
        float64: seconds from the start of the recording to that of the example.
    lowest : numpy.ndarray
        The smallest value; likewise the others.
    lowest_examples, lowest_seconds : numpy.ndarray
        Its example and time.
    """

    highest: Array
    highest_examples: Array
    highest_seconds: Array
    lowest: Array
    lowest_examples: Array
    lowest_seconds: Array


@dataclass(frozen=True)
class Merged:
    """What the neurons of a run did, all recordings together; arrays are memory maps.

    Parameters
    ----------
    directory : Path
        Folder of the files.
    index : dict
        What index.json says: ``model``, ``unit``, ``layers`` and ``random_seeds``, among others.
    recordings : pandas.DataFrame
        One row a usable recording, in the order of the corpus: ``path``, ``seconds``, ``examples``.
    units : pandas.DataFrame
        One row a unit: ``path``, ``recording`` (row of ``recordings``), ``example`` (its number in the
        recording; missing where the unit is the recording), ``start_seconds``, ``seconds``, and a
        column for each feature.
    """

    directory: Path
    index: dict[str, Any]
    recordings: pd.DataFrame
    units: pd.DataFrame

    @property
    def model(self) -> str:
        """Name of the network."""
        return str(self.index["model"])

    @property
    def unit(self) -> str:
        """What a row is: ``recording`` or ``excerpt``."""
        return str(self.index["unit"])

    @property
    def layers(self) -> list[str]:
        """Names of the layers."""
        return list(self.index["layers"])

    @cached_property
    def activity(self) -> dict[str, Array]:
        """Layer -> [units, neurons]: float64 means of recordings, or float32 values of excerpts."""
        return {layer: self._map("mean", layer) for layer in self.layers}

    @cached_property
    def random_activity(self) -> list[dict[str, Array]]:
        """The same with random weights, one mapping for each seed."""
        count = len(self.index["random_seeds"])
        return [{layer: self._map(f"random{i}", layer) for layer in self.layers} for i in range(count)]

    @cached_property
    def features(self) -> dict[str, NDArray[np.float64]]:
        """Feature -> [units], NaN where it is not known."""
        return {name: self.units[name].to_numpy(np.float64) for name in self.index["features"]}

    @property
    def groups(self) -> NDArray[np.int64]:
        """Recording of every unit, as a number."""
        return self.units["recording"].to_numpy(np.int64)

    def extremes(self, layer: str) -> NeuronExtremes:
        """Every neuron's largest and smallest value over the examples of each recording.

        A channel counts by its mean over the example's map.
        """
        return NeuronExtremes(*(self._map(name, layer) for name in EXTREMES))

    def start_seconds(self, recording: int, example: int) -> float:
        """Seconds from the start of a recording (a row of ``recordings``) to that of one of its examples."""
        return float(self._starts[self._first_examples[recording] + example])

    def neuron(self, name: str) -> tuple[str, int]:
        """Read the name of a neuron of the run.

        Parameters
        ----------
        name : str
            ``LAYER/NUMBER``, such as ``conv1/linear/3``.

        Returns
        -------
        tuple of (str, int)
            Layer and number.

        Raises
        ------
        UsageError
            A layer that the run does not have, or no such neuron.
        """
        return read_unit(name, {layer: self.activity[layer].shape[1] for layer in self.layers})

    @cached_property
    def _starts(self) -> Array:
        return np.asarray(np.load(self.directory / "starts.npy", mmap_mode="r"))

    @cached_property
    def _first_examples(self) -> Array:
        counts = self.recordings["examples"].to_numpy(np.int64)
        return np.asarray(np.cumsum(counts) - counts)

    def _map(self, name: str, layer: str) -> Array:
        number = self.layers.index(layer)
        return np.load(self.directory / f"{number}-{name}.npy", mmap_mode="r")  # type: ignore[no-any-return]


def open_merged(run_dir: Path) -> Merged:
    """Open what a finished neuron run kept in its folder; CorpusError where it is not there, or damaged."""
    merged = run_dir / "merged"
    try:
        index = json.loads((merged / "index.json").read_text("utf-8"))
        directory = merged / index["folder"]
        tables = (pd.read_parquet(directory / f"{name}.parquet") for name in ("recordings", "units"))
        found = Merged(directory, index, *tables)
        for layer in found.layers:
            if len(found.activity[layer]) != len(found.units):
                raise CorpusError(run_dir, f"its merged activity of {layer} does not fit its units")
    except (OSError, ValueError, KeyError) as error:
        raise CorpusError(run_dir, f"does not hold a finished neuron run ({error})") from error
    return found
