"""probe.csv: every target out of every layer, with its interval and its three controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actprobe.analyses.causal.probing.job import INPUT, MODEL, random_name
from actprobe.analyses.causal.probing.scores import CHANCE
from actprobe.analyses.causal.probing.scoring import Design, Probed, trials, usable_part
from actprobe.analyses.causal.probing.targets import Target
from actprobe.batch.progress import Progress
from actprobe.statistics.correlation import discovery_rates
from actprobe.statistics.intervals import percentile_interval

Indices = NDArray[np.int64]

PROBE_COLUMNS = (
    "layer", "target", "metric", "value", "low", "high", "permuted", "random_weights", "input", "n", "p", "q",
    "n_recordings", "dimensions", "over_random_low", "over_random_high", "over_input_low", "over_input_high",
    "note",
)  # fmt: skip


def probe_table(
    layers: Mapping[str, int],
    targets: Sequence[Target],
    groups: Indices,
    read: Callable[[str], NDArray[Any]],
    design: Design,
    *,
    random_seeds: int,
    has_input: bool,
) -> pd.DataFrame:
    """Probe layers, name -> neurons, in their order.

    ``groups`` [units]: units of one number are not independent. ``read`` gives the units of the input or of a
    layer of a network, [units, neurons], by the name that they have in shards.
    """
    parts = [usable_part(target, groups, design) for target in targets]
    tried = trials([part for part, _ in parts if part is not None], groups, design)
    found: dict[tuple[str, str], Probed] = {}
    names = [
        f"{name}/{layer}" for layer in layers for name in (MODEL, *map(random_name, range(random_seeds)))
    ]
    with Progress(len(names) + has_input, "probes") as progress:
        for name in [INPUT] * has_input + names:
            x = read(name)
            for trial in tried:
                probed = trial.probe(x, permuted=name.startswith(f"{MODEL}/"))
                found |= {
                    (name, target.name): each for target, each in zip(trial.targets, probed, strict=True)
                }
            progress.advance()
    rows = []
    for target, (part, note) in zip(targets, parts, strict=True):
        for layer, neurons in layers.items():
            row: dict[str, Any] = dict.fromkeys(PROBE_COLUMNS, math.nan)
            row |= {"layer": layer, "target": target.name, "metric": target.metric, "note": note}
            row |= {"dimensions": neurons, "n": 0, "n_recordings": 0}
            if part is not None:
                controls = [found[f"{random_name(i)}/{layer}", target.name] for i in range(random_seeds)]
                own, of_input = found[f"{MODEL}/{layer}", target.name], found.get((INPUT, target.name))
                row |= _figures(own, controls, of_input, CHANCE[target.metric])
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(PROBE_COLUMNS))
    for target in targets:
        mine = table["target"] == target.name
        table.loc[mine, "q"] = discovery_rates(table.loc[mine, "p"].to_numpy(np.float64))
    return table


def _figures(
    own: Probed, controls: Sequence[Probed], of_input: Probed | None, chance: float
) -> dict[str, Any]:
    """Put together what a row says; a control below ``chance`` counts as chance in differences."""
    row: dict[str, Any] = {"n": own.units, "n_recordings": own.groups, "value": own.value}
    row["low"], row["high"] = percentile_interval(own.resampled, own.groups)
    if len(own.permuted):
        row["permuted"] = float(own.permuted.mean())
        row["p"] = (1 + int((own.permuted >= own.value).sum())) / (1 + len(own.permuted))
    others = {"random": controls, "input": [] if of_input is None else [of_input]}
    for name, column in (("random", "random_weights"), ("input", "input")):
        if others[name]:
            row[column] = float(np.mean([each.value for each in others[name]]))
            control = np.mean([np.maximum(each.resampled, chance) for each in others[name]], axis=0)
            ends = percentile_interval(own.resampled - control, own.groups)
            row[f"over_{name}_low"], row[f"over_{name}_high"] = ends
    return row
