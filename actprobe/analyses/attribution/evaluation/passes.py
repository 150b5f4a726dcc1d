"""The two passes of an evaluation over a corpus: scores of every recording, and cascades of some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.attribution.evaluation.cascading import Cascading
from actprobe.analyses.attribution.evaluation.scoring import (
    ExplainedNetwork,
    RecordingScores,
    score_recording,
)
from actprobe.analyses.attribution.evaluation.settings import EvaluationSettings
from actprobe.analyses.attribution.excerpts import Excerpts, Places
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.method import MethodSettings
from actprobe.analyses.attribution.methods.registry import open_methods
from actprobe.analyses.attribution.recordings import keep_recording
from actprobe.batch.ledger import LedgerRow, usable_recordings
from actprobe.batch.progress import Progress
from actprobe.batch.shards import ShardStore
from actprobe.corpora import Recording
from actprobe.errors import UsageError

Arrays = Mapping[str, NDArray[Any]]
Doubles = NDArray[np.float64]


class Passes:
    """What both passes share: the network, its methods, and how they are evaluated."""

    def __init__(
        self,
        explained: Explained,
        names: Sequence[str],
        settings: MethodSettings,
        evaluation: EvaluationSettings,
    ) -> None:
        self.explained, self.names = explained, list(names)
        self.settings, self.evaluation = settings, evaluation
        self.methods = open_methods(names, explained, settings)
        self.random_seeds = explained.model.control_seeds(evaluation.random_seeds, settings.seed + 1)

    def score(self, store: ShardStore, recordings: Sequence[Recording]) -> list[LedgerRow]:
        """Score every recording into the store; a fault is that of its recording alone."""
        model, target = self.explained.model, self.explained.target
        networks = [model.with_random_weights(seed) for seed in self.random_seeds]
        opened = [Explained(each, target, batch_size=self.explained.batch_size) for each in networks]
        controls = [open_methods(self.names, each, self.settings) for each in opened]
        judged = ExplainedNetwork(self.explained)

        def compute(excerpts: Excerpts) -> Arrays:
            found = score_recording(
                judged, self.methods, controls, excerpts, self.evaluation, self.settings.seed
            )
            return {"scores": found.scores, "chance": found.chance, "bounded": np.array(found.bounded)}

        rows = []
        with Progress(len(recordings), "recordings") as bar:
            for recording in recordings:
                rows.append(self._store(store, recording, self.evaluation.excerpts, compute))
                bar.advance()
        return rows

    def cascade(self, store: ShardStore, recordings: Sequence[Recording]) -> tuple[list[Doubles], list[str]]:
        """Explain an excerpt of some of the recordings while more and more layers are random.

        Gives similarities [methods, layers, 3], one for each recording, and the layers; nothing where the
        network's layers cannot be randomised one by one.
        """
        count = min(self.evaluation.cascade, len(recordings))
        if not count:
            return [], []
        try:
            cascading = Cascading(self.explained, self.names, self.settings, self.random_seeds[0])
        except UsageError as error:
            logging.warning("no cascading randomisation: %s", error)
            return [], []

        def compute(excerpts: Excerpts) -> Arrays:
            return {"similar": cascading.similar(self.methods, excerpts)}

        places = ((np.arange(count) + 0.5) / count * len(recordings)).astype(np.int64)
        chosen = [recordings[place] for place in places]
        rows = []
        with Progress(count, "cascades") as bar:
            for recording in chosen:
                rows.append(self._store(store, recording, 1, compute))
                bar.advance()
        usable = usable_recordings(chosen, rows, chosen[0].path.parent)
        return [store.needed(each).arrays["similar"] for each in usable], cascading.layers

    def _store(
        self, store: ShardStore, recording: Recording, count: int, compute: Callable[[Excerpts], Arrays]
    ) -> LedgerRow:
        return keep_recording(
            store, recording, self.explained.model.frontend, Places(excerpts=count), self.evaluation.fills[0],
            self.settings.seed, lambda plan: dict(compute(plan.cut())),
        )  # fmt: skip


def scores_of(store: ShardStore, recordings: Sequence[Recording]) -> list[RecordingScores]:
    """Read what `Passes.score` has found."""
    shards = [store.needed(each).arrays for each in recordings]
    return [RecordingScores(each["scores"], each["chance"], bool(each["bounded"])) for each in shards]


def without_truth(recordings: Sequence[Recording], scores: Sequence[RecordingScores]) -> int:
    """Count the recordings that have no truth, and log them."""
    without = [
        recording.name
        for recording, each in zip(recordings, scores, strict=True)
        if np.isnan(each.chance).all()
    ]
    if without:
        logging.warning(
            "no truth for %d of %d recordings, %s the first: no part is known that dominates some bins and "
            "not all",
            len(without), len(recordings), without[0],
        )  # fmt: skip
    return len(without)
