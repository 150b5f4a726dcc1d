"""Where the pixels of a layer's images lie in the sound: columns in seconds, rows in bands and hertz."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models.layer_table import Layer
from actprobe.models.positions import band_hop, bands_at, first_band, place_refusal

Floats = NDArray[np.float64]

SMALLEST_SIDE = 64  # rows: a map of fewer bands is enlarged


@dataclass(frozen=True)
class MapGrid:
    """The pixels of a layer's images, in seconds and in bands of the front end.

    Parameters
    ----------
    hop_seconds : float
        Time between positions of the layer.
    first_seconds : float
        Time at the centre of position 0, from the start of an example.
    positions : int
        Time positions of one example.
    margin : int
        Positions at either end of an example that are not shown: those that the front end leaves out, see
        `FrontEnd.edge_frames`; without any, those whose field reaches beyond the example, so that they
        show the network's padding, a quarter of all at most.
    rows : int
        Positions along mel.
    band_hop : int
        Bands of the front end between positions along mel.
    first_band : float
        Band at the centre of position 0; where the layer table does not have it, the positions are taken to
        lie in the middle of the bands.
    field_seconds : float
        Sound that a position sees.
    field_bands : int
        Bands that a position sees.
    edges_hz : tuple of float
        Edges of the front end's mel triangles: band m spans edges m to m + 2.
    enlargement : int
        Pixels for each position, along both axes.
    """

    hop_seconds: float
    first_seconds: float
    positions: int
    margin: int
    rows: int
    band_hop: int
    first_band: float
    field_seconds: float
    field_bands: int
    edges_hz: tuple[float, ...]
    enlargement: int

    @property
    def step_seconds(self) -> float:
        """Seconds a pixel."""
        return self.hop_seconds / self.enlargement

    @property
    def step_bands(self) -> float:
        """Bands a pixel."""
        return self.band_hop / self.enlargement

    @cached_property
    def row_bands(self) -> Floats:
        """Band of every row of pixels, the lowest first."""
        below = (self.enlargement - 1) / 2 * self.step_bands
        return self.first_band - below + self.step_bands * np.arange(self.rows * self.enlargement)

    def position_bands(self) -> Floats:
        """Give the band of every position along mel, shape [rows], the lowest first."""
        return self.first_band + self.band_hop * np.arange(self.rows, dtype=np.float64)

    def columns(self, first: float, end: float) -> Floats:
        """Give the times in seconds, at least one, of the columns of an image.

        ``first`` is the time of the first position that it shows, ``end`` is where it ends.
        """
        count = max(1, int(np.ceil((end - first) / self.step_seconds - 1e-6)))
        return np.asarray(first + self.step_seconds * np.arange(count), np.float64)

    def bands(self, hertz: NDArray[np.float64]) -> Floats:
        """Say at which band a frequency lies; beyond the first and the last the axis goes on as it ends."""
        return bands_at(hertz, np.asarray(self.edges_hz))

    def hertz(self, bands: NDArray[np.float64]) -> Floats:
        """Say which frequency in Hz lies at a band, whole or not, within the front end's edges."""
        edges = np.asarray(self.edges_hz)
        return np.asarray(np.interp(bands, np.arange(-1.0, len(edges) - 1), edges), np.float64)


def is_image(layer: Layer) -> bool:
    """Whether a layer has several positions along time and along mel."""
    return layer.is_map and min(layer.shape[:2]) > 1


def refuse_without_positions(layer: Layer) -> None:
    """Refuse (UsageError) a layer whose values are no image, or whose positions are not known."""
    if not layer.is_map:
        raise UsageError(f"layer {layer.name} is a vector, not a map: actprobe-neurons compares its units")
    if not is_image(layer):
        axis = "time" if layer.shape[0] < 2 else "mel"
        raise UsageError(
            f"layer {layer.name} has one position along {axis}, so that its channels are no images: "
            f"actprobe-neurons compares their means"
        )
    if place_refusal(layer):
        raise UsageError(f"layer {layer.name}: {place_refusal(layer)}")


def layer_grid(layer: Layer, frontend: FrontEnd) -> MapGrid:
    """Work out the pixels of a layer's images from the layer table and the front end of its network.

    UsageError for what `refuse_without_positions` refuses.
    """
    refuse_without_positions(layer)
    edges = np.asarray(frontend.band_edges_hz(), np.float64)
    rows = layer.shape[1]
    return MapGrid(
        hop_seconds=layer.hop_seconds,
        first_seconds=layer.first_seconds,
        positions=layer.shape[0],
        margin=_margin(layer, frontend),
        rows=rows,
        band_hop=band_hop(layer, edges),
        first_band=first_band(layer, edges),
        field_seconds=layer.receptive_field_seconds,
        field_bands=_bands_within(layer.receptive_field_hz, edges),
        edges_hz=tuple(edges.tolist()),
        enlargement=max(1, -(-SMALLEST_SIDE // rows)),
    )


def _margin(layer: Layer, frontend: FrontEnd) -> int:
    if frontend.edge_frames:
        seconds = frontend.edge_frames * frontend.frame_hop / frontend.sample_rate
        return int(np.ceil(seconds / layer.hop_seconds - 1e-9))
    return min(_beyond(layer, frontend), layer.shape[0] // 4)


def _beyond(layer: Layer, frontend: FrontEnd) -> int:
    """Count the positions at an end of an example whose field reaches beyond it."""
    half = layer.receptive_field_seconds / 2
    slack = layer.hop_seconds / 100
    times = layer.times()
    before = int((times - half < -slack).sum())
    behind = int((times + half > frontend.example_samples / frontend.sample_rate + slack).sum())
    return max(before, behind)


def _bands_within(field_hz: tuple[float, float], edges: Floats) -> int:
    """Find the number of bands whose narrowest and widest spans are those of the layer table."""
    bands = len(edges) - 2
    spans = [edges[count + 1 :] - edges[: bands - count + 1] for count in range(1, bands + 1)]
    wrong = [np.hypot(span.min() - field_hz[0], span.max() - field_hz[1]) for span in spans]
    return 1 + int(np.argmin(wrong))
