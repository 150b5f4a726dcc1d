"""Which units are ablated together: each alone, those that follow a feature most or least, and controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNIT, TOP, LEAST, RANDOM = "unit", "top", "least", "random"
WINDOW = 16  # units whose variances are closest to that of a unit, or a quarter of the layer: its matches
ATTEMPTS = 20  # to find one more set that has not been sampled yet

Floats = NDArray[np.float64]
Units = tuple[int, ...]


@dataclass(frozen=True)
class UnitSet:
    """Units that are ablated together, ascending; ``feature`` and ``k`` are empty and 1 for single units."""

    units: Units
    kind: str
    feature: str = ""
    k: int = 1


def default_sizes(units: int) -> tuple[int, ...]:
    """Give 1, 2, 4 ... up to a third of the units, so that matched sets can be sampled from the others."""
    return tuple(1 << power for power in range(units.bit_length()) if 3 << power <= units)


def unit_sets(
    units: int,
    strengths: Mapping[str, Floats],
    deviations: Floats,
    sizes: Sequence[int],
    random_sets: int,
    seed: int,
) -> list[UnitSet]:
    """List the sets of a layer.

    ``strengths``: feature -> |r| of every unit, NaN for one that is constant; ``deviations``: standard
    deviation of every unit over the corpus, by which random sets are matched to the set that follows most.
    """
    found = [UnitSet((unit,), UNIT) for unit in range(units)]
    for feature, strength in strengths.items():
        order = np.argsort(-strength, kind="stable")[: int((~np.isnan(strength)).sum())]  # NaN last
        for k in (k for k in sizes if 2 * k <= len(order)):
            top = _ascending(order[:k])
            found.append(UnitSet(top, TOP, feature, k))
            found.append(UnitSet(_ascending(order[-k:]), LEAST, feature, k))
            rng = np.random.default_rng([seed, k])
            matched = matched_sets(top, deviations, random_sets, rng)
            found += [UnitSet(chosen, RANDOM, feature, k) for chosen in matched]
    return found


def matched_sets(top: Units, deviations: Floats, count: int, rng: np.random.Generator) -> list[Units]:
    """Sample sets of other units with like standard deviations, none twice; fewer where there are no more."""
    ranks = np.argsort(np.argsort(deviations, kind="stable"), kind="stable")
    others = np.setdiff1d(np.arange(len(deviations)), top)
    window = max(WINDOW, len(deviations) // 4)
    close = [others[np.argsort(np.abs(ranks[others] - ranks[unit]), kind="stable")][:window] for unit in top]
    found: dict[Units, None] = {}
    for _ in range(count):
        for _ in range(ATTEMPTS):
            chosen = _sampled(close, others, rng)
            if chosen not in found:
                found[chosen] = None
                break
    return list(found)


def _sampled(
    close: Sequence[NDArray[np.int64]], others: NDArray[np.int64], rng: np.random.Generator
) -> Units:
    taken: list[int] = []
    for place in rng.permutation(len(close)).tolist():
        free = np.setdiff1d(close[place], taken)
        taken.append(int(rng.choice(free if len(free) else np.setdiff1d(others, taken))))
    return _ascending(taken)


def _ascending(units: Iterable[int]) -> Units:
    return tuple(sorted(int(unit) for unit in units))


def masks_of(sets: Sequence[UnitSet], units: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Give the different masks, bool [masks, units], the first without a unit, and the mask of each set."""
    rows: dict[Units, int] = {(): 0}
    places = [rows.setdefault(each.units, len(rows)) for each in sets]
    masks = np.zeros((len(rows), units), np.bool_)
    for chosen, row in rows.items():
        masks[row, list(chosen)] = True
    return masks, np.array(places, np.int64)
