"""One recording: its excerpts are explained by every method and control, and every metric is computed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.evaluation.metrics import FAITHFULNESS, FORM, Network, Removal, measure
from actprobe.analyses.attribution.evaluation.randomisation import RANDOMISATION, similarities
from actprobe.analyses.attribution.evaluation.settings import EvaluationSettings
from actprobe.analyses.attribution.evaluation.truth import TRUTH, chance_scores, truth_masks, truth_scores
from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.method import Method
from actprobe.errors import AudioError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

METRICS = (*FAITHFULNESS, *FORM, *TRUTH, *RANDOMISATION)
RANDOM, MAGNITUDE, WEIGHTS, CHANCE = "random", "input_magnitude", "random_weights", "chance"
VARIANTS = (RANDOM, MAGNITUDE)  # controls that stand between the method and its random weights


@dataclass(frozen=True, eq=False)
class RecordingScores:
    """What one recording gives.

    - ``scores``: float64 [methods, fills, variants, metrics, excerpts]; the variants are the method, the
      random attribution, the input's magnitude, and the method on each of the random weights.
    - ``chance``: float64 [metrics of `TRUTH`, excerpts]; NaN without truth.
    - ``bounded``: whether every output that was seen lies from 0 to 1.
    """

    scores: Doubles
    chance: Doubles
    bounded: bool


class ExplainedNetwork:
    """The network as the metrics see it."""

    def __init__(self, explained: Explained) -> None:
        self.explained = explained
        model = explained.model
        layer = explained.target.probability_of(model).layer
        heads = {model.output_layer, *(output.layer for output in model.outputs)}
        self._head = layer if layer in heads and not model.layers[layer].is_map else None

    def outputs(self, examples: Floats) -> Doubles:
        """Give the target's output behind its nonlinearity."""
        return self.explained.outputs(examples)

    def decisions(self, examples: Floats) -> Doubles:
        """Give the largest output; of a single one, whether it reaches the network's threshold."""
        if self._head is None:
            return np.full(len(examples), np.nan)
        model = self.explained.model
        found = model.activations(examples, [self._head], batch_size=self.explained.batch_size)[self._head]
        if found.shape[1] == 1:
            return np.asarray(found[:, 0] >= model.threshold, np.float64)
        return np.asarray(found.argmax(axis=1), np.float64)


def score_recording(
    network: Network,
    methods: Mapping[str, Method],
    controls: Sequence[Mapping[str, Method]],
    excerpts: Excerpts,
    settings: EvaluationSettings,
    seed: int,
) -> RecordingScores:
    """Score the excerpts of a recording.

    ``controls`` are the methods on each of the random weights. No method is given the parts of the recording,
    which are the truth. AudioError where an attribution is not finite.
    """
    masks = truth_masks(excerpts, settings.concept)
    blind = replace(excerpts, parts={})
    noise_seed = [seed, zlib.crc32(excerpts.recording.encode())]
    noise = np.random.default_rng(noise_seed).standard_normal(excerpts.examples.shape, np.float32)
    kept: dict[tuple[str, int], Floats] = {}
    bounded = True

    def explain(name: str, number: int, method: Method, filled: Excerpts) -> Floats:
        if method.uses_fill or (name, number) not in kept:
            found = method(filled).values
            if not np.isfinite(found).all():
                raise AudioError(excerpts.recording, f"{name} gives NaN or infinity for it")
            kept[name, number] = found
        return kept[name, number]

    shape = (len(methods), len(settings.fills), 1 + len(VARIANTS) + len(controls), len(METRICS), len(blind))
    scores = np.full(shape, np.nan)
    for j, fill in enumerate(settings.fills):
        filled = blind.with_fill(fill, seed)
        removal = Removal(network, filled.examples, filled.fill, settings.removal_steps)
        magnitude = np.abs(filled.examples - filled.fill)

        def single(values: Floats, removal: Removal = removal) -> tuple[Doubles, bool]:
            asked = measure(removal, values, np.random.default_rng(noise_seed))
            rows = [metric(asked) for metric in FAITHFULNESS.values()]
            rows += [metric(values) for metric in FORM.values()]
            truth = (
                np.full((len(TRUTH), len(values)), np.nan) if masks is None else truth_scores(values, *masks)
            )
            return np.vstack([rows, truth]), asked.bounded

        plain = [single(values) for values in (noise, magnitude)]
        for i, (name, method) in enumerate(methods.items()):
            values = explain(name, -1, method, filled)
            twins = [explain(name, number, each[name], filled) for number, each in enumerate(controls)]
            alone = [single(values), *plain, *(single(each) for each in twins)]
            bounded = bounded and all(each for _, each in alone)
            scores[i, j, :, : -len(RANDOMISATION)] = np.stack([each for each, _ in alone])
            scores[i, j, :, -len(RANDOMISATION) :] = _similar(values, noise, magnitude, twins)
    chance = np.full((len(TRUTH), len(blind)), np.nan) if masks is None else chance_scores(*masks)
    return RecordingScores(scores, chance, bounded)


def _similar(values: Floats, noise: Floats, magnitude: Floats, twins: Sequence[Floats]) -> Doubles:
    """Compare an attribution and its controls with those of random weights, [variants, metrics, excerpts].

    The mean over the random weights; one of these is compared with the others, NaN where there is none.
    """
    found = similarities([values, noise, magnitude, *twins], magnitude)
    first = found.shape[1] - len(twins)
    rows = []
    for number in range(found.shape[1]):
        others = [other for other in range(first, found.shape[1]) if other != number]
        nothing = np.full((len(RANDOMISATION), len(values)), np.nan)
        rows.append(found[:, number, others].mean(axis=1) if others else nothing)
    return np.stack(rows)
