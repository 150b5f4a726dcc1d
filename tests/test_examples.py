"""Every example of a docstring runs as written, in the folder that the documentation's pages run in.

``actprobe``, ``np`` and a ``model`` are there. Later examples read what earlier ones wrote: those of
the calls come first, in the order of a day's work.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_docs import write_world
from test_docstrings import MODULES, defined_in

import actprobe

FIRST = (
    "activations",
    "neurons",
    "compare",
    "maps",
    "train_inverter",
    "evaluate_inverters",
    "attribute",
    "evaluate_attributions",
    "excite",
    "ablate",
    "probe",
    "tune",
    "dissect",
    "invert",
    "report",
    "train_detector",
)
NEEDS_A_SERVER = {"Client"}


def examples() -> dict[str, doctest.DocTest]:
    """Name -> the examples of its docstring, those that write what others read before the others."""
    found = {}
    for dotted in MODULES:
        module = importlib.import_module(dotted)
        for name, item in defined_in(module):
            text = getattr(item, "__doc__", None) or ""
            if ">>> " in text:
                names = {"actprobe": actprobe, "np": np, **vars(module)}
                found[name] = doctest.DocTestParser().get_doctest(text, names, name, dotted, 0)
    return dict(sorted(found.items(), key=lambda one: FIRST.index(one[0]) if one[0] in FIRST else len(FIRST)))


EXAMPLES = examples()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Name -> what doctest has to say about its examples; empty where all is as written."""
    world = tmp_path_factory.mktemp("examples")
    write_world(world)
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        patch.setenv("ACTPROBE_CACHE", str(world / "cache"))
        prepare(world)
        model = actprobe.load_model("svd", checkpoint="svd-open", hop=35)
        for name, example in EXAMPLES.items():
            example.globs.setdefault("model", model)
            report = io.StringIO()
            runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
            with contextlib.redirect_stdout(io.StringIO()):
                runner.run(example, out=report.write)
            said[name] = report.getvalue()
        yield said


def prepare(world: Path) -> None:
    """Make the run that the first ones are compared with: the same network with random weights."""
    actprobe.neurons(
        actprobe.load_model("svd", hop=35), world / "FOLDER", layers=["fc8"], features=["loudness"],
        permutations=0, random_seeds=0, figures=0, output_dir=world / "NEURONS_RANDOM",
    )  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs_as_written(name: str, outcomes: dict[str, str]) -> None:
    if outcomes[name]:
        pytest.fail(outcomes[name])


def test_none_is_left_out_that_could_run() -> None:
    skipped: dict[str, Any] = {
        name: [one for one in example.examples if one.options.get(doctest.SKIP)]
        for name, example in EXAMPLES.items()
    }
    assert {name for name, some in skipped.items() if some} == NEEDS_A_SERVER
    assert len(EXAMPLES) > 30
