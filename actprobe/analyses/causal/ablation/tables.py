"""ablation.csv and the values of the random sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.causal.ablation.changes import Changes
from actprobe.analyses.causal.ablation.sets import LEAST, RANDOM, TOP, UNIT, UnitSet
from actprobe.analyses.causal.ablation.settings import AblationSettings
from actprobe.analyses.causal.ablation.survey import Survey
from actprobe.models.target import Target
from actprobe.statistics.intervals import percentile_interval, resample
from actprobe.statistics.paired import constancy, flipped

Doubles = NDArray[np.float64]

COLUMNS = (
    "layer", "units", "kind", "feature", "k", "fill", "n", "change", "low", "high", "metric", "metric_change",
    "metric_low", "metric_high", "target", "label", "absolute_change", "p", "q", "metric_value", "metric_p",
    "metric_q", "fill_distance",
)  # fmt: skip
SET_COLUMNS = (
    "layer", "feature", "k", "fill", "target", "units", "change", "metric", "metric_change"
)  # fmt: skip
BAND = (0.025, 0.975)  # of the random sets


@dataclass(frozen=True)
class LayerAblation:
    """What is known of a layer with one fill: its sets, the masks that they are, and what came out.

    ``masks`` [sets]: row of each set among the masks.
    """

    layer: str
    fill: str
    sets: Sequence[UnitSet]
    masks: NDArray[np.int64]
    changes: Changes
    survey: Survey


@dataclass(frozen=True)
class _Tested:
    """Changes of many masks, [recordings, masks], as columns [masks]."""

    value: Doubles
    low: Doubles
    high: Doubles
    n: int

    @classmethod
    def of(cls, parts: Doubles, weights: Doubles) -> _Tested:
        count = len(parts)
        ends = [percentile_interval(each, count) for each in (weights @ parts / count).T]
        low, high = np.array(ends, np.float64).reshape(-1, 2).T
        return cls(parts.mean(axis=0), low, high, count)


def ablation_tables(
    found: Sequence[LayerAblation], targets: Sequence[Target], settings: AblationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lay out ablation.csv and ablation_sets.parquet, a row for each random set."""
    rows: list[dict[str, Any]] = []
    sets: list[dict[str, Any]] = []
    for each in found:
        for number, target in enumerate(targets):
            of_output = {
                "layer": each.layer, "fill": each.fill, "target": str(target), "label": target.label,
            }  # fmt: skip
            for metric in each.changes.metrics(number) or ("",):
                made = _OutputRows(each, number, metric, settings)
                rows += [of_output | row for row in made.rows()]
                sets += [of_output | row for row in made.random_rows()]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table, pd.DataFrame(sets, columns=list(SET_COLUMNS))


