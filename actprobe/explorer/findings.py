"""What a run found, in three sentences that say how sure one can be."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from actprobe.explorer.reading import ShownRun
from actprobe.statistics.criteria import Q_LIMIT, beats_null, follows

MEAN = "mean excerpt"  # the baseline that inversions are held against
FEW = 10


def findings(run: ShownRun) -> list[str]:
    """Say what a run found, in sentences computed from its tables; none when there is nothing to say."""
    match run.kind:
        case "neurons":
            return _neurons(run)
        case "maps":
            return _maps(run)
        case "evaluation":
            return _evaluation(run)
        case "inversion":
            return _inversion(run)
        case _:
            return []


def _neurons(run: ShownRun) -> list[str]:
    table, levels = run.table, run.frame("layers.csv")
    told = table[table["r"].notna()]
    if told.empty:
        return ["No neuron could be compared with a feature: too few recordings, or all alike."]
    follow = [
        f"{int(follows(rows).sum())} of {int(rows['p'].notna().sum())} follow {feature}" + _fewer(rows, told)
        for feature, rows in told.groupby("feature", sort=False)
    ]
    over = _over(told, run.record.get("unit", "recording"))
    first = (
        f"{over} of the neurons of {_listed(table['layer'].unique())}, "
        f"{_listed(follow)} (false discovery rate {100 * Q_LIMIT:.0f} % in each layer)."
    )
    best = told.iloc[int(told["r"].abs().argmax())]
    interval = ""
    if pd.notna(best["r_low"]):
        interval = f", 95 % interval {best['r_low']:.2f} to {best['r_high']:.2f}"
    second = (
        f"The strongest link is that of neuron {best['neuron']} of {best['layer']} with {best['feature']}: "
        f"r = {best['r']:.2f}{interval}."
    )
    return [first, second, *_against_chance(best, levels)]


def _over(table: pd.DataFrame, unit: str) -> str:
    """Say over how many recordings, and where they are so few that one of them can make a link."""
    count = int(table["n"].max())
    few = ", so few that a single one can make a link" if count < FEW else ""
    return f"Over {count} {unit}s{few},"


def _fewer(rows: pd.DataFrame, told: pd.DataFrame) -> str:
    """Say over how many a feature is known that is not known over all."""
    return "" if rows["n"].max() == told["n"].max() else f" (over {rows['n'].max()})"


def _against_chance(best: pd.Series, levels: pd.DataFrame) -> list[str]:
    """Say what chance reaches where the strongest link was found."""
    if levels.empty:
        return ["Nothing was permuted and no random weights were run, so chance has not been measured."]
    same = levels[(levels["layer"] == best["layer"]) & (levels["feature"] == best["feature"])]
    own, random = same[same["weights"] == "model"], same[same["weights"] != "model"]
    parts = []
    if len(own) and pd.notna(own["null_95"].iloc[0]):
        parts.append(
            f"with the recordings permuted, the best of the layer's {int(own['neurons'].iloc[0])} neurons "
            f"stays under |r| = {own['null_95'].iloc[0]:.2f} in 19 of 20 permutations"
        )
    if len(random):
        reach = random["best_r"].abs()
        span = f"{reach.min():.2f} to {reach.max():.2f}" if len(reach) > 1 else f"{reach.iloc[0]:.2f}"
        parts.append(f"the best neuron of the same layer with random weights reaches |r| = {span}")
    if not parts:
        return []
    text = "; ".join(parts)
    sentences = [f"{text[0].upper()}{text[1:]}."]
    if len(random) and random["best_r"].abs().max() >= abs(best["r"]):
        sentences.append("Random weights do as well: this link needs no training to be there.")
    return sentences


def _maps(run: ShownRun) -> list[str]:
    table = run.table
    told = table[table["score"].notna() & table["score_null"].notna()]
    if told.empty:
        return ["No activation map could be compared with a feature."]
    above = []
    for feature, rows in told.groupby("feature", sort=False):
        matching = f"{int(beats_null(rows).sum())} of {len(rows)} channels match {feature}"
        above.append(matching + _fewer(rows, told))
    best = told.iloc[int((told["score"] - told["score_null"]).argmax())]
    first = (
        f"{_over(told, 'recording')} {_listed(above)} better than the same feature of other "
        f"recordings does (SIFT keypoints; false discovery rate {100 * Q_LIMIT:.0f} % in each layer)."
    )
    second = (
        f"The best match above its null is channel {best['channel']} of {best['layer']} with "
        f"{best['feature']}: score {best['score']:.3f} against {best['score_null']:.3f} of mismatched "
        f"recordings (q = {best['q']:.2g})."
    )
    return [first, second]


def _evaluation(run: ShownRun) -> list[str]:
    table, detail = run.table, run.frame("nre_detail.csv")
    sentences = []
    for method, rows in table.groupby("method", sort=False):
        best, worst = rows.iloc[int(rows["nre"].argmin())], rows.iloc[int(rows["nre"].argmax())]
        draws = int(best["draws"])
        spread = f", deviation {best['nre_std']:.3f} over {draws} draws" if draws > 1 else ""
        if len(rows) == 1:
            sentences.append(
                f"With {method}, {best['layer']} is inverted at an NRE of {best['nre']:.3f}{spread}."
            )
            continue
        sentences.append(
            f"With {method}, {best['layer']} comes back nearest (NRE {best['nre']:.3f}{spread}) and "
            f"{worst['layer']} least ({worst['nre']:.3f})."
        )
    return sentences + _against_mean(table, detail)


def _against_mean(table: pd.DataFrame, detail: pd.DataFrame) -> list[str]:
    """Say which inversions are worth more than the mean of all excerpts."""
    if detail.empty:
        return ["No baseline was computed, so that these numbers have nothing to be held against."]
    nre = detail[(detail["measure"] == "nre") & (detail["class"] == "all") & (detail["against"] == "")]
    mean = nre[(nre["layer"] == "") & (nre["method"] == MEAN)]
    if mean.empty:
        return []
    level = float(mean["value"].iloc[0])
    of_layers = nre[nre["layer"] != ""]
    surely = int((of_layers["high"] < level).sum())
    text = (
        f"The mean of all excerpts, which knows nothing of the one asked for, has an NRE of {level:.3f}: "
        f"{surely} of {len(of_layers)} inversions are nearer with their whole 95 % interval over recordings."
    )
    return [text]


def _inversion(run: ShownRun) -> list[str]:
    facts = {name: each for name, each in run.record.get("layers", {}).items() if name != "input"}
    near = {name: float(each["error"]) for name, each in facts.items() if each.get("error") is not None}
    if not near:
        return []
    best, worst = min(near, key=near.__getitem__), max(near, key=near.__getitem__)
    sentences = [
        f"The inversion of {best} comes nearest to the excerpt (distance {near[best]:.2f} of its norm)"
        + (f", that of {worst} least ({near[worst]:.2f})." if worst != best else ".")
    ]
    heard = run.record["layers"].get("input", {}).get("output")
    says = [f"{name} {each['output']:.2f}" for name, each in facts.items() if each.get("output") is not None]
    if heard is not None and says:
        sentences.append(
            f"The network says {heard:.2f} of the excerpt, and of its inversions: {_listed(says)}."
        )
    return [*sentences, "This is one excerpt: an evaluation says how sure one can be."]


def _listed(words: Iterable[object]) -> str:
    found = [str(word) for word in words]
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
