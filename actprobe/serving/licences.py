"""The licences of exported weights, in full where they ask for that."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from actprobe.checkpoints.catalog import find
from actprobe.models.weights import WeightsRecord

_MIT = """
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

_ISC = """
Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee
is hereby granted, provided that the above copyright notice and this permission notice appear in all
copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE
INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE
LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING
FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS
ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
"""


def licence_text(weights: Mapping[str, WeightsRecord]) -> str:
    """Write the licence of each of the weights, its origin and its text."""
    parts = []
    for what, record in weights.items():
        entry = find(record.catalog_name) if record.catalog_name else None
        licence = record.licence or {
            "seeded random": "random numbers, nobody's work",
            "user model": "that of whoever trained the model",
        }.get(record.kind, "not known; ask whoever gave you the file")
        parts.append(f"Weights of the {what}\nLicence: {licence}")
        if entry is not None:
            published = entry.published_at or "no public address is known"
            parts.append(f"Origin: {entry.origin}\nPublished at: {published}")
            if entry.packaged:
                parts.append(_packaged(entry.filename))
        if licence.startswith("MIT"):
            parts.append(f"The MIT License\n\nCopyright {licence.partition(', ')[2]}\n{_MIT}".rstrip())
        elif licence.startswith("ISC"):
            parts.append(f"ISC License\n\nCopyright {licence.partition(', ')[2]}\n{_ISC}".rstrip())
        elif licence.startswith("Apache-2.0"):
            parts.append(_apache())
        elif licence.startswith("AGPL-3.0"):
            parts.append("Full text: https://www.gnu.org/licenses/agpl-3.0.txt")
    return "\n\n".join(parts) + "\n"


def _packaged(filename: str) -> str:
    from actprobe import checkpoints

    folder = (Path(checkpoints.__file__).parent / filename).parent
    return (folder / "README.md").read_text("utf-8")


def _apache() -> str:
    """Give the Apache license: actprobe comes with it, being under it, too."""
    try:
        found = [path for path in files("actprobe") or [] if path.name == "LICENSE"]
    except PackageNotFoundError:
        found = []
    return (
        found[0].read_text("utf-8") if found else "Full text: https://www.apache.org/licenses/LICENSE-2.0.txt"
    )
