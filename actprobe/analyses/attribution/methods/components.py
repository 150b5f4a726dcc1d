"""Components: parts of the sound that are switched on and off, and what each adds to the target."""

from __future__ import annotations

from collections.abc import Mapping
from math import factorial

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.batches import values_of_variants
from actprobe.analyses.attribution.methods.method import Attribution, Doubles, Floats, Method, MethodSettings
from actprobe.audio import Waveform
from actprobe.errors import UsageError
from actprobe.features.separation import harmonic_and_percussive
from actprobe.frontends import FrontEnd

MOST_PARTS = 6  # 64 combinations


class Components(Method):
    """The Shapley value of each part: what it adds to T, over every combination of the other parts.

    Shapley: A value for n-person games, 1953, equation 12, exact, from all 2^k combinations of k parts. The
    parts are sounds: the known ones of a recording, or its harmonic and percussive part. An absent part is
    silent; the others are added up as sound and go through the front end. After audioLIME (Haunschmid and
    others, 2020), which fits a linear model instead. The values of the parts, ``component_NAME``, add up to
    T(all parts) - T(silence).

    Where in a part the target looks is not known: its value is spread over the bins by how much each of them
    changes, in units of the front end, when the part is taken out of the sum of all. The bins of all parts
    add up to all values.
    """

    name = "components"

    def __init__(self, explained: Explained, settings: MethodSettings) -> None:
        super().__init__(explained, settings)
        if not explained.model.frontend.free_starts:
            raise UsageError(
                "method components: examples that are stored cannot be computed of parts of the sound: use "
                "occlusion or lime"
            )

    def __call__(self, excerpts: Excerpts) -> Attribution:
        parts = excerpts.parts or _separated(excerpts)
        if len(parts) > MOST_PARTS:
            raise UsageError(f"method components: {len(parts)} parts; at most {MOST_PARTS} can be combined")
        sounds = np.stack([np.asarray(each, np.float32) for each in parts.values()], axis=1)
        worth = shapley_values(self._values(excerpts.frontend, sounds))
        found = np.stack([
            np.tensordot(values, _spread(excerpts.frontend, each), axes=1)
            for values, each in zip(worth, sounds, strict=True)
        ])  # fmt: skip
        facts = {f"component_{name}": worth[:, number] for number, name in enumerate(parts)}
        return Attribution(found.astype(np.float32), facts)

    def _values(self, frontend: FrontEnd, sounds: Floats) -> Doubles:
        """Compute T of every combination, [excerpts, 2^parts]: bit k of its number is part k."""
        bits = 1 << np.arange(sounds.shape[1])

        def combined(excerpt: NDArray[np.int64], combination: NDArray[np.int64]) -> Floats:
            on = (combination[:, None] & bits > 0).astype(np.float32)
            sums = np.einsum("bp,bps->bs", on, sounds[excerpt])
            return np.stack([frontend.example_of(each) for each in sums])

        return values_of_variants(self.explained, len(sounds), 1 << len(bits), combined)


def shapley_values(values: Doubles) -> Doubles:
    """Compute Shapley values, [excerpts, parts], of the values of all combinations, [excerpts, 2^parts]."""
    combinations = np.arange(values.shape[1])
    parts = len(combinations).bit_length() - 1
    sizes = np.array([int(each).bit_count() for each in combinations])
    found = np.empty((len(values), parts))
    for part in range(parts):
        without = combinations[combinations >> part & 1 == 0]
        weights = np.array(
            [factorial(size) * factorial(parts - size - 1) / factorial(parts) for size in sizes[without]]
        )
        found[:, part] = (values[:, without | 1 << part] - values[:, without]) @ weights
    return found


def _separated(excerpts: Excerpts) -> Mapping[str, Floats]:
    """Separate the excerpts into harmonic and percussive sound."""
    rate = excerpts.frontend.sample_rate
    pairs = [harmonic_and_percussive(Waveform(sound, rate)) for sound in excerpts.sounds]
    harmonic, percussive = (np.stack(each) for each in zip(*pairs, strict=True))
    return {"harmonic": harmonic, "percussive": percussive}


def _spread(frontend: FrontEnd, sounds: Floats) -> Doubles:
    """Measure what each part, [parts, samples], changes: its share of every bin, [parts, time, mel]."""
    whole = frontend.example_of(sounds.sum(axis=0))
    rest = [frontend.example_of(np.delete(sounds, part, axis=0).sum(axis=0)) for part in range(len(sounds))]
    changes = np.abs(whole - np.stack(rest)).astype(np.float64)
    return np.asarray(changes / np.maximum(changes.sum(axis=(1, 2), keepdims=True), np.finfo(float).tiny))