class _OutputRows:
    """The rows of one layer, fill, output and metric."""

    def __init__(self, found: LayerAblation, output: int, metric: str, settings: AblationSettings) -> None:
        self.found, self.output, self.metric, self.settings = found, output, metric, settings
        changes = found.changes
        self.change = changes.change[:, :, output]
        self.absolute = changes.absolute[:, :, output].mean(axis=0)
        self.metric_values = np.full(int(found.masks.max(initial=0)) + 1, np.nan)
        if metric:
            masks = np.unique(np.concatenate([[0], found.masks]))
            self.metric_values[masks] = changes.metric_values(metric, output, masks)

    def rows(self) -> Iterator[dict[str, Any]]:
        places = [i for i, each in enumerate(self.found.sets) if each.kind != RANDOM]
        masks = self.found.masks[places]
        tested = self._tested(self.change[:, masks])
        parts = None
        metric = None
        if self.metric:
            parts = self.found.changes.metric_changes(self.metric, self.output, masks)
            metric = self._tested(parts)
        units = [i for i, place in enumerate(places) if self.found.sets[place].kind == UNIT]
        p, q = self._corrected(self.change[:, masks[units]])
        metric_p, metric_q = self._corrected(None if parts is None else parts[:, units])
        by_place = {i: place for place, i in enumerate(units)}
        for i, place in enumerate(places):
            chosen = self.found.sets[place]
            row = self._row(chosen, int(masks[i]), tested, metric, i)
            if i in by_place:
                of_unit = by_place[i]
                row |= {"p": p[of_unit], "q": q[of_unit]}
                row |= {"metric_p": metric_p[of_unit], "metric_q": metric_q[of_unit]}
            elif chosen.kind == TOP:
                row |= self._against_random(chosen, row)
            yield row
            if chosen.kind == LEAST and self._random(chosen):
                yield self._band(chosen)

    def random_rows(self) -> Iterator[dict[str, Any]]:
        for place, chosen in enumerate(self.found.sets):
            if chosen.kind == RANDOM:
                mask = int(self.found.masks[place])
                yield {
                    "feature": chosen.feature, "k": chosen.k, "units": _text(chosen),
                    "change": float(self.change[:, mask].mean()), "metric": self.metric,
                    "metric_change": float(self.metric_values[mask] - self.metric_values[0]),
                }  # fmt: skip

    def _tested(self, parts: Doubles) -> _Tested:
        return _Tested.of(parts, resample(len(parts), seed=self.settings.seed))

    def _corrected(self, parts: Doubles | None) -> tuple[Doubles, Doubles]:
        """Test single units: family-wise p, and false discovery rate."""
        if parts is None:
            count = sum(each.kind == UNIT for each in self.found.sets)
            return np.full(count, np.nan), np.full(count, np.nan)
        settings = self.settings
        null = flipped(parts, permutations=settings.permutations, seed=settings.seed)
        r = constancy(parts)
        return null.p(r), null.q(r)

    def _row(
        self, chosen: UnitSet, mask: int, tested: _Tested, metric: _Tested | None, i: int
    ) -> dict[str, Any]:
        row = {
            "units": _text(chosen), "kind": chosen.kind, "feature": chosen.feature, "k": chosen.k,
            "n": tested.n, "change": tested.value[i], "low": tested.low[i], "high": tested.high[i],
            "absolute_change": self.absolute[mask], "metric": self.metric,
            "fill_distance": self.found.survey.distance(self.found.fill, chosen.units),
        }  # fmt: skip
        if metric is not None:
            row |= {
                "metric_value": self.metric_values[mask],
                "metric_change": self.metric_values[mask] - self.metric_values[0],
                "metric_low": metric.low[i], "metric_high": metric.high[i],
            }  # fmt: skip
        return row

    def _random(self, chosen: UnitSet) -> list[int]:
        return [
            int(self.found.masks[place])
            for place, each in enumerate(self.found.sets)
            if each.kind == RANDOM and (each.feature, each.k) == (chosen.feature, chosen.k)
        ]

    def _against_random(self, chosen: UnitSet, row: dict[str, Any]) -> dict[str, Any]:
        """Say which share of the random sets changes at least as much, the set itself counted among them."""
        masks = self._random(chosen)
        if not masks:
            return {}
        random = np.abs(self.change[:, masks].mean(axis=0))
        found: dict[str, Any] = {"p": _share(random, abs(row["change"]))}
        if self.metric:
            random = np.abs(self.metric_values[masks] - self.metric_values[0])
            found["metric_p"] = _share(random, abs(row["metric_change"]))
        return found

    def _band(self, chosen: UnitSet) -> dict[str, Any]:
        """Sum the random sets up: their median, and the band that 95 % of them lie in."""
        masks = self._random(chosen)
        values = self.change[:, masks].mean(axis=0)
        low, high = np.quantile(values, BAND)
        row: dict[str, Any] = {
            "units": "", "kind": RANDOM, "feature": chosen.feature, "k": chosen.k, "n": len(self.change),
            "change": np.median(values), "low": low, "high": high,
            "absolute_change": np.median(self.absolute[masks]), "metric": self.metric,
        }  # fmt: skip
        if self.metric:
            changes = self.metric_values[masks] - self.metric_values[0]
            low, high = np.quantile(changes, BAND)
            row |= {
                "metric_change": np.median(changes), "metric_low": low, "metric_high": high,
                "metric_value": np.median(self.metric_values[masks]),
            }  # fmt: skip
        return row


def _share(random: Doubles, size: float) -> float:
    return float((1 + np.count_nonzero(random >= size)) / (1 + len(random)))


def _text(chosen: UnitSet) -> str:
    return " ".join(map(str, chosen.units))
