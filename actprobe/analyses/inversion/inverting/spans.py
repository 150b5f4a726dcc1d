"""An excerpt of a recording, or a longer span cut into excerpts that overlap by half.

Inversions of the excerpts of a span are joined again: where two overlap, each counts more the closer the
frame is to its middle. So a value must mean the same in both, if necessary after `FrontEnd.rescaled`; see
`FrontEnd.joining_refusal`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.audio import Waveform
from actprobe.errors import AudioError, UsageError
from actprobe.frontends import FrontEnd
from actprobe.frontends.base import cut_out

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Span:
    """A segment of a recording as excerpts.

    - ``start_seconds``: where it begins in the recording.
    - ``samples``: float32 [samples], at the front end's rate.
    - ``examples``: float32 [excerpts, time, mel].
    - ``offsets``: int64 [excerpts], the frame of the span at which each begins.
    - ``frontend``: what the excerpts were made by.
    """

    start_seconds: float
    samples: Floats = field(repr=False)
    examples: Floats = field(repr=False)
    offsets: NDArray[np.int64]
    frontend: FrontEnd = field(repr=False)

    def join(self, excerpts: NDArray[Any]) -> Floats:
        """Join what was made of the excerpts: [excerpts, time, mel] -> float32 [frames of the span, mel]."""
        excerpts = np.asarray(excerpts)
        time, mel = excerpts.shape[1:]
        weight = np.minimum(np.arange(1, time + 1), np.arange(time, 0, -1))[:, np.newaxis].astype(np.float64)
        total = np.zeros((int(self.offsets[-1]) + time, mel))
        weights = np.zeros((len(total), 1))
        for offset, excerpt in zip(self.offsets, excerpts, strict=True):
            first = offset * self.frontend.frame_hop
            samples = self.samples[first : first + self.frontend.example_samples]
            excerpt = self.frontend.rescaled(excerpt, samples, self.samples)
            total[offset : offset + time] += weight * excerpt
            weights[offset : offset + time] += weight
        return np.asarray(total / weights, np.float32)


def cut_span(
    frontend: FrontEnd, waveform: Waveform, at_seconds: float, seconds: float | None = None, name: str = ""
) -> Span:
    """Cut an excerpt, or a longer span, out of a recording.

    It begins at the frame closest to ``at_seconds`` and is ``seconds`` long, as close as frames allow; by
    default one excerpt, and never less. ``name`` is for messages. AudioError: the recording is silent,
    shorter than an excerpt, or ends before the span does. UsageError: an invalid time, or a longer span of a
    front end whose excerpts cannot be averaged. Of stored examples the closest one is taken.
    """
    name = name or (waveform.source.path if waveform.source else "waveform")
    rate, hop, length = frontend.sample_rate, frontend.frame_hop, frontend.example_samples
    if not np.isfinite(at_seconds) or at_seconds < 0:
        raise UsageError(f"{at_seconds} s is no time in a recording")
    if waveform.is_silent:
        raise AudioError(name, "is silent: there is nothing to invert")
    samples = waveform.resample(rate).samples
    lasts = len(samples) / rate
    if len(samples) < length:
        raise AudioError(name, f"lasts {lasts:.3f} s, less than an excerpt of {length / rate:.3f} s")
    frames = frontend.example_shape[0]
    wanted = frames if seconds is None else max(frames, round(seconds * rate / hop))
    if wanted > frames and frontend.joining_refusal:
        raise UsageError(
            f"{frontend.name}: longer spans need excerpts whose frames can be averaged, but "
            f"{frontend.joining_refusal}"
        )
    needed = length + (wanted - frames) * hop
    if not frontend.free_starts:
        return _stored_span(frontend, samples, at_seconds, needed, name)
    start = round(at_seconds * rate / hop) * hop
    if start + needed > len(samples):
        latest = (len(samples) - needed) / rate
        there = f"the last span of {needed / rate:.3f} s begins at {latest:.3f} s"
        if latest < 0:
            there = f"less than {needed / rate:.3f} s"
        raise AudioError(name, f"lasts {lasts:.3f} s: {at_seconds:g} s is too late, {there}")
    cut = samples[start : start + needed]
    count = -(-(wanted - frames) // (frames // 2)) + 1
    offsets = np.linspace(0, wanted - frames, count).round().astype(np.int64)
    if frontend.windows:
        rows = frontend.frames(cut)
        examples = [rows[i : i + frames] for i in offsets]
    else:
        examples = [frontend.example_of(cut[i * hop : i * hop + length]) for i in offsets]
    return Span(start / rate, cut, np.stack(examples), offsets, frontend)


def _stored_span(frontend: FrontEnd, samples: Floats, at_seconds: float, needed: int, name: str) -> Span:
    """Take the stored example that begins closest to a time, and those after it that are needed."""
    rate, hop, length = frontend.sample_rate, frontend.frame_hop, frontend.example_samples
    starts = frontend.example_starts(len(samples))
    first = int(np.argmin(np.abs(starts - at_seconds * rate)))
    chosen = np.flatnonzero((starts >= starts[first]) & (starts <= starts[first] + needed - length))
    offsets = np.round((starts[chosen] - starts[first]) / hop).astype(np.int64)
    if (np.diff(offsets) > frontend.example_shape[0]).any():
        raise UsageError(f"{name}: the stored examples leave gaps: invert one at a time")
    first_sample = int(starts[first])
    cut = cut_out(samples, first_sample, int(starts[chosen[-1]]) + length - first_sample)
    return Span(starts[first] / rate, cut, frontend.examples(samples)[chosen], offsets, frontend)
