"""Finished inversions of a recording, as Python and notebooks see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.analyses.inversion.figures import inversion_figure
from actprobe.analyses.inversion.inverting.inverted import INPUT
from actprobe.analyses.inversion.pictures import Pictures, pictures_of
from actprobe.batch.result import Result
from actprobe.errors import UsageError
from actprobe.models import WeightsRecord

SCALES = ("shared", "panel")
FACTS = ("error", "feature_error", "output", "seconds")


class InversionResult(Result):
    """A segment of a recording inverted from several layers: what `actprobe.invert` returns.

    Examples
    --------
    >>> found = actprobe.load_run("INVERTED")
    >>> found.mel_spectrograms["fc8"].shape
    (115, 80)
    >>> found.sounds["fc8"].name
    'fc8.wav'
    """

    KIND = "inversion"
    TABLE = "inversion.npz"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a layer.

        ``error``: distance of the inversion from the input, by the norm of the input; ``feature_error``: the
        same of the layer's features; ``output`` of the network for the inversion, where it is one number;
        ``seconds`` it took.
        """
        facts = {name: each for name, each in self.record["layers"].items() if name != INPUT}
        frame = pd.DataFrame({"layer": pd.Series(list(facts), dtype=str)})
        for what in FACTS:
            frame[what] = np.array([each.get(what) for each in facts.values()], np.float64)
        return frame

    @property
    def output_original(self) -> float | None:
        """The output of the network for the input; None where it is not one number."""
        value = self.record["layers"][INPUT].get("output")
        return None if value is None else float(value)

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """inversion.npz: the mel spectrograms, ``times`` of their frames in seconds and ``bands_hz``."""
        return self.read_npz(self.TABLE)

    @property
    def mel_spectrograms(self) -> dict[str, NDArray[Any]]:
        """``input``, then every layer -> float32 [time, mel], in the unit of the front end.

        Of a network of waveforms they are the samples, [samples, 1].
        """
        return {name: self.arrays[name] for name in self.record["layers"]}

    @cached_property
    def pictures(self) -> Pictures:
        """What is drawn: the mel spectrograms, or spectrograms in dB of samples, with their axes."""
        return pictures_of(self.arrays, list(self.record["layers"]), self.record.get("unit", ""))

    @property
    def sounds(self) -> dict[str, Path]:
        """``original``, ``input``, every layer, and both with ``-own-phase`` -> wav; a ``/`` is a ``-``.

        Of a network of waveforms ``original`` and every layer: nothing has lost its phase.
        """
        return {Path(file).stem: self.folder / "sounds" / file for file in self.record.get("sounds", {})}

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints."""
        lines = []
        for name, facts in self.record["layers"].items():
            known = [f"{what} {value:.3f}" for what, value in facts.items() if value is not None]
            if known:
                lines.append(f"{name}: {', '.join(known)}")
        return "\n".join(lines)

    def plot(self, *layers: str, scale: str | None = None) -> Figure:
        """Draw the input and its inversions, as in figures/inversion.png.

        Parameters
        ----------
        *layers : str
            Some of the layers; by default all.
        scale : str, optional
            ``shared``: one scale of colours; ``panel``: one for each. By default that of the run.

        Returns
        -------
        matplotlib.figure.Figure
            A panel for each.

        Raises
        ------
        UsageError
            A layer that was not inverted, or no such scale.
        """
        there = [name for name in self.record["layers"] if name != INPUT]
        for layer in layers:
            if layer not in there:
                raise UsageError(f"{layer} was not inverted; there is {', '.join(there)}")
        return panels_figure(self.record, self.arrays, layers or there, scale)


def panels_figure(
    record: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    layers: Sequence[str],
    scale: str | None = None,
) -> Figure:
    """Draw the input and inversions of what run.json and inversion.npz hold."""
    scale = scale or record.get("scale", SCALES[0])
    if scale not in SCALES:
        raise UsageError(f"there is no scale {scale!r}; there is {', '.join(SCALES)}")
    titles = {}
    for name in (INPUT, *layers):
        output = record["layers"][name].get("output")
        titles[name] = name if output is None else f"{name} ({record.get('output', 'output')} {output:.2f})"
    weights = WeightsRecord(**record["weights"])
    recording = Path(record.get("recording", "")).name
    return inversion_figure(
        pictures_of(arrays, list(titles), record.get("unit", "")),
        titles,
        long=record["span_seconds"] > 2 * record["frontend"]["example_seconds"],
        scale=scale,
        title=f"{recording}, {record['model']}, {record.get('method', '')}, {weights}",
    )
