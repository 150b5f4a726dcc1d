"""What a linear readout is fitted on: other recordings, or those that are evaluated, in folds.

No recording is reconstructed by a readout that has seen it, nor one that shares a singer, artist or song
with a recording of another fold, where the labels name these. The strength is chosen by excerpts that the
readout was not fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_corpus import LabelledCorpus, open_labelled
from actprobe.corpora.splits import related
from actprobe.errors import CorpusError

FOLDS = 5
FEWEST_RECORDINGS = 6  # to fit on, or to cross-fit
CROSS_FITTED = "other folds of the evaluated recordings"

Recordings = Sequence[LabelledRecording]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class FitRecordings:
    """Recordings that readouts are fitted on, and those that their strength is chosen by.

    ``source`` is where they are from; ``fitted_on`` and ``chosen_on`` name them for run.json.
    """

    source: str
    fit: list[LabelledRecording]
    choose: list[LabelledRecording]
    fitted_on: str
    chosen_on: str


@dataclass(frozen=True, eq=False)
class Fold:
    """Excerpts, by their positions in ascending order, and what they are for.

    The strength of a fit on ``inner`` is chosen by ``choose``; ``fit`` is what is fitted on with that
    strength; ``evaluated`` is what is reconstructed.
    """

    inner: Rows
    choose: Rows
    fit: Rows
    evaluated: Rows


def recordings_to_fit(
    readout: CorpusLike | None, corpus: LabelledCorpus, evaluated: Recordings
) -> FitRecordings | None:
    """Find the recordings that readouts are fitted on; None for those that are evaluated themselves.

    ``readout`` is a corpus, of which the recordings for training are fitted on and those for validation
    choose; without any for validation a fifth of the recordings chooses. By default they are those of
    ``corpus``, if none of them is ``evaluated`` and there are enough. CorpusError: the corpus cannot be read,
    or has no recording for training that is not evaluated.
    """
    if readout is None:
        fit, choose = corpus.split("train"), corpus.split("valid")
        seen = {each.path for each in evaluated} & {each.path for each in chain(fit, choose)}
        if seen or not choose or len(fit) < FEWEST_RECORDINGS:
            return None
        return FitRecordings(corpus.source, fit, choose, f"{corpus.name} train", f"{corpus.name} valid")
    given = open_labelled(readout, "unused")
    fit, choose = (_without(given.split(name), evaluated) for name in ("train", "valid"))
    if len(fit) < (1 if choose else 2):
        raise CorpusError(given.source, "has no recordings for training that are not evaluated")
    if choose:
        return FitRecordings(given.source, fit, choose, f"{given.name} train", f"{given.name} valid")
    folds = deal(fit)
    chosen = _smallest(folds)
    parts: list[list[LabelledRecording]] = [[], []]
    for recording, fold in zip(fit, folds, strict=True):
        parts[int(fold == chosen)].append(recording)
    rest = f"{given.name} train, {len(parts[1])} of its recordings"
    return FitRecordings(given.source, parts[0], parts[1], f"{given.name} train, the others", rest)


def _without(recordings: Recordings, evaluated: Recordings) -> list[LabelledRecording]:
    seen = {each.path.resolve() for each in evaluated}
    kept = [each for each in recordings if each.path.resolve() not in seen]
    if len(kept) < len(recordings):
        logging.warning(
            "the linear readout is not fitted on %d recordings that are evaluated",
            len(recordings) - len(kept),
        )
    return kept


def deal(recordings: Recordings, folds: int = FOLDS) -> Rows:
    """Deal recordings out to folds of about the same size; the fold of each, int64 [recordings].

    Recordings that share a singer, artist or song are of one fold, and there are fewer folds where there are
    fewer such groups. Where fewer than two recordings are outside the largest, groups are disregarded.
    """
    groups = related(recordings)
    if len(recordings) - max(map(len, groups)) < 2:
        groups = [[each] for each in recordings]
    sizes = np.zeros(min(folds, len(groups)), np.int64)
    fold_of: dict[int, int] = {}
    for group in sorted(groups, key=len, reverse=True):
        fold = int(sizes.argmin())
        sizes[fold] += len(group)
        fold_of |= {id(each): fold for each in group}
    return np.array([fold_of[id(each)] for each in recordings], np.int64)


def _smallest(folds: Rows) -> int:
    return int(np.bincount(folds).argmin())


def cross_folds(recordings: Recordings, owners: Rows, count: int, seed: int) -> list[Fold]:
    """Divide excerpts into folds of whole recordings.

    ``owners`` int64 [excerpts] says which recording each excerpt is of. At most ``count`` excerpts are fitted
    on, of all recordings about as many. Within the recordings of the other folds one fold in five chooses the
    strength.
    """
    present = np.unique(owners)
    fold_of = np.full(len(recordings), -1)
    fold_of[present] = deal([recordings[i] for i in present])
    used = np.zeros(len(owners), np.bool_)
    used[spread(owners, count, seed)] = True
    found = []
    for fold in range(int(fold_of.max()) + 1):
        others = [i for i in present if fold_of[i] != fold]
        inner = deal([recordings[i] for i in others])
        chooses = np.isin(owners, np.array(others)[inner == _smallest(inner)])
        fit = used & (fold_of[owners] != fold)
        found.append(
            Fold(*map(np.flatnonzero, (fit & ~chooses, fit & chooses, fit, fold_of[owners] == fold)))
        )
    return found


def spread(owners: Rows, count: int, seed: int) -> Rows:
    """Choose at most ``count`` excerpts, of all recordings about as many; positions in ascending order."""
    order = np.random.default_rng(seed).permutation(len(owners))
    turn = np.empty(len(owners), np.int64)
    for owner in np.unique(owners):
        mine = order[owners[order] == owner]
        turn[mine] = np.arange(len(mine))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:count])
