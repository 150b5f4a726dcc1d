"""The two passes of an ablation over a corpus: what units are like, and the outputs without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actprobe.analyses.causal.ablation.changes import Changes
from actprobe.analyses.causal.ablation.job import AblationJob
from actprobe.analyses.causal.ablation.sets import UnitSet, masks_of
from actprobe.analyses.causal.ablation.settings import AblationSettings
from actprobe.analyses.causal.ablation.survey import Survey, SurveyJob, donors, surveyed
from actprobe.analyses.causal.ablation.tables import LayerAblation
from actprobe.analyses.causal.ablation.truth import Truth
from actprobe.batch.executors import run_job
from actprobe.batch.handle import ModelHandle
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.ledger import LedgerRow, ledger_frame, usable_recordings
from actprobe.batch.shards import ShardStore
from actprobe.corpora import Corpus, Recording
from actprobe.models import Model
from actprobe.models.target import Target
from actprobe.provenance import digest, write_csv

FORMAT = 1  # raise when shards of before must be computed again


class Passes:
    """Both passes, whose recordings are in ``rows`` by name.

    UsageError where a layer cannot be cut; that is known before anything is decoded.
    """

    def __init__(
        self,
        model: Model,
        recordings: Corpus,
        layers: Sequence[str],
        targets: Sequence[Target],
        settings: AblationSettings,
        executor: str,
        folder: Path,
    ) -> None:
        self.model, self.recordings, self.layers = model, recordings, tuple(layers)
        self.targets, self.settings, self.executor, self.folder = tuple(targets), settings, executor, folder
        self.outputs = tuple(dict.fromkeys(target.layer for target in targets))
        self.decides: dict[str, Any] = made_by(
            model, layers=list(layers), outputs=[str(target) for target in targets], **asdict(settings),
            format=FORMAT,
        )  # fmt: skip
        self.rows: dict[str, LedgerRow] = {}
        self.key = ""
        for layer in layers:
            model.split(layer, self.outputs)
        survey = made_by(
            model, layers=list(layers), outputs=list(self.outputs), excerpts=settings.excerpts, format=FORMAT
        )
        self._survey_store = ShardStore(folder / "shards", run_key(survey, model.weights))
        self._store: ShardStore | None = None

    def survey(self) -> tuple[list[Recording], dict[str, Survey]]:
        """Find out what the units are like, and which recordings can be used."""
        job = SurveyJob(ModelHandle(self.model), self.settings.excerpts, self.layers, self.outputs)
        rows = run_job(job, self.recordings, self._survey_store, self.executor, what="recordings, first pass")
        usable = self._entered(self.recordings, rows)
        return usable, surveyed(self._survey_store, usable, self.layers)

    def ablate(
        self,
        recordings: Sequence[Recording],
        surveys: Mapping[str, Survey],
        sets: Mapping[str, Sequence[UnitSet]],
    ) -> list[Recording]:
        """Replace every set of units in every recording, and say which recordings can be used."""
        masks = {layer: masks_of(sets[layer], len(surveys[layer].deviation))[0] for layer in self.layers}
        state = [[masks[layer].astype(int).tolist(), surveys[layer].mean.tolist()] for layer in self.layers]
        self.key = run_key({**self.decides, "state": digest(state)}, self.model.weights)
        self._store = ShardStore(self.folder / "shards", self.key)
        job = AblationJob(
            ModelHandle(self.model), self.settings.excerpts, self.layers, self.outputs, self.targets,
            self.settings.fills, masks, surveys, donors(recordings, self.settings.seed), self._survey_store,
        )  # fmt: skip
        return self._entered(recordings, run_job(job, recordings, self._store, self.executor))

    def found(
        self,
        recordings: Sequence[Recording],
        truth: Truth,
        layer: str,
        fill: str,
        sets: Sequence[UnitSet],
        survey: Survey,
    ) -> LayerAblation:
        """Read what came out of a layer with one fill."""
        assert self._store is not None  # `ablate` has been called
        model = self.model
        changes = Changes(
            self._store, recordings, f"{layer}/{fill}", truth, model.example_seconds, model.threshold
        )
        return LayerAblation(layer, fill, sets, masks_of(sets, len(survey.deviation))[1], changes, survey)

    def _entered(self, recordings: Sequence[Recording], rows: Sequence[LedgerRow]) -> list[Recording]:
        self.rows |= {row.path: row for row in rows}
        ledger = ledger_frame([self.rows[recording.name] for recording in self.recordings], ())
        write_csv(self.folder / "recordings.csv", ledger)
        return usable_recordings(recordings, rows, self.recordings.source)
