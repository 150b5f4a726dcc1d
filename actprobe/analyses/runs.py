"""`load_run`: the folder of any finished run, opened again.

A new analysis adds its line to `KINDS`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from actprobe.batch.result import Result, read_record
from actprobe.errors import CorpusError

# Kind -> its result class, in the order in which a folder is tried.
KINDS = {
    "neurons": "actprobe.analyses.neurons.result:NeuronResult",
    "maps": "actprobe.analyses.maps.result:MapResult",
    "evaluation": "actprobe.analyses.inversion.evaluation.result:EvaluationResult",
    "inversion": "actprobe.analyses.inversion.inverting.result:InversionResult",
    "comparison": "actprobe.analyses.neurons.result:ComparisonResult",
    "activations": "actprobe.analyses.activations.result:ActivationResult",
    "training": "actprobe.analyses.inversion.training.result:TrainingResult",
}


def result_class(kind: str) -> type[Result]:
    """Look up the result class of a kind of run."""
    module, name = KINDS[kind].split(":")
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
    >>> found = actprobe.load_run("OUT")  # doctest: +SKIP
    >>> found.table.head()  # doctest: +SKIP
    """
    folder = Path(folder)
    read_record(folder)
    classes = [result_class(kind) for kind in KINDS]
    for each in classes:
        if (folder / each.TABLE).is_file():
            return each.load(folder)
    files = ", ".join(each.TABLE for each in classes)
    raise CorpusError(folder, f"holds none of {files}")
