"""How well a detector finds singing: figures over all frames of all recordings together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from actprobe.detection.prediction import Predictions
from actprobe.detection.scores import Scores, best_threshold, score

MEDIAN_FRAMES = 57  # f0k smooths over 56 frames; an odd number is centred
CLOSED_GAP_SECONDS = 0.2
PLAIN = "labels as they are"
WAYS = {  # seconds of gaps that are closed, frames of the median filter
    PLAIN: (0.0, 1),
    "gaps under 200 ms closed": (CLOSED_GAP_SECONDS, 1),
    f"{PLAIN}, median of 57 frames": (0.0, MEDIAN_FRAMES),
    "gaps under 200 ms closed, median of 57 frames": (CLOSED_GAP_SECONDS, MEDIAN_FRAMES),
}


def evaluate(
    predictions: Sequence[Predictions],
    threshold: float,
    closed_gap_seconds: float = 0.0,
    median_frames: int = 1,
) -> Scores:
    """Compare predictions with labels over all recordings together.

    Gaps under ``closed_gap_seconds`` count as sung. ``median_frames`` is the length of the median filter over
    time; 1 for none. ``threshold``: see `Scores`.
    """
    return score(*together(predictions, closed_gap_seconds, median_frames), threshold)


def together(
    predictions: Sequence[Predictions], closed_gap_seconds: float = 0.0, median_frames: int = 1
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Give labels and output of all recordings in one piece, [frames] each; see `evaluate`."""
    labels = np.concatenate([each.labels(closed_gap_seconds) for each in predictions])
    scores = [median_filter(each.probabilities, median_frames, mode="nearest") for each in predictions]
    return labels, np.concatenate(scores)


def report(
    valid: Sequence[Predictions], tests: Mapping[str, Sequence[Predictions]]
) -> dict[str, dict[str, Any]]:
    """Give all scores: with labels as they are and with short gaps closed, plain and smoothed.

    The threshold is the most accurate one over all recordings of ``valid``. ``tests`` maps the name of a set
    to its predictions. Gives set -> way of counting -> `Scores` as a dict.
    """
    figures: dict[str, dict[str, Any]] = {name: {} for name in ("valid", *tests)}
    for way, (gap, median) in WAYS.items():
        threshold = best_threshold(*together(valid, gap, median))
        for name, predictions in {"valid": valid, **tests}.items():
            figures[name][way] = asdict(evaluate(predictions, threshold, gap, median))
    return figures
