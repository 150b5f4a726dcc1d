"""Waveform -> mel spectrogram as librosa computes it, with its settings, in TensorFlow operations.

`librosa.feature.melspectrogram` is the recipe: frames, centred with the recording's ends padded or not, a
window centred in the Fourier transform, magnitudes to a power, a mel filter bank. What librosa rounds to
single precision when it is given float32 is computed in double precision here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.framing import RANGE_DB, Framing

PAD_MODES = ("constant", "reflect")
MEL_SCALES = ("slaney", "htk")
NORMS = ("slaney", None)


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """Refuse what is not a whole number of at least so many."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UsageError(f"{name}={value!r}: a whole number of at least {least} is needed")
    return int(value)


def one_of(name: str, value: Any, known: tuple[Any, ...]) -> Any:
    """Refuse what is not one of these."""
    if not (value is None or isinstance(value, str)) or value not in known:
        raise UsageError(f"there is no {name} {value!r}; there is {', '.join(map(str, known))}")
    return value


def number(name: str, value: Any, above: float) -> float:
    """Refuse what is not a finite number above a bound."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise UsageError(f"{name}={value!r}: a number is needed")
    if value <= above:
        raise UsageError(f"{name}={value!r}: a number above {above:g} is needed")
    return float(value)


@dataclass(frozen=True, eq=False)
class MelSettings:
    """Settings of `librosa.feature.melspectrogram`, by its names; ``mel_scale`` is its ``htk``."""

    sample_rate: int
    n_fft: int
    hop_length: int
    win_length: int
    window: Any
    n_mels: int
    fmin: float
    fmax: float
    power: float
    center: bool
    pad_mode: Any
    mel_scale: str
    norm: str | None

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "hop_length", "win_length", "n_mels"):
            whole_number(name, getattr(self, name))
        if self.win_length > self.n_fft:
            raise UsageError(f"win_length={self.win_length}: at most n_fft={self.n_fft} samples are needed")
        one_of("pad_mode", self.pad_mode, PAD_MODES)
        one_of("mel_scale", self.mel_scale, MEL_SCALES)
        one_of("norm", self.norm, NORMS)
        number("power", self.power, 0.0)
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise UsageError(
                f"fmin={self.fmin:g} and fmax={self.fmax:g}: bands lie between 0 and half the sample rate, "
                f"{self.sample_rate / 2:g} Hz"
            )
        if not isinstance(self.center, bool):
            raise UsageError(f"center={self.center!r}: True or False is needed")
        self._window()

    @property
    def padding(self) -> int:
        """Samples that are put on either side of a recording."""
        return self.n_fft // 2 if self.center else 0

    @cached_property
    def padded_window(self) -> NDArray[np.float64]:
        """The window, zeros on either side of it, [n_fft]."""
        missing = self.n_fft - self.win_length
        return np.pad(self._window(), (missing // 2, missing - missing // 2))

    def _window(self) -> NDArray[np.float64]:
        from scipy.signal import get_window

        if isinstance(self.window, str | tuple):
            try:
                return np.asarray(get_window(self.window, self.win_length), np.float64)
            except (ValueError, TypeError) as error:
                raise UsageError(f"window={self.window!r}: {error}") from None
        window = np.asarray(self.window, np.float64)
        if window.shape != (self.win_length,) or not np.isfinite(window).all():
            raise UsageError(
                f"window has shape {list(window.shape)}: a name that scipy.signal.get_window knows, or "
                f"{self.win_length} finite numbers (win_length), are needed"
            )
        return window

    @cached_property
    def bank(self) -> NDArray[np.float64]:
        """The filter bank, [bins, mel], rounded to single precision as librosa's."""
        bank = backend.librosa.filters.mel(
            sr=self.sample_rate, n_fft=self.n_fft, n_mels=self.n_mels, fmin=self.fmin, fmax=self.fmax,
            htk=self.mel_scale == "htk", norm=self.norm,
        )  # fmt: skip
        return np.asarray(bank.T, np.float64)

    def edges_hz(self) -> NDArray[np.float64]:
        """Give the edges of the mel triangles, [mel + 2]."""
        edges = backend.librosa.mel_frequencies(
            self.n_mels + 2, fmin=self.fmin, fmax=self.fmax, htk=self.mel_scale == "htk"
        )
        return np.asarray(edges, np.float64)

    def samples_of(self, frames: int) -> int:
        """Count the samples that it takes to have so many frames."""
        return max(1, (frames - 1) * self.hop_length + self.n_fft - 2 * self.padding)

    def spectrogram(self, samples: Any) -> Any:
        """Compute the mel spectrum of frames that lie within samples: [samples] -> float64 [frames, mel]."""
        tf = backend.tf
        frames = tf.signal.frame(tf.cast(samples, tf.float64), self.n_fft, self.hop_length)
        spectra = tf.signal.rfft(frames * self.padded_window)
        if self.power == 2:
            raised = tf.square(tf.math.real(spectra)) + tf.square(tf.math.imag(spectra))
        else:
            raised = tf.abs(spectra)
            raised = raised if self.power == 1 else tf.pow(raised, self.power)
        return tf.matmul(raised, self.bank)

    def framing(self, range_db: float = RANGE_DB) -> Framing:
        """Say how sound is cut, for making sound again."""
        return Framing(
            self.sample_rate, self.n_fft, self.hop_length, self.padded_window, self.center, self.bank,
            self.power, range_db, self.pad_mode if self.center else "reflect",
        )  # fmt: skip

    def constants(self) -> dict[str, Any]:
        """Give every setting, for provenance."""
        window = list(self.window) if isinstance(self.window, tuple) else self.window
        return {
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "win_length": self.win_length,
            "window": window if isinstance(window, str | list) else self._window().tolist(),
            "center": self.center,
            "pad_mode": self.pad_mode if self.center else "none",
            "n_mels": self.n_mels,
            "fmin": self.fmin,
            "fmax": self.fmax,
            "mel_scale": self.mel_scale,
            "norm": self.norm or "none",
            "power": self.power,
        }
