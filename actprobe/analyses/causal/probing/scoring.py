"""Probes of one set of neurons: every target, with its permutations and its resampled recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.causal.probing.ridge import assign_folds, predict_left_out
from actprobe.analyses.causal.probing.scores import auc, r2
from actprobe.analyses.causal.probing.targets import Target
from actprobe.statistics.clusters import ENOUGH, Clusters
from actprobe.statistics.correlation import constant_neurons
from actprobe.statistics.intervals import resample
from actprobe.statistics.permutation import permuted_units

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Probed:
    """What a probe reads of a target, in so many ``units`` of so many ``groups``.

    ``value``: R2 or AUC over all units, each predicted by folds that it is not in. ``resampled`` [resamples]:
    the same over groups that are sampled again. ``permuted`` [permutations]: with permuted targets.
    """

    value: float
    resampled: Floats
    permuted: Floats
    units: int
    groups: int


@dataclass(frozen=True)
class Design:
    """How often and how everything is repeated: folds, permutations, a seed for both."""

    folds: int
    permutations: int
    seed: int


class Trial:
    """Targets that are known of the same units, and what all their probes share.

    Attributes: ``targets``; ``known`` [units]; ``groups`` [known units], numbered from 0.
    """

    def __init__(
        self, targets: Sequence[Target], known: NDArray[np.bool_], groups: Indices, design: Design
    ) -> None:
        self.known = known
        self.groups = np.unique(groups[known], return_inverse=True)[1]
        self.folds = assign_folds(self.groups, design.folds, design.seed)
        self.weights = np.vstack([np.ones(self.count), resample(self.count, seed=design.seed)])
        self.targets = [replace(target, values=target.values[known]) for target in targets]
        rng = np.random.default_rng(design.seed)
        dealt = permuted_units(len(self.groups), Clusters.of(self.groups), design.permutations, rng)
        self.sources = np.concatenate([part for _, part in dealt], axis=1).T  # [known units, permutations]

    @property
    def count(self) -> int:
        """Count the groups."""
        return int(self.groups.max()) + 1

    def probe(self, x: NDArray[Any], *, permuted: bool) -> list[Probed]:
        """Read every target out of neurons, [units, neurons]; ``permuted``: out of permuted ones, too."""
        blocks = [target.values for target in self.targets]
        if permuted:
            blocks += [target.values[self.sources].reshape(len(self.groups), -1) for target in self.targets]
        found = predict_left_out(x[self.known], np.hstack(blocks), self.groups, self.folds)
        scored, start = [], 0
        for number, block in enumerate(blocks):
            target = self.targets[number % len(self.targets)]
            score, predicted = (auc, found.scores) if target.classes else (r2, found.numbers)
            weights = self.weights if number < len(self.targets) else self.weights[:1]
            columns = zip(block.T, predicted[:, start : start + block.shape[1]].T, strict=True)
            scored.append(np.stack([score(*column, self.groups, weights) for column in columns]))
            start += block.shape[1]
        probed = []
        for number, target in enumerate(self.targets):
            values = scored[number].mean(axis=0)  # over the classes
            nulls = scored[len(self.targets) + number] if permuted else np.empty((0, 1))
            by_class = nulls[:, 0].reshape(-1, target.values.shape[1])
            sizes = len(self.groups), self.count
            probed.append(Probed(float(values[0]), values[1:], by_class.mean(axis=1), *sizes))
        return probed


def usable_part(target: Target, groups: Indices, design: Design) -> tuple[Target | None, str]:
    """Say what of a target can be probed, and why the rest, or all of it, cannot."""
    known = ~np.isnan(target.values).any(axis=1)
    mine, values = groups[known], target.values[known]
    count, least = len(np.unique(mine)), max(design.folds, ENOUGH)
    if count < least:
        return None, f"known for {count} independent recordings, {design.folds} folds need {least}"
    if not target.classes:
        if constant_neurons(values)[0]:
            return None, f"is {values[0, 0]:.6g} wherever it is known"
        return target, ""
    folds = assign_folds(np.unique(mine, return_inverse=True)[1], design.folds, design.seed)
    kept = [i for i in range(len(target.classes)) if _is_everywhere(values[:, i], folds)]
    if not kept:
        what = "the class and what is not of it" if len(target.classes) == 1 else "two classes"
        return None, f"{what} are not in the training part of every fold: take fewer folds or another seed"
    left_out = [name for i, name in enumerate(target.classes) if i not in kept]
    note = f"left out, not in the training part of every fold: {', '.join(left_out)}" if left_out else ""
    classes = tuple(target.classes[i] for i in kept)
    return Target(target.name, classes, target.values[:, kept]), note


def _is_everywhere(values: Floats, folds: Indices) -> bool:
    """Whether the training units of every fold are of a class and not of it."""
    return all(len(np.unique(values[folds != fold])) == 2 for fold in range(int(folds.max()) + 1))


def trials(targets: Sequence[Target], groups: Indices, design: Design) -> list[Trial]:
    """Put targets that are known of the same units together."""
    by_units: dict[bytes, list[Target]] = {}
    for target in targets:
        by_units.setdefault(_known(target).tobytes(), []).append(target)
    return [Trial(each, _known(each[0]), groups, design) for each in by_units.values()]


def _known(target: Target) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(target.values).any(axis=1), np.bool_)
