"""Occlusion: what the target loses when a patch of the excerpt is taken away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.batches import values_of_variants
from actprobe.analyses.attribution.methods.method import Attribution, Floats, Method, MethodSettings

SHARE = 10  # a patch is that part of an example unless told otherwise
Span = tuple[int, int]  # first frame or band, and the one after the last


class Occlusion(Method):
    """T(x) - T(x with a patch replaced by the fill), of a bin the mean over the patches that cover it.

    Zeiler and Fergus: Visualizing and understanding convolutional networks, ECCV 2014, section 4.2. Patches
    overlap by half along time and along frequency; the last may be cut off by the end of the example. A
    patch given in hertz covers the bands whose centres lie in it, so that it covers fewer high bands than
    low ones; by default it covers as many bands everywhere.
    """

    name = "occlusion"
    uses_fill = True

    def __init__(self, explained: Explained, settings: MethodSettings) -> None:
        super().__init__(explained, settings)
        times, mels = _time_spans(explained, settings), _mel_spans(explained, settings)
        self.patches = [(time, mel) for time in times for mel in mels]

    def __call__(self, excerpts: Excerpts) -> Attribution:
        examples, fill = excerpts.examples, excerpts.fill

        def without(excerpt: NDArray[np.int64], patch: NDArray[np.int64]) -> Floats:
            found = examples[excerpt]
            for row, (each, number) in enumerate(zip(excerpt, patch, strict=True)):
                (first, end), (low, high) = self.patches[number]
                found[row, first:end, low:high] = fill[each, first:end, low:high]
            return found

        whole = self.explained.values(examples)
        values = values_of_variants(self.explained, len(excerpts), len(self.patches), without)
        total = np.zeros(examples.shape, np.float64)
        count = np.zeros(examples.shape[1:], np.float64)
        for number, ((first, end), (low, high)) in enumerate(self.patches):
            total[:, first:end, low:high] += (whole - values[:, number])[:, None, None]
            count[first:end, low:high] += 1
        return Attribution((total / count).astype(np.float32))


def _time_spans(explained: Explained, settings: MethodSettings) -> list[Span]:
    frontend, seconds = explained.model.frontend, settings.patch_seconds
    frames = frontend.example_shape[0]
    if seconds is None:
        return _overlapping(frames, round(frames / SHARE))
    return _overlapping(frames, round(seconds * frontend.sample_rate / frontend.frame_hop))


def _mel_spans(explained: Explained, settings: MethodSettings) -> list[Span]:
    frontend, hertz = explained.model.frontend, settings.patch_hz
    bands = frontend.example_shape[1]
    if hertz is None:
        return _overlapping(bands, round(bands / SHARE))
    centres = np.asarray(frontend.band_edges_hz(), np.float64)[1:-1]
    starts = centres[0] + hertz / 2 * np.arange(np.ceil((centres[-1] - centres[0]) / (hertz / 2)) + 1)
    spans = (np.searchsorted(centres, (start, start + hertz)) for start in starts)
    return sorted({(int(low), int(high)) for low, high in spans if high > low})


def _overlapping(size: int, length: int) -> list[Span]:
    """Cover an axis by spans of a length, each half a length behind the last."""
    length = min(max(1, length), size)
    step = max(1, length // 2)
    return [(start, min(start + length, size)) for start in range(0, size - length + step, step)]
