"""One neuron excited by every method, beside the best excerpt of the recordings and the control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.inversion.exciting.ascent import Ascent, Excited
from actprobe.analyses.inversion.exciting.settings import ASCENT, LATENT, ExcitationSettings
from actprobe.analyses.inversion.exciting.survey import INPUT, Survey
from actprobe.analyses.inversion.networks.inverter import Inverter
from actprobe.batch.shards import Shard
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.frontends.base import cut_out
from actprobe.models import Model
from actprobe.models.target import LINEAR, Target

# What excited.csv has of every neuron and method.
COLUMNS = (
    "layer", "unit", "label", "method", "space", "start", "steps", "value_start", "value", "percentile",
    "corpus_p95", "best_excerpt_value", "best_recording", "best_start_seconds", "within_bounds",
    "random_weights_value", "random_weights_r",
)  # fmt: skip

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Way:
    """A method, and of ``latent`` the inverter whose features are searched for."""

    inverter: Inverter | None = None

    @property
    def method(self) -> str:
        """The method's name."""
        return ASCENT if self.inverter is None else LATENT

    @property
    def space(self) -> str:
        """The layer whose features are searched for; empty where it is the input itself."""
        return "" if self.inverter is None else self.inverter.layer

    @property
    def name(self) -> str:
        """What its arrays and sounds are called: ``ascent``, or ``latent LAYER``."""
        return f"{self.method} {self.space}".strip()


class Exciter:
    """Excites neurons of a network; ``control`` is the network with random weights."""

    def __init__(
        self, model: Model, control: Model, ways: Sequence[Way], settings: ExcitationSettings, survey: Survey
    ) -> None:
        self.model, self.control, self.ways = model, control, list(ways)
        self.settings, self.survey = settings, survey

    def _ascent(self, model: Model, target: Target, way: Way) -> Ascent:
        reach = self.survey.reach
        return Ascent(
            model,
            target,
            self.settings,
            reach[INPUT],
            self.survey.background,
            inverter=None if way.inverter is None else way.inverter.keras_model,
            space=reach[way.space or INPUT],
        )

    def check(self, target: Target) -> None:
        """Refuse (UsageError) a neuron whose value does not change around the start of a method."""
        for way in self.ways:
            if not self._ascent(self.model, target, way).is_flat():
                continue
            linear = target.layer + LINEAR
            hint = "take another start"
            if linear in self.model.layers:
                hint = f"take its pre-activation, {linear}/{target.unit}, or another start"
            raise UsageError(
                f"{target} does not change with the input around the start ({self.settings.start}, "
                f"{way.name}), so no gradient leads away from it: {hint}"
            )

    def excite(self, neuron: int, target: Target) -> Shard:
        """Excite a neuron by every method; the rows of excited.csv are ``facts["rows"]``."""
        survey = self.survey
        values = survey.values[:, neuron]
        best = survey.best(neuron)
        example, samples = best_excerpt(self.model.frontend, survey, best)
        arrays: dict[str, NDArray[Any]] = {"best": example, "best_samples": samples}
        rows = []
        for way in self.ways:
            ascent = self._ascent(self.model, target, way)
            found = ascent.run()
            random = self._ascent(self.control, target, way).run()
            lower = 100 * float((values < found.value).mean())
            row = (
                target.layer, target.unit, target.label, way.method, way.space, self.settings.start,
                self.settings.steps, found.value_start, found.value, lower,
                float(np.percentile(values, 95)), float(values[best]),
                survey.recordings[survey.owner[best]].name, float(survey.starts_seconds[best]),
                survey.reach[INPUT].share_within(found.input),
                float(ascent.values_of(random.input[np.newaxis])[0]), likeness(found, random),
            )  # fmt: skip
            rows.append(dict(zip(COLUMNS, row, strict=True)))
            arrays |= {
                way.name: found.input,
                f"{way.name}/start": found.start,
                f"{way.name}/random_weights": random.input,
                f"{way.name}/values": found.values,
            }
        return Shard({"rows": rows}, arrays)


def likeness(found: Excited, random: Excited) -> float | None:
    """Correlate what was changed of the start with what is changed with random weights; None if nothing."""
    changes = [(each.input - each.start).astype(np.float64).ravel() for each in (found, random)]
    if any(np.ptp(change) == 0 for change in changes):
        return None
    return float(np.corrcoef(changes[0], changes[1])[0, 1])


def best_excerpt(frontend: FrontEnd, survey: Survey, excerpt: int) -> tuple[Floats, Floats]:
    """Give an excerpt of the survey as example, [time, mel], and as sound, [samples], with zeros around."""
    recording = survey.recordings[survey.owner[excerpt]]
    frontend = frontend.of(recording.path)
    samples = recording.waveform(frontend.sample_rate).samples
    number, length = int(survey.number[excerpt]), frontend.example_samples
    start = int(frontend.example_starts(len(samples))[number])
    example = np.asarray(frontend.examples(samples)[number], np.float32)
    return example.copy(), cut_out(samples, start, length)
