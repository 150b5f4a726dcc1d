"""Sounds of every dose -> one number a neuron, for the network and its controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.causal.tuning.factors import FACTORS, Doses
from actprobe.analyses.causal.tuning.interventions import Passage, without_parts
from actprobe.batch.ledger import LedgerRow
from actprobe.batch.prepare import Prepared, prepare_recording
from actprobe.batch.recording_job import Arrays, RecordingJob
from actprobe.corpora import Recording
from actprobe.corpora.parts import known_parts
from actprobe.corpora.stimuli import Scene
from actprobe.errors import ActprobeError, AudioError
from actprobe.frontends import FrontEnd
from actprobe.frontends.base import pad_to
from actprobe.frontends.excerpts import refuse_not_finite, sounds_at, spread
from actprobe.models.units import neuron_values

Floats = NDArray[np.float32]

SHORTEST_SECONDS = 1.0  # of a stimulus: modulations and onsets need some time
MARGIN_SECONDS = 0.5  # of recording that an intervention has on both sides of an excerpt
NOWHERE = Path("/dev/null")
VOICE_LEVEL = "voice_to_accompaniment"
STRETCH = "time_stretch"


@dataclass(frozen=True)
class StimulusSet(Recording):
    """One variant of a factor's stimuli, in the place of a recording."""

    factor: str = field(default="", kw_only=True)
    variant: int = field(default=0, kw_only=True)

    @classmethod
    def of(cls, factor: str, variant: int) -> StimulusSet:
        """Name the set."""
        return cls(f"stimuli/{factor}-{variant}", NOWHERE, factor=factor, variant=variant)


@dataclass
class Sounds(Prepared):
    """The sounds of one variant or recording: factor -> float32 [doses, excerpts, example_samples]."""

    sounds: dict[str, Floats] = field(default_factory=dict)


