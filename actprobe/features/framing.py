"""A waveform at the rate of a feature, and long enough for a frame of it."""

from __future__ import annotations

from actprobe.audio import Waveform
from actprobe.errors import FeatureError

__all__ = ["at_least_a_frame"]


def at_least_a_frame(feature: str, waveform: Waveform, sample_rate: int, frame_size: int) -> Waveform:
    """Bring a waveform to the rate of a feature; refuse one that is shorter than a frame.

    Parameters
    ----------
    feature : str
        Name of the feature, for the error.
    waveform : Waveform
        Any rate.
    sample_rate : int
        Rate in Hz that the feature works at.
    frame_size : int
        Samples of a frame at that rate.

    Returns
    -------
    Waveform
        At that rate, with at least as many samples as a frame.

    Raises
    ------
    FeatureError
        The waveform is too short.
    """
    waveform = waveform.resample(sample_rate)
    if len(waveform.samples) < frame_size:
        raise FeatureError(
            feature,
            f"{waveform.seconds:.3f} s of audio are shorter than one frame, {frame_size / sample_rate:.3f} s",
        )
    return waveform
