"""Front ends made again from what `FrontEnd.describe` gave of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actprobe.errors import ActprobeError
from actprobe.frontends.base import FrontEnd
from actprobe.frontends.log_mel_frontend import LogMelFrontEnd
from actprobe.frontends.waveform import WaveformFrontEnd

NEVER_NONE = ("log",)  # whose "none" is a setting, not the lack of one


def frontend_described(description: Mapping[str, Any] | None) -> FrontEnd | None:
    """Make a front end with the settings of a description; None where they are not all in it."""
    makers = {LogMelFrontEnd.name: _log_mel, WaveformFrontEnd.name: _waveform}
    if not isinstance(description, Mapping) or description.get("name") not in makers:
        return None
    try:
        made = makers[str(description["name"])](description)
    except (ActprobeError, KeyError, TypeError, ValueError):
        return None
    return made if {**made.describe(), "resampler": ""} == {**description, "resampler": ""} else None


def _log_mel(description: Mapping[str, Any]) -> FrontEnd:
    left_out = ("name", "example_seconds", "precision", "resampler")
    settings: dict[str, Any] = {
        key: None if value == "none" and key not in NEVER_NONE else value
        for key, value in description.items()
        if key not in left_out
    }
    if settings["pad_mode"] is None:
        del settings["pad_mode"]
    if isinstance(settings["window"], list) and isinstance(settings["window"][0], str):
        settings["window"] = tuple(settings["window"])
    return LogMelFrontEnd(**settings)


def _waveform(description: Mapping[str, Any]) -> FrontEnd:
    names = ("sample_rate", "samples", "hop_samples", "padding")
    return WaveformFrontEnd(**{name: description[name] for name in names})
