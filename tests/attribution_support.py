"""What the tests of attribution share."""

from __future__ import annotations

from actprobe.frontends import LogMelFrontEnd

RATE = 8000


def small_frontend(frames: int, mels: int) -> LogMelFrontEnd:
    """Examples of some frames, 32 ms apart, one behind the other."""
    return LogMelFrontEnd(
        sample_rate=RATE, n_fft=512, hop_length=256, n_mels=mels, frames=frames, hop=frames,
        pad_mode="constant",
    )  # fmt: skip
