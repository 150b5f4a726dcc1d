"""Stored activations, as Python and notebooks see them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.batch.result import Result
from actprobe.errors import CorpusError, UsageError
from actprobe.plotting import TWO_COLUMNS, new_figure, set_title, styled


class ActivationResult(Result):
    """Stored activations: what `actprobe.activations` returns; ``table`` is recordings.csv.

    Examples
    --------
    >>> found = actprobe.load_run("ACTIVATIONS")
    >>> found["red_1.wav"]["fc8"].shape[-1]
    64
    """

    KIND = "activations"
    TABLE = "recordings.csv"

    @cached_property
    def files(self) -> dict[str, Path]:
        """Name of each usable recording -> its npz."""
        rows = self.table[self.table["status"] == "ok"]
        return {
            str(name): self.folder / str(file) for name, file in zip(rows["path"], rows["file"], strict=True)
        }

    def __getitem__(self, recording: str) -> Mapping[str, NDArray[Any]]:
        """Open the activations of a recording; each array is read when it is asked for.

        Parameters
        ----------
        recording : str
            Its name in recordings.csv.

        Returns
        -------
        mapping
            Layer -> float32, [examples, time, mel, channel] or [examples, unit]; ``times``, seconds from the
            start of the recording to that of each example; ``LAYER/times`` of a map, seconds from the start
            of an example to each position.

        Raises
        ------
        UsageError
            No usable recording of that name.
        CorpusError
            Its file is damaged.
        """
        if recording not in self.files:
            raise UsageError(f"no activations of {recording!r}; there are of {', '.join(self.files)}")
        try:
            arrays: Mapping[str, NDArray[Any]] = np.load(self.files[recording], allow_pickle=False)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise CorpusError(self.files[recording], f"is not a readable npz ({error})") from error
        return arrays

    @property
    def summary(self) -> str:
        """What was written and what failed, in the lines that the binary prints."""
        failed = self.table[self.table["status"] == "failed"]
        lines = [f"failed: {row.path}: {row.reason}" for row in failed.itertuples()]
        made = f"{len(self.files)} npz files of {self.record['opened']}"
        return "\n".join([*lines, f"{self.folder}: {made}, recordings.csv, run.json"])

    @styled
    def plot(self, recording: str | None = None, layer: str | None = None) -> Figure:
        """Draw the neurons of a layer over a recording, a channel by its mean over each example's map.

        Parameters
        ----------
        recording : str, optional
            Its name in recordings.csv, by default the first usable one.
        layer : str, optional
            A layer of the run, by default the last one.

        Returns
        -------
        matplotlib.figure.Figure
            An image, one column an example and one row a neuron.

        Raises
        ------
        UsageError
            No such recording or layer.
        """
        layers = list(self.record["layers"])
        layer = layers[-1] if layer is None else layer
        if layer not in layers:
            raise UsageError(f"the run has no layer {layer!r}; it has {', '.join(layers)}")
        recording = next(iter(self.files)) if recording is None else recording
        arrays = self[recording]
        values = arrays[layer]
        rows = values.reshape(len(values), -1, values.shape[-1]).mean(axis=1).T
        figure = new_figure(TWO_COLUMNS, 3.0)
        axes = figure.subplots()
        places = np.arange(len(values) + 1) - 0.5
        image = axes.pcolormesh(places, np.arange(len(rows) + 1) - 0.5, rows, rasterized=True)
        shown = np.unique(np.linspace(0, len(values) - 1, 8).round().astype(int))
        axes.set_xticks(shown, [f"{arrays['times'][place]:.1f}" for place in shown])
        axes.set(xlabel="start of the example (s)", ylabel="neuron")
        figure.colorbar(image, ax=axes, label="mean activation" if values.ndim > 2 else "activation")
        set_title(figure, f"{self.model}: {layer} over {recording}")
        return figure
