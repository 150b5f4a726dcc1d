"""What every method of attribution is, and the settings of all of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.explained import Explained
from actprobe.errors import UsageError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class MethodSettings:
    """What can be chosen of the methods.

    - ``steps``: of integrated gradients.
    - ``noisy_samples``, ``noise``: of SmoothGrad; the noise's standard deviation is that share of the range
      of an excerpt's values.
    - ``cam_layer``: of Grad-CAM; None is the last layer before the target that is a map of several positions.
    - ``patch_seconds``, ``patch_hz``: size of occlusion's patches; None is a tenth of the example's duration
      and a tenth of its bands.
    - ``tiles_time``, ``tiles_frequency``: how LIME divides an excerpt (SoundLIME: 6 and 4 for the singing
      voice detector).
    - ``lime_samples``, ``lime_seeds``: masks of one fit, and fits whose agreement is the stability.
    - ``kernel_width``: of LIME, in units of the cosine distance; None is 0.25, that of the original. The
      distance depends on the share of tiles that are on, so that one width fits any number of them.
    - ``seed``: of everything random.
    """

    steps: int = 50
    noisy_samples: int = 25
    noise: float = 0.1
    cam_layer: str | None = None
    patch_seconds: float | None = None
    patch_hz: float | None = None
    tiles_time: int = 6
    tiles_frequency: int = 4
    lime_samples: int = 500
    lime_seeds: int = 2
    kernel_width: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse (UsageError) what is not positive, but for the seed."""
        for name, value in vars(self).items():
            if isinstance(value, int | float) and name != "seed" and not 0 < value < math.inf:
                raise UsageError(f"{name}={value}: a positive number is needed")

    @classmethod
    def of(cls, given: MethodSettings | Mapping[str, Any] | None) -> MethodSettings:
        """Take settings, or some of them by name, such as ``{"steps": 200}``; UsageError for another name."""
        if isinstance(given, MethodSettings):
            return given
        there = [each.name for each in fields(cls)]
        for name in given or ():
            if name not in there:
                raise UsageError(f"there is no setting {name!r}; there is {', '.join(there)}")
        return cls(**(given or {}))


@dataclass(frozen=True, eq=False)
class Attribution:
    """What a method gives for a batch of excerpts.

    - ``values``: float32 [excerpts, time, mel]; positive where the excerpt speaks for the target. Methods
      whose values have no sign (Grad-CAM) are never negative.
    - ``facts``: name -> float64 [excerpts], what the method knows of its own quality, such as
      ``completeness_error``.
    """

    values: Floats = field(repr=False)
    facts: dict[str, Doubles] = field(default_factory=dict)


class Method(ABC):
    """A method of attribution for one network and target.

    UsageError at once, in a sentence, where it cannot explain them.
    """

    name: ClassVar[str]
    needs_gradients: ClassVar[bool] = False
    uses_fill: ClassVar[bool] = False

    def __init__(self, explained: Explained, settings: MethodSettings) -> None:
        if self.needs_gradients and explained.gradient_refusal:
            raise UsageError(f"method {self.name}: {explained.gradient_refusal}")
        self.explained = explained
        self.settings = settings

    @abstractmethod
    def __call__(self, excerpts: Excerpts) -> Attribution:
        """Explain the target in excerpts."""
