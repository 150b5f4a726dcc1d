"""What a run found, in one sentence computed from its tables, and what limits it."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from actprobe.analyses.inversion.evaluation.baselines import MEAN_EXCERPT
from actprobe.analyses.inversion.evaluation.readout.ridge import READOUT
from actprobe.explorer.reading import ShownRun
from actprobe.statistics.criteria import Q_LIMIT, beats_null, follows

FEW = 10  # recordings
FDR = f"at a false discovery rate of {100 * Q_LIMIT:.0f} % per layer"
PERCENTILE = "95th percentile of max |r| under permutation"


def finding(run: ShownRun) -> str:
    """Say what a run found; empty when there is nothing to say."""
    match run.kind:
        case "neurons":
            return _neurons(run)
        case "maps":
            return _maps(run)
        case "evaluation":
            return _evaluation(run)
        case "inversion":
            return _inversion(run)
        case "attribution":
            return _attribution(run)
        case "attribution_scores":
            return _attribution_scores(run)
        case "excitation":
            return _excitation(run)
        case "tuning" | "dissection" | "ablation" | "probe":
            return _causal(run)
        case _:
            return ""


def cautions(run: ShownRun) -> list[str]:
    """Say what limits a finding: few recordings, a missing null, random weights that do as well."""
    return [*_warned(run), *_limits(run)]


def strongest(table: pd.DataFrame) -> pd.Series | None:
    """Give the row of neurons.csv with the strongest correlation, in either direction; None without one."""
    told = table[table["r"].notna()]
    return None if told.empty else told.iloc[int(told["r"].abs().argmax())]


def best_match(table: pd.DataFrame) -> pd.Series | None:
    """Give the row of maps.csv whose score is the farthest above its null; None where none was compared."""
    told = table[table["score"].notna() & table["score_null"].notna()]
    return None if told.empty else told.iloc[int((told["score"] - told["score_null"]).argmax())]


def levels_of(run: ShownRun, layer: str, feature: str) -> tuple[float | None, list[float]]:
    """Give the null of a layer's max |r|, if permuted, and the largest r of each set of random weights."""
    levels = run.frame("layers.csv")
    if levels.empty:
        return None, []
    rows = levels[(levels["layer"] == layer) & (levels["feature"] == feature)]
    null = rows.loc[rows["weights"] == "model", "null_95"].dropna()
    random = rows.loc[rows["weights"] != "model", "best_r"].dropna()
    return (float(null.iloc[0]) if len(null) else None), [float(r) for r in random]


def mean_excerpt(run: ShownRun) -> float | None:
    """Give the NRE of the mean excerpt in an evaluation; None when it was not computed."""
    detail = _nre_detail(run)
    rows = detail[detail["method"] == MEAN_EXCERPT] if len(detail) else detail
    return float(rows["value"].iloc[0]) if len(rows) else None


def _neurons(run: ShownRun) -> str:
    table = run.table
    best = strongest(table)
    if best is None:
        return "No neuron could be compared with a feature: too few recordings, or all alike."
    counts = [
        f"{int(follows(rows).sum())} of {len(rows)} {'neurons correlate ' if not i else ''}with {feature}"
        + _fewer(rows, table)
        for i, (feature, rows) in enumerate(table.groupby("feature", sort=False))
    ]
    interval = ""
    if pd.notna(best["r_low"]):
        interval = f" (95 % interval {best['r_low']:.2f} to {best['r_high']:.2f})"
    null, _ = levels_of(run, best["layer"], best["feature"])
    against = ""
    if null is not None:
        side = "above" if abs(best["r"]) > null else "below"
        against = f", {side} the {PERCENTILE} ({null:.2f})"
    return (
        f"Over {int(table['n'].max())} {run.record.get('unit', 'recording')}s, {listed(counts)} {FDR}; the "
        f"strongest is neuron {best['neuron']} of {best['layer']} with {best['feature']}, "
        f"r = {best['r']:.2f}{interval}{against}."
    )


def _fewer(rows: pd.DataFrame, told: pd.DataFrame) -> str:
    """Say over how many a feature is known that is not known over all."""
    return "" if rows["n"].max() == told["n"].max() else f" (over {rows['n'].max()})"


def _maps(run: ShownRun) -> str:
    table = run.table
    best = best_match(table)
    if best is None:
        return "No activation map could be compared with a feature."
    counts = [
        f"{int(beats_null(rows).sum())} of {len(rows)} {'channels match ' if not i else ''}{feature}"
        + _fewer(rows, table)
        for i, (feature, rows) in enumerate(table.groupby("feature", sort=False))
    ]
    return (
        f"Over {int(table['n'].max())} recordings, {listed(counts)} better than they match other recordings "
        f"{FDR}; the best match is channel {best['channel']} of {best['layer']} with {best['feature']}, "
        f"score {best['score']:.3f} against {best['score_null']:.3f} for other recordings."
    )


