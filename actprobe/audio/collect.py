"""What every decoder hands its blocks to: the channel mean, with the checks that can be made on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import AudioError

LOWEST_RATE_HZ = 1_000
HIGHEST_RATE_HZ = 3_072_000  # DSD512 as FFmpeg hands it out is 2,822,400 Hz


class Undecodable(Exception):  # noqa: N818  it says what happened to one decoder; it never leaves the package
    """One decoder could not make sense of the recording, for the reason given; another one might."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Collector:
    """Mono samples of a recording while it is being decoded, and what the decoder found out about it.

    The samples grow with what was decoded and are never allocated from what a header claims.

    Parameters
    ----------
    path : str
        The recording, for error messages.
    max_seconds : float
        Longest recording to accept.
    decoder : str
        Library and version.
    container : str
        Container and codec as the decoder names them.
    sample_rate, channels : int
        Rate in Hz and channels; 0 until `start`.
    header_seconds : float or None
        Duration that the header promises, when it does.
    peak : float
        Largest absolute sample of the channel mean.
    warnings : list of str
        One sentence each.
    """

    path: str
    max_seconds: float
    decoder: str = ""
    container: str = ""
    sample_rate: int = 0
    channels: int = 0
    header_seconds: float | None = None
    peak: float = 0.0
    warnings: list[str] = field(default_factory=list)
    _mono: bytearray = field(default_factory=bytearray, init=False, repr=False)

    def start(self, sample_rate: int, channels: int) -> None:
        """Set the rate in Hz and the channels, once they are known and before the first block.

        No channels are `Undecodable`, a rate that no recording has is an `AudioError`.
        """
        if channels < 1:
            raise Undecodable("no audio channels")
        if not LOWEST_RATE_HZ <= sample_rate <= HIGHEST_RATE_HZ:
            raise AudioError(self.path, f"absurd sample rate of {sample_rate} Hz")
        self.sample_rate, self.channels = sample_rate, channels

    @property
    def frames(self) -> int:
        """Number of samples collected so far."""
        return len(self._mono) // 4

    @property
    def seconds(self) -> float:
        """Duration collected so far."""
        return self.frames / self.sample_rate if self.sample_rate else 0.0

    @property
    def samples(self) -> NDArray[np.float32]:
        """Channel mean of what was collected; nothing can be added while the array is in use."""
        return np.frombuffer(self._mono, dtype=np.float32)

    def add(self, block: NDArray[np.float32]) -> None:
        """Append the channel mean of a block, float32 [frames, channels].

        NaN, infinity or a recording longer than `max_seconds` is an `AudioError`.
        """
        if not len(block):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            # Column by column is several times faster than mean(axis=1) over so short an axis, and equal.
            mono = block[:, 0].astype(np.float32, copy=True)
            for channel in range(1, block.shape[1]):
                mono += block[:, channel]
            if block.shape[1] > 1:
                mono /= block.shape[1]
            low, high = float(mono.min()), float(mono.max())
        if not np.isfinite(low + high):
            raise AudioError(self.path, f"NaN or infinity among the samples after {self.seconds:.2f} s")
        self.peak = max(self.peak, -low, high)
        self._mono += mono.tobytes()
        if self.seconds > self.max_seconds:
            raise AudioError(self.path, f"longer than max_seconds={self.max_seconds:g}")
