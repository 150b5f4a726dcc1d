"""Stored activations as a model: what another program computed, looked up example by example."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.errors import CorpusError, UsageError
from actprobe.frontends import FrontEnd
from actprobe.frontends.stored import StoredExamples
from actprobe.frontends.stored_files import StoredFile, StoredFiles
from actprobe.models.layer_table import Layer, LayerTable
from actprobe.models.model import Activations, Compute, Model
from actprobe.models.network import Network
from actprobe.models.record import layer_table
from actprobe.models.registry import frontend_of
from actprobe.models.weights import WeightsRecord

UNKNOWN = math.nan
OPEN_FILES = 4  # that are kept open


class StoredModel(Model):
    """A network known by its stored activations alone; see `open_activations`."""

    what = "a folder of stored activations"
    computes = False

    def __init__(self, network: Network, frontend: StoredExamples, weights: WeightsRecord) -> None:
        super().__init__(network, frontend, weights)
        self.files, self._by_content = frontend.files, frontend.has_examples
        self._open: OrderedDict[int, StoredFile] = OrderedDict()
        self._places: dict[bytes, tuple[int, int]] | None = None

    def digest(self) -> str:
        return self.weights.sha256

    def with_random_weights(self, seed: int) -> Model:
        raise UsageError(
            f"{self.name} is {self.what}, without weights: store the activations of the same network with "
            f"random weights, and compare the two runs"
        )

    def _compute(self, tensors: tuple[str, ...]) -> Compute:
        def compute(examples: NDArray[np.float32]) -> Activations:
            places = [self._place(example) for example in examples]
            return {name: np.stack([self._row(name, place) for place in places]) for name in tensors}

        return compute

    def _row(self, name: str, place: tuple[int, int] | None) -> NDArray[np.float32]:
        shape = self.layers[name].shape
        if place is None:
            return np.zeros(shape, np.float32)
        number, row = place
        if number not in self._open:
            self._open[number] = self.files.file(number)
            while len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)
        file = self._open[number]
        found = np.asarray(file.array(name)[row], np.float32)
        if _map_shape(found.shape) != shape:
            raise CorpusError(
                file.path, f"{name} is {list(found.shape)}, in others of its folder {list(shape)}"
            )
        return found.reshape(shape)

    def _place(self, example: NDArray[np.float32]) -> tuple[int, int] | None:
        """Find the file and the row of an example; None for zeros, which fill batches up."""
        if self._by_content:
            key = _key(example)
            if self._places is None:
                self._places = self._index()
            if key in self._places:
                return self._places[key]
            if example.any():
                raise UsageError(
                    f"{self.files.folder} holds no activations of this example: it was not stored"
                )
            return None
        number, row = example[0]
        return (int(number) - 1, int(row)) if number else None

    def _index(self) -> dict[bytes, tuple[int, int]]:
        """Say where each stored example is."""
        found = {}
        for number in range(len(self.files)):
            try:
                file = self.files.file(number)
                examples = file.examples if file.has_examples else ()
            except CorpusError as error:
                logging.warning("left out: %s", error)
                continue
            for row, example in enumerate(examples):
                found[_key(np.asarray(example, np.float32))] = number, row
        return found


def _key(example: NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(example).tobytes(), digest_size=16).digest()


def open_activations(
    folder: str | Path, frontend: FrontEnd | None = None, name: str | None = None
) -> StoredModel:
    """Open a folder of stored activations in place of a network, for analyses that need no more.

    One npz a recording, found by the recording's path: ``drums/a.npz`` for ``drums/a.wav``. It holds each
    layer by name, [examples, time, mel, channel], [examples, time, unit] or [examples, unit], and ``times``,
    seconds from the start of the recording to that of each example; other contents are described in
    `actprobe.save_activations`, which writes it, as `actprobe.activations` does. Neurons, playlists,
    comparing, activation maps and the report need these alone; inverters are trained with ``loss="input"``
    where the files hold the network's examples.

    Parameters
    ----------
    folder : str or Path
        The folder. Nothing in it is run or unpickled.
    frontend : FrontEnd, optional
        Defines the seconds and hertz of an example, and how it is inverted to sound. By default
        that of the files.
    name : str, optional
        Name in tables; by default that of the network that ``run.json`` names, else that of the folder.

    Returns
    -------
    Model
        Its ``weights`` are of the kind ``stored activations``.

    Raises
    ------
    CorpusError
        No such folder, or no file in it that can be read.
    UsageError
        The front end gives examples of another shape than those stored.

    Examples
    --------
    >>> model = actprobe.open_activations("ACTIVATIONS")
    >>> found = actprobe.neurons(
    ...     model, "FOLDER", layers=["fc8"], features=["loudness"], output_dir="FROM_ACTIVATIONS"
    ... )
    >>> len(found.table)
    64
    """
    folder = Path(folder)
    record = StoredFiles(folder).record
    made_by = frontend or _frontend_of(record)
    stored = StoredExamples(folder, made_by)
    first = stored.files.first
    name = name or str(record.get("model") or folder.resolve().name)
    layers = _layers(name, first, stored, record)
    weights = WeightsRecord("stored activations", path=str(folder), sha256=stored.files.state())
    return StoredModel(Network(name, layers), stored, weights)


def _frontend_of(record: dict[str, Any]) -> FrontEnd | None:
    """Make the front end of the catalog's network that a run was made with; None where that is not known."""
    opened_from = record.get("opened_from")
    if not isinstance(opened_from, dict):
        return None
    try:
        found = frontend_of(**opened_from)
    except Exception as error:  # files that are elsewhere by now, settings of another version
        logging.warning("the front end of %s is not at hand: %s", record.get("model"), error)
        return None
    return found if found.describe() == record.get("frontend") else None


