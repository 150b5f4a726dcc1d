"""An inverter for any layer of any network, from shapes alone.

It follows the reasoning of Mishra, Sturm and Dixon (ISMIR 2018, section 3.2): vectors go through a dense
layer into a small map that up-convolutions double and convolutions refine; maps go through convolutions
and are then doubled. Unlike theirs it doubles each axis as often as that axis needs, and before that it
resamples the map to a finer one from which doubling leads to where every position was seen: pooling by three
and doubling twice do not meet, and the published inverters cut off what is too much.
"""

from __future__ import annotations

import math
from dataclasses import replace

from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models.inverter_specs import Plan, Step, conv, dense, up
from actprobe.models.layer_table import Layer
from actprobe.models.network import Network

ARCHITECTURES = ("published", "designed", "wide")
WIDENED = 2  # how many times as many channels a wide inverter has

DENSE_UNITS = 64  # a vector this small goes through one more dense layer
GRID_POSITIONS = 3  # a grid has at least this many positions on each axis
GRID_CHANNELS = 16
WIDEST, NARROWEST = 64, 8
CONVOLUTIONS = 3
ROUNDING = 1e-6  # a stride of 8 may be computed as 7.9999


def design(
    feature_shape: tuple[int, ...],
    example_shape: tuple[int, int],
    ending: str = "elu",
    strides: tuple[float, float] | None = None,
    widened: int = 1,
) -> Plan:
    """Design an inverter from shapes; UsageError where they are invalid.

    Features are (unit,) or (time, mel, channel), examples (time, mel). ``ending`` is ``elu`` or ``linear``.
    ``strides`` are the (time, mel) frames and bands between neighbouring positions of a map, where they are
    known. ``widened``: how many times as many channels and units as usual.
    """
    widest, channels = widened * WIDEST, widened * GRID_CHANNELS
    if len(feature_shape) not in (1, 3) or min(*feature_shape, *example_shape) < 1:
        raise UsageError(f"there is no inverter from features of shape {feature_shape} to {example_shape}")
    flat = example_shape[1] == 1
    if len(feature_shape) == 1:
        doublings = [max(0, math.floor(math.log2(max(size / GRID_POSITIONS, 1)))) for size in example_shape]
        grid = [math.ceil(size / 2**count) for size, count in zip(example_shape, doublings, strict=True)]
        units = grid[0] * grid[1] * channels
        first = [dense(widened * DENSE_UNITS)] if feature_shape[0] <= DENSE_UNITS else []
        steps = (*first, dense(units), *_grow(doublings, widest, refine=True, flat=flat))
        return Plan(feature_shape, example_shape, steps, (grid[0], grid[1], channels), ending=ending)
    sizes = zip(example_shape, (feature_shape[0], 1 if flat else feature_shape[1]), strict=True)
    apart = strides or tuple(wanted / found for wanted, found in sizes)
    doublings = [max(0, math.floor(math.log2(each) + ROUNDING)) for each in apart]
    rows, bands = (math.ceil(size / 2**count) for size, count in zip(example_shape, doublings, strict=True))
    width = widest if flat else widened * min(WIDEST, max(WIDEST // 2, feature_shape[2]))
    if not any(doublings):
        refining, growing = [conv(width, flat=flat)] * (CONVOLUTIONS - 1), [conv(1, flat=flat)]
    else:
        refining = [conv(width, flat=flat)] * CONVOLUTIONS
        before = width if flat else width // 2
        growing = [conv(before, flat=flat), *_grow(doublings, before, refine=False, flat=flat)]
    return Plan(
        feature_shape,
        example_shape,
        (*refining, *growing),
        aligned=(rows, bands),
        aligned_after=len(refining),
        strides=strides,
        ending=ending,
    )


def _grow(doublings: list[int], channels: int, *, refine: bool, flat: bool) -> list[Step]:
    """Double both axes as often as each needs, the longer one first alone.

    Channels become fewer at each stage; of samples, which are doubled more often, only as soon as there are
    fewer samples in a row than channels.
    """
    stages = max(doublings)
    steps: list[Step] = []
    for stage in range(stages):
        left = stages - stage
        scale = (2 if doublings[0] >= left else 1, 2 if doublings[1] >= left else 1)
        if stage == stages - 1:
            return [*steps, up(1, scale, normalized=not refine, flat=flat)]
        steps.append(up(channels, scale, flat=flat))
        if refine:
            steps.append(conv(channels, flat=flat))
        if not flat or 2 ** (left - 1) < channels:
            channels = max(NARROWEST, channels // 2)
    return [conv(1, flat=flat)]


def strides_of(layer: Layer, frontend: FrontEnd) -> tuple[float, float] | None:
    """Give the distance of a map's positions, (time, mel) in frames and bands.

    None for vectors, and where the layer table does not know it.
    """
    if not layer.is_map or not math.isfinite(layer.hop_seconds) or not math.isfinite(layer.hop_hz[0]):
        return None
    time = layer.hop_seconds * frontend.sample_rate / frontend.frame_hop
    if layer.shape[1] == 1:
        return time, float(frontend.example_shape[1])
    centres = frontend.band_edges_hz()[1:-1]
    steps = [float((centres[k:] - centres[:-k]).min()) for k in range(1, len(centres))]
    mel = 1 + min(range(len(steps)), key=lambda k: abs(steps[k] - layer.hop_hz[0]))
    return time, float(mel)


def default_ending(network: Network) -> str:
    """Say how inverters of a network end.

    ``elu`` where inverters were published that end so, though a normalised excerpt has values below -1, too.
    ``linear`` elsewhere, where excerpts may lie below -1 altogether.
    """
    return "elu" if network.inverters else "linear"


def plan_for(
    network: Network,
    frontend: FrontEnd,
    layer: str,
    *,
    ending: str | None = None,
    architecture: str = "published",
) -> Plan:
    """Give the inverter of a layer: the published one where there is one, else a designed one.

    ``ending`` is ``elu`` or ``linear``, by default the `default_ending`; with ``designed`` as the
    architecture one is designed even where there is a published one, with ``wide`` the same with twice the
    channels. A UsageError where there is no such
    layer, ending or architecture, or nothing can be inverted to the front end's examples.
    """
    if architecture not in ARCHITECTURES:
        raise UsageError(f"there is no architecture {architecture!r}; there is {', '.join(ARCHITECTURES)}")
    if frontend.inversion_refusal:
        raise UsageError(frontend.inversion_refusal)
    ending = ending or default_ending(network)
    row, example_shape = network.layers[layer], frontend.example_shape
    plan = network.inverters.get(row.name) if architecture == "published" else None
    if plan is not None and (plan.feature_shape, plan.example_shape) == (row.shape, example_shape):
        return replace(plan, ending=ending)
    widened = WIDENED if architecture == "wide" else 1
    return design(row.shape, example_shape, ending, strides_of(row, frontend), widened)
