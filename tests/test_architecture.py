"""Imports go down and never in circles; no analysis knows a network or a front end by name."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

from actprobe.frontends import FrontEnd
from actprobe.models import NETWORKS

# From the bottom up; packages of one step do not import each other. The number is that of CONTRIBUTING.md.
STEPS: list[tuple[int, set[str]]] = [
    (0, {"errors", "columns", "pace", "renamed", "scratch", "version"}),
    (0, {"extras"}),
    (0, {"backend", "provenance"}),
    (0, {"workers"}),
    (1, {"audio"}),
    (1, {"formats"}),
    (2, {"checkpoints"}),
    (2, {"weights"}),
    (3, {"frontends", "corpora"}),
    (3, {"features"}),  # features/labels.py reads label files through corpora
    (4, {"models"}),
    (5, {"plotting"}),
    (5, {"batch", "statistics", "training"}),
    (
        6,
        {
            "analyses/activations",
            "analyses/attribution",
            "analyses/causal",
            "analyses/inversion",
            "analyses/maps",
            "analyses/neurons",
            "detection",
        },
    ),
    (6, {"analyses/finished_runs"}),
    (7, {"explorer", "serving"}),
    (8, {"__init__", "cli"}),
    (8, {"flags"}),
]
STEP = {package: step for step, (_, packages) in enumerate(STEPS) for package in packages}
FRAMEWORKS = {
    "tensorflow", "tf_keras", "keras", "torch", "essentia", "tensorflow_io", "tensorflow_serving", "librosa",
}  # fmt: skip
# Where a network or the class of a front end may be named.
AT_HOME = ("actprobe/models/", "actprobe/frontends/", "actprobe/detection/", "checkpoints/")

MODULES = sorted([*ROOT.glob("actprobe/**/*.py"), *ROOT.glob("checkpoints/**/*.py")])


def named(path: Path) -> str:
    """The module's dotted name; ``checkpoints`` is installed as ``actprobe.checkpoints``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    dotted = ".".join(parts if parts[0] == "actprobe" else ("actprobe", *parts))
    return dotted.removesuffix(".__init__")


PATHS = {named(path): path for path in MODULES}


def package_of(module: str) -> str:
    parts = module.split(".")[1:] or ["__init__"]
    return "/".join(parts[:2]) if parts[0] == "analyses" and len(parts) > 1 else parts[0]


@cache
def imports_of(module: str) -> tuple[tuple[str, bool], ...]:
    """What a module imports, and whether that happens when it is imported itself."""
    path = PATHS[module]
    tree = ast.parse(path.read_text("utf-8"))
    late = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # checkpoints/ has two names
                continue
            base = node.module or ""
            full = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in PATHS else base for name in full]
        found += [(name, id(node) not in late) for name in names]
    return tuple(dict.fromkeys(found))


def own(module: str) -> list[str]:
    return [name for name, _ in imports_of(module) if name in PATHS and name != module]


@pytest.mark.parametrize("module", PATHS)
def test_imports_go_down(module: str) -> None:
    package = package_of(module)
    if package == "analyses":
        return  # the folder's own docstring
    below = {package_of(name) for name in own(module)} - {package}
    unknown = below - STEP.keys()
    assert not unknown, f"packages without a layer: {unknown}"
    assert not [name for name in below if STEP[name] >= STEP[package]]


def test_there_are_no_circles_between_modules() -> None:
    graph = {
        module: {name for name in own(module) if PATHS[name].name != "__init__.py"}
        for module in PATHS
        if PATHS[module].name != "__init__.py"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules that import each other: {' -> '.join(error.args[1])}")


def test_a_package_is_not_imported_by_its_own_modules() -> None:
    wrong = [
        (module, name)
        for module in PATHS
        for name in own(module)
        if PATHS[name].name == "__init__.py" and module.startswith(f"{name}.")
    ]
    assert not wrong


@pytest.mark.parametrize("module", PATHS)
def test_only_the_backend_imports_frameworks(module: str) -> None:
    names = {name.split(".")[0] for name, _ in imports_of(module)}
    assert package_of(module) == "backend" or not names & FRAMEWORKS


def front_end_classes() -> set[str]:
    found = set()
    for module in PATHS:
        if package_of(module) == "frontends":
            members = inspect.getmembers(importlib.import_module(module), inspect.isclass)
            found |= {name for name, member in members if issubclass(member, FrontEnd)}
    return found - {"FrontEnd"}


def named_in(text: str, words: set[str]) -> list[str]:
    """Lines that hold one of the words, alone or as a part of a name between underscores."""
    pattern = re.compile(
        rf"(?<![a-z0-9.])(?:{'|'.join(map(re.escape, sorted(words)))})(?![a-z0-9])", re.IGNORECASE
    )
    return [line.strip() for line in text.splitlines() if pattern.search(line)]


SOURCES = [
    path
    for path in sorted(ROOT.glob("actprobe/**/*"))
    if path.suffix in (".py", ".js", ".html", ".css") and not f"{path.relative_to(ROOT)}".startswith(AT_HOME)
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_analysis_knows_a_network_or_a_front_end_by_name(path: Path) -> None:
    assert not named_in(path.read_text("utf-8"), {*NETWORKS, *front_end_classes()})


def test_a_network_by_name_would_be_seen() -> None:
    assert named_in('if model.name == "svd":', {"svd"})
    assert named_in("SVD_COMPARATOR = 'conv5'", {"svd"})
    assert not named_in("numpy.linalg.svd(matrix)", {"svd"})
    assert {"SvdFrontEnd", "MelgramFrontEnd"} <= front_end_classes()


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, actprobe; print(*sorted(name for name in sys.modules if name.startswith('actprobe')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == ["actprobe", "actprobe.version"]


def test_contributing_has_the_same_layers() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    told = {}
    for layer, packages in re.findall(r"^\| (\d) \| (.*?) \|", text, re.MULTILINE):
        for package in re.findall(r"`(?:actprobe/)?([a-z_/]+?)(?:/|\.py)`", packages):
            told[package] = int(layer)
    assert told == {package: STEPS[step][0] for package, step in STEP.items()}
