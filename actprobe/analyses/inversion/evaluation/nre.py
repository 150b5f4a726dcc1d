"""The normalised reconstruction error: how far inversions lie from what they were made of.

Mishra, Sturm and Dixon: Understanding a deep machine listening model through feature inversion, ISMIR 2018,
section 4.2, as generate.py of github.com/saum25/Deep_Inversion computes it. With x_i the d excerpts of a
draw, arrays of [time, mel] in the front end's units, and x̂_i their inversions,

    NRE = (1/d) sum_i ||x_i - x̂_i|| / N,    N = sum_ij ||x_i - x_j|| / (d (d - 1)).

N is the mean distance of two different excerpts, so that 1 is what inverting to any other excerpt costs on
average. It is computed anew for every draw. A draw takes of each recording some excerpts (8 in the paper) of
all that begin at any frame, without repeating one; the figure is the mean over the draws (10 in the paper).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError

DRAWS = 10
EXCERPTS_PER_RECORDING = 8
ROWS_AT_ONCE = 512
CANCELLED = 1e-8  # of the squared norms: what is left of a squared distance has lost its digits

Doubles = NDArray[np.float64]


def sample_excerpts(
    count: int,
    recording: int,
    *,
    draws: int = DRAWS,
    per_recording: int = EXCERPTS_PER_RECORDING,
    seed: int = 0,
) -> list[NDArray[np.int64]]:
    """Sample excerpts of one recording, which has ``count`` of them.

    Every draw of every recording has its own generator, of the seed, the draw's number and the
    ``recording``'s number in the corpus, so that the sample of one does not depend on the others. Gives for
    each draw the numbers of ``per_recording`` excerpts, none twice, in the order they were sampled; all of a
    recording that has no more. UsageError for no draw, or no excerpt in it.
    """
    if draws < 1 or per_recording < 1:
        raise UsageError(f"{draws} draws of {per_recording} excerpts: at least 1 of each")
    return [
        np.random.default_rng([seed, draw, recording]).permutation(count)[:per_recording].astype(np.int64)
        for draw in range(draws)
    ]


def errors_of(excerpts: NDArray[Any], inverted: NDArray[Any]) -> Doubles:
    """Compute the Euclidean distance, float64 [excerpts], of every excerpt from its inversion.

    Both have shape [excerpts, ...]; a UsageError where these differ.
    """
    if np.shape(excerpts) != np.shape(inverted):
        raise UsageError(f"excerpts {np.shape(excerpts)} and inversions {np.shape(inverted)} differ in shape")
    found = np.empty(len(excerpts))
    for number, (one, other) in enumerate(zip(excerpts, inverted, strict=True)):  # each fits into the cache
        difference = np.subtract(one, other, dtype=np.float64)
        found[number] = np.sqrt(np.square(difference).sum())
    return found


@dataclass(frozen=True, eq=False)
class PairSums:
    """Distances between the excerpts of a draw, summed by recording.

    ``sums``: float64 [recordings, recordings], the sum of the distances from each excerpt of one to each of
    the other. ``excerpts``: int64 [recordings], how many of each there are.
    """

    sums: Doubles
    excerpts: NDArray[np.int64]

    def normaliser(self, weights: NDArray[Any] | None = None) -> Doubles:
        """Give N, the mean distance of two excerpts; NaN where there is no pair.

        ``weights`` [..., recordings] say how often each recording is there, by default once; the result is
        float64 [...]. Two copies of one recording make no pair.
        """
        often = np.ones(len(self.excerpts)) if weights is None else np.asarray(weights, np.float64)
        within = np.diag(self.sums)
        between = self.sums - np.diag(within)
        pairs = np.outer(self.excerpts, self.excerpts) - np.diag(np.square(self.excerpts))
        total = ((often @ between) * often).sum(axis=-1) + often @ within
        count = ((often @ pairs) * often).sum(axis=-1) + often @ (self.excerpts * (self.excerpts - 1))
        return np.asarray(total / np.where(count > 0, count, np.nan), np.float64)


def pair_sums(excerpts: NDArray[Any], owners: NDArray[np.int64], recordings: int) -> PairSums:
    """Sum the distances between the excerpts of a draw, by the recording that each is of.

    ``excerpts`` has shape [excerpts, time, mel], ``owners`` int [excerpts]; ``recordings`` is their number.
    """
    flat = np.asarray(excerpts, np.float64).reshape(len(excerpts), -1)
    flat = flat - flat.mean(axis=0)  # distances stay, norms and with them rounding shrink
    squares = np.square(flat).sum(axis=1)
    belongs = (owners[:, np.newaxis] == np.arange(recordings)).astype(np.float64)
    sums = np.zeros((recordings, recordings))
    for start in range(0, len(flat), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        both = squares[rows, np.newaxis] + squares
        squared = both - 2 * (flat[rows] @ flat.T)
        for i, j in np.argwhere(squared < CANCELLED * both):
            squared[i, j] = np.square(flat[start + i] - flat[j]).sum()
        sums += belongs[rows].T @ (np.sqrt(np.maximum(squared, 0)) @ belongs)
    return PairSums(sums, np.bincount(owners, minlength=recordings).astype(np.int64))


def nre(excerpts: NDArray[Any], inverted: NDArray[Any]) -> float:
    """Compute the normalised reconstruction error of one draw; 0 for perfect inversions.

    Both have shape [excerpts, time, mel]. A UsageError where the shapes differ, or no two excerpts do.
    """
    errors = errors_of(excerpts, inverted)
    between = pair_sums(excerpts, np.zeros(len(errors), np.int64), 1).normaliser()
    if not between > 0:
        raise UsageError(f"{len(errors)} excerpts, no two of which differ, give no NRE")
    return float(errors.mean() / between)
