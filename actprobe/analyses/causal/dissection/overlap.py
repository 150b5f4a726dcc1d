"""Intersection over union of units and concepts, over a corpus and with the concepts of other recordings.

IoU is that of network dissection (Bau and others, CVPR 2017): the intersections of all recordings by their
unions. The null keeps every mask and takes the concepts of one recording to the maps of another: recordings,
or groups of them, are permuted whole, so that a mask that is often on, or always on in one place, intersects
as much as before. Positions stay where they are in an excerpt, and excerpts in their order. If the other
recording has fewer excerpts, they are begun anew; if it has more, they are cut off; positions that lie
outside one of the two recordings do not count.

Permutations stay within random blocks of recordings, which is a permutation test as well (the permutations
within blocks are a group) and bounds the pairs of recordings that have to be counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from actprobe.analyses.causal.dissection.masks import RecordingMasks
from actprobe.statistics.permutation import BestOfK

FEWEST, MOST = 12, 100  # recordings of a block; groups at least
BLOCK_VALUES = 1 << 25  # counts of the pairs of a block, or bits of its concepts
SAME = 1e-12  # IoUs that differ by less are equal

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Doubles = NDArray[np.float64]
Read = Callable[[int], RecordingMasks]


@dataclass(frozen=True, eq=False)
class Overlap:
    """IoU of every unit and concept, [units, concepts], with its null.

    - ``iou``, ``iou_null`` (mean under permutation), ``p`` and ``q`` (over the units, for each concept)
    - ``iou_max``: the highest IoU that masks of these sizes can have
    - ``random``: IoU of the controls, [seeds, units, concepts]
    - ``share``: share of the positions that each concept covers, [concepts]
    - ``permuted``: IoU under permutation, [permutations, units, concepts]
    """

    iou: Doubles
    iou_null: Doubles
    p: Doubles
    q: Doubles
    iou_max: Doubles
    random: Doubles
    share: Doubles
    permuted: Floats


def overlap(read: Read, groups: Indices, permutations: int, seed: int) -> Overlap:
    """Compute IoU over recordings and under permutation.

    ``read`` gives the masks of a recording by its number; ``groups`` [recordings]: those with one number
    belong together and are permuted together.
    """
    rng = np.random.default_rng(seed)
    first = read(0)
    blocks = _blocks(groups, _block_size(first), rng)
    shape = (1 + permutations, first.units[0].shape[0], len(first.concepts))
    intersection, union = np.zeros(shape), np.zeros(shape)
    controls = np.zeros((2, len(first.units) - 1, *shape[1:]))
    sizes = np.zeros((shape[1] + 1, shape[2] + 1))
    for block in blocks:
        masks = [read(int(number)) for number in block]
        for each in masks:
            for number, units in enumerate(each.units[1:]):
                counts = _counts(with_inside(units, each.inside), concept_columns(each))
                controls[:, number] += both(counts)
        pairs = pair_counts(masks)
        here, together = np.arange(len(block)), groups[block]
        sizes += pairs[here, here].sum(axis=0)
        for number in range(1 + permutations):
            order = here if number == 0 else permuted_groups(together, rng)
            intersected, united = both(pairs[here, order].sum(axis=0, dtype=np.float64))
            intersection[number] += intersected
            union[number] += united
    iou = _ratio(intersection, union)
    p, q = inference(iou)
    of_units, of_concepts = sizes[:-1, -1:], sizes[-1:, :-1]
    return Overlap(
        iou[0], iou[1:].mean(axis=0) if permutations else np.full(iou.shape[1:], np.nan), p, q,
        _ratio(np.minimum(of_units, of_concepts), np.maximum(of_units, of_concepts)),
        _ratio(*controls), of_concepts[0] / max(sizes[-1, -1], 1), iou[1:].astype(np.float32),
    )  # fmt: skip


def permuted_groups(groups: Indices, rng: np.random.Generator) -> Indices:
    """Give to each recording one of another group, int64 [recordings]: groups are permuted whole.

    A smaller group is begun anew, and a larger one cut off.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    order = np.empty(len(groups), np.int64)
    for own, other in zip(members, rng.permutation(len(members)), strict=True):
        order[own] = np.resize(members[other], len(own))
    return order


