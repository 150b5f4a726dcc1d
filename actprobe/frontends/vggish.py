"""The log-mel examples of VGGish.

Constants and order of operations of tensorflow/models research/audioset/vggish (vggish_params.py,
mel_features.py, vggish_input.py; Apache-2.0). What sets it apart from other log-mel front ends:

- frames lie within the recording, none is centred or padded; frames after the last whole example are
  dropped;
- the Hann window is periodic;
- magnitudes, not power; ``ln(mel + 0.01)``;
- the mel triangles are linear on the mel scale, not in Hz, are not normalised by their area, and no
  band takes anything of bin 0.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.frame_by_frame import FrameByFrameFrontEnd
from actprobe.frontends.framing import Framing

SAMPLE_RATE = 16_000
FRAME_LENGTH = 400
FRAME_HOP = 160
N_FFT = 512
MELS = 64
MIN_HZ, MAX_HZ = 125.0, 7500.0
LOG_OFFSET = 0.01
EXAMPLE_FRAMES = 96


def _mel(hertz: Any) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log(1.0 + np.asarray(hertz, np.float64) / 700.0))


def _mel_edges() -> NDArray[np.float64]:
    return np.linspace(_mel(MIN_HZ), _mel(MAX_HZ), MELS + 2)


def _hann() -> NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_LENGTH) / FRAME_LENGTH))


def vggish_mel_matrix() -> NDArray[np.float64]:
    """Give the mel filter bank, float64 [257, 64].

    Its triangles have height 1 and are linear on the mel scale 1127 ln(1 + f / 700).
    """
    bins = _mel(np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1))[:, np.newaxis]
    low, centre, high = _mel_edges()[:-2], _mel_edges()[1:-1], _mel_edges()[2:]
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    matrix = np.maximum(0.0, triangles)
    matrix[0] = 0.0
    return matrix


class VggishFrontEnd(FrameByFrameFrontEnd):
    """Log-mel examples of 96 frames, 0.96 s apart by default, by 64 mel bands.

    An example of 96 frames of 25 ms, 10 ms apart, spans 0.975 s. The original gives nothing for a
    recording shorter than that; here it is lengthened to one example, see `padding`.

    Not a setting of `LogMelFrontEnd`: triangles are linear in mel, and the window begins with the transform.

    Parameters
    ----------
    normalization : str or Path, optional
        There is none for this front end; anything else than None is refused.
    hop : int, optional
        Frames between the starts of examples; the original's 96 makes them follow one another without
        overlap.
    padding : str, optional
        ``zeros`` or ``repeat``, see `FrontEnd`.

    Raises
    ------
    UsageError
        A normalization, no such padding, or a hop below 1.
    """

    name = "vggish_logmel"
    sample_rate = SAMPLE_RATE
    example_samples = FRAME_LENGTH + (EXAMPLE_FRAMES - 1) * FRAME_HOP
    example_shape = (EXAMPLE_FRAMES, MELS)
    frame_hop = FRAME_HOP
    frame_length = FRAME_LENGTH
    first_frame = FRAME_LENGTH // 2
    unit = "ln(mel + 0.01)"

    def __init__(
        self, normalization: str | Path | None = None, hop: int = EXAMPLE_FRAMES, padding: str = "zeros"
    ) -> None:
        super().__init__(hop, padding)
        if normalization is not None:
            raise UsageError(
                f"VGGish takes its examples as they are, without the normalization {normalization}"
            )

    @cached_property
    def _matrix(self) -> NDArray[np.float32]:
        return vggish_mel_matrix().astype(np.float32)

    def spectrum(self, samples: Any) -> Any:
        """Give log-mel frames, natural logarithms no lower than ln(0.01)."""
        tf = backend.tf
        # In single precision a full-scale sine leaves up to 1.4e-3 in the logarithm of the empty bands.
        frames = tf.cast(tf.signal.frame(samples, FRAME_LENGTH, FRAME_HOP), tf.float64) * _hann()
        magnitudes = tf.cast(tf.abs(tf.signal.rfft(frames, [N_FFT])), tf.float32)
        return tf.math.log(tf.matmul(magnitudes, self._matrix) + LOG_OFFSET)

    def band_edges_hz(self) -> NDArray[np.float64]:
        return np.asarray(700.0 * np.expm1(_mel_edges() / 1127.0))

    def framing(self) -> Framing:
        return Framing(SAMPLE_RATE, N_FFT, FRAME_HOP, _hann(), False, vggish_mel_matrix(), 1)

    def to_power(self, examples: NDArray[Any], reference: Any = None) -> NDArray[np.float64]:
        magnitudes = self.framing().exp(np.asarray(examples, np.float64)) - LOG_OFFSET
        return np.maximum(magnitudes, 0.0)

    def constants(self) -> dict[str, Any]:
        return {
            "frame_length": FRAME_LENGTH,
            "frame_hop": FRAME_HOP,
            "window": "hann, periodic",
            "n_fft": N_FFT,
            "mels": MELS,
            "fmin": MIN_HZ,
            "fmax": MAX_HZ,
            "log_offset": LOG_OFFSET,
            "hop": self.hop,
        }