def _layers(name: str, first: StoredFile, stored: StoredExamples, record: dict[str, Any]) -> LayerTable:
    """Put the layer table together: what run.json says of a layer, else what its array says."""
    said = layer_table(name, record.get("layer_table") or ())
    found = []
    for layer in first.layers:
        shape = _map_shape(first.array(layer).shape[1:])
        if shape is None:
            raise CorpusError(
                first.path,
                f"{layer} has shape {list(first.shapes[layer])}, not [examples, time, mel, channel], "
                f"[examples, time, unit] or [examples, unit]",
            )
        known = said.get(layer)
        found.append(known if known and known.shape == shape else _layer(layer, shape, first, stored))
    if not found:
        raise CorpusError(first.path, "holds no layer")
    return LayerTable(name, found)


def _map_shape(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Take a sequence as a map of one mel position; None for what is neither map nor vector."""
    if len(shape) == 2:
        return (shape[0], 1, shape[1])
    return shape if len(shape) in (1, 3) else None


def _layer(name: str, shape: tuple[int, ...], file: StoredFile, stored: StoredExamples) -> Layer:
    seconds = stored.example_samples / stored.sample_rate
    hop, first = (seconds, seconds / 2) if len(shape) == 1 else _along_time(name, shape[0], file, seconds)
    hertz = (UNKNOWN, UNKNOWN)
    if stored.described_by is not None:
        edges = stored.described_by.band_edges_hz()
        stride = max(1, round((len(edges) - 2) / (shape[1] if len(shape) == 3 else 1)))
        steps = edges[1 + stride : -1] - edges[1 : -1 - stride]
        hertz = (float(steps.min()), float(steps.max())) if len(steps) else (float(edges[-1] - edges[0]),) * 2
    unknown = (UNKNOWN, UNKNOWN)
    return Layer(name, "stored", shape, hop, first, UNKNOWN, hertz, unknown, name)


def _along_time(name: str, positions: int, file: StoredFile, seconds: float) -> tuple[float, float]:
    """Give the seconds between positions of a map, and of the first; evenly spread if none are stored."""
    if f"{name}/times" not in file.shapes:
        return seconds / positions, seconds / positions / 2
    times = np.asarray(file.layer_times(name), np.float64)
    if times.shape != (positions,) or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise CorpusError(file.path, f"{name}/times: {positions} ascending seconds are needed")
    return float(np.median(np.diff(times))) if positions > 1 else seconds, float(times[0])
