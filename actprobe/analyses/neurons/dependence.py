"""Which labels show that the recordings of a run are not independent: those of one singer, song or folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora import Recording
from actprobe.features.labels import COLUMN_PREFIX
from actprobe.statistics.resemblance import row_means, sampled_neurons, units_worth

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Dependence:
    """Recordings that share a label and resemble each other, in neurons and in features.

    ``column`` is that of the label, ``groups`` how many of them there are, ``recordings`` (or groups of
    ``--group_by``) how many were compared. ``worth``: feature -> how many independent ones they are worth.
    """

    column: str
    groups: int
    recordings: int
    worth: dict[str, float]

    def __str__(self) -> str:
        """Say it, and what to do."""
        least, most = round(min(self.worth.values())), round(max(self.worth.values()))
        count = str(least) if least == most else f"{least} to {most}"
        return (
            f"recordings of one {self.column} resemble each other, in the neurons and in "
            f"{', '.join(self.worth)}: {self.recordings} are worth about {count} independent ones, so p and "
            f"q are too small; --group_by={self.column} takes them together"
        )

    def describe(self) -> dict[str, Any]:
        """Give what run.json keeps."""
        return asdict(self)


def dependences(
    activity: Mapping[str, NDArray[Any]],
    features: Mapping[str, NDArray[np.float64]],
    marks: Indices,
    recordings: Sequence[Recording],
    recording_of: Indices,
) -> list[Dependence]:
    """Find the labels whose recordings resemble each other, by column; each feature counts once.

    ``activity`` is [units, neurons] by layer, ``features`` [units]. ``marks`` [units] number what counts as
    independent so far: recordings, or groups of them. ``recording_of`` [units] are places in ``recordings``.
    """
    names, rows = np.unique(marks, return_inverse=True)
    ends = np.cumsum(np.bincount(rows))[:-1]
    members = [np.unique(places) for places in np.split(recording_of[np.argsort(rows, kind="stable")], ends)]
    columns = sorted({column for recording in recordings for column in recording.labels})
    labels = {column: _groups(column, members, recordings) for column in columns}
    candidates = _different(
        {column: labels[column] for column in _by_preference(columns, features, recordings)}
    )
    x = sampled_neurons(activity.values(), rows)
    found: dict[str, dict[str, float]] = {}
    for feature, values in features.items():
        y = row_means(values, rows)
        known = np.isfinite(y)
        of_class = (
            labels.get(feature.removeprefix(COLUMN_PREFIX).partition("=")[0]) if "=" in feature else None
        )
        least: tuple[float, str] | None = None
        for column, groups in candidates.items():
            classes = None if of_class is None else _numbered(of_class[known])
            worth = units_worth(x[known], y[known], _numbered(groups[known]), classes)
            if worth is not None and (least is None or worth < least[0]):
                least = worth, column
        if least is not None:
            found.setdefault(least[1], {})[feature] = round(least[0], 1)
    return [
        Dependence(column, len(np.unique(groups)), len(names), found[column])
        for column, groups in candidates.items()
        if column in found
    ]


def _by_preference(
    columns: Sequence[str], features: Collection[str], recordings: Sequence[Recording]
) -> list[str]:
    """Put names, such as those of singers, before numbers and columns that are features themselves."""

    def rank(column: str) -> tuple[bool, bool]:
        cells = (recording.labels.get(column, "") for recording in recordings)
        return column in features, all(cell.lstrip("+-")[:1] in "0123456789." for cell in cells)

    return sorted(columns, key=rank)


def _different(labels: Mapping[str, Indices | None]) -> dict[str, Indices]:
    """Keep the first of the columns that divide the recordings alike."""
    found: dict[bytes, tuple[str, Indices]] = {}
    for column, groups in labels.items():
        if groups is not None:
            _, first, which = np.unique(groups, return_index=True, return_inverse=True)
            found.setdefault(first[which].tobytes(), (column, groups))
    return dict(found.values())


def _groups(column: str, members: Sequence[Indices], recordings: Sequence[Recording]) -> Indices | None:
    """Number what shares a label; what has none stands for itself. None where a member has several labels."""
    cells = []
    for row, places in enumerate(members):
        told = {recordings[place].labels.get(column, "").strip() for place in places}
        if len(told) > 1:
            return None
        cells.append(next(iter(told)) or f"\0{row}")
    return _numbered(np.array(cells))


def _numbered(values: NDArray[Any]) -> Indices:
    return np.asarray(np.unique(values, return_inverse=True)[1], np.int64)
