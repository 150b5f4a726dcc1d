"""Which recordings belong together: those of one singer, song or album are not independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora.folder import Recording
from actprobe.errors import UsageError


def refuse_unknown_column(column: str, recordings: Sequence[Recording]) -> None:
    """Refuse a column of labels that no recording has; UsageError."""
    if not any(column in recording.labels for recording in recordings):
        there = ", ".join(sorted({name for recording in recordings for name in recording.labels})) or "none"
        raise UsageError(f"no recording has a label {column!r}; there is {there}")


def group_numbers(recordings: Sequence[Recording], column: str | None) -> NDArray[np.int64]:
    """Number the recordings, [recordings]: those that share an entry of a column of labels alike.

    One without an entry stands for itself, and without a column all do.
    """
    if column is None:
        return np.arange(len(recordings), dtype=np.int64)
    names = [recording.labels.get(column) or f"\0{recording.name}" for recording in recordings]
    return np.asarray(np.unique(names, return_inverse=True)[1], np.int64)