def _evaluation(run: ShownRun) -> str:
    table = run.table[run.table["method"] != READOUT]
    parts = []
    for method, rows in table.groupby("method", sort=False):
        low, high = rows.iloc[int(rows["nre"].argmin())], rows.iloc[int(rows["nre"].argmax())]
        text = f"the NRE is {low['nre']:.2f} from {low['layer']}"
        if len(rows) > 1:
            text = (
                f"the NRE is lowest from {low['layer']} ({low['nre']:.2f}) and highest from {high['layer']} "
                f"({high['nre']:.2f})"
            )
        parts.append(text if len(set(table["method"])) == 1 else f"with {method}, {text}")
    mean, held = mean_excerpt(run), _nre_detail(run, MEAN_EXCERPT)
    held = held[held["method"] != READOUT] if len(held) else held
    if mean is not None and len(held):
        better = int((held["high"] < 0).sum())
        parts.append(
            f"{better} of {len(held)} inversions have a lower NRE than the {MEAN_EXCERPT} ({mean:.2f}), with "
            "a 95 % interval of the difference below 0"
        )
    held = _nre_detail(run, READOUT)
    if len(held):
        better = int((held["high"] < 0).sum())
        parts.append(f"{better} of {len(held)} likewise have a lower one than the {READOUT} of their layer")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _nre_detail(run: ShownRun, against: str = "") -> pd.DataFrame:
    """Read the NRE of inversions and baselines from nre_detail.csv, or its differences to one method."""
    detail = run.frame("nre_detail.csv")
    if detail.empty:
        return detail
    return detail[(detail["measure"] == "nre") & (detail["class"] == "all") & (detail["against"] == against)]


def _inversion(run: ShownRun) -> str:
    facts = {name: each for name, each in run.record.get("layers", {}).items() if name != "input"}
    errors = {name: float(each["error"]) for name, each in facts.items() if each.get("error") is not None}
    if not errors:
        return ""
    best, worst = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    text = f"The inversion from {best} has an error of {errors[best]:.2f}"
    if worst != best:
        text = (
            f"The inversion from {best} has the lowest error, {errors[best]:.2f}, and that from {worst} the "
            f"highest, {errors[worst]:.2f}"
        )
    original = run.record["layers"].get("input", {}).get("output")
    outputs = [float(each["output"]) for each in facts.values() if each.get("output") is not None]
    if original is not None and outputs:
        span = f"{min(outputs):.2f} to {max(outputs):.2f}" if len(outputs) > 1 else f"{outputs[0]:.2f}"
        text += f"; the output is {original:.2f} for the excerpt and {span} for its inversions"
    return f"{text}."


def _attribution(run: ShownRun) -> str:
    table = run.table
    excerpts = len(table[["recording", "start_seconds"]].drop_duplicates())
    start = f"{run.record['title']}, attributed in {excerpts} excerpts by {listed(run.record['methods'])}"
    parts = [str(name) for name in table if str(name).startswith("share_") and name != "share_positive"]
    if not parts:
        return f"{start}."
    part = "share_voice" if "share_voice" in parts else parts[0]
    told = [f"{rows[part].median():.2f} with {name}" for name, rows in table.groupby("method", sort=False)]
    of = part.removeprefix("share_")
    return (
        f"{start}; the bins that {of} dominates have a median share of the positive values of {listed(told)}."
    )


def _attribution_scores(run: ShownRun) -> str:
    rows = run.table[run.table["metric"] == "truth_auc"].dropna(subset=["value"])
    if rows.empty:
        methods = list(dict.fromkeys(run.table["method"]))
        return f"{len(methods)} methods were evaluated: {listed(methods)}."
    best = rows.iloc[int(rows["value"].argmax())]
    interval = f"{best['value']:.3f} ({best['low']:.3f} to {best['high']:.3f})"
    return (
        f"As a detector of the bins of the known part, {best['method']} has the largest area under the ROC "
        f"curve, {interval}; the magnitude of the input has {best['input_magnitude']:.3f}, the same method "
        f"on random weights {best['random_weights']:.3f}."
    )


def _excitation(run: ShownRun) -> str:
    if run.table.empty:
        return ""
    best = run.table.iloc[0]
    name = f"{best['layer']}/{best['unit']}"
    values = [f"{best[which]:.3g}" for which in ("value", "best_excerpt_value", "random_weights_value")]
    return (
        f"{name} reaches {values[0]} with {best['method']}, {values[1]} in the best excerpt, and {values[2]} "
        f"by the same search with random weights."
    )


def _causal(run: ShownRun) -> str:
    """Give the first line of the run's own summary."""
    line = str(getattr(run.result, "summary", "")).partition("\n")[0].strip()
    return f"{line}." if line else ""


def _warned(run: ShownRun) -> list[str]:
    rows = run.recordings
    warned = int((rows["warning"] != "").sum()) if "warning" in rows else 0
    return [f"{warned} of {len(rows)} recordings have a warning, see recordings.csv."] if warned else []


def _limits(run: ShownRun) -> list[str]:
    if run.kind == "evaluation":
        return ["No baseline was computed."] if run.frame("nre_detail.csv").empty else []
    if run.kind not in ("neurons", "maps") or run.table.empty:
        return []
    found = []
    count = int(run.table["n"].max())
    if count < FEW:
        found.append(f"With {count} recordings, a single one can produce a correlation or a match.")
    best = strongest(run.table) if run.kind == "neurons" else None
    if best is None:
        return found
    correlated = run.table.groupby(["layer", "neuron"])["r"].count() > 0
    if not correlated.all():
        constant = f"{int((~correlated).sum())} of {len(correlated)} neurons are constant over all recordings"
        found.append(f"{constant} and have no correlation.")
    null, random = levels_of(run, best["layer"], best["feature"])
    if null is None and not random:
        found.append("Nothing was permuted and no random weights were run: there is no null.")
    reach = max(map(abs, random), default=0.0)
    if reach >= abs(best["r"]) and run.record.get("weights", {}).get("kind") != "seeded random":
        found.append(
            f"With random weights, the strongest neuron of {best['layer']} reaches |r| = {reach:.2f} with "
            f"{best['feature']}: this correlation needs no training."
        )
    return found


def listed(words: Iterable[object]) -> str:
    """Join words as a sentence does."""
    found = [str(word) for word in words]
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
