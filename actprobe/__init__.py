"""actprobe opens audio networks and says what they learned.

The names below are the public face; they are loaded when they are first asked for. Everything else may
change between releases.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from actprobe.version import __version__

if TYPE_CHECKING:
    from actprobe.analyses.activations.run import activations
    from actprobe.analyses.attribution.evaluation.run import evaluate_attributions
    from actprobe.analyses.attribution.run import attribute
    from actprobe.analyses.causal.ablation.run import ablate
    from actprobe.analyses.causal.dissection.run import dissect
    from actprobe.analyses.causal.probing.run import probe
    from actprobe.analyses.causal.tuning.run import tune
    from actprobe.analyses.finished_runs import load_run
    from actprobe.analyses.inversion.evaluation.run import evaluate_inverters
    from actprobe.analyses.inversion.exciting.run import excite
    from actprobe.analyses.inversion.inverting.run import invert
    from actprobe.analyses.inversion.inverting.sounds import sonify
    from actprobe.analyses.inversion.networks.inverter import Inverter, load_inverter
    from actprobe.analyses.inversion.training.run import train_inverter
    from actprobe.analyses.maps.run import maps
    from actprobe.analyses.neurons.compare import compare
    from actprobe.analyses.neurons.run import neurons
    from actprobe.audio import Waveform, load_audio
    from actprobe.batch.result import Result
    from actprobe.corpora import Corpus, open_corpus
    from actprobe.corpora.phantom import write_phantom
    from actprobe.detection.run import train_detector
    from actprobe.errors import ActprobeError, AudioError, WeightsError
    from actprobe.explorer.page import report
    from actprobe.frontends.stored_writing import save_activations
    from actprobe.models import Model, load_model, wrap_model
    from actprobe.models.adapters.stored import open_activations
    from actprobe.serving.export import export

_HOMES = {
    "ActprobeError": "actprobe.errors",
    "AudioError": "actprobe.errors",
    "Corpus": "actprobe.corpora",
    "Inverter": "actprobe.analyses.inversion.networks.inverter",
    "Model": "actprobe.models",
    "Result": "actprobe.batch.result",
    "Waveform": "actprobe.audio",
    "WeightsError": "actprobe.errors",
    "ablate": "actprobe.analyses.causal.ablation.run",
    "activations": "actprobe.analyses.activations.run",
    "attribute": "actprobe.analyses.attribution.run",
    "compare": "actprobe.analyses.neurons.compare",
    "dissect": "actprobe.analyses.causal.dissection.run",
    "evaluate_attributions": "actprobe.analyses.attribution.evaluation.run",
    "evaluate_inverters": "actprobe.analyses.inversion.evaluation.run",
    "excite": "actprobe.analyses.inversion.exciting.run",
    "export": "actprobe.serving.export",
    "invert": "actprobe.analyses.inversion.inverting.run",
    "load_audio": "actprobe.audio",
    "load_inverter": "actprobe.analyses.inversion.networks.inverter",
    "load_model": "actprobe.models",
    "load_run": "actprobe.analyses.finished_runs",
    "maps": "actprobe.analyses.maps.run",
    "neurons": "actprobe.analyses.neurons.run",
    "open_activations": "actprobe.models.adapters.stored",
    "open_corpus": "actprobe.corpora",
    "probe": "actprobe.analyses.causal.probing.run",
    "report": "actprobe.explorer.page",
    "save_activations": "actprobe.frontends.stored_writing",
    "sonify": "actprobe.analyses.inversion.inverting.sounds",
    "train_detector": "actprobe.detection.run",
    "train_inverter": "actprobe.analyses.inversion.training.run",
    "tune": "actprobe.analyses.causal.tuning.run",
    "wrap_model": "actprobe.models",
    "write_phantom": "actprobe.corpora.phantom",
}

__all__ = [
    "ActprobeError",
    "AudioError",
    "Corpus",
    "Inverter",
    "Model",
    "Result",
    "Waveform",
    "WeightsError",
    "__version__",
    "ablate",
    "activations",
    "attribute",
    "compare",
    "dissect",
    "evaluate_attributions",
    "evaluate_inverters",
    "excite",
    "export",
    "invert",
    "load_audio",
    "load_inverter",
    "load_model",
    "load_run",
    "maps",
    "neurons",
    "open_activations",
    "open_corpus",
    "probe",
    "report",
    "save_activations",
    "sonify",
    "train_detector",
    "train_inverter",
    "tune",
    "wrap_model",
    "write_phantom",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
