"""actprobe opens audio CNNs and says what they learned."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actprobe.audio import Waveform, load_audio
    from actprobe.errors import ActprobeError, AudioError, WeightsError
    from actprobe.inversion import Inverter, load_inverter
    from actprobe.models import Model, load_model, wrap_model

__version__ = "0.1.0"

__all__ = [
    "ActprobeError",
    "AudioError",
    "Inverter",
    "Model",
    "Waveform",
    "WeightsError",
    "load_audio",
    "load_inverter",
    "load_model",
    "wrap_model",
]

_HOMES = {
    "ActprobeError": "actprobe.errors",
    "AudioError": "actprobe.errors",
    "Inverter": "actprobe.inversion",
    "Model": "actprobe.models",
    "Waveform": "actprobe.audio",
    "WeightsError": "actprobe.errors",
    "load_audio": "actprobe.audio",
    "load_inverter": "actprobe.inversion",
    "load_model": "actprobe.models",
    "wrap_model": "actprobe.models",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
