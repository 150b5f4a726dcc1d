"""The front end that most networks have: librosa's log-mel spectrogram, cut in examples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actprobe import backend, scratch
from actprobe.errors import UsageError
from actprobe.frontends.base import pad_to
from actprobe.frontends.frame_by_frame import FrameByFrameFrontEnd
from actprobe.frontends.frames import FrameFrontEnd
from actprobe.frontends.framing import RANGE_DB, Framing
from actprobe.frontends.levels import TOP_DB, C, Level
from actprobe.frontends.mel_settings import MelSettings, number, whole_number
from actprobe.frontends.standardising import Standardising, constant

SAMPLES_AT_ONCE = 1 << 20  # in frames that are in memory together: 8 MB


class Reference(NamedTuple):
    """What an example lost: the highest level of the recording, its own mean and deviation."""

    peak: float
    mean: Any
    std: Any


class LogMelFrontEnd(FrameByFrameFrontEnd):
    """Log-mel examples by librosa's recipe; give the settings that the network was trained with.

    Equal to `librosa.feature.melspectrogram`, followed by `librosa.power_to_db` or a logarithm, of the whole
    recording at `sample_rate`, cut in examples. Everything is computed in double precision, in TensorFlow
    operations, so it can be exported, and a bounded number of spectra are in memory. It can be undone for
    sound. Names and defaults are librosa's where librosa has them.

    Decibels of a magnitude mel spectrogram (`librosa.amplitude_to_db` with its defaults) are ``power=1,
    log="db", amin=1e-5, top_db=40, std=0.5``.

    Parameters
    ----------
    sample_rate : int, optional
        Hz; recordings are resampled to it.
    n_fft : int, optional
        Samples of the Fourier transform.
    hop_length : int, optional
        Samples between frames.
    win_length : int, optional
        Samples of the window, which lies in the middle of the transform; by default `n_fft`.
    window : str or tuple or array_like, optional
        What `scipy.signal.get_window` takes, such as ``hann`` (periodic), or the window itself, such as
        ``numpy.hanning(400)``.
    n_mels : int, optional
        Mel bands.
    fmin, fmax : float, optional
        Hz of the lowest and the highest edge; by default 0 and half the sample rate.
    power : float, optional
        2 for the power, 1 for the magnitude of the spectrum.
    log : str, optional
        ``ln`` or ``log10`` of ``max(mel, amin)``, or of ``mel + offset`` if an offset is given; ``db``, as
        `librosa.power_to_db`; ``log10_1p``, log10(1 + c mel); or ``none``.
    amin : float, optional
        Lower bound of the bands for ``ln``, ``log10`` and ``db``, by default 1e-10.
    offset : float, optional
        What is added to the bands in place of the bound.
    ref : float or str, optional
        What is 0 dB; ``max`` (or ``numpy.max``) for the peak of the recording.
    top_db : float, optional
        Range in dB under the peak of the recording, for ``db`` alone; None for all of it.
    c : float, optional
        The factor of ``log10_1p``.
    center : bool, optional
        Whether frame k is centred on sample k `hop_length`, the recording padded by half a transform at both
        ends, or begins there.
    pad_mode : str, optional
        ``constant``, zeros, as librosa pads since 0.10, or ``reflect``, as before.
    mel_scale : str, optional
        ``slaney`` or ``htk``.
    norm : str, optional
        ``slaney`` for triangles of equal area; None for triangles of height 1.
    mean, std : float or array_like or str, optional
        What is subtracted from a value, and what the rest is divided by: a number, or one for each band.
        ``example`` for an example's own mean or deviation. By default 0 and 1.
    frames : int, optional
        Frames of an example.
    hop : int, optional
        Frames between the starts of examples. Standardised each by itself, those that overlap are copies.
    padding : str, optional
        What follows a recording shorter than an example: ``zeros``, or ``repeat``, itself again.

    Raises
    ------
    UsageError
        A setting that does not exist, does not fit the others, or has no effect.

    Examples
    --------
    >>> from actprobe.frontends import LogMelFrontEnd
    >>> frontend = LogMelFrontEnd(sample_rate=22050, n_fft=1024, hop_length=512, n_mels=64, frames=128)
    >>> frontend.example_shape
    (128, 64)
    >>> frontend(actprobe.load_audio("song.mp3")).shape[1:]
    (128, 64)
    """

    name = "log_mel"
    precision = "float64"

    def __init__(
        self,
        *,
        sample_rate: int = 16_000,
        n_fft: int = 512,
        hop_length: int = 160,
        win_length: int | None = None,
        window: Any = "hann",
        n_mels: int = 40,
        fmin: float = 0.0,
        fmax: float | None = None,
        power: float = 2.0,
        log: str = "ln",
        amin: float | None = None,
        offset: float | None = None,
        ref: Any = 1.0,
        top_db: float | None = TOP_DB,
        c: float = C,
        center: bool = True,
        pad_mode: str = "constant",
        mel_scale: str = "slaney",
        norm: str | None = "slaney",
        mean: float | ArrayLike | str | None = None,
        std: float | ArrayLike | str | None = None,
        frames: int = 100,
        hop: int = 50,
        padding: str = "zeros",
    ) -> None:
        super().__init__(whole_number("hop", hop), padding)
        whole_number("sample_rate", sample_rate)
        self.mel = MelSettings(
            sample_rate=sample_rate, n_fft=n_fft, hop_length=hop_length,
            win_length=n_fft if win_length is None else win_length, window=window, n_mels=n_mels,
            fmin=number("fmin", fmin, -1.0),
            fmax=sample_rate / 2 if fmax is None else number("fmax", fmax, 0.0),
            power=power, center=center, pad_mode=pad_mode, mel_scale=mel_scale, norm=norm,
        )  # fmt: skip
        self.level = Level(log, amin, offset, "max" if ref in ("max", np.max, max) else ref, top_db, c)
        self.standardising = Standardising(
            constant("mean", mean, 0.0, n_mels), constant("std", std, 1.0, n_mels)
        )
        self.sample_rate, self.frame_hop = sample_rate, hop_length
        self.frame_length, self.frame_samples = self.mel.win_length, n_fft
        self.around, self.pad_mode = self.mel.padding, pad_mode
        self.frames_at_once = max(1, SAMPLES_AT_ONCE // n_fft)
        self.relative = self.level.relative
        self.first_frame = 0 if center else n_fft // 2
        self.example_shape = (whole_number("frames", frames), n_mels)
        self.example_samples = self.mel.samples_of(frames)
        if center and pad_mode == "reflect" and self.example_samples <= n_fft // 2:
            raise UsageError(
                f"frames={frames} and hop_length={hop_length} make an example of {self.example_samples} "
                f"samples, too short to be mirrored by n_fft / 2: give more frames, or pad_mode='constant'"
            )
        self.unit = self._unit()
        self.standardises = self.standardising.by_example or bool(np.any(self.standardising.mean))
        if self.standardising.by_example:
            self.joining_refusal = "each is standardised by its own mean or deviation: give constants"

    def _unit(self) -> str:
        power = self.mel.power
        bands = {1.0: "mel magnitude", 2.0: "mel power"}.get(power, f"mel magnitude^{power:g}")
        unit = self.level.unit(bands)
        if self.standardising.by_example:
            return f"{unit}, standardised by example"
        return unit if self.standardising.neutral else f"{unit}, standardised"

    @property
    def windows(self) -> bool:
        """Whether no example is standardised by itself."""
        cls = type(self)
        as_here = cls.examples is FrameFrontEnd.examples and cls.finished is LogMelFrontEnd.finished
        return as_here and not self.standardising.by_example

    def spectrum(self, samples: Any) -> Any:
        return self.level.absolute(self.mel.spectrogram(samples))

    def values(self, spectrum: Any, peak: Any) -> Any:
        levels = self.level.under(peak, spectrum)
        if not self.standardising.by_example:
            levels = self.standardising.graph(levels)
        return backend.tf.cast(levels, backend.tf.float32)

    def finished(self, windows: Any) -> Any:
        if not self.standardising.by_example:
            return windows
        tf = backend.tf
        if tf.is_tensor(windows):
            return self._standardised(windows)
        found = scratch.array(windows.shape, np.float32)
        for example, window in zip(found, windows, strict=True):
            example[:] = self._standardised(tf.constant(window)).numpy()
        return found

    def _standardised(self, examples: Any) -> Any:
        tf = backend.tf
        return tf.cast(self.standardising.graph(tf.cast(examples, tf.float64)), tf.float32)

    def band_edges_hz(self) -> NDArray[np.float64]:
        return self.mel.edges_hz()

    def framing(self) -> Framing:
        top_db = self.level.top_db if self.level.log == "db" else None
        return self.mel.framing(RANGE_DB if top_db is None else min(RANGE_DB, 2 / self.mel.power * top_db))

    def reference(self, samples: NDArray[np.float32]) -> Reference | None:
        if not self.standardising.by_example and self.level.ref != "max":
            return None
        samples = pad_to(np.asarray(samples, np.float32), self.example_samples, self.padding)
        levels, peak = self._with_peak(samples)
        example = self.level.under(peak, backend.tf.constant(levels[: self.example_shape[0]])).numpy()
        return Reference(float(peak), *self.standardising.of_example(example))

    def to_power(self, examples: NDArray[Any], reference: Any = None) -> NDArray[np.float64]:
        peak, mean, std = reference or (None, self.standardising.mean, self.standardising.std)
        if isinstance(mean, str) or isinstance(std, str):
            raise UsageError(
                f"{self.name}: the example was standardised by its own mean or deviation: give the recording"
            )
        return self.level.undo(np.asarray(examples, np.float64) * std + mean, self.framing(), peak)

    def constants(self) -> dict[str, Any]:
        return {
            **self.mel.constants(),
            **self.level.constants(),
            **self.standardising.constants(),
            "precision": "float64",
            "frames": self.example_shape[0],
            "hop": self.hop,
        }
