"""The log-mel patches of musicnn.

Constants and order of operations of musicnn 0.1.0 (configuration.py, extractor.py; ISC). What sets it apart
from `LogMelFrontEnd`: the mel spectrogram is rounded to half precision before its logarithm is taken. Without
that rounding values differ by up to 2.1e-4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.log_mel_frontend import LogMelFrontEnd

PATCH_FRAMES = 187
BANDS = 96
LARGEST_HALF = 65_504.0


class MusicnnFrontEnd(LogMelFrontEnd):
    """Log-mel patches of 187 frames, 3 s, by 96 mel bands: log10(1 + 10000 mel), mel in half precision.

    A recording shorter than a patch, which the original refuses, is lengthened to one, see `padding`.

    Parameters
    ----------
    normalization : str or Path, optional
        There is none for this front end; anything else than None is refused.
    hop : int, optional
        Frames of 16 ms between the starts of patches; the original's 187 makes them follow one another.
    pad_mode : str, optional
        What is beyond both ends of a recording: ``reflect`` as when the networks were trained (librosa
        before 0.10), or ``constant``, zeros, as the original has it with today's librosa.
    padding : str, optional
        ``zeros`` or ``repeat``, see `FrontEnd`.

    Raises
    ------
    UsageError
        A normalization, no such padding, or a hop below 1.
    """

    name = "musicnn_logmel"

    def __init__(
        self,
        normalization: str | Path | None = None,
        hop: int = PATCH_FRAMES,
        pad_mode: str = "reflect",
        padding: str = "zeros",
    ) -> None:
        if normalization is not None:
            raise UsageError(
                f"musicnn takes its examples as they are, without the normalization {normalization}"
            )
        super().__init__(
            sample_rate=16_000, n_fft=512, hop_length=256, n_mels=BANDS, fmax=8000.0, log="log10_1p",
            pad_mode=pad_mode, frames=PATCH_FRAMES, hop=hop, padding=padding,
        )  # fmt: skip

    def spectrum(self, samples: Any) -> Any:
        """Give log-mel frames."""
        tf = backend.tf
        bands = tf.minimum(tf.cast(self.mel.spectrogram(samples), tf.float32), LARGEST_HALF)
        return self.level.absolute(tf.cast(tf.cast(bands, tf.float16), tf.float64))

    def constants(self) -> dict[str, Any]:
        return {**super().constants(), "mel_precision": "float16"}
