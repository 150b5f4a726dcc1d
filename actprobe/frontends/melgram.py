"""The melgram of Choi's music taggers: a mel spectrogram in decibels of the squared power.

Constants of keunwoochoi/music-auto_tagging-keras (audio_processor.py, 2016), which CNN-AT and MM-CNN
share. The power spectrogram is squared once more before it is taken to decibels, so the 80 dB below
the peak that survive are 40 dB of real range.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError, WeightsError
from actprobe.frontends.framing import Framing
from actprobe.frontends.segments import SegmentFrontEnd
from actprobe.weights.npz import read_npz

SAMPLE_RATE = 12_000
N_FFT = 512
HOP = 256
MELS = 96
FMIN, FMAX = 0.0, 6_000.0
AMIN = 1e-10
TOP_DB = 80.0


def mel_matrix() -> NDArray[np.float32]:
    """Give the Slaney mel filter bank with Slaney (area) normalisation, float32 [N_FFT // 2 + 1, MELS]."""
    bank = backend.librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=MELS, fmin=FMIN, fmax=FMAX, htk=False, norm="slaney"
    )
    return np.asarray(bank.T, np.float32)


def mel_edges_hz() -> NDArray[np.float64]:
    """Give the edges of the mel triangles in Hz, float64 [98]."""
    edges = backend.librosa.mel_frequencies(MELS + 2, fmin=FMIN, fmax=FMAX, htk=False)
    return np.asarray(edges, np.float64)


def squared_power_db(padded: Any, mel: Any) -> Any:
    """Compute decibels of squared power in a graph, of the frames that lie within float32 [..., samples]."""
    tf = backend.tf
    spectrum = tf.signal.stft(padded, N_FFT, HOP, window_fn=tf.signal.hann_window)
    power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    squared = tf.square(tf.tensordot(power, mel, 1))
    return 10.0 / np.log(10.0) * tf.math.log(tf.maximum(squared, AMIN))


def melgram_db(segments: Any, mel: Any) -> Any:
    """Compute melgrams in a graph: float32 [segments, samples] at 12 kHz -> [segments, time, 96].

    Decibels of squared power, at most 80 dB under the peak of each segment, with 1 + samples // 256 frames.
    Equal to ``librosa.power_to_db(melspectrogram(..., pad_mode="reflect") ** 2, ref=1, amin=1e-10,
    top_db=80)``, transposed. `mel` is the filter bank of `mel_matrix`.
    """
    tf = backend.tf
    decibels = squared_power_db(tf.pad(segments, [[0, 0], [N_FFT // 2, N_FFT // 2]], mode="REFLECT"), mel)
    return tf.maximum(decibels, tf.reduce_max(decibels, axis=(1, 2), keepdims=True) - TOP_DB)


def melgram_framing() -> Framing:
    """Say how melgrams are cut; they hold 40 dB and no more."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    bank = np.asarray(mel_matrix(), np.float64)
    return Framing(SAMPLE_RATE, N_FFT, HOP, window, True, bank, 2, TOP_DB / 2)


def melgram_power(decibels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undo decibels of squared power: [..., time, mel] -> power."""
    to_log = np.log(10) / 20
    return melgram_framing().exp(decibels * to_log, 10 * np.log10(AMIN) * to_log)


class MelgramFrontEnd(SegmentFrontEnd):
    """Melgrams of 29.12 s, 1366 frames by 96 mel bands, standardised.

    The published CNN-AT weights were trained on standardised melgrams whose mean and deviation were
    never published. By default each example is standardised by its own mean and deviation; its
    overall level is then lost to the network. Constants from an npz keep level differences between
    recordings.

    Not a setting of `LogMelFrontEnd`: power is squared before its logarithm, in single precision, and
    segments cover a recording evenly.

    Parameters
    ----------
    normalization : str or Path, optional
        npz with the scalars ``mean`` and ``std`` (decibels of squared power) to standardise by.
    padding : str, optional
        ``zeros`` or ``repeat``, see `FrontEnd`.

    Raises
    ------
    WeightsError
        The npz is not readable, lacks ``mean`` or ``std``, or holds something else than two finite
        scalars with a positive ``std``.
    UsageError
        No such padding.
    """

    name = "melgram"
    sample_rate = SAMPLE_RATE
    example_samples = int(29.12 * SAMPLE_RATE)
    example_shape = (1 + example_samples // HOP, MELS)
    frame_hop = HOP
    frame_length = N_FFT
    first_frame = 0
    standardises = True

    def __init__(self, normalization: str | Path | None = None, padding: str = "zeros") -> None:
        super().__init__(padding)
        self.standardisation = None if normalization is None else _read_standardisation(Path(normalization))
        if self.standardisation is None:
            self.joining_refusal = "each is standardised by its own mean and deviation: give constants"

    @cached_property
    def _mel(self) -> NDArray[np.float32]:
        return mel_matrix()

    def decibels(self, segments: Any) -> Any:
        """Compute melgrams in decibels, not standardised: [examples, 349440] -> [examples, 1366, 96]."""
        return melgram_db(segments, self._mel)

    def graph(self, segments: Any) -> Any:
        """Give standardised melgrams; zeros for a segment whose melgram is constant (digital silence)."""
        tf = backend.tf
        decibels = self.decibels(segments)
        if self.standardisation is not None:
            mean, std = self.standardisation
            return (decibels - mean) / std
        mean, variance = tf.nn.moments(decibels, axes=(1, 2), keepdims=True)
        return tf.math.divide_no_nan(decibels - mean, tf.sqrt(variance))

    def band_edges_hz(self) -> NDArray[np.float64]:
        return mel_edges_hz()

    def framing(self) -> Framing:
        return melgram_framing()

    def reference(self, samples: NDArray[np.float32]) -> tuple[float, float] | None:
        """Give the mean and deviation, in decibels, of an example that was standardised by its own."""
        if self.standardisation is not None:
            return None
        decibels = self.decibels(np.asarray(samples, np.float32)[np.newaxis]).numpy()
        return float(decibels.mean()), float(decibels.std())

    def to_power(self, examples: NDArray[Any], reference: Any = None) -> NDArray[np.float64]:
        standardisation = self.standardisation if reference is None else reference
        if standardisation is None:
            raise UsageError(
                f"{self.name}: the example was standardised by its own mean and deviation: give them"
            )
        mean, std = standardisation
        return melgram_power(np.asarray(examples, np.float64) * std + mean)

    def constants(self) -> dict[str, Any]:
        if self.standardisation is None:
            standardisation: Any = "each example by its own mean and deviation"
        else:
            standardisation = dict(zip(("mean", "std"), self.standardisation, strict=True))
        return {
            "n_fft": N_FFT,
            "hop": HOP,
            "mels": MELS,
            "fmin": FMIN,
            "fmax": FMAX,
            "standardisation": standardisation,
        }


def _read_standardisation(path: Path) -> tuple[float, float]:
    file = read_npz(path, {"mean": (), "std": ()}, dtypes=("<f4", "<f8", "<i4", "<i8"))
    mean, std = (float(file.arrays[entry]) for entry in ("mean", "std"))
    if std <= 0:
        raise WeightsError(path, "std", f"must be positive, not {std}")
    return mean, std
