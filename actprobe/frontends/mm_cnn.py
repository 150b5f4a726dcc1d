"""The melgram segments of MM-CNN: CNN-AT's melgram, cut in pieces of 128 frames, less a mean segment.

Constants of Veleslavia/EUSIPCO2017 (the Keras experiments on IRMAS of Pons, Slizovskaia, Gong, Gómez and
Serra: Timbre analysis of music audio signals with convolutional neural networks, EUSIPCO 2017). The melgram
is that of `actprobe.frontends.melgram`; its range ends 80 dB under the peak of the whole recording, not
of each segment.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend, scratch
from actprobe.errors import UsageError, WeightsError
from actprobe.frontends.frame_by_frame import FrameByFrameFrontEnd
from actprobe.frontends.frames import FrameFrontEnd
from actprobe.frontends.framing import Framing
from actprobe.frontends.melgram import (
    FMAX,
    FMIN,
    HOP,
    MELS,
    N_FFT,
    SAMPLE_RATE,
    TOP_DB,
    mel_edges_hz,
    mel_matrix,
    melgram_framing,
    melgram_power,
    squared_power_db,
)

SEGMENT_FRAMES = 128
DATA_BYTES = 8 * MELS * SEGMENT_FRAMES

MAGIC = b"\x93NUMPY\x01\x00"  # version 1.0, which numpy writes for every array as plain as this one
LONGEST_HEADER = 1024
HEADER = re.compile(
    rb"\{'descr': '([^']{1,16})', 'fortran_order': (True|False), 'shape': \(([0-9, ]{0,64})\), \} *\n"
)


class MmCnnFrontEnd(FrameByFrameFrontEnd):
    """Melgram segments of 128 frames (2.73 s) by 96 mel bands, less a mean segment.

    The published weights want the mean segment of their training data, ``singlelayer_mean.npy`` (the
    file of the multi-layer network is the same). Nothing is divided by. The segments of the original do
    not overlap; frames after the last whole segment are dropped.

    Not a setting of `LogMelFrontEnd`: power is squared before its logarithm, in single precision, and the
    mean differs from frame to frame.

    Parameters
    ----------
    normalization : str or Path, optional
        npy with the mean segment, float64, shape [96, 128] (mel, time), decibels of squared power. By
        default nothing is subtracted.
    hop : int, optional
        Frames between the starts of examples.
    padding : str, optional
        ``zeros`` or ``repeat``, see `FrontEnd`.

    Raises
    ------
    WeightsError
        The npy is not exactly such a file.
    UsageError
        No such padding, or a hop below 1.
    """

    name = "mm_cnn_melgram"
    sample_rate = SAMPLE_RATE
    example_samples = (SEGMENT_FRAMES - 1) * HOP  # frames are centred: the last stands at its last sample
    example_shape = (SEGMENT_FRAMES, MELS)
    frame_hop = HOP
    frame_length = N_FFT
    first_frame = 0
    around = N_FFT // 2
    pad_mode = "reflect"
    relative = True

    def __init__(
        self,
        normalization: str | Path | None = None,
        hop: int = SEGMENT_FRAMES,
        padding: str = "zeros",
    ) -> None:
        super().__init__(hop, padding)
        self.normalization = "none: decibels as they are (mean 0)"
        self.mean: NDArray[np.float32] | None = None
        if normalization is not None:
            self.mean, digest = read_mean(normalization)
            self.normalization = f"mean of {normalization}, sha256 {digest}"
            self.standardises = True
            self.joining_refusal = "the mean segment differs from frame to frame: ask for one excerpt"

    @cached_property
    def _mel(self) -> NDArray[np.float32]:
        return mel_matrix()

    def spectrum(self, samples: Any) -> Any:
        """Give decibels of squared power."""
        return squared_power_db(samples, self._mel)

    def values(self, spectrum: Any, peak: Any) -> Any:
        """Raise what is too far under the peak; the mean segment is not subtracted yet, see `finished`."""
        return backend.tf.maximum(spectrum, peak - TOP_DB)

    @property
    def windows(self) -> bool:
        """Whether no mean segment is subtracted: the same frame differs from example to example then."""
        return self.mean is None and type(self).examples is FrameFrontEnd.examples

    def finished(self, windows: Any) -> Any:
        """Subtract the mean segment; overlapping examples are then copies, so a small hop takes memory."""
        if self.mean is None:
            return windows
        if isinstance(windows, np.ndarray):
            return np.subtract(windows, self.mean, out=scratch.array(windows.shape, np.float32))
        return windows - self.mean

    def band_edges_hz(self) -> NDArray[np.float64]:
        return mel_edges_hz()

    def framing(self) -> Framing:
        return melgram_framing()

    def to_power(self, examples: NDArray[Any], reference: Any = None) -> NDArray[np.float64]:
        decibels = np.asarray(examples, np.float64)
        if self.mean is not None:
            if decibels.shape[-2] != SEGMENT_FRAMES:
                raise UsageError(
                    f"{self.name}: a mean segment can be given back to {SEGMENT_FRAMES} frames, not to "
                    f"{decibels.shape[-2]}"
                )
            decibels = decibels + self.mean
        return melgram_power(decibels)

    def constants(self) -> dict[str, Any]:
        return {
            "n_fft": N_FFT,
            "frame_hop": HOP,
            "mels": MELS,
            "fmin": FMIN,
            "fmax": FMAX,
            "top_db": f"{TOP_DB:g} dB of squared power under the peak of the recording",
            "hop": self.hop,
            "normalization": self.normalization,
        }


def read_mean(path: str | os.PathLike[str]) -> tuple[NDArray[np.float32], str]:
    """Read the mean segment, trusting nothing: float32 [128, 96] (time, mel), and the file's SHA-256.

    An npy of version 1.0, float64 [96, 128] (mel, time), in decibels of squared power; anything else is a
    `WeightsError`.
    """
    content = _read_bytes(Path(path), len(MAGIC) + 2 + LONGEST_HEADER + DATA_BYTES)
    if content[: len(MAGIC)] != MAGIC:
        raise WeightsError(path, "", "is not an npy of version 1.0")
    start = len(MAGIC) + 2
    length = int.from_bytes(content[len(MAGIC) : start], "little")
    header = HEADER.fullmatch(content[start : start + length])
    if header is None:
        raise WeightsError(path, "", "its header declares something else than one plain array")
    descr, fortran_order, shape = (group.decode("latin-1") for group in header.groups())
    if descr != "<f8":
        raise WeightsError(path, "", f"has dtype {descr!r}, not '<f8' (float64)")
    if shape != f"{MELS}, {SEGMENT_FRAMES}":
        raise WeightsError(path, "", f"has shape ({shape}), not ({MELS}, {SEGMENT_FRAMES})")
    data = content[start + length :]
    if len(data) != DATA_BYTES:
        raise WeightsError(path, "", f"has {len(data)} bytes of data, not the {DATA_BYTES} that it declares")
    order: Any = "F" if fortran_order == "True" else "C"
    mean = np.frombuffer(data, "<f8").reshape((MELS, SEGMENT_FRAMES), order=order)
    if not np.isfinite(mean).all() or np.abs(mean).max() > np.finfo(np.float32).max:
        raise WeightsError(path, "", "holds NaN, infinity or a number beyond float32")
    return np.ascontiguousarray(mean.T, np.float32), hashlib.sha256(content).hexdigest()


def _read_bytes(path: Path, limit: int) -> bytes:
    try:
        # A pipe or a device must not even be opened: that alone can block.
        if not stat.S_ISREG(path.stat().st_mode):
            raise WeightsError(path, "", "is not a regular file")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise WeightsError(path, "", "no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise WeightsError(path, "", f"cannot be read: {reason}") from error
    if len(content) > limit:
        raise WeightsError(path, "", f"is larger than {limit} bytes, more than a mean segment can need")
    return content
