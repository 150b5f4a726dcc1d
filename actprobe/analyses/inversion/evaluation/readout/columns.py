"""Features of thousands of excerpts in a scratch file, and their products, in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COLUMNS_AT_ONCE = 8192
LARGEST = float(np.finfo(np.float16).max)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class Columns:
    """Features of ``rows`` excerpts as float16 in a file, block after block of columns.

    They are stored in units of ``unit``, by default the root mean square of the first that are written, so
    that float16 is precise to 0.05 % whatever their size.
    """

    def __init__(self, path: Path, rows: int, width: int, unit: float | None = None) -> None:
        self.path, self.rows, self.width, self.unit = path, rows, width, unit
        path.touch()

    def write(self, first: int, features: Floats) -> None:
        """Write the features, [excerpts, width], of the excerpts from ``first`` on."""
        if self.unit is None:
            self.unit = float(np.sqrt(np.square(features, dtype=np.float64).mean())) or 1.0
        with self.path.open("rb+") as file:
            for start in range(0, self.width, COLUMNS_AT_ONCE):
                block = features[:, start : start + COLUMNS_AT_ONCE] / np.float32(self.unit)
                file.seek(2 * (self.rows * start + first * block.shape[1]))
                file.write(np.clip(block, -LARGEST, LARGEST).astype(np.float16).tobytes())

    def blocks(self) -> Iterator[Floats]:
        """Read block after block of columns, float32 [rows, columns]."""
        for start in range(0, self.width, COLUMNS_AT_ONCE):
            columns = min(COLUMNS_AT_ONCE, self.width - start)
            halves = np.fromfile(self.path, np.float16, self.rows * columns, offset=2 * self.rows * start)
            yield halves.reshape(self.rows, columns).astype(np.float32)


def products(kept: Columns, others: Columns | None = None) -> Doubles:
    """Multiply features of the excerpts ``kept`` with one another, or of ``others`` with them.

    Both are less the mean of ``kept``. Gives float64 [others, kept].
    """
    found = np.zeros((kept.rows if others is None else others.rows, kept.rows))
    if others is None:
        for block in kept.blocks():
            block -= block.mean(axis=0)
            found += block @ block.T
        return found
    for block, other in zip(kept.blocks(), others.blocks(), strict=True):
        mean = block.mean(axis=0)
        found += (other - mean) @ (block - mean).T
    return found
