"""Concepts at the positions of a layer: a position has a concept that covers half of its cell.

A cell reaches half a hop to either side of the position's centre, along time and along mel, so that the cells
of a layer tile the example. Comparing at the layer's own positions is comparing at the finest detail that the
map has; enlarging it to the frames of the example, as network dissection does with images, repeats positions
and changes no IoU but for interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.frontends import FrontEnd
from actprobe.models.layer_table import Layer
from actprobe.models.positions import band_hop, position_bands

HALF = 0.5 - 1e-9

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the positions of a layer lie in the frames and bands of an example.

    ``times``: seconds of their centres from the start of the example. ``along_time`` [time, frames] and
    ``along_mel`` [mel, bands]: the share of a position's cell that each frame or band takes; rows sum to 1.
    """

    times: Doubles
    along_time: Doubles
    along_mel: Doubles

    @classmethod
    def of(cls, layer: Layer, frontend: FrontEnd) -> Grid:
        """Place the positions of a map."""
        bands = np.arange(frontend.example_shape[1], dtype=np.float64)
        step = frontend.frame_hop / frontend.sample_rate
        edges = np.asarray(frontend.band_edges_hz(), np.float64)
        times = layer.times()
        centres = frame_times(frontend)
        return cls(
            times,
            _shares(times, layer.hop_seconds, centres, step),
            _shares(position_bands(layer, frontend), band_hop(layer, edges), bands, 1),
        )

    @property
    def cells(self) -> int:
        """Positions of one example."""
        return len(self.along_time) * len(self.along_mel)

    def covered(self, mask: Mask) -> Mask:
        """Bring a mask to the layer: bool [excerpts, time, mel].

        ``mask``: [excerpts, frames], of a concept over time, which holds for all bands, or [excerpts, frames,
        bands].
        """
        shares = np.einsum("tf,ef...->et...", self.along_time, mask.astype(np.float64))
        if mask.ndim == 3:
            shares = shares @ self.along_mel.T
        else:
            shares = np.repeat(shares[..., np.newaxis], len(self.along_mel), axis=2)
        return np.asarray(shares >= HALF)

    def inside(self, starts: NDArray[np.int64], samples: int, rate: int) -> Mask:
        """Say which positions have their centre within the recording, bool [excerpts, time]."""
        times = starts[:, np.newaxis] / rate + self.times
        return np.asarray((times >= 0) & (times < samples / rate))

    def on_example(self, mask: Mask) -> Mask:
        """Bring a mask [time, mel] of the layer to the frames and bands of the example, for pictures."""
        along_time, along_mel = self.along_time, self.along_mel
        reached = (along_time.max(axis=0) > 0)[:, np.newaxis] & (along_mel.max(axis=0) > 0)
        return np.asarray(mask[along_time.argmax(axis=0)][:, along_mel.argmax(axis=0)] & reached)


def frame_times(frontend: FrontEnd) -> Doubles:
    """Give the centres of the frames of an example, float64 [frames], seconds from its start."""
    frames = np.arange(frontend.example_shape[0])
    return np.asarray((frontend.first_frame + frontend.frame_hop * frames) / frontend.sample_rate, np.float64)


def _shares(centres: Doubles, hop: float, cells: Doubles, width: float) -> Doubles:
    """Say which share of each position's cell lies in each of the narrower cells around ``cells``.

    What reaches beyond the first and the last of these is not counted; a position all beyond takes the
    closest.
    """
    low = np.maximum(centres[:, np.newaxis] - hop / 2, cells - width / 2)
    high = np.minimum(centres[:, np.newaxis] + hop / 2, cells + width / 2)
    overlap = np.maximum(high - low, 0)
    beyond = overlap.sum(axis=1) <= 1e-9 * width
    closest = np.abs(centres[:, np.newaxis] - cells).argmin(axis=1)
    overlap[beyond, closest[beyond]] = 1
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True), np.float64)
