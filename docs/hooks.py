"""Pages that MkDocs makes from the code: commands and flags, columns of the tables."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = """# Commands and flags

Every command also has `--help` and `--version`, each alone, and `--flagfile=FILE` with a flag in each line.

"""


def on_files(files, config):
    """Add the generated pages."""
    binaries = sorted(ROOT.glob("bin/actprobe-*"))
    with ThreadPoolExecutor(4) as pool:
        chapters = list(pool.map(_command, binaries))
    pages = {
        "reference/commands.md": COMMANDS + "\n".join(chapters),
        "reference/columns.md": _columns(),
    }
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def _command(binary: Path) -> str:
    docstring = ast.get_docstring(ast.parse(binary.read_text("utf-8"))) or ""
    first, _, rest = docstring.partition("\n")
    shown = subprocess.run(  # noqa: S603
        [sys.executable, str(binary), "--helpxml"], capture_output=True, text=True, timeout=120, check=False
    ).stdout
    lines = [
        f"## {binary.name}",
        "",
        first,
        "",
        "```text",
        rest.strip("\n"),
        "```",
        "",
        "| flag | default | meaning |",
        "|---|---|---|",
    ]
    for flag in ElementTree.fromstring(shown).iter("flag"):  # noqa: S314
        if flag.findtext("key") != "yes":
            continue
        default = flag.findtext("default") or ""
        meaning = re.sub("^<[^>]*>: ", "", " ".join((flag.findtext("meaning") or "").split()))
        meaning = re.sub(r"([|*_<\[\]`])", r"\\\1", meaning)
        choices = ", ".join(f"`{each.text}`" for each in flag.iter("enum_value"))
        meaning += f" One of {choices}." if choices else ""
        lines.append(f"| `--{flag.findtext('name')}` | {f'`{default}`' if default else ''} | {meaning} |")
    return "\n".join([*lines, ""])


def _columns() -> str:
    from actprobe.columns import TABLES

    lines = ["# Columns", "", "Every table is a CSV with one header line; a missing number is an empty cell."]
    for table, columns in TABLES.items():
        lines += ["", f"## {table}", "", "| column | what it says |", "|---|---|"]
        lines += [f"| `{name}` | {meaning} |" for name, meaning in columns.items()]
    return "\n".join([*lines, ""])
