"""The excerpts that linear readouts are fitted on, choose by and reconstruct."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.inversion.evaluation.excerpts import SampledExcerpts, sample_corpus
from actprobe.analyses.inversion.evaluation.readout.recordings import (
    CROSS_FITTED,
    FitRecordings,
    Fold,
    Recordings,
    cross_folds,
    spread,
)
from actprobe.frontends import FrontEnd

CHOOSING = 4  # as many excerpts as are fitted on, by this, choose the strength

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Excerpts:
    """Excerpts of several arrays, float32 [excerpts, ...] each, as if they were one array."""

    arrays: Sequence[Floats]

    def __len__(self) -> int:
        """Count them."""
        return sum(map(len, self.arrays))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an excerpt."""
        return tuple(self.arrays[0].shape[1:])

    def __call__(self, rows: Rows) -> Floats:
        """Read the excerpts at some positions, float32 [rows, ...]."""
        return self.columns(rows, 0, None).reshape(len(rows), *self.shape)

    def columns(self, rows: Rows, start: int, end: int | None) -> Floats:
        """Read some values of the excerpts at some positions, float32 [rows, values]."""
        parts = [array.reshape(len(array), -1)[:, start:end] for array in self.arrays]
        found = np.empty((len(rows), parts[0].shape[1]), np.float32)
        first = 0
        for part in parts:
            here = (rows >= first) & (rows < first + len(part))
            found[here] = part[rows[here] - first]
            first += len(part)
        return found


@dataclass(frozen=True, eq=False)
class ReadoutData:
    """What linear readouts are made of.

    ``excerpts`` begin with those that are evaluated, which ``folds`` reconstruct; ``fitted_on`` and
    ``chosen_on`` say in words where the others are from.
    """

    excerpts: Excerpts
    folds: list[Fold]
    fitted_on: str
    chosen_on: str

    @property
    def fitted(self) -> Rows:
        """Positions of all excerpts that anything is fitted on, ascending."""
        return np.asarray(np.unique(np.concatenate([fold.fit for fold in self.folds])), np.int64)


def cross_fitted(sampled: SampledExcerpts, recordings: Recordings, count: int, seed: int) -> ReadoutData:
    """Fit on the evaluated excerpts themselves, ``count`` at most, see `cross_folds`."""
    folds = cross_folds(recordings, sampled.owners, count, seed)
    return ReadoutData(Excerpts([sampled.excerpts]), folds, CROSS_FITTED, CROSS_FITTED)


def fitted_elsewhere(
    frontend: FrontEnd,
    given: FitRecordings,
    sampled: SampledExcerpts,
    count: int,
    seed: int,
    folder: Path,
    advance: Callable[[int], None] = lambda count: None,
) -> ReadoutData:
    """Sample ``count`` excerpts to fit on, and a quarter of that to choose by.

    All recordings give about as many. ``folder`` gets the files of the excerpts; ``advance`` is told
    how many recordings were read. CorpusError for recordings of which fewer than two excerpts can be read.
    """
    arrays: list[Floats] = [sampled.excerpts]
    chosen = []
    for name, recordings, wanted in (
        ("fit", given.fit, count),
        ("choose", given.choose, max(count // CHOOSING, 2)),
    ):
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        found = sample_corpus(
            frontend,
            recordings[:: -(-len(recordings) // wanted)],
            draws=1,
            per_recording=-(-wanted // len(recordings)),
            seed=seed,
            folder=place,
            advance=advance,
        )
        chosen.append(sum(map(len, arrays)) + spread(found.owners, wanted, seed))
        arrays.append(found.excerpts)
    evaluated = np.arange(len(sampled.excerpts))
    fold = Fold(chosen[0], chosen[1], chosen[0], evaluated)
    return ReadoutData(Excerpts(arrays), [fold], given.fitted_on, given.chosen_on)
