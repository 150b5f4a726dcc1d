"""The pages of docs/reference are those that the code gives, and plain Markdown."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

FOLDER = ROOT / "docs/reference"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("make_reference", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    pages: dict[str, str] = script.pages()
    return pages


@pytest.mark.parametrize("name", ["columns.md", "commands.md", "python.md"])
def test_a_page_is_what_the_code_gives(name: str, made: dict[str, str]) -> None:
    assert (FOLDER / name).read_text("utf-8") == made[name], "run python docs/reference/make.py"


def test_there_are_no_other_pages(made: dict[str, str]) -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == set(made)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_needs_no_program_to_be_read(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.S)
    assert not re.search(r"^:::|\{\{|^ {4}\S", text, re.M)  # directives, templates, blocks without a fence
    assert "doctest: +" not in text
    for line in text.splitlines():
        assert line.count("`") % 2 == 0, line


def test_links_of_a_page_lead_to_a_page() -> None:
    for path in FOLDER.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), (path.name, target)
