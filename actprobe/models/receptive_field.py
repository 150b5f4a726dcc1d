"""Geometry of a network's tensors: where positions lie, and what they see of an example."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from actprobe.frontends.base import FrontEnd
from actprobe.models.layer_table import Layer


@dataclass(frozen=True)
class Axis:
    """Positions along one axis, in units of the input's frames or bands."""

    size: int
    stride: int = 1
    field: int = 1
    first: float = 0.0

    def padded(self, before: int, after: int) -> Axis:
        """Add positions on both sides."""
        return replace(self, size=before + self.size + after, first=self.first - before * self.stride)

    def whole(self, size: int) -> Axis:
        """Let each of `size` positions see what all positions together do."""
        reach = (self.size - 1) * self.stride
        return Axis(size, self.size * self.stride, self.field + reach, self.first + reach / 2)

    def window(self, length: int, step: int, pad_before: int, size: int) -> Axis:
        """Slide a window over the positions; `size` of it are left."""
        return Axis(
            size=size,
            stride=self.stride * step,
            field=self.field + (length - 1) * self.stride,
            first=self.first + ((length - 1) / 2 - pad_before) * self.stride,
        )


@dataclass(frozen=True)
class State:
    """What the positions of a map see, or that a vector sees the whole example."""

    time: Axis
    mel: Axis
    channels: int
    vector: bool = False
    kind: str = field(default="input")

    @property
    def shape(self) -> tuple[int, ...]:
        """(time, mel, channel) of a map or (unit,) of a vector."""
        return (self.channels,) if self.vector else (self.time.size, self.mel.size, self.channels)


def as_layer(
    frontend: FrontEnd,
    edges: NDArray[np.float64],
    name: str,
    state: State,
    tensor: str,
    kind: str | None = None,
) -> Layer:
    """Express what is seen in seconds and hertz, as a row of the layer table.

    `edges` are the front end's `band_edges_hz`; `kind` is by default that of the state.
    """
    frames, bands = frontend.example_shape
    example_seconds = frontend.example_samples / frontend.sample_rate
    whole = state.vector
    hop = example_seconds if whole else state.time.stride * frontend.frame_hop / frontend.sample_rate
    field_frames = frames if whole else min(state.time.field, frames)
    first = (frontend.first_frame + state.time.first * frontend.frame_hop) / frontend.sample_rate
    seen = (frontend.frame_hop * (field_frames - 1) + frontend.frame_length) / frontend.sample_rate
    field_bands = bands if whole else min(state.mel.field, bands)
    stride = bands if whole else min(state.mel.stride, bands)
    widths = edges[field_bands + 1 :] - edges[: bands - field_bands + 1]
    centres = edges[1:-1]
    steps = centres[stride:] - centres[:-stride] if stride < bands else edges[-1:] - edges[:1]
    return Layer(
        name=name,
        kind=kind or state.kind,
        shape=state.shape,
        hop_seconds=hop,
        first_seconds=example_seconds / 2 if whole else first,
        receptive_field_seconds=min(seen, example_seconds),
        hop_hz=(float(steps.min()), float(steps.max())),
        receptive_field_hz=(float(widths.min()), float(widths.max())),
        tensor=tensor,
        first_hz=frequency_at((bands - 1) / 2 if whole else state.mel.first, edges),
    )


def frequency_at(band: float, edges: NDArray[np.float64]) -> float:
    """Say which frequency in Hz lies at a band, whole or not; beyond the edges the axis goes on."""
    places = np.arange(-1.0, len(edges) - 1)
    nearest = min(max(band, places[0]), places[-1])
    step = edges[1] - edges[0] if band < nearest else edges[-1] - edges[-2]
    return float(np.interp(nearest, places, edges) + (band - nearest) * step)
