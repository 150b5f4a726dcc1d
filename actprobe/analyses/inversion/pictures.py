"""What is drawn of an excerpt and its inversions: mel spectrograms, or spectrograms of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW_SECONDS = 0.032
HOPS_IN_WINDOW = 4
FLOOR_DB = -100.0  # under a sine of amplitude 1

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one size, with their axes.

    - `panels`: name -> values [time, band]
    - `times`: seconds in the recording at the centre of each column, evenly spaced
    - `bands_hz`: centre of each band
    - `unit`: of the values
    """

    panels: dict[str, NDArray[Any]]
    times: Doubles
    bands_hz: Doubles
    unit: str


def pictures_of(arrays: Mapping[str, NDArray[Any]], names: Sequence[str], unit: str = "") -> Pictures:
    """Make the pictures of what inversion.npz holds."""
    times, bands_hz = arrays["times"], arrays["bands_hz"]
    rate = (len(times) - 1) / max(times[-1] - times[0], 1e-9)
    panels = {name: picture(arrays[name], rate) for name in names}
    if len(bands_hz) > 1:
        return Pictures(panels, times, bands_hz, unit)
    starts, size = _windows(len(times), rate)
    centres = times[0] + (starts + (size - 1) / 2) / rate
    return Pictures(panels, centres, np.fft.rfftfreq(size, 1 / rate), "dB, 0 for a sine of amplitude 1")


def picture(values: NDArray[Any], rate: float) -> NDArray[np.float32]:
    """Give what is drawn of an example, [time, band], with `rate` values a second.

    An example of one band is samples: of these it is the magnitude spectrogram, at least `FLOOR_DB`.
    """
    if values.shape[1] > 1:
        return np.asarray(values, np.float32)
    starts, size = _windows(len(values), rate)
    window = np.hanning(size + 1)[:-1]
    samples = np.asarray(values[:, 0], np.float64)
    pieces = np.lib.stride_tricks.sliding_window_view(samples, size)[starts] * window
    magnitudes = np.abs(np.fft.rfft(pieces)) / (window.sum() / 2)
    return np.asarray(20 * np.log10(np.maximum(magnitudes, 10 ** (FLOOR_DB / 20))), np.float32)


def _windows(samples: int, rate: float) -> tuple[NDArray[np.int64], int]:
    """Say where the windows of a spectrogram begin, and how many samples each has."""
    size = min(max(2, 2 ** round(np.log2(WINDOW_SECONDS * rate))), samples)
    return np.arange(0, samples - size + 1, max(1, size // HOPS_IN_WINDOW)), size
