"""Waveform: mono samples with their rate and where they came from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray

RESAMPLER_QUALITY = "HQ"
RESAMPLER = f"soxr {soxr.__version__} {RESAMPLER_QUALITY}"

SILENCE_PEAK = 1e-5  # -100 dBFS, under the last bit of 16-bit audio


@dataclass(frozen=True)
class Source:
    """Where a waveform came from and what was done to it.

    Parameters
    ----------
    path : str
        The recording.
    decoder : str
        Library and version that decoded it.
    container : str
        Container and codec as the decoder names them, such as ``FLAC/PCM_16``.
    sample_rate : int
        Rate of the recording in Hz.
    channels : int
        Channels of the recording.
    header_seconds : float or None
        Duration that the header promises, when it does.
    resampler : str
        Resampler and its quality; empty when the recording's own rate was kept.
    warnings : tuple of str
        What a careful reader should know, such as a decode shorter than the header says.
    mono : str
        What was taken of the channels, see `actprobe.load_audio`.
    """

    path: str
    decoder: str
    container: str
    sample_rate: int
    channels: int
    header_seconds: float | None = None
    resampler: str = ""
    warnings: tuple[str, ...] = ()
    mono: str = "mean"


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class Waveform:
    """Mono audio.

    Parameters
    ----------
    samples : numpy.ndarray
        float32, shape [samples], nominally in [-1, 1].
    sample_rate : int
        Rate in Hz.
    source : Source or None
        Provenance when the samples were read from a file.
    """

    samples: NDArray[np.float32] = field(repr=False)
    sample_rate: int
    source: Source | None = None

    @property
    def seconds(self) -> float:
        """Duration.

        Returns
        -------
        float
            Seconds.
        """
        return len(self.samples) / self.sample_rate

    @property
    def peak(self) -> float:
        """Largest absolute sample.

        Returns
        -------
        float
            0 for no samples.
        """
        return max(float(np.max(self.samples, initial=0.0)), -float(np.min(self.samples, initial=0.0)))

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing to hear.

        Returns
        -------
        bool
            Whether every sample lies under -100 dBFS.
        """
        return self.peak < SILENCE_PEAK

    def resample(self, sample_rate: int) -> Waveform:
        """Return this waveform at another rate (soxr, quality HQ).

        Parameters
        ----------
        sample_rate : int
            Wanted rate in Hz.

        Returns
        -------
        Waveform
            The same object when the rate is already the wanted one.

        Raises
        ------
        ValueError
            A rate below 1 Hz.
        """
        if sample_rate < 1:
            raise ValueError(f"sample_rate={sample_rate} is not a rate in Hz")
        if sample_rate == self.sample_rate:
            return self
        samples = soxr.resample(self.samples, self.sample_rate, sample_rate, quality=RESAMPLER_QUALITY)
        source = None if self.source is None else replace(self.source, resampler=RESAMPLER)
        return Waveform(samples.astype(np.float32, copy=False), sample_rate, source)


def as_waveform(waveform: Waveform | ArrayLike, sample_rate: int | None = None) -> Waveform:
    """Accept a Waveform, or mono samples [samples] and their rate in Hz.

    With a Waveform the rate may only repeat its own. Samples without a rate, of another shape or not finite
    are a `ValueError`.
    """
    if isinstance(waveform, Waveform):
        if sample_rate is not None and sample_rate != waveform.sample_rate:
            raise ValueError(
                f"sample_rate={sample_rate} contradicts the Waveform's {waveform.sample_rate} Hz; "
                "call Waveform.resample first"
            )
        return waveform
    samples = np.asarray(waveform)
    if sample_rate is None:
        raise ValueError("samples need their sample_rate")
    if sample_rate <= 0:
        raise ValueError(f"sample_rate={sample_rate} is not a rate in Hz")
    if samples.ndim != 1:
        raise ValueError(f"samples must be mono, shape [samples], not {list(samples.shape)}")
    if not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(f"samples must be floating point in [-1, 1], not {samples.dtype}")
    if not np.isfinite(samples).all():
        raise ValueError("samples hold NaN or infinity")
    return Waveform(samples.astype(np.float32, copy=False), sample_rate)
