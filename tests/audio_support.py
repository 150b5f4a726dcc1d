"""What the tests of audio share."""

from __future__ import annotations

from actprobe.audio import Source, Waveform


def source_of(waveform: Waveform) -> Source:
    """Where a waveform was decoded from."""
    assert waveform.source is not None
    return waveform.source
