"""Second pass: the outputs of every excerpt, with every set of units replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.causal.ablation.survey import CutJob, Survey
from actprobe.batch.prepare import Prepared
from actprobe.batch.recording_job import Arrays
from actprobe.batch.shards import ShardStore
from actprobe.corpora import Recording
from actprobe.errors import AudioError
from actprobe.frontends import FrontEnd
from actprobe.models.split import Floats
from actprobe.models.target import Target

STARTS = "starts_seconds"


@dataclass
class AblationJob(CutJob):
    """Keeps of each recording, layer and fill the outputs, float32 [masks, excerpts, outputs].

    ``masks``: layer -> bool [masks, units]; ``donors`` and ``survey_store``: whose values take the place of
    units with the fill ``resample``.
    """

    targets: tuple[Target, ...]
    fills: tuple[str, ...]
    masks: Mapping[str, NDArray[np.bool_]]
    surveys: Mapping[str, Survey]
    donors: Mapping[str, Recording]
    survey_store: ShardStore

    def work(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> Arrays:
        examples = self.examples(recording, prepared, frontend)
        found: dict[str, NDArray[np.float64] | Floats] = {STARTS: prepared.starts}
        for layer in self.layers:
            halfway = self.halfway(recording, layer, examples)
            for fill in self.fills:
                values = np.empty((len(self.masks[layer]), len(examples), len(self.targets)), np.float32)
                fills = self._fill(fill, layer, recording, halfway.values)
                for part, outputs in self.cut(layer).replaced(halfway, self.masks[layer], fills):
                    for column, target in enumerate(self.targets):
                        of_layer = outputs[target.layer]
                        flat = of_layer.reshape(-1, *of_layer.shape[2:])
                        values[part, :, column] = target.of(flat).reshape(of_layer.shape[:2])
                if not np.isfinite(values).all():
                    raise AudioError(recording.path, f"an output is NaN or infinite for it without {layer}")
                found[f"{layer}/{fill}"] = values
        return found

    def _fill(self, fill: str, layer: str, recording: Recording, values: Floats) -> Floats:
        if fill == "zero":
            return np.zeros((1, *values.shape[1:]), np.float32)
        if fill == "mean":
            return self.surveys[layer].mean[np.newaxis]
        donor = self.survey_store.needed(self.donors[recording.name])
        return np.asarray(donor.arrays[f"donor/{layer}"], np.float32)[np.newaxis]
