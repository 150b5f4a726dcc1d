"""What every decoder hands its blocks to: one channel of all, with the checks that can be made on the way."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray

from actprobe.audio.waveform import RESAMPLER_QUALITY
from actprobe.errors import AudioError, TooLongError
from actprobe.scratch import GrowingSamples

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

    The samples grow with what was decoded and are never allocated from what a header claims. They are
    resampled while they come, so that those of the recording's own rate are not kept beside them. Those of a
    long recording lie in a temporary file (`actprobe.scratch`).

    Parameters
    ----------
    path : str
        The recording, for error messages.
    max_seconds : float
        Longest recording to accept.
    wanted_rate : int or None
        Rate in Hz of the samples that are kept; None for the recording's own.
    channel : int or None
        The channel that is kept, the last one where there are fewer; None for the mean of all.
    decoder : str
        Library and version.
    container : str
        Container and codec as the decoder names them.
    sample_rate, channels : int
        Rate in Hz and channels; 0 until `start`. Where they change on the way, those of the beginning.
    header_seconds : float or None
        Duration that the header promises, when it does.
    peak : float
        Largest absolute sample of what is kept, before it is resampled.
    frames : int
        Frames decoded so far, at the recording's own rate.
    seconds : float
        Duration decoded so far.
    rates : list of int
        Rates in Hz, as they followed one another.
    warnings : list of str
        One sentence each.
    """

    path: str
    max_seconds: float
    wanted_rate: int | None = None
    channel: int | None = None
    decoder: str = ""
    container: str = ""
    sample_rate: int = 0
    channels: int = 0
    header_seconds: float | None = None
    peak: float = 0.0
    frames: int = 0
    seconds: float = 0.0
    rates: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _power: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), init=False, repr=False)
    _kept_power: float = field(default=0.0, init=False, repr=False)
    _resampler: soxr.ResampleStream | None = field(default=None, init=False, repr=False)
    _mono: GrowingSamples = field(default_factory=GrowingSamples, init=False, repr=False)

    def start(self, sample_rate: int, channels: int) -> None:
        """Set the rate in Hz and the channels, once they are known and before the first block.

        Called anew where they change on the way.
        No channels are `Undecodable`, a rate that no recording has is an `AudioError`.
        """
        if channels < 1:
            raise Undecodable("no audio channels")
        if not LOWEST_RATE_HZ <= sample_rate <= HIGHEST_RATE_HZ:
            raise AudioError(self.path, f"absurd sample rate of {sample_rate} Hz")
        if self.rates and self.rates[-1] == sample_rate:
            return
        self._end_part()
        if not self.rates:
            self.sample_rate, self.channels = sample_rate, channels
            self._power = np.zeros(channels)
        self.rates.append(sample_rate)
        if sample_rate != self.kept_rate:
            self._resampler = soxr.ResampleStream(
                sample_rate, self.kept_rate, 1, dtype="float32", quality=RESAMPLER_QUALITY
            )

    @property
    def kept_rate(self) -> int:
        """Rate of `samples` in Hz."""
        return self.wanted_rate or self.sample_rate

    @property
    def samples(self) -> NDArray[np.float32]:
        """What was kept of the recording; nothing can be added any more."""
        self._end_part()
        with self._filing():
            return self._mono.array()

    @property
    def loudest_channel(self) -> int:
        """The channel of most power."""
        return int(np.argmax(self._power))

    @property
    def cancelled_db(self) -> float:
        """By how many dB less power the channels' mean has than it would if they were unrelated.

        0 where one channel is kept.
        """
        if self.channel is not None or not self._power.any():
            return 0.0
        if not self._kept_power:
            return float("inf")
        unrelated = float(self._power.sum()) / self.channels**2
        return 10 * math.log10(unrelated / self._kept_power)

    def _end_part(self) -> None:
        if self._resampler is not None:
            self._keep(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            self._resampler = None

    def _keep(self, samples: NDArray[np.float32]) -> None:
        with self._filing():
            self._mono.add(samples)

    @contextmanager
    def _filing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            where = f"its samples do not go into a temporary file ({reason}); TMPDIR names another folder"
            raise AudioError(self.path, where) from error

    def add(self, block: NDArray[np.float32]) -> None:
        """Append the channel mean of a block, float32 [frames, channels], or its channel that is kept.

        NaN, infinity or a recording longer than `max_seconds` is an `AudioError`.
        """
        if not len(block):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            # Column by column is several times faster than mean(axis=1) over so short an axis, and equal.
            first = 0 if self.channel is None else min(self.channel, block.shape[1] - 1)
            mono = block[:, first].astype(np.float32, copy=True)
            if self.channel is None and block.shape[1] > 1:
                for channel in range(1, block.shape[1]):
                    mono += block[:, channel]
                mono /= block.shape[1]
            low, high = float(mono.min()), float(mono.max())
        if not np.isfinite(low + high):
            raise AudioError(self.path, f"NaN or infinity among the samples after {self.seconds:.2f} s")
        self.peak = max(self.peak, -low, high)
        for channel in range(min(block.shape[1], self.channels)):
            self._power[channel] += _power(block[:, channel])
        self._kept_power += _power(mono)
        self.frames += len(mono)
        self.seconds += len(mono) / self.rates[-1]
        kept = mono if self._resampler is None else self._resampler.resample_chunk(mono)
        self._keep(kept)
        if self.seconds > self.max_seconds + 0.5 / self.rates[-1]:  # durations are sums of blocks
            raise TooLongError(self.path, f"longer than max_seconds={self.max_seconds:g}")


def _power(samples: NDArray[np.float32]) -> float:
    with np.errstate(over="ignore"):  # an absurd peak, which is found later
        return min(float(np.dot(samples, samples)), sys.float_info.max / 2**20)
