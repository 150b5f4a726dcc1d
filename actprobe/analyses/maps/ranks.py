"""Medians and percentiles of many numbers, as NumPy has them, without putting the numbers in order.

The numbers are counted in equally wide bins, and those of the bin with the wanted one are looked at again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.compiled import kernel

BINS = 256
FEW = 16  # are put in order
SMALLEST, LARGEST = 1e-300, 1e300  # spread that is divided into bins


def row_medians(values: NDArray[Any]) -> NDArray[np.float64]:
    """Give the median of every row of finite numbers, shape [rows, 1]."""
    size = values.shape[1]
    pairs: NDArray[np.float64] = _at_ranks(
        np.ascontiguousarray(values, np.float64), np.array([(size - 1) // 2])
    )[0]
    return pairs[:, :1] if size % 2 else (pairs[:, :1] + pairs[:, 1:]) / 2


def percentiles(values: NDArray[np.float32], wanted: tuple[float, ...]) -> NDArray[np.float64]:
    """Give percentiles of finite numbers, interpolated linearly between two of them."""
    places = (values.size - 1) * (np.array(wanted) / 100)
    ranks = np.floor(places).astype(np.int64)
    pairs = _at_ranks(values.astype(np.float64).reshape(1, -1), ranks)[:, 0].astype(np.float32)
    share = places - ranks
    step = pairs[:, 1] - pairs[:, 0]
    return np.where(share < 0.5, pairs[:, 0] + step * share, pairs[:, 1] - step * (1 - share))


@kernel
def _at_ranks(rows: NDArray[Any], ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the numbers of ranks, from 0, in every row, and those that follow them (of the last, itself).

    Shape [ranks, rows, 2].
    """
    found = np.empty((len(ranks), len(rows), 2), np.float64)
    some, counts = np.empty(rows.shape[1], np.float64), np.empty(BINS, np.int64)
    for one in range(len(ranks) * len(rows)):
        which, row = one // len(rows), one % len(rows)
        count, rank, following = rows.shape[1], ranks[which], np.inf
        some[:] = rows[row]
        while True:
            low = high = some[0]
            for k in range(count):
                low, high = min(low, some[k]), max(high, some[k])
            if count <= FEW or not SMALLEST < high - low < LARGEST:
                break
            scale = (BINS - 1) / (high - low)
            counts[:] = 0
            for k in range(count):
                counts[int((some[k] - low) * scale)] += 1
            chosen = 0
            while rank >= counts[chosen]:
                rank -= counts[chosen]
                chosen += 1
            kept = 0
            for k in range(count):
                number = some[k]
                place = int((number - low) * scale)
                if place == chosen:
                    some[kept] = number
                    kept += 1
                elif place > chosen:
                    following = min(following, number)
            count = kept
        if low != high:
            for k in range(1, count):
                number, place = some[k], k
                while place > 0 and some[place - 1] > number:
                    some[place] = some[place - 1]
                    place -= 1
                some[place] = number
        found[which, row, 0] = some[rank]
        if rank + 1 < count:
            following = some[rank + 1]
        found[which, row, 1] = following if following < np.inf else some[rank]
    return found