def pair_counts(masks: Sequence[RecordingMasks]) -> Floats:
    """Count intersections of the units of each recording with the concepts of each.

    float32 [recordings, recordings, units + 1, concepts + 1]: the last unit and the last concept are all
    positions that lie in the recording.
    """
    longest = max(len(each.inside) for each in masks)
    rows = [with_inside(each.units[0], each.inside) for each in masks]
    for each in rows:
        each.resize((each.shape[0], longest))
    stacked = sparse.vstack(rows, format="csr")
    found = np.empty((len(masks), len(masks), rows[0].shape[0], len(masks[0].concepts) + 1), np.float32)
    for number, each in enumerate(masks):
        columns = concept_columns(each)
        begun_anew = columns[np.arange(longest) % len(columns)]
        found[:, number] = _counts(stacked, begun_anew).reshape(len(masks), *found.shape[2:])
    return found


def both(counts: NDArray[Any]) -> tuple[Doubles, Doubles]:
    """Take intersections and unions, [units, concepts], from the counts of `pair_counts`."""
    exact: Doubles = counts.astype(np.float64)
    intersection = exact[:-1, :-1]
    return intersection, exact[:-1, -1:] + exact[-1:, :-1] - intersection


def inference(iou: Doubles) -> tuple[Doubles, Doubles]:
    """Give p and q of IoUs [1 + permutations, units, concepts], of which the first is the true one.

    p is the share of the permutations that reach the IoU, the true order included. For q every unit is
    measured in standard deviations of its own null, and the units that reach a value under permutation are
    counted against those that do in truth (`BestOfK.q`), for each concept by itself.
    """
    permutations = len(iou) - 1
    if not permutations:
        return np.full(iou.shape[1:], np.nan), np.full(iou.shape[1:], np.nan)
    p = (1 + (iou[1:] >= iou[0] - SAME).sum(axis=0)) / (1 + permutations)
    spread = iou.std(axis=0)
    # At most 1: of n + 1 values none is further than sqrt(n) deviations from their mean.
    varies = spread > SAME
    raised = np.divide(
        iou - iou.mean(axis=0), spread * np.sqrt(permutations), out=np.zeros_like(iou), where=varies
    )
    raised = raised.clip(0, 1)
    q = np.empty(iou.shape[1:])
    for concept in range(iou.shape[2]):
        q[:, concept] = BestOfK.of(raised[1:, :, concept]).q(raised[0, :, concept])
    return p, q


def with_inside(units: sparse.csr_array, inside: NDArray[np.bool_]) -> sparse.csr_array:
    """Add the positions within the recording as one more unit."""
    return sparse.vstack([units, sparse.csr_array(inside[np.newaxis].astype(np.float32))], format="csr")


def concept_columns(masks: RecordingMasks) -> Floats:
    """Lay concepts out as columns, float32 [positions, concepts + 1], the last all within the recording."""
    return np.ascontiguousarray(np.vstack([masks.concepts, masks.inside]).T.astype(np.float32))


def _counts(units: sparse.csr_array, columns: Floats) -> Floats:
    return np.asarray(units @ columns, np.float32)


def _blocks(groups: Indices, size: int, rng: np.random.Generator) -> list[Indices]:
    """Divide recordings into random blocks of about this size, each of a dozen groups at least."""
    order = rng.permutation(np.unique(groups))
    count = min(-(-len(groups) // size), max(len(order) // FEWEST, 1))
    return [np.flatnonzero(np.isin(groups, part)) for part in np.array_split(order, count)]


def _block_size(masks: RecordingMasks) -> int:
    counts = (masks.units[0].shape[0] + 1) * (len(masks.concepts) + 1)
    size = min((BLOCK_VALUES / counts) ** 0.5, 8 * BLOCK_VALUES / max(masks.concepts.size, 1))
    return int(np.clip(size, FEWEST, MOST))


def _ratio(above: Doubles, below: Doubles) -> Doubles:
    return np.divide(
        above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below > 0
    )
