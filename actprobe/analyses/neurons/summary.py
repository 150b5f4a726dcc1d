"""A neuron run, or a comparison of two, in words for the terminal and in counts for run.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from actprobe.analyses.neurons.figures import best_neurons
from actprobe.analyses.neurons.found import Comparison, NeuronFindings
from actprobe.batch.prepare import PARTLY_FILLED
from actprobe.statistics.criteria import CONTROL, Q_LIMIT, follows

NAMED_FAILURES = 20
NAMED_ALONE = 10  # recordings that one of two runs has


@dataclass(frozen=True)
class Summary:
    """What was found, in words and in numbers.

    Parameters
    ----------
    text : str
        Lines for the terminal.
    counts : dict
        What was counted, JSON-able.
    """

    text: str
    counts: dict[str, Any]


def neuron_summary(run: NeuronFindings, best: int = 5) -> Summary:
    """Say what a run found, what failed and what is constant, naming the best neurons of each feature."""
    failed = run.recordings[run.recordings["status"] == "failed"]
    warned = run.recordings[run.recordings["warning"] != ""]
    usable = len(run.recordings) - len(failed)
    own = run.layers[run.layers["weights"] == "model"]
    constant = {
        str(layer): int(count) for layer, count in own.groupby("layer", sort=False)["constant"].min().items()
    }
    counts = {
        "recordings": {"usable": usable, "failed": len(failed), "with_warning": len(warned)},
        "constant_neurons": constant,
    }
    lines = []
    for feature, values in run.features.items():
        rows = run.table[run.table["feature"] == feature]
        tested = int(rows["p"].notna().sum())
        significant = int(follows(rows).sum())
        known = values[np.isfinite(values)]
        if not len(known):
            lines.append(f"{feature}: no {run.record['unit']} has a value of it, see recordings.csv")
            continue
        some = "" if len(known) == len(values) else f", known of {len(known)} of {len(values)}"
        lines.append(f"{feature} ({known.min():.3g} to {known.max():.3g}{some}): ")
        if tested == 0:
            lines[-1] += "nothing to compare (too few recordings, or all alike)"
            continue
        lines[-1] += f"{significant} of {tested} neurons follow it at q <= {Q_LIMIT}; the strongest:"
        lines += [_line(row) for row in best_neurons(run.table, feature, best)]
        lines += _worth(rows["n"], run.detail.loc[rows.index], run.record)
        lines += _chance(own[own["feature"] == feature], run.layers[run.layers["feature"] == feature])
    example_seconds = run.record["frontend"]["example_seconds"]
    short = int((run.recordings["seconds"] < PARTLY_FILLED * example_seconds).sum())
    if short and run.record["frontend"]["padding"] == "zeros":
        lines.append(
            f"{short} recordings fill less than half of their example of {example_seconds:.2f} s; the rest "
            "is zeros, so their averages depend on their length too (--padding=repeat avoids it)"
        )
    if any(constant.values()):
        told = ", ".join(f"{count} of {layer}" for layer, count in constant.items() if count)
        lines.append(f"constant over all recordings, so without a correlation: {told}")
    lines += [f"warning: {found['warning']}" for found in run.record.get("dependences", ())]
    lines.append(f"recordings: {usable} usable, {len(failed)} failed, {len(warned)} with a warning")
    lines += [f"  failed: {row.path}: {row.reason}" for row in failed.head(NAMED_FAILURES).itertuples()]
    if len(failed) > NAMED_FAILURES:
        lines.append(f"  ... and {len(failed) - NAMED_FAILURES} more, see recordings.csv")
    if run.record["weights"]["kind"] == "seeded random":
        lines.append(CONTROL)
    return Summary("\n".join(lines), counts)


def comparison_summary(found: Comparison) -> Summary:
    """Say which layers are alike, how many units have a partner and what could not be matched."""
    lines = [f"{found.recordings} recordings in common; A is {found.names[0]}, B is {found.names[1]}"]
    partners = []
    for (layer_a, layer_b), units in found.alignment.groupby(["layer_a", "layer_b"], sort=False):
        pair = found.cka[(found.cka["layer_a"] == layer_a) & (found.cka["layer_b"] == layer_b)].iloc[0]
        known = units[units["r"].notna()]
        partners.append(
            {
                "layer_a": layer_a,
                "layer_b": layer_b,
                "units": len(units),
                "compared": len(known),
                "with_partner": int(follows(known).sum()),
                "mutual": int((known["mutual"] & follows(known)).sum()),
            }
        )
        lines.append(_pair_line(partners[-1], pair, known))
    for name, mine in (("A", found.only_a), ("B", found.only_b)):
        if mine:
            lines.append(f"{len(mine)} recordings are usable in {name} only:")
            lines += [f"  {path}" for path in mine[:NAMED_ALONE]]
            if len(mine) > NAMED_ALONE:
                lines.append(f"  ... and {len(mine) - NAMED_ALONE} more, see run.json")
    recordings = {"common": found.recordings, "only_a": found.only_a, "only_b": found.only_b}
    return Summary("\n".join(lines), {"recordings": recordings, "partners": partners})


def _line(row: dict[str, Any]) -> str:
    known = np.isfinite(row["r_low"])
    interval = f"[{row['r_low']:+.3f}, {row['r_high']:+.3f}]" if known else "[no interval]"
    name = f"{row['layer']:>12} {row['neuron']:>5}"
    line = f"  {name}  r {row['r']:+.3f} {interval}  q {row['q']:.2g}"
    if np.isfinite(row["p_max"]):
        line += f"  p_max {row['p_max']:.2g}"
    if np.isfinite(row["r_random"]):
        line += f"  random weights {row['r_random']:+.3f}"
    return f"{line}  n {row['n']}"


def _worth(units: pd.Series[int], detail: pd.DataFrame, record: Mapping[str, Any]) -> list[str]:
    """Say what the units are worth where they come from fewer recordings, or from groups of recordings."""
    count, recordings = int(units.max()), int(detail["recordings"].max())
    worth = detail["n_effective"].dropna()
    if count == recordings or worth.empty:
        return []
    grouped = record.get("group_by")
    sources = f"groups of recordings (--group_by={grouped})" if grouped else "recordings"
    line = (
        f"  the {count} units come from {recordings} {sources}: for p and interval they are worth "
        f"{worth.min():.0f} to {worth.max():.0f} independent ones (median {worth.median():.0f})"
    )
    return [line]


def _chance(own: pd.DataFrame, layers: pd.DataFrame) -> list[str]:
    """Say for each layer what its best neuron reaches under permutation and with random weights."""
    lines = []
    for row in own[own["best_r"].notna()].to_dict("records"):
        random = layers[(layers["layer"] == row["layer"]) & (layers["weights"] != "model")]
        parts = []
        if row["permutations"]:
            parts.append(
                f"{row['above_null']} of {row['neurons']} neurons are above {row['null_95']:.3f}, the 95th "
                "percentile of max |r| under permutation"
            )
        if len(random):
            reached = ", ".join(f"{r:.3f}" for r in random["best_r"].abs())
            counts = ", ".join(str(count) for count in random["above_null"].dropna())
            above = f" ({counts} above their own percentile)" if counts else ""
            parts.append(
                f"with random weights max |r| is {reached}{above}; {row['above_random']} neurons of the "
                "model are stronger"
            )
        if parts:
            lines.append(f"  {row['layer']}: {'; '.join(parts)}")
    return lines


def _pair_line(counts: dict[str, Any], pair: pd.Series[Any], known: pd.DataFrame) -> str:
    median = f"{known['r'].abs().median():.2f}" if len(known) else "unknown"
    return (
        f"  {counts['layer_a']:>12} and {counts['layer_b']:<12} CKA {pair['cka']:.3f}, debiased "
        f"{pair['cka_debiased']:+.3f}; {counts['with_partner']} of {counts['compared']} units of A have a "
        f"partner at q <= {Q_LIMIT} ({counts['mutual']} mutual), median |r| {median}"
    )
