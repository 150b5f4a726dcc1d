"""Ground truth as features: columns of a manifest, as numbers or as one indicator per class.

A column whose cells are numbers is a feature by its name. Any other column is a set of categories: ``genre``
stands for one feature per class, ``genre=rock``, ``genre=jazz`` and so on, which is 1 where the recording is
of that class and 0 where it is of another. An empty cell (or ``nan``, ``na``, ``n/a``, ``none``, ``-``) is
unknown: NaN, never 0. A cell may name several classes, separated by semicolons.

A name that is both a registered feature and a column means the feature, which is computed; ``label:NAME``
means the column. ``voice_activity`` is the column of that name and, where there is none, the share of singing
in the label file of the recording (`actprobe.corpora.voice_activity`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora import Recording, voice_activity
from actprobe.errors import UsageError
from actprobe.features import registry

COLUMN_PREFIX = "label:"

UNKNOWN = frozenset({"", "-", "na", "n/a", "nan", "none"})
SEPARATOR = ";"
DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
MOST_CLASSES = 100  # a column with more is a title or an identifier and not a category

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """Which features are computed from audio, and which are known of the recordings already.

    ``names``: all features in the order asked, a category as its classes; columns of the tables. ``scalars``:
    those that are computed. ``labels``: those that are known, float64 [recordings], NaN where unknown.
    """

    names: tuple[str, ...]
    scalars: tuple[str, ...]
    labels: dict[str, Floats] = field(repr=False, compare=False)

    def of(self, index: int, computed: dict[str, float]) -> dict[str, float]:
        """Put the values of a recording together, by its place in the corpus; NaN where unknown."""
        return {
            name: float(self.labels[name][index]) if name in self.labels else computed.get(name, math.nan)
            for name in self.names
        }

    def describe(self) -> dict[str, dict[str, Any]]:
        """Say what made the values, for run.json; of a label, how many recordings are ``known``."""
        computed = registry.describe(self.scalars)
        return {
            name: {"kind": "label", "known": int(np.isfinite(self.labels[name]).sum())}
            if name in self.labels
            else dict(computed[name])
            for name in self.names
        }


def resolve(names: Iterable[str], recordings: Sequence[Recording]) -> Plan:
    """Tell features to compute from columns of ground truth: ``COLUMN``, ``COLUMN=CLASS``, ``label:COLUMN``.

    A name that is neither, or that of a map, or a column that says nothing usable is a `UsageError`.
    """
    ordered: list[str] = []
    scalars: list[str] = []
    labels: dict[str, Floats] = {}
    for name in names:
        if name in registry.available():
            registry.get_feature(name, "scalar")
            scalars.append(name)
            ordered.append(name)
            continue
        for expanded in _expanded(name, recordings):
            if expanded not in labels:
                labels[expanded] = label_values(expanded, recordings)
            ordered.append(expanded)
    return Plan(tuple(dict.fromkeys(ordered)), tuple(dict.fromkeys(scalars)), labels)


def label_values(name: str, recordings: Sequence[Recording]) -> Floats:
    """Read a column of numbers, or ``COLUMN=CLASS``, from the labels of the recordings.

    Gives float64, shape [recordings]; NaN where unknown, 1 or 0 for a class. No such column or class, or a
    column of words, is a `UsageError`.
    """
    column, wanted = _column_and_class(name, recordings)
    cells = _cells(column, recordings)
    if wanted is None:
        if not _is_numeric(column, cells):
            choice = ", ".join(f"{column}={one}" for one in _classes(cells)[:MOST_CLASSES])
            raise UsageError(f"column {column} holds categories, not numbers: ask for {choice}")
        return np.array([float(cell) if _is_known(cell) else math.nan for cell in cells], np.float64)
    classes = _classes(cells)
    if wanted not in classes:
        raise UsageError(f"column {column} has no class {wanted!r}; there are: {', '.join(classes)}")
    values = [float(wanted in _split(cell)) if _is_known(cell) else math.nan for cell in cells]
    return np.array(values, np.float64)


def _expanded(name: str, recordings: Sequence[Recording]) -> list[str]:
    column, wanted = _column_and_class(name, recordings)
    cells = _cells(column, recordings)
    if not any(map(_is_known, cells)):
        raise UsageError(f"column {column} is unknown for every recording")
    if wanted is not None or _is_numeric(column, cells):
        return [name]
    classes = _classes(cells)
    if len(classes) > MOST_CLASSES:
        raise UsageError(
            f"column {column} has {len(classes)} classes: name those you want, such as {name}={classes[0]}"
        )
    return [f"{name}={one}" for one in classes]


def _column_and_class(name: str, recordings: Sequence[Recording]) -> tuple[str, str | None]:
    columns = {column for recording in recordings for column in recording.labels}
    plain = name.removeprefix(COLUMN_PREFIX)
    if plain in columns:
        return plain, None
    column, equals, wanted = plain.partition("=")
    if equals and column in columns:
        return column, wanted.strip()
    if plain == voice_activity.COLUMN:
        if any(map(voice_activity.label_file, recordings)):
            return plain, None
        raise UsageError("voice_activity: no recording has a column of that name or a label file of singing")
    there = f"features: {', '.join(registry.available('scalar'))}"
    there += f"; label columns: {', '.join(sorted(columns))}" if columns else "; there are no label columns"
    raise UsageError(f"no feature or label column is called {name!r}; {there}")


def _cells(column: str, recordings: Sequence[Recording]) -> list[str]:
    cells = [recording.labels.get(column, "").strip() for recording in recordings]
    if column == voice_activity.COLUMN:
        cells = [
            known or voice_activity.cell(recording)
            for known, recording in zip(cells, recordings, strict=True)
        ]
    return cells


def _is_known(cell: str) -> bool:
    return cell.lower() not in UNKNOWN


def _is_numeric(column: str, cells: Iterable[str]) -> bool:
    known = [cell for cell in cells if _is_known(cell)]
    try:
        numbers = [float(cell) for cell in known]
    except ValueError:
        if all(map(DECIMAL_COMMA.fullmatch, known)):
            raise UsageError(
                f"column {column}: {known[0]} has a comma; write decimals with a point"
            ) from None
        return False
    if not all(map(math.isfinite, numbers)):
        raise UsageError(f"column {column} holds infinity")
    return True


def _split(cell: str) -> list[str]:
    return [one for part in cell.split(SEPARATOR) if (one := part.strip())]


def _classes(cells: Iterable[str]) -> list[str]:
    return sorted({one for cell in cells if _is_known(cell) for one in _split(cell)})
