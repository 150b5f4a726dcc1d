"""The vocabulary of feature inverters: networks that turn a layer's features back into excerpts.

Every step is linear, then batch normalised, then an ELU; up-convolutions are transposed convolutions of 4 x 4
with stride 2 that double a map exactly. What sticks out of the excerpt is cut off at its end and at its
top, what is missing is filled with zeros on both sides (Mishra, Sturm and Dixon: Understanding a deep
machine listening model through feature inversion, ISMIR 2018, and upconv.py of their program).

A plan says all of this without TensorFlow. A network's file may list plans that were published for it as
``INVERTERS``; `actprobe.analyses.inversion.networks.design` makes plans for other layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from actprobe.errors import UsageError

ENDINGS = ("elu", "linear")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One step of an inverter: a linear operation, its normalisation and its nonlinearity.

    - `kind`: ``dense``; ``conv``, 3 x 3 that keeps the shape; or ``up``, which doubles axes of scale 2
    - `channels`: units or channels that it puts out
    - `scale`: (time, mel), 1 or 2 each, only of ``up``; the kernel spans 4 where the scale is 2, else 3
    - `normalized`: whether batch normalisation follows; otherwise there is a bias
    - `flat`: whether there is one mel position only, which the kernel spans
    """

    kind: Literal["dense", "conv", "up"]
    channels: int
    scale: tuple[int, int] = (1, 1)
    normalized: bool = True
    flat: bool = False

    @property
    def kernel(self) -> tuple[int, int]:
        """(time, mel) of the kernel of ``conv`` and ``up``."""
        time, mel = (4 if each == 2 else 3 for each in self.scale)
        return (time, 1 if self.flat else mel)


@dataclass(frozen=True)
class Plan:
    """An inverter.

    - `feature_shape`: (unit,) or (time, mel, channel)
    - `example_shape`: (time, mel) of the excerpts
    - `steps`: from the features to a map of one channel
    - `grid`: (time, mel, channel) of the units after the last ``dense`` step, filled channel by channel
    - `aligned`: (time, mel) to which the map is resampled before it is doubled, so that doubling it ends at
      the excerpt's own scale; None leaves it as it is
    - `aligned_after`: steps before that
    - `strides`: (time, mel) frames and bands between neighbouring positions of the map, whose middle is taken
      to be the middle of the excerpt; None takes it to reach from end to end of the excerpt
    - `ending`: ``elu``, so that nothing below -1 can come out, or ``linear``
    """

    feature_shape: Shape
    example_shape: tuple[int, int]
    steps: tuple[Step, ...]
    grid: tuple[int, int, int] | None = None
    aligned: tuple[int, int] | None = None
    aligned_after: int = 0
    strides: tuple[float, float] | None = None
    ending: str = "elu"

    def __post_init__(self) -> None:
        """Refuse an ending that does not exist."""
        if self.ending not in ENDINGS:
            raise UsageError(f"there is no ending {self.ending!r}; there is {', '.join(ENDINGS)}")

    @property
    def taken(self) -> Shape:
        """The features as the first step takes them: mel positions are channels where excerpts have none."""
        if len(self.feature_shape) == 3 and self.example_shape[1] == 1:
            time, mel, channels = self.feature_shape
            return (time, 1, mel * channels)
        return self.feature_shape

    def walk(self) -> Iterator[tuple[str, Step, Shape, Shape]]:
        """Yield each step as (name, step, shape before, shape after).

        A name is number and kind, such as ``3_up``; shapes are channels last, without the batch.
        """
        shape = self.taken
        for number, step in enumerate(self.steps):
            if self.aligned is not None and number == self.aligned_after:
                shape = (*self.aligned, shape[-1])
            if step.kind == "dense":
                after: Shape = (step.channels,)
            else:
                if len(shape) == 1:
                    assert self.grid is not None
                    shape = self.grid
                after = (shape[0] * step.scale[0], shape[1] * step.scale[1], step.channels)
            yield f"{number}_{step.kind}", step, shape, after
            shape = after

    def places(self, axis: int) -> list[float]:
        """Say between which positions of a map, from 0 to its last, the rows of the resampled map lie.

        The axis is 0 for time, 1 for mel.
        """
        assert self.aligned is not None
        found, rows, whole = self.taken[axis], self.aligned[axis], self.example_shape[axis]
        if self.strides is None:
            return [row * (found - 1) / max(rows - 1, 1) for row in range(rows)]
        doubled = 1
        for step in self.steps:
            doubled *= step.scale[axis]
        stride = self.strides[axis]
        first = (whole - 1 - stride * (found - 1)) / 2
        centres = [(row + 0.5) * doubled - 0.5 for row in range(rows)]
        return [min(max((centre - first) / stride, 0.0), found - 1.0) for centre in centres]

    @property
    def map_shape(self) -> tuple[int, int]:
        """(time, mel) of the map before it is cut or padded to the excerpt."""
        *_, (_, _, _, after) = self.walk()
        return (after[0], after[1])

    def arrays_in_file(self) -> tuple[Shape, ...]:
        """Give the shapes of the arrays of a weight file, in the order and the layout of Lasagne.

        A normalised step has W, beta, gamma, mean and inverse deviation, another one W and bias. W is (in,
        out) of ``dense``, (out, in, time, mel) of ``conv``, (in, out, time, mel) of ``up``.
        """
        shapes: list[Shape] = []
        for _, step, before, _ in self.walk():
            match step.kind:
                case "dense":
                    shapes.append((before[0], step.channels))
                case "conv":
                    shapes.append((step.channels, before[-1], *step.kernel))
                case "up":
                    shapes.append((before[-1], step.channels, *step.kernel))
            shapes += [(step.channels,)] * (4 if step.normalized else 1)
        return tuple(shapes)


def dense(units: int) -> Step:
    """Make a dense step."""
    return Step("dense", units)


def conv(channels: int, *, flat: bool = False) -> Step:
    """Make a convolution."""
    return Step("conv", channels, flat=flat)


def up(
    channels: int, scale: tuple[int, int] = (2, 2), *, normalized: bool = True, flat: bool = False
) -> Step:
    """Make an up-convolution."""
    return Step("up", channels, scale, normalized, flat)
