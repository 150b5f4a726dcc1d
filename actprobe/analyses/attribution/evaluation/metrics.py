"""Metrics of faithfulness and of form, for the attributions of several excerpts at once.

Arrays are [excerpts, time, mel]; every metric gives float64 [excerpts]. `p` is the target's output for the
excerpt, `i` for the excerpt in which only the attributed part is left, `o` for the one from which that part
is taken, all behind the nonlinearity. The attributed part is a soft mask: the positive attribution divided by
its maximum. Where nothing is positive the mask is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.masks import soft_mask

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class Network(Protocol):
    """What is asked of a network: numbers of examples [batch, time, mel]."""

    def outputs(self, examples: Floats) -> Doubles:
        """Give the target's output behind its nonlinearity, [batch]."""

    def decisions(self, examples: Floats) -> Doubles:
        """Give the number of the class that is decided for, [batch]; NaN where nothing is decided."""


@dataclass(frozen=True, eq=False)
class Removal:
    """Excerpts, what stands for an absent part of them, and the network that is asked.

    ``steps``: in how many steps bins are removed or inserted.
    """

    network: Network
    examples: Floats
    fill: Floats
    steps: int = 10

    @cached_property
    def whole(self) -> Doubles:
        """`p`."""
        return self.network.outputs(self.examples)

    @cached_property
    def empty(self) -> Doubles:
        """The output for the fill alone."""
        return self.network.outputs(self.fill)

    @cached_property
    def decided(self) -> Doubles:
        """The decision for the excerpts."""
        return self.network.decisions(self.examples)

    def kept(self, mask: Floats) -> Floats:
        """Give the excerpts with the mask left: mask * x + (1 - mask) * fill."""
        return np.asarray(mask * self.examples + (1 - mask) * self.fill, np.float32)


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """What the metrics of faithfulness are computed of.

    - ``whole``, ``inside``, ``outside``: `p`, `i` and `o`, [excerpts].
    - ``same``: whether the decision for the masked-in excerpt is that for the excerpt; NaN where nothing is
      decided.
    - ``deletion``, ``insertion``: outputs while bins are removed from the excerpt, or inserted into the fill,
      the highest attribution first; [steps + 1, excerpts].
    """

    whole: Doubles
    inside: Doubles
    outside: Doubles
    same: Doubles
    deletion: Doubles
    insertion: Doubles

    @property
    def bounded(self) -> bool:
        """Whether every output lies from 0 to 1, as probabilities do."""
        seen = (self.whole, self.inside, self.outside, self.deletion, self.insertion)
        return all(bool(((each >= 0) & (each <= 1)).all()) for each in seen)


def measure(removal: Removal, values: Floats, rng: np.random.Generator) -> Faithfulness:
    """Ask the network what an attribution is worth; ``rng`` decides the order of equal values."""
    ranks, mask = removal_ranks(values, rng), np.stack([soft_mask(each) for each in values])
    bins = values[0].size
    left = [np.asarray(ranks >= round(step / removal.steps * bins)) for step in range(1, removal.steps)]
    variants = [
        removal.kept(mask),
        removal.kept(1 - mask),
        *(np.where(each, removal.examples, removal.fill) for each in left),
        *(np.where(each, removal.fill, removal.examples) for each in left),
    ]
    found = removal.network.outputs(np.concatenate(variants)).reshape(len(variants), len(values))
    decided = removal.network.decisions(variants[0])
    same = np.where(np.isfinite(decided), decided == removal.decided, np.nan)
    removed, inserted = found[2 : 1 + removal.steps], found[1 + removal.steps :]
    return Faithfulness(
        removal.whole, found[0], found[1], same,
        np.vstack([removal.whole, removed, removal.empty]),
        np.vstack([removal.empty, inserted, removal.whole]),
    )  # fmt: skip


