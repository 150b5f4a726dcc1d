#!/usr/bin/env python3
"""Write the reference, columns.md, commands.md and python.md, from the code.

    python docs/reference/make.py

Run it after a change of a flag, a column or a public docstring. tests/test_reference.py compares the pages in
the tree with what this script makes.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple
from xml.etree import ElementTree

from numpydoc.docscrape import NumpyDocString

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT))
MADE = "<!-- Made by docs/reference/make.py; change the code, not this file. -->\n"

COLUMNS = """# Columns

Every table is a CSV with one header line. An empty cell is a missing value. The meanings below are those of
`actprobe/columns.py`.
"""

COMMANDS = """# Commands and flags

Every command also has `--help` and `--version`, each alone, and `--flagfile=FILE`, a file with one flag a
line. In a checkout the commands are in `bin/`.
"""

PYTHON = """# Python

The names on this page, their parameters and what they return are stable: a release that changes one lists the
change in CHANGELOG.md. So are the commands with their [flags](commands.md) and exit codes, the files of a run
and their [columns](columns.md). Everything else in the package may change between releases, whether or not
its name begins with an underscore.

Arrays are [batch, time, mel, channel] (maps) or [batch, unit] (vectors). Times are in seconds, frequencies in
hertz. Errors are classes of `actprobe.errors`: one line that names the file and the reason.
"""


class Section(NamedTuple):
    """A part of the Python reference."""

    title: str
    text: str
    names: Sequence[str]


SECTIONS = [
    Section(
        "Models, recordings and inverters",
        "What an analysis takes.",
        [
            "actprobe.load_model", "actprobe.wrap_model", "actprobe.open_activations",
            "actprobe.save_activations", "actprobe.Model", "actprobe.load_inverter", "actprobe.Inverter",
            "actprobe.load_audio", "actprobe.Waveform", "actprobe.open_corpus", "actprobe.Corpus",
            "actprobe.write_phantom",
            "actprobe.models.networks.crepe.pitch_track", "actprobe.frontends.tracks.join_examples",
        ],
    ),
    Section(
        "Analyses",
        "Each takes a model and recordings, or the folders of earlier runs. It writes one folder, with its\n"
        "`run.json`, and returns a result that reads from it; `load_run` opens that folder again later.\n"
        "Two write no run: `sonify` returns a waveform, and `report` writes a page.",
        [
            "actprobe.activations", "actprobe.neurons", "actprobe.maps", "actprobe.compare",
            "actprobe.train_inverter", "actprobe.evaluate_inverters", "actprobe.invert", "actprobe.sonify",
            "actprobe.attribute", "actprobe.evaluate_attributions", "actprobe.excite", "actprobe.tune",
            "actprobe.ablate", "actprobe.dissect", "actprobe.probe",
            "actprobe.train_detector", "actprobe.report", "actprobe.load_run", "actprobe.Result",
        ],
    ),
    Section("Serving", "", ["actprobe.export", "actprobe.serving.client.Client"]),
    Section(
        "Extending",
        "Front ends, scalar features and feature maps of your own.\n"
        "[Extending actprobe](../adding.md) has an example of each.",
        [
            "actprobe.frontends.LogMelFrontEnd", "actprobe.frontends.FrontEnd", "actprobe.features.feature",
            "actprobe.features.feature_map",
        ],
    ),
    Section("Errors", "", ["actprobe.errors"]),
]  # fmt: skip


def pages() -> dict[str, str]:
    """Make every page, by its file name."""
    binaries = sorted(ROOT.glob("bin/actprobe-*"))
    with ThreadPoolExecutor(2) as pool:
        helps = list(pool.map(_help, binaries))
    commands = [_command(*each) for each in zip(binaries, helps, strict=True)]
    made = {
        "columns.md": [COLUMNS, *_tables()],
        "commands.md": [COMMANDS, *commands],
        "python.md": [PYTHON, *(_section(section) for section in SECTIONS)],
    }
    return {name: MADE + "\n" + "\n".join(parts).rstrip() + "\n" for name, parts in made.items()}


def _tables() -> Iterator[str]:
    from actprobe.columns import TABLES

    for table, columns in TABLES.items():
        rows = [f"| `{name}` | {meaning} |" for name, meaning in columns.items()]
        yield "\n".join([f"## {table}", "", "| column | meaning |", "|---|---|", *rows, ""])


# Commands


def _help(binary: Path) -> str:
    return subprocess.run(  # noqa: S603
        [sys.executable, str(binary), "--helpxml"], capture_output=True, text=True, timeout=120, check=False
    ).stdout


def _command(binary: Path, shown: str) -> str:
    docstring = ast.get_docstring(ast.parse(binary.read_text("utf-8"))) or ""
    first, _, rest = docstring.partition("\n")
    flags = [flag for flag in ElementTree.fromstring(shown).iter("flag") if flag.findtext("key") == "yes"]  # noqa: S314
    lines = [
        f"## {binary.name}", "", first, "", "```text", rest.strip("\n"), "```", "",
        "| flag | default | meaning |", "|---|---|---|", *map(_flag, flags), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _flag(flag: ElementTree.Element) -> str:
    default = flag.findtext("default") or ""
    meaning = re.sub("^<[^>]*>: ", "", " ".join((flag.findtext("meaning") or "").split()))
    meaning = re.sub(r"([|*_<\[\]`])", r"\\\1", meaning)
    choices = ", ".join(f"`{each.text}`" for each in flag.iter("enum_value"))
    meaning += f" One of {choices}." if choices else ""
    return f"| `--{flag.findtext('name')}` | {f'`{default}`' if default else ''} | {meaning} |"


# Python


def _section(section: Section) -> str:
    lines = [f"## {section.title}", ""]
    if section.text:
        lines += [section.text, ""]
    for path in section.names:
        module, _, name = path.rpartition(".")
        thing = getattr(importlib.import_module(module), name)
        lines += _errors(path, thing) if inspect.ismodule(thing) else _entry(path, thing)
    return "\n".join(lines)


def _errors(path: str, module: Any) -> Iterator[str]:
    yield from [f"### {path}", "", _prose((module.__doc__ or "").splitlines()), ""]
    for name in module.__all__:
        lines = (inspect.getdoc(getattr(module, name)) or "").splitlines()
        yield f"- `{name}`: {_prose(lines[:1])}"
    yield ""


def _entry(path: str, thing: Any) -> Iterator[str]:
    """Give a name of the reference: a function, or a class and what it has."""
    yield from [f"### {path}", "", *_call(path, thing), "", *_documented(thing)]
    if not inspect.isclass(thing):
        return
    above = {name for base in thing.__mro__[1:] for name in vars(base)}
    members = {name: each for name, each in vars(thing).items() if name[0] != "_" and name not in above}
    properties = {
        name: each for name, each in members.items() if isinstance(each, (property, cached_property))
    }
    methods = [name for name, each in members.items() if isinstance(each, (FunctionType, classmethod))]
    if properties:
        yield from ["**Properties**", ""]
        for name, value in properties.items():
            summary = (inspect.getdoc(value) or "").split("\n\n")[0]
            yield _item(name, "", summary.splitlines())
        yield ""
    for name in methods:
        bound = getattr(thing, name)
        yield from [f"#### {thing.__name__}.{name}", "", *_call(f"{thing.__name__}.{name}", bound), ""]
        yield from _documented(bound)


def _call(path: str, thing: Any) -> list[str]:
    """Give a call with its parameters and defaults, the types being in the list of parameters."""
    signature = inspect.signature(thing)
    given = signature.parameters.values()
    bare = [each.replace(annotation=each.empty) for each in given if each.name != "self"]
    shown = str(signature.replace(parameters=bare, return_annotation=signature.empty))
    lines = [f"{path}{shown}"]
    if len(lines[0]) > 100:
        arguments = re.split(r", (?![^(\[]*[)\]])", shown[1:-1])
        lines = [f"{path}(", *(f"    {each}," for each in arguments), ")"]
    return ["```python", *lines, "```"]


def _documented(thing: Any) -> Iterator[str]:
    doc = NumpyDocString(inspect.getdoc(thing) or "")
    for paragraph in _paragraphs([*doc["Summary"], "", *doc["Extended Summary"]]):
        yield from [paragraph, ""]
    for title in ("Parameters", "Attributes", "Returns", "Yields", "Raises"):
        if doc[title]:
            yield from [f"**{title}**", ""]
            for name, kind, text in doc[title]:
                yield _item(name, kind, text)
            yield ""
    examples = [re.sub(r"\s*# doctest: \+\w+", "", line) for line in doc["Examples"]]
    if examples:
        yield from ["**Example**", "", "```pycon", *examples, "```", ""]


def _item(name: str, kind: str, text: Sequence[str]) -> str:
    """Give a line of a list: a parameter with its type, or what is returned or raised by its type alone."""
    label = f"`{name}`" if name else f"`{kind}`"
    label += f" ({_code(kind)})" if name and kind else ""
    return f"- {label}: {_prose(text)}"


def _prose(lines: Sequence[str]) -> str:
    return _code(" ".join(" ".join(lines).split()))


def _paragraphs(lines: Sequence[str]) -> Iterator[str]:
    for paragraph in "\n".join(lines).split("\n\n"):
        if paragraph.strip():
            yield _prose(paragraph.splitlines())


def _code(text: str) -> str:
    return text.replace("``", "`")


if __name__ == "__main__":
    for file, page in pages().items():
        (HERE / file).write_text(page, "utf-8")
