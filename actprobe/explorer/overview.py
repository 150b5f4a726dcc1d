"""The overview: a picture of the strongest finding of each part, and all findings in a sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from actprobe.explorer.assets import Assets
from actprobe.explorer.evidence import told as evidence_told
from actprobe.explorer.findings import finding, listed
from actprobe.explorer.inversion_part import excerpt_name
from actprobe.explorer.overview_pictures import picture_of
from actprobe.explorer.reading import ShownRun, read_from

PARTS = {
    "neurons": ("neurons",),
    "maps": ("maps",),
    "inversion": ("inversion", "evaluation"),
    "attribution": ("attribution", "attribution_scores", "excitation"),
    "causal": ("tuning", "ablation", "dissection", "probe"),
}  # part -> kinds of runs that it shows, the one that gives the picture first
HEADINGS = {
    "neurons": "Neurons of {}, {}",
    "maps": "Activation maps of {}, {}",
    "evaluation": "Feature inversion of {}, {}",
    "inversion": "Inversions of {}, {}",
    "attribution": "Attributions of {}, {}",
    "attribution_scores": "Evaluated attributions of {}, {}",
    "excitation": "Excited neurons of {}, {}",
    "tuning": "Tuning curves of {}, {}",
    "dissection": "Dissection of {}, {}",
    "ablation": "Ablation of {}, {}",
    "probe": "Probes of {}, {}",
}

STIMULI = "stimuli"  # what a run calls its corpus that made all sounds itself


def heading(run: ShownRun) -> str:
    """Name a run by what it shows, its network, and its corpus or excerpt."""
    over = excerpt_name(run) if run.kind == "inversion" else run.corpus_name
    network = run.model or "a network"
    if run.record.get("weights", {}).get("kind") == "seeded random":
        network += " with random weights"
    return HEADINGS[run.kind].format(network, over)


def cards(runs: Sequence[ShownRun], table: pd.DataFrame, assets: Assets) -> list[dict[str, Any]]:
    """Describe what the overview shows of each part that has runs; ``table`` is that of `evidence`.

    Returns
    -------
    list of dict
        ``part``; ``picture`` of its first run, as `picture_of` gives it, or None; ``finding`` of that run in
        a sentence; ``others``, name and finding of each further run.
    """
    found = []
    for part, kinds in PARTS.items():
        of_part = [run for kind in kinds for run in runs if run.kind == kind]
        if not of_part:
            continue
        told = [(heading(run), read_from(run, finding)) for run in of_part]
        if part == "causal":
            told.append(("Together", evidence_told(table)))
        picture = read_from(of_part[0], lambda run: picture_of(run, runs, assets))
        found.append(
            {
                "part": part,
                "picture": picture,
                "finding": told[0][1],
                "others": [each for each in told[1:] if each[1]],
            }
        )
    return found


def analysed(runs: Sequence[ShownRun], weights: Sequence[str]) -> str:
    """Say in a line which networks were analysed on what; ``weights`` are those of each run, in words."""
    networks: dict[str, list[ShownRun]] = {}
    for run, named in zip(runs, weights, strict=True):
        networks.setdefault(f"{run.model or 'a network'}, {named}", []).append(run)
    return "; ".join(f"{network}: {listed(_gone_over(of))}" for network, of in networks.items()) + "."


def _gone_over(runs: Sequence[ShownRun]) -> list[str]:
    """Name the corpora of some runs, with their usable recordings, and the excerpts, or how many."""
    excerpts = list(dict.fromkeys(excerpt_name(run) for run in runs if run.kind == "inversion"))
    corpora = []
    for run in runs:
        if run.kind == "inversion":
            continue
        if run.corpus == STIMULI:
            corpora.append(STIMULI)
            continue
        rows = run.recordings
        count = ""
        if len(rows):
            usable = int((rows["status"] != "failed").sum())
            of = "recording" if len(rows) == 1 else "recordings"
            count = f"{usable} {of} of " if usable == len(rows) else f"{usable} of {len(rows)} {of} of "
        corpora.append(f"{count}{run.corpus_name}")
    return [*dict.fromkeys(corpora), *(excerpts if len(excerpts) < 2 else [f"{len(excerpts)} excerpts"])]
