"""One recording: excerpts are cut, explained by every method, and their rows made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.attribution.excerpts import ExcerptPlan, Excerpts
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.method import Attribution, Method
from actprobe.analyses.attribution.store import INPUT, Block
from actprobe.errors import AudioError, UsageError
from actprobe.frontends.dominance import dominant_part, share_of_positive

COLUMNS = ("recording", "start_seconds", "target", "method", "fill", "output", "share_positive")
AT_ONCE = 32  # excerpts, which bounds memory


def explain_block(explained: Explained, methods: Mapping[str, Method], excerpts: Excerpts) -> Block:
    """Explain some excerpts by every method; AudioError where an attribution is not finite."""
    found = {name: method(excerpts) for name, method in methods.items()}
    for name, attribution in found.items():
        if not np.isfinite(attribution.values).all():
            raise AudioError(excerpts.recording, f"{name} gives NaN or infinity for it")
    outputs = explained.outputs(excerpts.examples)
    masks = [_dominated(excerpts, number) for number in range(len(excerpts))]
    rows = [
        _row(explained, excerpts, methods[name], attribution, number, outputs[number], masks[number])
        for number in range(len(excerpts))
        for name, attribution in found.items()
    ]
    arrays = {INPUT: excerpts.examples, **{name: each.values for name, each in found.items()}}
    return Block(arrays, excerpts.starts_seconds, rows)


def explain_plan(explained: Explained, methods: Mapping[str, Method], plan: ExcerptPlan) -> Iterator[Block]:
    """Explain all excerpts of a recording, a block at a time.

    AudioError at the end where no excerpt has a value other than zero: the target does not depend on them.
    """
    moved: set[str] = set()
    for excerpts in plan.blocks(AT_ONCE):
        block = explain_block(explained, methods, excerpts)
        moved |= {name for name in methods if block.arrays[name].any()}
        yield block
    still = [name for name in methods if name not in moved]
    told = f"{', '.join(still)} 0 everywhere, as if {explained.target.title} did not depend on the recording"
    if not moved:
        raise AudioError(plan.recording, told)
    if still:
        logging.warning("%s: %s", plan.recording, told)


def _row(
    explained: Explained,
    excerpts: Excerpts,
    method: Method,
    attribution: Attribution,
    number: int,
    output: float,
    masks: Mapping[str, NDArray[np.bool_]],
) -> dict[str, Any]:
    values = attribution.values[number]
    size = float(np.abs(values).sum(dtype=np.float64))
    positive = float(np.maximum(values, 0).sum(dtype=np.float64))
    row: dict[str, Any] = {
        "recording": excerpts.recording,
        "start_seconds": float(excerpts.starts_seconds[number]),
        "target": str(explained.target),
        "method": method.name,
        "fill": excerpts.fill_name if method.uses_fill else "",
        "output": float(output),
        "share_positive": positive / size if size > 0 else None,
    }
    row |= {f"share_{part}": _known(share_of_positive(values, mask)) for part, mask in masks.items()}
    return row | {fact: _known(values[number]) for fact, values in attribution.facts.items()}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _dominated(excerpts: Excerpts, number: int) -> dict[str, NDArray[np.bool_]]:
    """Say which bins each known part dominates; nothing where that is not known."""
    if not excerpts.parts:
        return {}
    parts = {name: sounds[number] for name, sounds in excerpts.parts.items()}
    try:
        return dominant_part(excerpts.frontend, parts)
    except UsageError as error:
        logging.log_first_n(logging.WARNING, "no shares of known parts: %s", 1, error)
        return {}
