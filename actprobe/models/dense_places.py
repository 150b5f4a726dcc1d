"""Where the excerpts of a recording lie in a tensor of the dense network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from actprobe import backend
from actprobe.models import dense_rows
from actprobe.models.dense_rows import Rows


@dataclass(frozen=True)
class Shared:
    """Rows that excerpts share, see `actprobe.models.dense_rows`.

    `stride` is the frames between neighbouring rows of an excerpt, and so the number of phases. `shape` is
    the (time, ...) of an excerpt, `order` the order in which the network has these axes here, and `flat`
    whether it has them as one vector. `edges` counts the rows at both ends of an excerpt that are its own.
    """

    stride: int
    shape: tuple[int, ...]
    order: tuple[int, ...]
    flat: bool = False
    edges: tuple[int, int] = (0, 0)

    @property
    def natural(self) -> bool:
        """Whether the network has the axes as they lie."""
        return not self.flat and self.order == tuple(range(len(self.shape)))

    @property
    def between(self) -> int:
        """Count the rows of an excerpt that it shares, those between its edges."""
        return self.shape[0] - sum(self.edges)


@dataclass(frozen=True)
class Single:
    """A tensor [excerpt, ...] in which each excerpt has values of its own."""


@dataclass(frozen=True)
class Refused:
    """What cannot be computed densely, and why."""

    reason: str


Place: TypeAlias = Shared | Single | Refused
Compute: TypeAlias = Callable[..., Any]


def shared(stride: int, shape: Sequence[int], edges: tuple[int, int] = (0, 0)) -> Shared:
    """Rows whose axes the network has as they lie."""
    return Shared(stride, tuple(shape), tuple(range(len(shape))), edges=edges)


def as_singles(place: Shared) -> Compute:
    """Make what lays rows out for every excerpt, in the shape that the network has."""

    def compute(rows: Rows) -> Any:
        tf = backend.tf
        found = dense_rows.segment(rows, place.shape[0], 0, place.shape[0])
        found = tf.transpose(found, (0, *(axis + 1 for axis in place.order)))
        return tf.reshape(found, (-1, prod(place.shape))) if place.flat else found

    return compute


def on_singles(places: Sequence[Place], call: Compute) -> Compute:
    """Make what lays out all rows that excerpts share, and calls a layer on all of them."""
    ways = [as_singles(place) if isinstance(place, Shared) else None for place in places]

    def compute(*maps: Any) -> Any:
        return call(*(one if way is None else way(one) for way, one in zip(ways, maps, strict=True)))

    return compute