@dataclass
class TuningJob(RecordingJob):
    """Keeps of each variant or recording, by factor, network and layer, float64 [doses, neurons].

    Network 0 is the network itself, the others have the random weights of ``random_seeds``. A response is the
    mean over the excerpts of a sound; all of them lie wholly inside it.
    """

    layers: tuple[str, ...]
    doses: Mapping[str, Doses]
    excerpts: int
    seed: int
    random_seeds: tuple[int, ...]
    batch_size: int | None

    def prepare(self, recording: Recording) -> Sounds:
        frontend = self.handle.frontend
        if isinstance(recording, StimulusSet):
            return self._stimuli(recording, frontend)
        prepared = prepare_recording(recording, frontend)
        return self._changed(recording, prepared, frontend)

    def work(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> Arrays:
        assert isinstance(prepared, Sounds)
        found: dict[str, NDArray[Any]] = {}
        for name, sounds in prepared.sounds.items():
            flat = sounds.reshape(-1, sounds.shape[-1])
            examples = np.stack([frontend.example_of(sound) for sound in flat])
            refuse_not_finite(examples, frontend, recording.path)
            for number, model in enumerate(self.networks(self.random_seeds)):
                for layer, means in neuron_values(model, examples, self.layers, self.batch_size).items():
                    with np.errstate(invalid="ignore"):  # infinities of both signs
                        responses = means.reshape(*sounds.shape[:2], -1).mean(axis=1)
                    if not number and not np.isfinite(responses).any():
                        raise AudioError(recording.path, f"{layer} is NaN or infinite for it")
                    found[response_key(name, number, layer)] = responses
        return found

    def _stimuli(self, stimulus: StimulusSet, frontend: FrontEnd) -> Sounds:
        """Synthesize a variant of a stimulus with every dose."""
        rate, factor = frontend.sample_rate, FACTORS[stimulus.factor]
        assert factor.stimulus is not None
        length = max(frontend.example_samples, int(np.ceil(SHORTEST_SECONDS * rate)))
        key = (self.seed, stimulus.variant, *stimulus.factor.encode())
        scene = Scene(length, rate, key)
        sounds = [factor.stimulus(scene, dose) for dose in self.doses[factor.name]]
        starts = self._starts(frontend, length)
        cut = np.stack([sounds_at(frontend, sound.astype(np.float32), starts) for sound in sounds])
        row = LedgerRow(
            stimulus.name, "ok", seconds=length / rate, sample_rate=rate, examples=len(sounds) * len(starts)
        )
        return Sounds(row, np.empty(0, np.float32), starts / rate, sounds={factor.name: cut})

    def _changed(self, recording: Recording, prepared: Prepared, frontend: FrontEnd) -> Sounds:
        """Change passages around some excerpts of a recording, by every dose."""
        rate, samples = frontend.sample_rate, prepared.samples
        if frontend.padding == "repeat":
            samples = pad_to(samples, frontend.example_samples, "repeat")
        starts = self._starts(frontend, len(samples))
        if not len(starts):
            example = frontend.example_samples / rate
            reason = f"lasts {len(samples) / rate:.2f} s: no example of {example:.2f} s lies wholly inside"
            raise AudioError(recording.path, reason)
        row, sounds = prepared.row, {}
        parts: dict[str, Floats] = {}
        for name, doses in self.doses.items():
            if FACTORS[name].intervention is None:
                continue
            try:
                if name == VOICE_LEVEL:
                    parts = self._parts(recording, frontend, len(samples))
                around = 1 + max(doses) / 100 if name == STRETCH else 1.0
                passages = [self._passage(samples, parts, frontend, start, around) for start in starts]
                found = [
                    [changed_excerpt(name, dose, *each, frontend) for each in passages] for dose in doses
                ]
                sounds[name] = np.asarray(found, np.float32)
            except ActprobeError as error:
                reason = error.reason if isinstance(error, AudioError) else str(error)
                row = row.warned(f"{name}: {reason}")
        if not sounds:
            raise AudioError(recording.path, row.warning)
        total = sum(len(each) for each in sounds.values()) * len(starts)
        return Sounds(replace(row, examples=total), np.empty(0, np.float32), starts / rate, sounds=sounds)

    def _starts(self, frontend: FrontEnd, samples: int) -> NDArray[np.int64]:
        """Choose first samples of examples that lie wholly inside a sound."""
        free = (samples - frontend.example_samples) // frontend.frame_hop + 1
        starts = frontend.frame_hop * np.arange(max(0, free), dtype=np.int64)
        return spread(starts, self.excerpts) if free > 0 else starts

    def _parts(self, recording: Recording, frontend: FrontEnd, samples: int) -> dict[str, Floats]:
        """Read the known parts of a recording, as long as it is; AudioError where they do not do."""
        parts = known_parts(recording, frontend.sample_rate)
        if reason := without_parts(parts):
            raise AudioError(recording.path, reason)
        return {name: pad_to(part, samples, frontend.padding)[:samples] for name, part in parts.items()}

    def _passage(
        self, samples: Floats, parts: Mapping[str, Floats], frontend: FrontEnd, start: int, around: float
    ) -> tuple[Passage, int]:
        """Cut a passage around an excerpt, and say where in it the excerpt's centre is."""
        example, rate = frontend.example_samples, frontend.sample_rate
        centre = start + example // 2
        half = int(np.ceil(around * example / 2)) + int(MARGIN_SECONDS * rate)
        first, last = max(0, centre - half), min(len(samples), centre + half)
        inside = {name: part[first:last] for name, part in parts.items()}
        return Passage(samples[first:last], rate, (self.seed, int(start)), inside), centre - first


def changed_excerpt(name: str, dose: float, passage: Passage, centre: int, frontend: FrontEnd) -> Floats:
    """Change a passage, and cut the excerpt out of it, at the level that it had."""
    factor, example = FACTORS[name], frontend.example_samples
    assert factor.intervention is not None
    changed = factor.intervention(passage, dose)
    if len(changed) < example:
        raise AudioError("", f"the recording is too short to be played faster by {dose:g} %")
    before = passage.samples[_window(centre, len(passage.samples), example)]
    after = changed[_window(round(centre * len(changed) / len(passage.samples)), len(changed), example)]
    if dose and factor.keeps_level:
        rms, wanted = (float(np.sqrt(np.mean(np.square(each, dtype=np.float64)))) for each in (after, before))
        after = after * np.float32(wanted / rms) if rms > 0 else after
    return np.asarray(after, np.float32)


def _window(centre: int, samples: int, length: int) -> slice:
    start = min(max(centre - length // 2, 0), samples - length)
    return slice(start, start + length)


def response_key(factor: str, network: int, layer: str) -> str:
    """Name the responses of a layer in a shard."""
    return f"{factor}/{network}/{layer}"
