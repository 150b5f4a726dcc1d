"""Finished excitations, as Python and notebooks see them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.analyses.inversion.exciting.figures import excitation_figure
from actprobe.batch.result import Result
from actprobe.errors import UsageError
from actprobe.models import WeightsRecord


class ExcitationResult(Result):
    """Neurons with the inputs that excite them: what `actprobe.excite` returns.

    Examples
    --------
    >>> found = actprobe.load_run("EXCITED")
    >>> found.inputs["mp3/9"]["ascent"].shape
    (115, 80)
    >>> figure = found.plot("mp3/9")
    """

    KIND = "excitation"
    TABLE = "excited.csv"

    @property
    def neurons(self) -> list[str]:
        """The neurons, ``LAYER/UNIT``."""
        return list(self.record["neurons"])

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """excited.npz.

        ``NEURON/best`` and, with METHOD ``ascent`` or ``latent LAYER``, ``NEURON/METHOD``, the excited input,
        ``NEURON/METHOD/start``, ``NEURON/METHOD/random_weights``, each float32 [time, mel], and
        ``NEURON/METHOD/values``, float64 [steps + 1]; ``low`` and ``high``, float32 [mel], the bounds;
        ``times`` in seconds from the start of the excerpt, and ``bands_hz``.
        """
        return self.read_npz("excited.npz")

    @property
    def inputs(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Neuron -> ``best``, the best excerpt, and every method -> float32 [time, mel]."""
        return {
            neuron: {name: self.arrays[f"{neuron}/{name}"] for name in ("best", *self.record["ways"])}
            for neuron in self.neurons
        }

    @property
    def sounds(self) -> dict[str, dict[str, Path]]:
        """Neuron -> ``original``, ``best`` and every method -> wav; empty where there is no sound."""
        return {
            neuron: {name: self.folder / "sounds" / each["file"] for name, each in of_neuron.items()}
            for neuron, of_neuron in self.record.get("sounds", {}).items()
        }

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints."""
        return "\n".join(
            f"{row['layer']}/{row['unit']}, {row['method']} {row['space']}".rstrip()
            + f": {row['value']:.3g} (start {row['value_start']:.3g}, best excerpt "
            f"{row['best_excerpt_value']:.3g}, with random weights {row['random_weights_value']:.3g})"
            for row in self.table.to_dict("records")
        )

    def plot(self, neuron: str | None = None) -> Figure:
        """Draw a neuron: start, excited input, best excerpt and the control, a row for each method.

        Parameters
        ----------
        neuron : str, optional
            ``LAYER/UNIT``; by default the first.

        Returns
        -------
        matplotlib.figure.Figure
            The figure; a notebook shows it.

        Raises
        ------
        UsageError
            A neuron that was not excited.
        """
        neuron = self.neurons[0] if neuron is None else neuron
        if neuron not in self.neurons:
            raise UsageError(f"{neuron} was not excited; there is {', '.join(self.neurons)}")
        count = len(self.record["ways"])
        first = self.neurons.index(neuron) * count
        rows = self.table.iloc[first : first + count]
        its = {name.removeprefix(f"{neuron}/"): each for name, each in self.arrays.items()}
        row = rows.iloc[0]
        label = f" ({row['label']})" if row["label"] else ""
        title = (
            f"{self.model} {neuron}{label}, {WeightsRecord(**self.record['weights'])}; best excerpt: "
            f"{Path(row['best_recording']).name} at {row['best_start_seconds']:.2f} s"
        )
        return excitation_figure(rows, its, self.record.get("unit", ""), title)
