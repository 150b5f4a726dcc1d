"""The truth: does the attribution point at the bins that a known part of the recording dominates?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.errors import UsageError
from actprobe.frontends.dominance import dominant_part, share_of_positive
from actprobe.statistics.roc import auc

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Masks = NDArray[np.bool_]

TRUTH = ("truth_share", "truth_auc", "truth_pointing")
DEFAULT_CONCEPT = "voice"


def concept_of(parts: Mapping[str, Any], wanted: str | None) -> str | None:
    """Choose the part that is the truth: the one that is wanted, or voice; None where there is none.

    UsageError: parts are known, and the wanted one is not among them.
    """
    if not parts or (wanted is None and DEFAULT_CONCEPT not in parts):
        return None
    if wanted is not None and wanted not in parts:
        raise UsageError(f"there is no part {wanted!r}; there is {', '.join(parts)}")
    return wanted or DEFAULT_CONCEPT


def truth_masks(excerpts: Excerpts, concept: str | None) -> tuple[Masks, Masks] | None:
    """Say which bins the part dominates, and which count at all, each [excerpts, time, mel].

    A bin counts if one of the parts dominates it. None where that is not known.
    """
    chosen = concept_of(excerpts.parts, concept)
    if chosen is None:
        return None
    try:
        masks = [
            dominant_part(excerpts.frontend, {name: each[i] for name, each in excerpts.parts.items()})
            for i in range(len(excerpts))
        ]
    except UsageError as error:
        logging.log_first_n(logging.WARNING, "no truth: %s", 1, error)
        return None
    return (
        np.stack([each[chosen] for each in masks]),
        np.stack([np.any(list(each.values()), axis=0) for each in masks]),
    )


def truth_scores(values: Floats, dominated: Masks, counted: Masks) -> Doubles:
    """Compare attributions, [excerpts, time, mel], with the truth: float64 [metrics of `TRUTH`, excerpts].

    - ``truth_share``: share of the positive values in the bins that the part dominates; NaN where none is
      positive.
    - ``truth_auc``: area under the ROC curve of the values as a detector of these bins (Mann and Whitney).
    - ``truth_pointing``: share of the largest values in these bins, 0 or 1 unless several are equal (the
      pointing game of Zhang and others, ECCV 2016).

    All over the bins that count; NaN for an excerpt of whose bins the part dominates all or none.
    """
    rows = zip(values, dominated, counted, strict=True)
    return np.stack([_scores(each[there], part[there]) for each, part, there in rows], axis=1)


def chance_scores(dominated: Masks, counted: Masks) -> Doubles:
    """Give what values that know nothing reach on average: the share of the bins, 0.5, and that share."""
    rows = [part[there] for part, there in zip(dominated, counted, strict=True)]
    shares = [float(each.mean()) if each.any() and not each.all() else np.nan for each in rows]
    return np.stack([shares, np.where(np.isfinite(shares), 0.5, np.nan), shares])


def _scores(values: Floats, dominated: Masks) -> Doubles:
    if dominated.all() or not dominated.any():
        return np.full(len(TRUTH), np.nan)
    largest = dominated[values == values.max()].mean()
    return np.array([share_of_positive(values, dominated), auc(dominated, values), largest])
