"""What is known of each neuron from several analyses: does it follow, respond, detect, matter?

A neuron run says which feature a neuron follows, tuning curves whether it responds when the factor behind
that feature alone is changed, dissection which concept its map marks, and ablation whether the network's
outputs need it. Each is judged by the analysis' own test; what was not run is unknown and not false.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from actprobe.explorer.reading import ShownRun, read_from
from actprobe.statistics.criteria import Q_LIMIT
from actprobe.statistics.permutation import ALPHA

SHOWN = 6  # neurons that are named in a sentence
KINDS = ("neurons", "tuning", "dissection", "ablation")
COLUMNS = (
    "model", "layer", "neuron", "feature", "r", "p_max", "follows", "factor", "r2", "tuning_q",
    "tuning_random", "responds", "concept", "iou", "dissection_q", "detects", "target", "metric", "change",
    "ablation_q", "matters", "verdict",
)  # fmt: skip
JUDGED = ("follows", "responds", "detects", "matters")

Key = tuple[str, str, int]  # network, layer, neuron
Facts = dict[Key, dict[str, Any]]


def evidence(runs: Sequence[ShownRun]) -> pd.DataFrame:
    """Join what the runs of a page say of each neuron; empty for fewer than two kinds of analyses.

    One row a neuron of the layers that at least two kinds of analyses have, those with most evidence first.
    Runs of one network with other weights are not joined.
    """
    networks: dict[tuple[Any, ...], list[ShownRun]] = {}
    for run in runs:
        if run.kind in KINDS:
            weights = run.record.get("weights", {})
            networks.setdefault((run.model, weights.get("sha256"), weights.get("seed")), []).append(run)
    rows = [row for of_network in networks.values() for row in _rows(of_network)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in JUDGED:
        table[name] = table[name].astype("boolean")
    strength = table[list(JUDGED)].fillna(value=False).astype(int).sum(axis=1)
    order = (strength + table["r"].abs().fillna(0) / 2).sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _rows(runs: Sequence[ShownRun]) -> list[dict[str, Any]]:
    """Join the runs of one network."""
    by_kind = {kind: [run for run in runs if run.kind == kind] for kind in KINDS}
    followed = _together(by_kind["neurons"], _followed)
    features = {key: str(facts["feature"]) for key, facts in followed.items()}
    found = {
        "neurons": followed,
        "tuning": _together(by_kind["tuning"], lambda run: _responding(run, features)),
        "dissection": _together(by_kind["dissection"], _detecting),
        "ablation": _together(by_kind["ablation"], _mattering),
    }
    layers: dict[tuple[str, str], set[str]] = {}
    for kind, facts in found.items():
        for model, layer, _ in facts:
            layers.setdefault((model, layer), set()).add(kind)
    keys = dict.fromkeys(key for facts in found.values() for key in facts if len(layers[key[:2]]) > 1)
    rows = []
    for key in keys:
        row: dict[str, Any] = dict(zip(("model", "layer", "neuron"), key, strict=True))
        for facts in found.values():
            row |= facts.get(key, {})
        rows.append({**row, "verdict": verdict(row)})
    return rows


def verdict(row: Mapping[str, Any]) -> str:
    """Say in words what holds of a neuron: ``follows loudness, responds to level, matters``."""
    told = []
    if (follows := row.get("follows")) is not None:
        told.append(f"follows {row['feature']}" if follows else "follows no tested feature")
    if (responds := row.get("responds")) is not None:
        told.append(f"{'responds' if responds else 'does not respond'} to {row['factor']}")
    if row.get("detects"):
        told.append(f"detects {row['concept']}")
    if (matters := row.get("matters")) is not None:
        unused = "is not used" if row.get("idle") else "is not shown to matter"
        told.append("matters" if matters else unused)
    return ", ".join(told)


def told(table: pd.DataFrame) -> str:
    """Say in a sentence which neurons follow, respond and matter, and which only follow; empty for none."""
    follow, matter = (table[name].fillna(value=False) for name in ("follows", "matters"))
    respond = table["responds"].fillna(value=True)
    idle = follow & ~table["matters"].fillna(value=True)
    used = table[follow & respond & matter]
    parts = [
        f"Neurons that follow a feature, respond when a factor changes, and matter: {_counted(used)}",
        f"those that follow a feature and are not shown to matter: {_counted(table[idle])}",
    ]
    return f"{'; '.join(parts)}." if follow.any() and table["matters"].notna().any() else ""


def _counted(rows: pd.DataFrame) -> str:
    names = [f"{row['layer']}/{row['neuron']}" for row in rows[:SHOWN].to_dict("records")]
    more = ", ..." if len(rows) > SHOWN else ""
    return f"{len(rows)} ({', '.join(names)}{more})" if names else "none"


def _together(runs: Sequence[ShownRun], read: Callable[[ShownRun], Facts]) -> Facts:
    """Read several runs of a kind; of a neuron that two of them have, the first counts."""
    found: Facts = {}
    for run in runs:
        found = {**read_from(run, read), **found}
    return found


def _followed(run: ShownRun) -> Facts:
    """Give the feature that each neuron follows most: among those beyond the null, else among all."""
    table = run.table[run.table["r"].notna()].copy()
    permuted = table["p_max"].notna()
    table["follows"] = (table["p_max"] <= ALPHA).where(permuted, table["q"] <= Q_LIMIT)
    table["size"] = table["r"].abs() + table["follows"]
    best = table.sort_values("size", ascending=False, kind="stable").drop_duplicates(["layer", "neuron"])
    return {
        (run.model, str(row["layer"]), int(row["neuron"])): {
            "feature": row["feature"], "r": row["r"], "p_max": row["p_max"], "follows": bool(row["follows"]),
        }
        for row in best.to_dict("records")
    }  # fmt: skip


def _responding(run: ShownRun, features: Mapping[Key, str]) -> Facts:
    """Judge each neuron by the factors that move the feature it follows, or by all where none does."""
    moved = run.record["features"]
    table = run.table[run.table["r2"].notna()].copy()
    keys = [(run.model, str(row["layer"]), int(row["neuron"])) for row in table.to_dict("records")]
    wanted = [features.get(key) for key in keys]
    table["fits"] = [
        feature is not None and moved.get(factor) == feature
        for factor, feature in zip(table["factor"], wanted, strict=True)
    ]
    best = table.sort_values(["fits", "r2"], ascending=False, kind="stable")
    best = best.drop_duplicates(["layer", "neuron"])
    return {
        (run.model, str(row["layer"]), int(row["neuron"])): {
            "factor": row["factor"], "r2": row["r2"], "tuning_q": row["q"],
            "tuning_random": row["random"], "responds": bool(row["q"] <= Q_LIMIT),
        }
        for row in best.to_dict("records")
    }  # fmt: skip


def _detecting(run: ShownRun) -> Facts:
    """Give the concept that each unit detects, or comes closest to."""
    table = run.table[run.table["iou"].notna()].copy()
    table["size"] = table["iou"] + table["detector"].astype(float)
    best = table.sort_values("size", ascending=False, kind="stable").drop_duplicates(["layer", "unit"])
    return {
        (run.model, str(row["layer"]), int(row["unit"])): {
            "concept": row["concept"], "iou": row["iou"], "dissection_q": row["q"],
            "detects": bool(row["detector"]),
        }
        for row in best.to_dict("records")
    }  # fmt: skip


def _mattering(run: ShownRun) -> Facts:
    """Give the change without each unit with the first fill, of the output with the smallest q.

    That q is multiplied by the number of outputs that were searched (Bonferroni).
    A unit is idle if no output changes at all without it: a metric may stay while outputs change.
    """
    table = run.table[run.table["kind"] == "unit"]
    table = table[table["fill"] == table["fill"].iloc[0]].copy()
    moved = table.groupby(["layer", "units"])["absolute_change"].max()
    labelled = table["metric"] != ""
    table = table[labelled if labelled.any() else ~labelled]
    first = table["metric"].iloc[0]
    table = table[table["metric"] == first]
    value, q = ("metric_change", "metric_q") if first else ("change", "q")
    table[q] = (table[q] * table["target"].nunique()).clip(upper=1)
    table["size"] = table[q].fillna(1.0) - 1e-6 * table[value].abs().clip(upper=1).fillna(0)
    best = table.sort_values("size", kind="stable").drop_duplicates(["layer", "units"])
    return {
        (run.model, str(row["layer"]), int(row["units"])): {
            "target": row["label"] or row["target"], "metric": first, "change": row[value],
            "ablation_q": row[q], "matters": bool(row[q] <= Q_LIMIT),
            "idle": bool(moved[row["layer"], row["units"]] == 0),
        }
        for row in best.to_dict("records")
    }  # fmt: skip
