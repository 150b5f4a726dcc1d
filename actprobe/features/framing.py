"""A waveform at the rate of a feature, and long enough for a frame of it."""

from __future__ import annotations

from actprobe.audio import Waveform
from actprobe.errors import FeatureError


def at_least_a_frame(feature: str, waveform: Waveform, sample_rate: int, frame_size: int) -> Waveform:
    """Bring a waveform to the rate of a feature in Hz; one shorter than a frame is a `FeatureError`."""
    waveform = waveform.resample(sample_rate)
    if len(waveform.samples) < frame_size:
        raise FeatureError(
            feature,
            f"{waveform.seconds:.3f} s of audio are shorter than one frame, {frame_size / sample_rate:.3f} s",
        )
    return waveform
