"""The features of all excerpts, as a ridge regression takes them.

A shallow layer has half a million values for each excerpt. Of a layer with more values than there are
excerpts to fit on, a ridge regression needs only the products of the features of every two excerpts. Of a
smaller layer the features themselves are kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.inversion.evaluation.readout.columns import Columns, products
from actprobe.errors import UsageError
from actprobe.models import Model

open_memmap: Any = np.lib.format.open_memmap  # it has no types

SHEET = 1024  # excerpts that are multiplied together with all that are fitted on
SCRATCH_BYTES = 4 << 30  # layers that need more together are computed one after the other

Rows = NDArray[np.int64]
Examples = Callable[[Rows], NDArray[np.float32]]


@dataclass(frozen=True)
class LayerFeatures:
    """What a ridge regression needs of a layer, for all excerpts, in a file.

    ``products``: whether the file has for each excerpt the products of its features with those of the
    excerpts ``fitted``, [excerpts, fitted]; otherwise it has the features, [excerpts, values].
    """

    layer: str
    path: Path
    products: bool
    fitted: Rows

    def of(self, rows: Rows, fit: Rows) -> NDArray[Any]:
        """Read the features of excerpts, or their products with those of the excerpts ``fit``."""
        kept = np.load(self.path, mmap_mode="r")
        which = (rows,) if not self.products else np.ix_(rows, np.searchsorted(self.fitted, fit))
        return np.asarray(kept[which])

    def write(self, rows: Rows, values: NDArray[Any]) -> None:
        """Write what there is of some excerpts."""
        np.load(self.path, mmap_mode="r+")[rows] = values


class FeaturePass:
    """Passes excerpts through a network and keeps what ridge regressions need of layers.

    ``examples`` gives the excerpts at some positions below ``count``; ``fitted`` are the positions, in
    ascending order, of all that anything is fitted on. ``folder`` gets the scratch files.
    """

    def __init__(
        self,
        model: Model,
        examples: Examples,
        count: int,
        fitted: Rows,
        folder: Path,
        *,
        batch_size: int = 32,
    ) -> None:
        self._model, self._examples, self._count = model, examples, count
        self._fitted, self._folder, self._batch_size = fitted, folder, batch_size

    def groups(self, layers: Sequence[str]) -> list[list[str]]:
        """Divide layers into groups whose scratch files are there at the same time.

        A layer for which the disk is too small is left out with a warning.
        """
        free = shutil.disk_usage(self._folder).free
        found: list[list[str]] = []
        left = 0
        for name in layers:
            needed = self._scratch_bytes(name)
            if needed > 0.9 * free:
                logging.warning(
                    "the linear readout of %s is left out: it needs %.0f GB of disk space, fit it on fewer "
                    "excerpts",
                    name, needed / 1e9,
                )  # fmt: skip
                continue
            if needed > left:
                found.append([])
                left = min(SCRATCH_BYTES, int(0.9 * free))
            found[-1].append(name)
            left -= needed
        return found

    def layers(
        self, group: Sequence[str], advance: Callable[[int], None] = lambda count: None
    ) -> Iterator[LayerFeatures]:
        """Give one layer of a group after the other; the file of each is removed when the next is taken.

        ``advance`` is told how many excerpts went through the network. UsageError: features that
        are not finite.
        """
        found = {name: self._file(name) for name in group}
        wide = [name for name, each in found.items() if each.products]
        kept = {name: self._columns(name, len(self._fitted), "fitted") for name in wide}
        self._fill(self._fitted, found, kept, advance)
        for name in wide:
            found[name].write(self._fitted, products(kept[name]))
        others = np.setdiff1d(np.arange(self._count), self._fitted)
        for rows in _parts(others, SHEET):
            sheet = {name: self._columns(name, len(rows), "others", kept[name].unit) for name in wide}
            self._fill(rows, found, sheet, advance)
            for name in wide:
                found[name].write(rows, products(kept[name], sheet[name]))
        for each in found.values():
            yield each
            for file in (each.path, self._path(each.layer, "fitted"), self._path(each.layer, "others")):
                file.unlink(missing_ok=True)

    def _fill(
        self,
        rows: Rows,
        files: dict[str, LayerFeatures],
        columns: dict[str, Columns],
        advance: Callable[[int], None],
    ) -> None:
        """Compute features of excerpts, and write them to the columns of a layer, or to its file."""
        first = 0
        for batch in _parts(rows, self._batch_size):
            found = self._model.activations(self._examples(batch), list(files), batch_size=len(batch))
            for name, features in found.items():
                if not np.isfinite(features).all():
                    raise UsageError(f"the features of {name} hold NaN or infinity")
                flat = features.reshape(len(features), -1)
                columns[name].write(first, flat) if name in columns else files[name].write(batch, flat)
            first += len(batch)
            advance(len(batch))

    def _file(self, name: str) -> LayerFeatures:
        width, path = self._width(name), self._path(name, "npy")
        wide = width > len(self._fitted)
        shape = (self._count, len(self._fitted) if wide else width)
        open_memmap(path, "w+", np.float64 if wide else np.float32, shape)
        return LayerFeatures(name, path, wide, self._fitted)

    def _columns(self, name: str, rows: int, what: str, unit: float | None = None) -> Columns:
        return Columns(self._path(name, what), rows, self._width(name), unit)

    def _path(self, name: str, what: str) -> Path:
        return self._folder / f"{name.replace('/', '-')}.{what}"

    def _width(self, name: str) -> int:
        return int(np.prod(self._model.layers[name].shape))

    def _scratch_bytes(self, name: str) -> int:
        width, fitted = self._width(name), len(self._fitted)
        if width <= fitted:
            return 4 * self._count * width
        return 2 * width * (fitted + min(SHEET, self._count - fitted)) + 8 * self._count * fitted


def _parts(rows: Rows, size: int) -> Iterator[Rows]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
