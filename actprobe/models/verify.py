"""Parity: does a port compute what the original computed, layer by layer?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.models.golden import Golden
from actprobe.models.golden_parts import Part
from actprobe.models.model import Model


@dataclass(frozen=True)
class LayerParity:
    """How far one layer is from the original.

    - `compared`: what of it the golden file holds, in words
    - `values`: how many numbers were compared
    - `max_absolute`: largest absolute difference of a value; of a statistic where the file holds nothing else
    - `max_relative`: largest difference relative to the largest golden value of its array; for means and sums
      of channels, which may cancel, to the largest mean or sum of absolute values
    - `passed`: whether all of it is within the tolerance
    - `faults`: what could not be compared, such as an array of another shape
    """

    layer: str
    compared: tuple[str, ...]
    values: int
    max_absolute: float
    max_relative: float
    passed: bool
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parity:
    """A port held against a golden file.

    `weights` describes them in one line; `examples` is how many went through the network;
    `relative_tolerance` is what `LayerParity.max_relative` may be. Of the layers in `missing` the file holds
    nothing; its arrays in `unused` belong to no layer.
    """

    model: str
    weights: str
    golden: str
    examples: int
    relative_tolerance: float
    layers: tuple[LayerParity, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether something was compared and all of it is within the tolerance."""
        return bool(self.layers) and all(layer.passed for layer in self.layers)

    def describe(self) -> dict[str, Any]:
        """Give the report as JSON-able values, for report.json; a difference that is not finite is None."""

        def finite(number: float) -> float | None:
            return number if np.isfinite(number) else None

        return {
            **{key: value for key, value in vars(self).items() if key != "layers"},
            "passed": self.passed,
            "layers": [
                {
                    **vars(layer),
                    "max_absolute": finite(layer.max_absolute),
                    "max_relative": finite(layer.max_relative),
                }
                for layer in self.layers
            ],
        }

    def __str__(self) -> str:
        """Format the report for a terminal."""
        header = ("layer", "values", "max abs diff", "max rel diff", "", "compared")
        lines = [header] + [
            (
                layer.layer,
                str(layer.values),
                f"{layer.max_absolute:.3g}",
                f"{layer.max_relative:.3g}",
                "pass" if layer.passed else "FAIL",
                "; ".join([*layer.compared, *layer.faults]),
            )
            for layer in self.layers
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        good = f"{sum(layer.passed for layer in self.layers)} of {len(self.layers)} layers"
        verdict = f"{'PASS' if self.passed else 'FAIL'}: {good} within {self.relative_tolerance:g} relative"
        return "\n".join(
            [
                f"{self.model}, {self.weights}, against {self.golden} ({self.examples} examples)",
                *(table if self.layers else ["nothing to compare: the file holds no layer of this network"]),
                *([f"not in the file: {', '.join(self.missing)}"] if self.missing else []),
                *([f"no layer of this network: {', '.join(self.unused)}"] if self.unused else []),
                verdict,
            ]
        )


@dataclass
class _Measured:
    """What was found of a part so far."""

    part: Part
    values: int = 0
    absolute: float = 0.0
    size: float = 0.0

    def add(self, activations: NDArray[np.float32], start: int) -> None:
        """Compare with the activations of the examples from `start` on."""
        begin = max(start, self.part.first)
        end = min(start + len(activations), self.part.first + len(self.part.values))
        if begin >= end:
            return
        mine = activations[begin - start : end - start]
        ours = self.part.take(mine).astype(np.float64)
        golden = self.part.values[begin - self.part.first : end - self.part.first].astype(np.float64)
        difference = np.abs(ours - golden)
        worst = float(difference.max()) if np.isfinite(difference).all() else np.inf
        measure = np.abs(golden).max() if self.part.size is None else self.part.size(mine)
        self.values += golden.size
        self.absolute = max(self.absolute, worst)
        self.size = max(self.size, float(np.nan_to_num(measure)))

    @property
    def relative(self) -> float:
        if self.absolute == 0:
            return 0.0
        return self.absolute / self.size if self.size else np.inf


def verify(model: Model, golden: Golden, *, relative_tolerance: float = 1e-4, batch_size: int = 4) -> Parity:
    """Run the examples of a golden file through a model and compare every layer that it holds.

    `golden` is what `actprobe.models.golden.read_golden` gave for this model; for `relative_tolerance` see
    `LayerParity`.
    """
    measured = [_Measured(part) for part in golden.parts if not part.fault and len(part.values)]
    needed = list(dict.fromkeys(one.part.layer for one in measured))
    start = 0
    for batch in model.iter_activations(golden.examples, needed, batch_size=batch_size) if needed else ():
        for one in measured:
            one.add(batch[one.part.layer], start)
        start += len(batch[needed[0]])
    touched = {part.layer for part in golden.parts}
    layers = tuple(
        _layer(
            name,
            [part for part in golden.parts if part.layer == name],
            [one for one in measured if one.part.layer == name],
            relative_tolerance,
        )
        for name in model.layers
        if name in touched
    )
    return Parity(
        model=model.name,
        weights=str(model.weights),
        golden=str(golden.path),
        examples=len(golden.examples),
        relative_tolerance=relative_tolerance,
        layers=layers,
        missing=tuple(name for name in model.layers if name not in touched),
        unused=golden.unused,
    )


def _layer(name: str, parts: Iterable[Part], measured: list[_Measured], tolerance: float) -> LayerParity:
    faults = tuple(f"{part.entry} {part.fault}" for part in parts if part.fault)
    direct = [one for one in measured if not one.part.statistic] or measured
    relative = max((one.relative for one in measured), default=0.0)
    return LayerParity(
        layer=name,
        compared=tuple(one.part.what for one in measured),
        values=sum(one.values for one in measured),
        max_absolute=max((one.absolute for one in direct), default=0.0),
        max_relative=relative,
        passed=not faults and bool(measured) and relative <= tolerance,
        faults=faults,
    )
