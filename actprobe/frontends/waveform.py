"""The front end of networks that take samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.graph import ExampleGraph
from actprobe.frontends.segments import SegmentFrontEnd, SegmentGraph, cover
from actprobe.frontends.sound import Sound, checked


class WaveformFrontEnd(SegmentFrontEnd):
    """Waveform -> segments of one length, as they are.

    An example has shape (samples, 1): its time axis counts samples, and it has one band, which spans all
    frequencies.

    Parameters
    ----------
    sample_rate : int
        Rate in Hz at which the network takes sound.
    samples : int
        Samples of an example.
    hop_samples : int, optional
        Samples between the starts of examples, beginning with sample 0; what is left at the end is let go. By
        default segments cover a recording from end to end, see `actprobe.frontends.cover`.
    padding : str, optional
        ``zeros`` or ``repeat``, see `FrontEnd`.

    Raises
    ------
    UsageError
        A number below one.

    Examples
    --------
    >>> frontend = WaveformFrontEnd(sample_rate=16000, samples=16000, hop_samples=8000)
    >>> frontend(np.zeros(32000, np.float32), 16000).shape
    (3, 16000, 1)
    """

    name = "waveform"
    unit = "sample value"
    keeps_phase = True
    frame_hop = frame_length = 1
    first_frame = 0

    def __init__(
        self, sample_rate: int, samples: int, hop_samples: int | None = None, padding: str = "zeros"
    ) -> None:
        super().__init__(padding)
        for word, value in (("sample_rate", sample_rate), ("samples", samples), ("hop_samples", hop_samples)):
            if value is not None and value < 1:
                raise UsageError(f"{word}={value}: at least 1")
        self.sample_rate, self.example_samples, self.hop_samples = sample_rate, samples, hop_samples
        self.example_shape = (samples, 1)

    def example_starts(self, samples: int) -> NDArray[np.int64]:
        if self.hop_samples is None:
            return cover(samples, self.example_samples)
        return np.arange(0, max(samples - self.example_samples, 0) + 1, self.hop_samples, dtype=np.int64)

    def graph(self, segments: Any) -> Any:
        return segments[..., np.newaxis]

    def _transformed(self, segments: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.graph(segments)  # type: ignore[no-any-return]  # takes no TensorFlow

    def example_graph(self) -> ExampleGraph:
        return WaveformGraph(self)

    def sound(
        self,
        values: NDArray[Any],
        samples: NDArray[np.float32] | None = None,
        *,
        own_phase: bool = False,
        seed: int = 0,
    ) -> Sound:
        """Give the samples as they are."""
        return Sound(checked(values, 1)[:, 0].astype(np.float32))

    def band_edges_hz(self) -> NDArray[np.float64]:
        return np.array([0.0, self.sample_rate / 4, self.sample_rate / 2])

    def constants(self) -> dict[str, Any]:
        return {"samples": self.example_samples, "hop_samples": self.hop_samples}


class WaveformGraph(SegmentGraph):
    """Segments every so many samples, see `WaveformFrontEnd`."""

    frontend: WaveformFrontEnd

    def starts(self, samples: Any) -> Any:
        hop = self.frontend.hop_samples
        if hop is None:
            return super().starts(samples)
        return backend.tf.range(0, samples - self.example_samples + 1, hop)
