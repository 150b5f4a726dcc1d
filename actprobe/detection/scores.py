"""How far predictions frame by frame agree with labels.

The area under the ROC curve needs no threshold; the others take the one that is most accurate on validation
recordings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.statistics.roc import auc

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Agreement of predictions with labels.

    ``frames`` compared, the part ``sung`` of them that is labelled as sung, the area ``auc`` under the ROC
    curve, the ``threshold`` that a prediction must reach to count as sung, and, at it, ``accuracy`` and the
    ``precision``, ``recall`` and ``f`` of the class sung.
    """

    frames: int
    sung: float
    auc: float
    threshold: float
    accuracy: float
    precision: float
    recall: float
    f: float


def best_threshold(labels: Bools, scores: Floats) -> float:
    """Find the most accurate threshold, to 0.01: the one in the middle where several are as good."""
    candidates = np.arange(1, 100) / 100
    accuracies = np.array([np.mean((scores >= candidate) == labels) for candidate in candidates])
    best = candidates[accuracies == accuracies.max()]
    return float(best[len(best) // 2])


def score(labels: Bools, scores: Floats, threshold: float) -> Scores:
    """Compare predictions with labels; precision and recall are 0 where they have no denominator."""
    found = scores >= threshold
    hits = int((found & labels).sum())
    precision = hits / max(int(found.sum()), 1)
    recall = hits / max(int(labels.sum()), 1)
    return Scores(
        frames=len(labels),
        sung=float(labels.mean()),
        auc=auc(labels, scores),
        threshold=threshold,
        accuracy=float((found == labels).mean()),
        precision=precision,
        recall=recall,
        f=2 * precision * recall / max(precision + recall, 1e-12),
    )
