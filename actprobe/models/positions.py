"""Where the positions of a layer lie along mel, in bands of the front end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.frontends import FrontEnd
from actprobe.models.layer_table import Layer

Floats = NDArray[np.float64]

DIGITS = 6  # of bands that come of hertz


def place_refusal(layer: Layer) -> str:
    """Say why it is not known where the positions of a map lie in the sound; empty where it is known."""
    of_mel = layer.hop_hz if layer.shape[1] > 1 else ()
    known = np.isfinite([layer.hop_seconds, layer.first_seconds, *of_mel]).all()
    return "" if known else "where its positions lie in the sound is not known"


def position_bands(layer: Layer, frontend: FrontEnd) -> Floats:
    """Give the band of every position of a map along mel, float64 [positions], ascending.

    Where the layer table does not have the frequency of the first, the positions are taken to lie in the
    middle of the bands.
    """
    edges = np.asarray(frontend.band_edges_hz(), np.float64)
    return first_band(layer, edges) + band_hop(layer, edges) * np.arange(layer.shape[1], dtype=np.float64)


def band_hop(layer: Layer, edges: Floats) -> int:
    """Find the bands between positions: those whose narrowest and widest steps the layer table has.

    ``edges`` are those of the front end's mel triangles, in Hz: band m spans edges m to m + 2.
    """
    centres = edges[1:-1]
    if layer.shape[1] == 1:
        return len(centres)
    steps = [centres[stride:] - centres[:-stride] for stride in range(1, len(centres))]
    wrong = [np.hypot(step.min() - layer.hop_hz[0], step.max() - layer.hop_hz[1]) for step in steps]
    return 1 + int(np.argmin(wrong))


def first_band(layer: Layer, edges: Floats) -> float:
    """Find the band at the centre of position 0."""
    first = float(np.round(bands_at(np.array(layer.first_hz), edges), DIGITS))
    bands, rows = len(edges) - 2, layer.shape[1]
    return first if np.isfinite(first) else (bands - 1 - (rows - 1) * band_hop(layer, edges)) / 2


def bands_at(hertz: NDArray[np.float64], edges: Floats) -> Floats:
    """Say at which band a frequency lies; beyond the first and the last the axis goes on as it ends."""
    places = np.interp(hertz, edges, np.arange(-1.0, len(edges) - 1))
    low, high = edges[1] - edges[0], edges[-1] - edges[-2]
    places = np.where(hertz < edges[0], -1 + (hertz - edges[0]) / low, places)
    return np.asarray(
        np.where(hertz > edges[-1], len(edges) - 2 + (hertz - edges[-1]) / high, places), np.float64
    )
