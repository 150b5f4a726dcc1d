"""The layer table: every layer of a network by name, with its shape and what it sees of the sound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"  # in place of names of layers
HEADER = ("layer", "kind", "shape", "hop s", "sees s", "hop Hz", "sees Hz")


@dataclass(frozen=True)
class Layer:
    """One layer, as a user asks for it.

    Parameters
    ----------
    name : str
        ``conv1``, or ``elu1/linear`` for what enters a nonlinearity.
    kind : str
        ``conv``, ``batch norm``, ``elu``, ``relu``, ``identity``, ``max pool``, ``zero padding``,
        ``flatten``, ``dense`` or ``concatenation``; ``pre-activation`` for names that end in ``/linear``.
    shape : tuple of int
        (time, mel, channel) of a map or (unit,) of a vector, without the batch.
    hop_seconds : float
        Time between neighbouring positions; the length of an example for a vector.
    first_seconds : float
        Time at the centre of position 0, from the start of the example.
    receptive_field_seconds : float
        Sound that one position sees, analysis window included; padding counts as seen.
    hop_hz : tuple of float
        Narrowest and widest distance between neighbouring positions on the mel axis, in Hz.
    receptive_field_hz : tuple of float
        Narrowest and widest band that one position sees, in Hz (mel bands are unequal).
    tensor : str
        The computed layer that holds these values: another name when this one is an alias.
    first_hz : float
        Frequency at the centre of position 0 of the mel axis; NaN where it is not known.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    hop_seconds: float
    first_seconds: float
    receptive_field_seconds: float
    hop_hz: tuple[float, float]
    receptive_field_hz: tuple[float, float]
    tensor: str
    first_hz: float = math.nan

    @property
    def is_pre_activation(self) -> bool:
        """Whether it is what enters a nonlinearity."""
        return self.name.endswith("/linear")

    @property
    def is_map(self) -> bool:
        """Whether the layer keeps time and mel axes."""
        return len(self.shape) == 3

    @property
    def neurons(self) -> int:
        """Units of a vector, or channels of a map."""
        return self.shape[-1]

    def times(self) -> NDArray[np.float64]:
        """Give the centre of every time position, float64 [time], seconds from the start of the example."""
        steps = self.shape[0] if self.is_map else 1
        return np.asarray(self.first_seconds + self.hop_seconds * np.arange(steps), np.float64)


class NoSuchLayerError(UsageError, KeyError):
    """A layer that the network does not have."""

    __str__ = Exception.__str__  # a KeyError puts its message in quotes


class LayerTable(Mapping[str, Layer]):
    """Layers of a network by name, in its order.

    `aliases` maps the names that the original's own files use to those of the layers: they are found, but not
    listed.
    """

    def __init__(
        self, network: str, layers: Sequence[Layer], aliases: Mapping[str, str] | None = None
    ) -> None:
        self.network = network
        self._by_name = {layer.name: layer for layer in layers}
        self._aliases = dict(aliases or {})

    def __getitem__(self, key: str) -> Layer:
        """Return a layer by its name or an alias of it."""
        name = self._aliases.get(key, key)
        if name not in self._by_name:
            raise NoSuchLayerError(f"{self.network} has no layer {key!r}; it has {', '.join(self)}")
        return self._by_name[name]

    def __len__(self) -> int:
        """Count the layers."""
        return len(self._by_name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in the order of the network."""
        return iter(self._by_name)

    def asked(self, names: Sequence[str]) -> list[str]:
        """Spell out which layers are asked for.

        Parameters
        ----------
        names : sequence of str
            Names, or ``all``: every layer but pre-activations and second names for the values of another.

        Returns
        -------
        list of str
            The names as they were given, or those of all layers in the order of the network.
        """
        if names == ALL:
            return [
                name for name, layer in self.items() if layer.tensor == name and not layer.is_pre_activation
            ]
        if isinstance(names, str):
            raise UsageError(f"layers={names!r}: give a list of names, or {ALL!r}")
        return list(names)

    def select(self, names: Sequence[str]) -> tuple[Layer, ...]:
        """Look several layers up, in the order asked for.

        Parameters
        ----------
        names : sequence of str
            Layer names, or ``all``, see `asked`.

        Returns
        -------
        tuple of Layer
            One a name.

        Raises
        ------
        UsageError
            No names, a name twice, or a name that the network does not have.
        """
        layers = tuple(self[name] for name in self.asked(names))
        if not layers:
            raise UsageError(f"name at least one layer of {self.network}: {', '.join(self)}")
        repeated = {layer.name for layer in layers if layers.count(layer) > 1}
        if repeated:
            raise UsageError(f"layer {', '.join(sorted(repeated))} is named more than once")
        return layers

    def rows(self) -> list[dict[str, Any]]:
        """Give the table as plain rows, one a layer, for printing and for files."""
        return [
            {
                "name": layer.name,
                "kind": layer.kind,
                "shape": "x".join(map(str, layer.shape)),
                "hop_seconds": layer.hop_seconds,
                "first_seconds": layer.first_seconds,
                "receptive_field_seconds": layer.receptive_field_seconds,
                "first_hz": layer.first_hz,
                "hop_hz_min": layer.hop_hz[0],
                "hop_hz_max": layer.hop_hz[1],
                "receptive_field_hz_min": layer.receptive_field_hz[0],
                "receptive_field_hz_max": layer.receptive_field_hz[1],
            }
            for layer in self.values()
        ]

    def to_frame(self) -> pd.DataFrame:
        """Give the table as a data frame, the columns those of `rows`.

        Returns
        -------
        pandas.DataFrame
            A row a layer.
        """
        import pandas as pd

        return pd.DataFrame(self.rows())

    def __repr__(self) -> str:
        """Format the table for a terminal."""
        lines = [HEADER, *self._cells()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        """Format the table for a notebook."""
        lines = [_html_row("th", HEADER), *(_html_row("td", cells) for cells in self._cells())]
        return f"<table><caption>{escape(self.network)}</caption>{''.join(lines)}</table>"

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                layer.name,
                layer.kind,
                " x ".join(map(str, layer.shape)),
                f"{layer.hop_seconds:.4g}",
                f"{layer.receptive_field_seconds:.4g}",
                "-".join(f"{hertz:.0f}" for hertz in layer.hop_hz),
                "-".join(f"{hertz:.0f}" for hertz in layer.receptive_field_hz),
            )
            for layer in self.values()
        ]


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def read_unit(name: str, sizes: Mapping[str, int], kind: str = "neuron") -> tuple[str, int]:
    """Read ``LAYER/NUMBER``, such as ``conv1/linear/3``, of layers with so many units, or refuse it."""
    layer, _, number = name.rpartition("/")
    if layer not in sizes or not number.isdecimal():
        raise UsageError(f"{kind} {name!r} is not LAYER/NUMBER with a layer of {', '.join(sizes)}")
    if int(number) >= sizes[layer]:
        raise UsageError(f"{kind} {name!r}: {layer} has {kind}s 0 to {sizes[layer] - 1}")
    return layer, int(number)
