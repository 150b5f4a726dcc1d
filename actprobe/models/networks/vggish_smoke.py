"""The smoke test of the original VGGish: does the network with its weights still do what it did?

vggish_smoke_test.py of tensorflow/models research/audioset/vggish takes 3 s of a sine of 1 kHz through front
end, network and post-processing and compares mean and deviation of the results with what it gave when it
was written, to 10 %. There have been three versions with numbers of their own, and all describe the same
weights:

======== ==================================== ================== ====================
version  sine                                 embedding          8-bit features
======== ==================================== ================== ====================
2017     44.1 kHz, resampled                  ``embedding/relu`` of ``embedding/relu``
2020     44.1 kHz, resampled                  ``embedding``      of ``embedding``
2023     16 kHz                               ``embedding``      of ``embedding``
======== ==================================== ================== ====================

2017 is the first version, 2020 that of 10 August 2020 (#9080, no rectifier), 2023 that of July 2023
(#11061, nothing resampled), which is today's. The original resampled by resampy, actprobe by soxr.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import WeightsError
from actprobe.frontends.vggish import VggishFrontEnd
from actprobe.models.model import Model
from actprobe.models.networks.vggish_postprocess import VggishPostprocessor

SECONDS = 3
HERTZ = 1000.0
RELATIVE_TOLERANCE = 0.1


@dataclass(frozen=True)
class SmokeCheck:
    """One number of the smoke test: what the original gives (`expected`) and what this model gives (`got`).

    `name` is the version of the test and what was computed; `relative_tolerance` is relative to `expected`.
    """

    name: str
    expected: float
    got: float
    relative_tolerance: float
    passed: bool

    def __str__(self) -> str:
        """Describe it in one line."""
        verdict = "pass" if self.passed else "FAIL"
        return (
            f"{verdict}  {self.name}: {self.got:.4g}, expected {self.expected:g} "
            f"within {self.relative_tolerance:.0%}"
        )


@dataclass(frozen=True)
class _Version:
    name: str
    sample_rate: int
    layer: str
    embedding: tuple[float, float]  # mean and deviation
    features: tuple[float, float]


VERSIONS = (
    _Version("2017", 44_100, "embedding/relu", (0.131, 0.238), (123.0, 75.0)),
    _Version("2020", 44_100, "embedding", (-0.0333, 0.380), (122.0, 93.5)),
    _Version("2023", 16_000, "embedding", (0.000657, 0.343), (126.0, 89.3)),
)


def _sine(sample_rate: int) -> NDArray[np.float32]:
    """Give the sine; at 44.1 kHz the original's time axis includes its end, so it is a little too high."""
    if sample_rate == 44_100:
        time = np.linspace(0, SECONDS, SECONDS * sample_rate)
    else:
        time = np.arange(0, SECONDS, 1 / sample_rate)
    return np.asarray(np.sin(2 * np.pi * HERTZ * time), np.float32)


def smoke_checks(
    model: Model, postprocess: Callable[[NDArray[np.float32]], NDArray[np.uint8]] | None = None
) -> list[SmokeCheck]:
    """Run the smoke test of the original in its three versions, on VGGish with the published weights.

    Checks mean and deviation of the embeddings and, if `postprocess` is a `VggishPostprocessor` with the
    published parameters, of the 8-bit features. The examples are made by a front end of the original's
    options, whatever the model's own are.
    """
    front_end = VggishFrontEnd()
    checks = []
    for version in VERSIONS:
        examples = front_end(_sine(version.sample_rate), version.sample_rate)
        embeddings = model.activations(examples, [version.layer])[version.layer]
        found = [(version.layer, version.embedding, embeddings.astype(np.float64))]
        if postprocess is not None:
            features = postprocess(embeddings).astype(np.float64)
            found.append((f"8-bit features of {version.layer}", version.features, features))
        for what, expected, values in found:
            for kind, wanted, got in zip(
                ("mean", "deviation"), expected, (values.mean(), values.std()), strict=True
            ):
                near = bool(abs(got - wanted) <= RELATIVE_TOLERANCE * abs(wanted))
                name = f"{version.name}, {what}, {kind}"
                checks.append(SmokeCheck(name, wanted, float(got), RELATIVE_TOLERANCE, near))
    return checks


def smoke_test(model: Model, parameters: str | None = None) -> tuple[list[str], bool]:
    """Run the smoke test of the original; give the lines of a report and whether every check passed.

    `parameters` is the parameter file of the 8-bit features, by default the catalog's if it was fetched; a
    file that is refused is a `WeightsError`.
    """
    postprocess, lines = None, []
    try:
        postprocess = VggishPostprocessor.read(parameters or "vggish_pca")
    except WeightsError as error:
        if parameters:
            raise
        lines = [f"8-bit features are not tested: {error}"]
    checks = smoke_checks(model, postprocess)
    return [*map(str, checks), *lines], all(check.passed for check in checks)
