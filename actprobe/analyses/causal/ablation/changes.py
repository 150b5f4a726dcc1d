"""Changes of outputs and metrics when units are replaced, each recording's part of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.causal.ablation.job import STARTS
from actprobe.analyses.causal.ablation.metrics import METRICS, pseudo_values, value
from actprobe.analyses.causal.ablation.truth import Truth
from actprobe.batch.shards import ShardStore
from actprobe.corpora import Recording

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """The excerpts of which the truth of one output is known.

    ``truth``: bool [excerpts]; ``owners``: [excerpts], numbers of their recordings from 0 to ``recordings``;
    ``scores``: float64 [masks, excerpts].
    """

    truth: NDArray[np.bool_]
    owners: NDArray[np.int64]
    recordings: int
    scores: Doubles

    @property
    def usable(self) -> bool:
        """Whether both classes are there."""
        return bool(self.truth.any() and not self.truth.all())


class Changes:
    """The outputs of a layer and fill, of all recordings, with every mask and without any.

    - ``change``, ``absolute``: float64 [recordings, masks, outputs], mean over a recording's excerpts of what
      the mask adds to the output, and of its absolute value.
    """

    def __init__(
        self,
        store: ShardStore,
        recordings: Sequence[Recording],
        name: str,
        truth: Truth,
        example_seconds: float,
        threshold: float,
    ) -> None:
        self._threshold = threshold
        change, absolute = [], []
        outputs: list[NDArray[np.float32]] = []
        centres: list[Doubles] = []
        for recording in recordings:
            arrays = store.needed(recording).arrays
            values = arrays[name]
            difference = values.astype(np.float64) - values[:1]
            change.append(difference.mean(axis=1))
            absolute.append(np.abs(difference).mean(axis=1))
            outputs.append(values[..., truth.outputs])
            centres.append(arrays[STARTS] + example_seconds / 2)
        self.change, self.absolute = np.stack(change), np.stack(absolute)
        self._scored = {
            output: _scored(place, output, outputs, centres, recordings, truth)
            for place, output in enumerate(truth.outputs)
        }

    def metrics(self, output: int) -> tuple[str, ...]:
        """Name the metrics that an output has; none where its truth is not known, or always the same."""
        scored = self._scored.get(output)
        return METRICS if scored is not None and scored.usable else ()

    def metric_changes(self, metric: str, output: int, masks: NDArray[np.int64]) -> Doubles:
        """Give what masks add to a metric, each recording's pseudo-value: float64 [recordings, masks]."""
        scored = self._scored[output]

        def pseudo(mask: int) -> Doubles:
            return pseudo_values(
                metric, scored.truth, scored.scores[mask], scored.owners, scored.recordings, self._threshold
            )

        own = pseudo(0)
        return np.stack([pseudo(mask) - own for mask in masks.tolist()], axis=1)

    def metric_values(self, metric: str, output: int, masks: NDArray[np.int64]) -> Doubles:
        """Give a metric with masks: float64 [masks]."""
        scored = self._scored[output]
        found = [value(metric, scored.truth, scored.scores[mask], self._threshold) for mask in masks.tolist()]
        return np.array(found, np.float64)


def _scored(
    place: int,
    output: int,
    outputs: Sequence[NDArray[np.float32]],
    centres: Sequence[Doubles],
    recordings: Sequence[Recording],
    truth: Truth,
) -> Scored:
    kept, scores, owners = [], [], []
    count = 0
    for number, recording in enumerate(recordings):
        of_recording = truth.of(number, recording, output, centres[number])
        known = ~np.isnan(of_recording)
        if not known.any():
            continue
        kept.append(of_recording[known] > 0)
        scores.append(outputs[number][:, known, place].astype(np.float64))
        owners.append(np.full(int(known.sum()), count))
        count += 1
    if not count:
        return Scored(np.zeros(0, np.bool_), np.zeros(0, np.int64), 0, np.zeros((0, 0)))
    return Scored(np.concatenate(kept), np.concatenate(owners), count, np.concatenate(scores, axis=1))
