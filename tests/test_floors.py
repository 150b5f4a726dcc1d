"""The house is built floor by floor: a module imports only from rooms that stand below its own."""

import ast
import re
from pathlib import Path

import pytest
from conftest import ROOT

# From the bottom up; rooms of one step do not know each other. The number is the floor of CONTRIBUTING.md.
STEPS: list[tuple[int, set[str]]] = [
    (0, {"errors", "columns"}),
    (0, {"backend", "provenance"}),
    (1, {"audio"}),
    (2, {"checkpoints"}),
    (2, {"weights"}),
    (3, {"frontends", "corpora"}),
    (3, {"features"}),  # features/labels.py reads label files through corpora
    (4, {"models"}),
    (5, {"similarity", "detection", "inversion"}),
    (6, {"runs"}),
    (7, {"report", "serving"}),
    (8, {"cli"}),
]
STEP = {room: step for step, (_, rooms) in enumerate(STEPS) for room in rooms}
FRAMEWORKS = {"tensorflow", "tf_keras", "keras", "essentia", "tensorflow_io", "tensorflow_serving", "librosa"}


def house() -> list[Path]:
    return sorted([*ROOT.glob("actprobe/**/*.py"), *ROOT.glob("checkpoints/**/*.py")])


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "checkpoints" if parts[0] == "checkpoints" else parts[1]


def imported(path: Path) -> list[str]:
    """Names of all the modules that a file imports, wherever the import stands."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # of the same room
                continue
            module = node.module or ""
            found += [f"{module}.{alias.name}" for alias in node.names] if module == "actprobe" else [module]
    return found


MODULES = [path for path in house() if path != ROOT / "actprobe/__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    own = room_of(path)
    below = {name.split(".")[1] for name in imported(path) if name.startswith("actprobe.")} - {own}
    unknown = below - STEP.keys() - {"__version__"}
    assert not unknown, f"rooms without a floor: {unknown}"
    assert not [room for room in below & STEP.keys() if STEP[room] >= STEP[own]]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_backend_imports_frameworks(path: Path) -> None:
    names = {name.split(".")[0] for name in imported(path)}
    assert room_of(path) == "backend" or not names & FRAMEWORKS


def test_contributing_has_the_same_floors() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    said = {}
    for floor, rooms in re.findall(r"^\| (\d) \| (.*?) \|", text, re.MULTILINE):
        for room in re.findall(r"`(?:actprobe/)?([a-z]+)(?:/|\.py)`", rooms):
            said[room] = int(floor)
    assert said == {room: STEPS[step][0] for room, step in STEP.items()}