def removal_ranks(values: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rank the bins of each excerpt from 0, the highest value first, equal values in random order."""
    flat = values.reshape(len(values), -1)
    order = np.lexsort((rng.random(flat.shape), -flat), axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(flat.shape[1]), flat.shape), axis=1)
    return np.asarray(ranks.reshape(values.shape), np.int64)


def deletion(found: Faithfulness) -> Doubles:
    """Area under the outputs while bins are removed (Petsiuk, Das and Saenko: RISE, BMVC 2018, 3.2)."""
    return _area(found.deletion)


def insertion(found: Faithfulness) -> Doubles:
    """Area under the outputs while bins are inserted (Petsiuk, Das and Saenko, 2018, 3.2)."""
    return _area(found.insertion)


def average_drop(found: Faithfulness) -> Doubles:
    """Compute max(p - i, 0) / p (Chattopadhay and others: Grad-CAM++, WACV 2018, 4.1).

    NaN where p is not in 0 < p <= 1 or i is not in 0..1: no probabilities.
    """
    return _of_probabilities(found, np.maximum(found.whole - found.inside, 0), found.whole)


def average_gain(found: Faithfulness) -> Doubles:
    """Compute max(i - p, 0) / (1 - p) (Zhang and others: Opti-CAM, CVIU 2024); NaN as `average_drop`."""
    return _of_probabilities(found, np.maximum(found.inside - found.whole, 0), 1 - found.whole)


def average_increase(found: Faithfulness) -> Doubles:
    """Compute [i > p] (Chattopadhay and others, 2018, 4.1: increase in confidence)."""
    return np.asarray(found.inside > found.whole, np.float64)


def input_fidelity(found: Faithfulness) -> Doubles:
    """Say whether the masked-in excerpt is decided as the excerpt (Paissan and others: L-MAC, ICML 2024)."""
    return found.same


def faithfulness(found: Faithfulness) -> Doubles:
    """Compute p - o (Parekh and others: Listen to interpret, NeurIPS 2022, 4.1)."""
    return found.whole - found.outside


def sparseness(values: Floats) -> Doubles:
    """Compute the Gini index of the absolute values (Chalasani and others, ICML 2020, section 4).

    0 where all bins have the same, close to 1 where one bin has all; NaN where all are 0.
    """
    ordered = np.sort(np.abs(values.reshape(len(values), -1)).astype(np.float64), axis=1)
    bins, total = ordered.shape[1], ordered.sum(axis=1)
    weights = 2 * np.arange(1, bins + 1) - bins - 1
    return np.divide(ordered @ weights, bins * total, out=np.full(len(values), np.nan), where=total > 0)


def complexity(values: Floats) -> Doubles:
    """Compute the entropy in nats of the absolute values over their sum (Bhatt and others, IJCAI 2020, 2.3).

    NaN where all are 0.
    """
    sizes = np.abs(values.reshape(len(values), -1)).astype(np.float64)
    total = sizes.sum(axis=1, keepdims=True)
    share = np.divide(sizes, total, out=np.full(sizes.shape, np.nan), where=total > 0)
    return np.asarray(-(share * np.log(np.where(share > 0, share, 1))).sum(axis=1), np.float64)


FAITHFULNESS: dict[str, Callable[[Faithfulness], Doubles]] = {
    each.__name__: each
    for each in (
        deletion, insertion, average_drop, average_gain, average_increase, input_fidelity, faithfulness,
    )
}  # fmt: skip
FORM: dict[str, Callable[[Floats], Doubles]] = {each.__name__: each for each in (sparseness, complexity)}
OF_PROBABILITIES = ("average_drop", "average_gain")


def _area(curve: Doubles) -> Doubles:
    """Integrate over 0..1 by the trapezoidal rule, [points, excerpts]."""
    return np.asarray((curve[1:] + curve[:-1]).mean(axis=0) / 2, np.float64)


def _of_probabilities(found: Faithfulness, above: Doubles, below: Doubles) -> Doubles:
    defined = (below > 0) & (below <= 1) & (found.inside >= 0) & (found.inside <= 1)
    return np.divide(above, below, out=np.full(len(above), np.nan), where=defined)
