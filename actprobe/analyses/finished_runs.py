"""`load_run`: the folder of any finished run, opened again.

A new analysis adds its line to `KINDS`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from actprobe.batch.result import Result, read_record
from actprobe.errors import CorpusError

# Kind -> a file that it leaves and no kind above it does, and its class, imported when it is needed.
KINDS = {
    "neurons": ("neurons.parquet", "actprobe.analyses.neurons.result:NeuronResult"),
    "maps": ("maps.parquet", "actprobe.analyses.maps.result:MapResult"),
    "evaluation": ("nre.csv", "actprobe.analyses.inversion.evaluation.result:EvaluationResult"),
    "inversion": ("inversion.npz", "actprobe.analyses.inversion.inverting.result:InversionResult"),
    "attribution_scores": (
        "attribution_scores.csv",
        "actprobe.analyses.attribution.evaluation.result:AttributionScoresResult",
    ),
    "attribution": ("attributions.csv", "actprobe.analyses.attribution.result:AttributionResult"),
    "ablation": ("ablation.csv", "actprobe.analyses.causal.ablation.result:AblationResult"),
    "dissection": ("dissection.csv", "actprobe.analyses.causal.dissection.result:DissectionResult"),
    "tuning": ("tuning.csv", "actprobe.analyses.causal.tuning.result:TuningResult"),
    "excitation": ("excited.csv", "actprobe.analyses.inversion.exciting.result:ExcitationResult"),
    "probe": ("probe.csv", "actprobe.analyses.causal.probing.result:ProbeResult"),
    "comparison": ("alignment.csv", "actprobe.analyses.neurons.result:ComparisonResult"),
    "detector": ("meanstd.npz", "actprobe.detection.result:DetectorResult"),
    "training": ("metrics.json", "actprobe.analyses.inversion.training.result:TrainingResult"),
    "activations": ("recordings.csv", "actprobe.analyses.activations.result:ActivationResult"),
}


def result_class(kind: str) -> type[Result]:
    """Import the result class of a kind of run."""
    module, name = KINDS[kind][1].split(":")
    return cast(type[Result], getattr(importlib.import_module(module), name))


def load_run(folder: str | Path) -> Result:
    """Open the folder of a finished run.

    Parameters
    ----------
    folder : str or Path
        ``--output_dir`` of the run, whatever analysis it was of.

    Returns
    -------
    Result
        What the analysis returned: ``.table``, ``.recordings``, ``.folder``, ``.plot(...)``.

    Raises
    ------
    CorpusError
        There is no finished run in it.

    Examples
    --------
    >>> found = actprobe.load_run("NEURONS")
    >>> sorted(found.table["feature"].unique())
    ['loudness', 'onset_rate']
    """
    folder = Path(folder)
    read_record(folder)
    for kind, (marker, _) in KINDS.items():
        if (folder / marker).is_file():
            return result_class(kind).load(folder)
    raise CorpusError(folder, f"holds none of {', '.join(marker for marker, _ in KINDS.values())}")
