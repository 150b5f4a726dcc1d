"""The words of the field: README, docs, manuals and public names say what a researcher would say.

Each pattern stands for a word that this project once used in a sense of its own.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from conftest import ROOT

import actprobe
from actprobe.columns import TABLES

# What is written instead is in the second place.
WORDS = {
    r"sonograms?": "mel spectrogram",
    r"(?<!sampling )(?<!of )(?<!in due )courses?": "feature values, time series",
    r"of course": "leave it out",
    r"stretch(?:es)? of (?!time|30|up to)": "segment",
    r"(?:network|detector|model|layer|inverter|page|run)s? (?:says?|said)": "output",
    r"own error": "layer error",
    r"drawn (?:at random|from)|excerpts drawn|draws? (?:at random|excerpts)": "sampled",
    r"throws? away|thrown away": "not preserved",
    r"(?:set|put|stands?) aside|gives? way": "offload, lower the priority",
    r"whole story": "every analysis",
    r"opened rather than used": "for analysis, not for tagging",
    r"the house|rooms|floors|one floor": "layout, packages, layers",
    r"by chance": "expected under the null",
    r"nearer|nearest(?! neighbour)|comes? near|stays? near": "close, lowest error",
    r"looked for": "estimated",
    r"(?:not )?heard": "audible",
}
# The question in the words of the project, once a page at most; the 2018 paper's own word, once.
ALLOWED = {
    r"throws? away|thrown away": {"README.md", "docs/index.md", "docs/inversion.md"},
    r"sonograms?": {"docs/inversion.md"},
}
PAGES = [
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md",
    *(str(path.relative_to(ROOT)) for path in sorted([
        *ROOT.glob("docs/**/*.md"), *ROOT.glob("checkpoints/**/*.md"), *ROOT.glob("benchmarks/*.md"),
    ])),
]  # fmt: skip
MANUALS = sorted(ROOT.glob("bin/actprobe-*"))
# Parts of names: flags, parameters, columns, signatures.
NAMES = re.compile(r"sonogram|course|(?:^|_)(?:said|says|heard|own|drawn|nearest|chance|aside)(?:_|$)")


def uses(text: str, page: str) -> list[str]:
    """Give the words of the left column that a text uses, with what to write instead."""
    prose = re.sub(r"```.*?```|`[^`\n]*`|\]\([^)]*\)", "", text, flags=re.S)
    found = []
    for pattern, instead in WORDS.items():
        hits = [match.group() for match in re.finditer(rf"\b(?:{pattern})\b", prose, re.I)]
        if hits[int(page in ALLOWED.get(pattern, ())) :]:
            found.append(f"{hits}: {instead}")
    return found


@pytest.mark.parametrize("page", PAGES)
def test_pages_use_the_words_of_the_field(page: str) -> None:
    assert not uses((ROOT / page).read_text("utf-8"), page)


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.name)
def test_manuals_use_the_words_of_the_field(manual: Path) -> None:
    tree = ast.parse(manual.read_text("utf-8"))
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert not uses("\n".join(text for text in constants if isinstance(text, str)), manual.name)


def test_meanings_of_columns_use_the_words_of_the_field() -> None:
    for table, columns in TABLES.items():
        assert not uses("\n".join(columns.values()), table)


@pytest.mark.parametrize("name", [name for name in actprobe.__all__ if name != "__version__"])
def test_public_docstrings_use_the_words_of_the_field(name: str) -> None:
    thing = getattr(actprobe, name)
    members = [thing]
    if inspect.isclass(thing):
        members += [value for key, value in vars(thing).items() if not key.startswith("_")]
    assert not uses("\n".join(inspect.getdoc(each) or "" for each in members), name)


def public_names() -> set[str]:
    """Columns, flags, tensors of signatures, public functions, methods and their parameters."""
    names = {column for columns in TABLES.values() for column in columns} | set(TABLES)
    for name in actprobe.__all__:
        thing = getattr(actprobe, name)
        members = vars(thing) if inspect.isclass(thing) else {name: thing}
        names |= {name, *(key for key in members if key[0] != "_")}
        for member in members.values():
            if inspect.isfunction(member):
                names |= set(inspect.signature(member).parameters)
    for manual in [*MANUALS, ROOT / "actprobe/cli.py", ROOT / "actprobe/flags.py"]:
        names |= set(re.findall(r'DEFINE_[a-z_]+\(\s*"([a-z0-9_]+)"', manual.read_text("utf-8")))
    signatures = importlib.import_module("actprobe.serving.signatures")
    names |= set(re.findall(r'ExportTensor\(\s*"([a-z_]+)"', inspect.getsource(signatures)))
    return names


def test_public_names_use_the_words_of_the_field() -> None:
    names = public_names()
    assert {"null_95", "layers", "checkpoint", "mel_spectrogram", "all_matches"} <= names
    assert [name for name in sorted(names) if NAMES.search(name)] == []


def test_the_check_finds_what_it_is_for() -> None:
    assert uses("The network says 0.9, nearer than by chance.", "x")
    assert not uses("`sonogram` and [a](sonogram.md) are code; the nearest neighbour is a term.", "x")
