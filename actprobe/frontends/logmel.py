"""The log-mel excerpts of Schlüter and Grill's singing voice detector.

Schlüter and Grill: Exploring data augmentation for improved singing voice detection with neural
networks, ISMIR 2015; audio.py and znorm.py of f0k/ismir2015 (MIT, (c) 2017 Jan Schlüter), which
Mishra et al. use unchanged. What sets it apart from other log-mel front ends:

- frames lie within the recording, none is centred or padded: frame k begins at sample 315 k;
- the Hann window is symmetric (``numpy.hanning``), not periodic;
- magnitudes, not power; the natural logarithm, no lower than ln(1e-7);
- the mel triangles are built as Yaafe does: each slope reaches from the first bin at or above its
  edge to the first at or above the peak, rises by Hz but is divided by a number of bins, and every
  triangle sums to 1.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import WeightsError
from actprobe.frontends.frame_by_frame import FrameByFrameFrontEnd
from actprobe.frontends.framing import Framing
from actprobe.weights.npz import read_npz

SAMPLE_RATE = 22_050
FRAME_LENGTH = 1024
FRAMES_PER_SECOND = 70
FRAME_HOP = SAMPLE_RATE // FRAMES_PER_SECOND
MELS = 80
MIN_HZ, MAX_HZ = 27.5, 8000.0
BINS = (FRAME_LENGTH // 2 + 1) * 2 * int(MAX_HZ) // SAMPLE_RATE  # the rest lies above MAX_HZ
FLOOR = 1e-7
EXCERPT_FRAMES = 115


def _mel_edges_hz() -> NDArray[np.float64]:
    """Edges equally spaced on the mel scale 1127 ln(1 + f / 700)."""
    low, high = 1127 * np.log1p(MIN_HZ / 700), 1127 * np.log1p(MAX_HZ / 700)
    edges = low + np.arange(MELS + 2) * ((high - low) / (MELS + 1))
    return np.asarray(700 * (np.exp(edges / 1127) - 1), np.float64)


def filter_bank() -> NDArray[np.float32]:
    """Give the mel filter bank, float32 [372, 80], built as Yaafe does; every column sums to 1.

    Its rows are the first 372 of 513 bins (0 to 7988 Hz).
    """
    bins_hz = np.linspace(0, SAMPLE_RATE / 2, FRAME_LENGTH // 2 + 1)
    edges_hz = _mel_edges_hz()
    edges = np.searchsorted(bins_hz, edges_hz)
    bank = np.zeros((len(bins_hz), MELS))
    for band in range(MELS):
        left, top, right = edges[band : band + 3]
        bank[left:top, band] = (bins_hz[left:top] - edges_hz[band]) / (top - left)
        bank[top:right, band] = (edges_hz[band + 2] - bins_hz[top:right]) / (right - top)
    return np.asarray((bank / bank.sum(axis=0))[:BINS], np.float32)


def magnitudes(samples: Any) -> Any:
    """Compute magnitude spectra in a graph: [samples] at 22050 Hz -> float64 [frames, 513].

    There are (samples - 1024) // 315 + 1 frames. In single precision the logarithm of a nearly empty band
    differs from the original by 1e-4.
    """
    return backend.tf.abs(_spectra(samples))


def _spectra(samples: Any) -> Any:
    tf = backend.tf
    return tf.signal.rfft(tf.cast(_framed(samples), tf.float64) * np.hanning(FRAME_LENGTH))


def _framed(samples: Any) -> Any:
    """Cut samples in frames; tf.signal.frame gathers sample by sample, as 315 does not divide 1024."""
    tf = backend.tf
    count = tf.maximum((tf.size(samples) - FRAME_LENGTH) // FRAME_HOP + 1, 0)
    whole, rest = divmod(FRAME_LENGTH, FRAME_HOP)  # hops in a frame
    length = (count + whole) * FRAME_HOP
    used = samples[:length]
    hops = tf.reshape(tf.pad(used, [[0, length - tf.size(used)]]), (-1, FRAME_HOP))
    return tf.concat([*(hops[first : first + count] for first in range(whole)), hops[whole:, :rest]], 1)


def log_mel(spectrogram: Any, bank: NDArray[np.float32]) -> Any:
    """Take magnitudes [..., frames, bins] to log-mel [..., frames, 80] with TensorFlow operations.

    There are at least the 372 bins of `filter_bank`. Natural logarithms, no lower than ln(1e-7), in the
    spectrogram's type.
    """
    tf = backend.tf
    bands = tf.matmul(spectrogram[..., : len(bank)], tf.cast(bank, spectrogram.dtype))
    return tf.math.log(tf.maximum(bands, tf.constant(FLOOR, spectrogram.dtype)))


class SvdFrontEnd(FrameByFrameFrontEnd):
    """Log-mel excerpts of 115 frames (1.6 s) by 80 bands, normalised band by band.

    Excerpt k of the original, which is frames k to k + 114, is example k when ``hop`` is 1. Its
    detector judges the centre, frame k + 57.

    Not a setting of `LogMelFrontEnd`, whose triangles are librosa's, not Yaafe's.

    Parameters
    ----------
    normalization : str or Path, optional
        npz with ``mean`` and ``std``, each of shape [80], of the log-mel bands of the training data.
        By default nothing is subtracted and nothing divided by.
    hop : int, optional
        Frames between the starts of examples.
    padding : str, optional
        ``zeros`` or ``repeat``, see `FrontEnd`.

    Raises
    ------
    WeightsError
        The npz is not readable or holds something else than two finite vectors with a positive ``std``.
    UsageError
        No such padding, or a hop below 1.
    """

    name = "svd_logmel"
    sample_rate = SAMPLE_RATE
    example_samples = FRAME_LENGTH + (EXCERPT_FRAMES - 1) * FRAME_HOP
    example_shape = (EXCERPT_FRAMES, MELS)
    frame_hop = FRAME_HOP
    frame_length = FRAME_LENGTH
    first_frame = FRAME_LENGTH // 2
    unit = "log-mel (natural logarithm)"

    def __init__(self, normalization: str | Path | None = None, hop: int = 1, padding: str = "zeros") -> None:
        super().__init__(hop, padding)
        self.normalization = "none: log-mel values as they are (mean 0, std 1)"
        self.mean = np.zeros(MELS, np.float32)
        self.inverse_std = np.ones(MELS, np.float32)
        if normalization is not None:
            self.mean, self.inverse_std, digest = _read_mean_std(Path(normalization))
            self.normalization = f"mean and std of {normalization}, sha256 {digest}"
            if np.any(self.mean) or not np.allclose(self.inverse_std, 1):
                self.unit = "log-mel, deviations from the training mean"
                self.standardises = True

    @cached_property
    def _bank(self) -> NDArray[np.float32]:
        return filter_bank()

    def spectrum(self, samples: Any) -> Any:
        """Give log-mel frames, normalised band by band."""
        bands = log_mel(backend.tf.abs(_spectra(samples)[..., :BINS]), self._bank)
        normalised = (bands - self.mean.astype(np.float64)) * self.inverse_std.astype(np.float64)
        return backend.tf.cast(normalised, backend.tf.float32)

    def band_edges_hz(self) -> NDArray[np.float64]:
        """Give the edges of the mel triangles, [82]; the bins a triangle really covers are those between."""
        return _mel_edges_hz()

    def framing(self) -> Framing:
        bank = self._bank.astype(np.float64)
        return Framing(SAMPLE_RATE, FRAME_LENGTH, FRAME_HOP, np.hanning(FRAME_LENGTH), False, bank, 1)

    def to_power(self, examples: NDArray[Any], reference: Any = None) -> NDArray[np.float64]:
        logs = np.asarray(examples, np.float64) / self.inverse_std.astype(np.float64) + self.mean
        return self.framing().exp(logs, np.log(FLOOR))

    def constants(self) -> dict[str, Any]:
        return {
            "frame_length": FRAME_LENGTH,
            "frame_hop": FRAME_HOP,
            "window": "hann, symmetric",
            "mels": MELS,
            "fmin": MIN_HZ,
            "fmax": MAX_HZ,
            "floor": FLOOR,
            "hop": self.hop,
            "normalization": self.normalization,
        }


def _read_mean_std(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """Read the mean and the inverse deviation; the original casts to float32 what it multiplies by."""
    file = read_npz(path, {"mean": (MELS,), "std": (MELS,)}, dtypes=("<f4", "<f8"))
    if (file.arrays["std"] <= 0).any():
        raise WeightsError(path, "std", "must be positive in every band")
    with np.errstate(over="ignore"):
        mean = file.arrays["mean"].astype(np.float32)
        inverse_std = (1 / file.arrays["std"]).astype(np.float32)
    for entry, array in (("mean", mean), ("std", inverse_std)):
        if not np.isfinite(array).all():
            raise WeightsError(path, entry, "is out of the range of single precision")
    return mean, inverse_std, file.sha256
