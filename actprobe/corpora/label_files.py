"""Label files of singing, as text and as intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import CorpusError

LARGEST_LABEL_FILE = 8 * 2**20  # bytes; an hour of 20 ms frames is 360 kB

Floats = NDArray[np.float64]


def read_text(path: Path) -> str:
    """Read a label file; one that is missing, absurdly large or no text is a `CorpusError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_LABEL_FILE + 1)
    except OSError as error:
        raise CorpusError(path, (error.strerror or str(error)).lower()) from error
    if len(raw) > LARGEST_LABEL_FILE:
        raise CorpusError(path, f"is larger than {LARGEST_LABEL_FILE} bytes: no label file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(path, "is not a text file") from error


def read_lab(path: Path) -> Floats:
    """Read a label file of lines ``start end label``; a line that is none is a `CorpusError`.

    Gives the sung intervals, shape [intervals, 2], seconds, joined where they touch or overlap.
    """
    sung: list[list[float]] = []
    lines = [(i, line.split()) for i, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    if not lines:
        raise CorpusError(path, "holds no labels")
    for number, words in lines:
        try:
            start, end, label = float(words[0]), float(words[1]), words[2].lower()
        except (ValueError, IndexError):
            raise CorpusError(path, f"line {number} is not: start end label") from None
        if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
            raise CorpusError(path, f"line {number}: {start} to {end} s is no interval")
        if label in ("sing", "singing", "vocal", "voice", "1"):
            sung.append([start, end])
        elif label not in ("nosing", "nosinging", "nonvocal", "novoice", "0"):
            raise CorpusError(path, f"line {number}: label {label!r} is neither sing nor nosing")
    return joined_intervals(sorted(sung))


def as_intervals(pairs: Sequence[Sequence[float]]) -> Floats:
    """Give beginnings and ends the shape [intervals, 2], be there none."""
    return np.asarray(pairs, np.float64).reshape(-1, 2)


def joined_intervals(pairs: Iterable[Sequence[float]]) -> Floats:
    """Join intervals that touch or overlap, given in the order of their beginnings in seconds.

    Gives shape [intervals, 2], in order, disjoint.
    """
    joined: list[list[float]] = []
    for start, end in pairs:
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    return as_intervals(joined)
