"""The notebooks are beside docs/: the site gets a copy of them, under the links that lead there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def on_files(files: Any, config: Any) -> Any:
    """Add the notebooks as files to download."""
    for path in NOTEBOOKS:
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to ../notebooks lead to these copies."""
    return markdown.replace("](../notebooks/", "](notebooks/")
