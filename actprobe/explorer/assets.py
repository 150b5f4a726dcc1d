"""What a page loads: scripts, numbers and pictures in a folder beside it.

A page that was opened from a file may not fetch other files, but it may load scripts. So numbers travel
as scripts that hand a JSON value over, arrays in base64, and are loaded when they are needed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from importlib import resources
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from actprobe.plotting import colour_table
from actprobe.provenance import ESCAPED

PARTS = "core table plots picture excited causal neurons maps layers inversion attribution start"
SCRIPTS = tuple(f"{name}.js" for name in PARTS.split())


class Assets:
    """The folder of a page's assets.

    Parameters
    ----------
    folder : Path
        ``assets`` beside index.html; one that is there is replaced.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "data").mkdir(parents=True)

    def install_scripts(self) -> list[str]:
        """Put the page's own scripts, its style and the plotting library, with its licence, into the folder.

        Gives the paths of the scripts from the page, in the order of loading; the plotting library is not
        among them, since the page loads it with the first plot.
        """
        from plotly.offline import get_plotlyjs

        (self.folder / "plotly.min.js").write_text(get_plotlyjs(), "utf-8")
        for licence in (each for each in files("plotly") or () if each.name.startswith("LICENSE")):
            (self.folder / "plotly.LICENSE.txt").write_bytes(licence.read_binary())
        static = resources.files("actprobe.explorer") / "static"
        for name in (*SCRIPTS, "explorer.css"):
            (self.folder / name).write_bytes((static / name).read_bytes())
        return [f"assets/{name}" for name in SCRIPTS]

    def data(self, key: str, value: Any) -> str:
        """Write a value that the page loads when it needs it; gives the path by which the page asks for it.

        The value is JSON-able, arrays by `packed`; NaN and infinity become null.
        """
        name = (
            f"{re.sub(r'[^A-Za-z0-9._-]+', '_', key)[:80]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.js"
        )
        path = f"assets/data/{name}"
        text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
        (self.folder / "data" / name).write_text(f"actprobe.provide({json.dumps(path)},{text});\n", "utf-8")
        return path

    def picture(self, values: NDArray[np.uint8], name: str, colours: NDArray[np.uint8] | None = None) -> str:
        """Write a PNG, by default in the one colour map, the first row on top; gives its path from the page.

        What a file name may not hold is replaced in ``name``, and a hash makes it unique.
        """
        digest = hashlib.sha256(name.encode("utf-8", ESCAPED)).hexdigest()[:8]
        target = self.folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)[:60]}-{digest}.png"
        image = Image.fromarray(np.ascontiguousarray(values))
        image.putpalette((colour_table() if colours is None else colours).tobytes())
        image.save(target, optimize=True)
        return f"assets/{target.name}"


def packed(values: ArrayLike, dtype: str = "float32") -> dict[str, Any]:
    """Pack an array for the page: dtype, shape and the little-endian bytes in base64.

    The dtype is ``float32``, ``int32``, ``uint16`` or ``uint8``.
    """
    array = np.ascontiguousarray(np.asarray(values), dtype=np.dtype(dtype).newbyteorder("<"))
    return {
        "dtype": dtype,
        "shape": list(array.shape),
        "base64": base64.b64encode(array.tobytes()).decode("ascii"),
    }


def packed_unit_range(values: NDArray[Any]) -> dict[str, Any]:
    """Pack each row of an array in 16 bits between its smallest and its largest value.

    Values have shape [rows, columns] and are finite. As `packed`, with ``low`` and ``high`` of each row.
    """
    low, high = values.min(axis=1), values.max(axis=1)
    span = np.where(high > low, high - low, 1)
    scaled = np.rint((values - low[:, None]) / span[:, None] * 65535)
    return {
        **packed(scaled, "uint16"),
        "low": [float(each) for each in low],
        "high": [float(each) for each in high],
    }


def _finite(value: Any) -> Any:
    """Replace what JSON cannot say."""
    match value:
        case dict():
            return {str(key): _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case np.bool_():
            return bool(value)
        case np.integer():
            return int(value)
        case float() | np.floating():
            return float(value) if np.isfinite(value) else None
        case Path():
            return str(value)
        case _:
            return value
