"""What each array of a golden file says of a layer: all values, a cut of them, or statistics of channels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actprobe.models.golden_file import Array
from actprobe.models.layer_table import Layer, LayerTable

AXES = ("batch", "time", "mel", "channel")

_CUT = re.compile(r"(?:ex(?P<ex>\d+))?_?(?:rows(?P<r0>\d+)_(?P<r1>\d+))?_?(?:ch(?P<c0>\d+)_(?P<c1>\d+))?")
_EVERY = re.compile(r"(?P<layer>.+)_item(?P<ex>\d+)_every(?P<step>\d+)(?:st|nd|rd|th)_channel")
_STATISTIC = re.compile(
    r"(?P<layer>.+)(?:/(?P<pc>mean|std|sum|max|min)_pc|_chan_(?P<chan>mean|std|sum|max|min))"
)

_REDUCE: Mapping[str, Callable[..., Any]] = {
    "mean": np.mean, "std": np.std, "sum": np.sum, "max": np.max, "min": np.min,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Part:
    """One array of a golden file, `entry`, and what of a layer it is to be compared with.

    - `what`: what it holds of the layer, in words
    - `first`: the example that its first row is about
    - `values`: [examples, ...], axes in our order
    - `take`: activations of the layer, [examples, ...] -> what to compare with the same rows of `values`
    - `size`: the same activations -> how large they are, for quantities that may cancel; None where the
      golden values themselves are the measure
    - `statistic`: whether it is a statistic of each channel, not values of the layer
    - `fault`: why nothing can be compared, such as another shape; empty otherwise
    """

    layer: str
    entry: str
    what: str
    first: int
    values: Array
    take: Callable[[Array], Array]
    size: Callable[[Array], float] | None = None
    statistic: bool = False
    fault: str = ""


def part_of(name: str, array: Array, layers: LayerTable, order: Sequence[str], examples: int) -> Part | None:
    """Recognise an array by its name."""
    if array.dtype.kind not in "fiub":
        return None
    layer = layers.get(name)
    if layer is not None:
        return _values(name, array, layer, order, examples, {})
    statistic = _STATISTIC.fullmatch(name)
    if statistic:
        layer = layers.get(statistic["layer"])
        kind = statistic["pc"] or statistic["chan"]
        return None if layer is None or not layer.is_map else _statistic(name, array, layer, kind, examples)
    stem, _, suffix = name.rpartition("/")
    layer = layers.get(stem)
    if layer is not None and suffix == "shape":
        return _shape(name, array, layer, order)
    cut = _CUT.fullmatch(suffix)
    if layer is None or not cut or not suffix:
        cut = _EVERY.fullmatch(name)
        layer = layers.get(cut["layer"]) if cut else None
    return None if layer is None or not cut else _values(name, array, layer, order, examples, cut.groupdict())


def _values(
    name: str,
    array: Array,
    layer: Layer,
    order: Sequence[str],
    examples: int,
    cut: Mapping[str, str | None],
) -> Part:
    """Understand an array that holds values of a layer, all or a cut of them."""
    number = {key: int(text) for key, text in cut.items() if key != "layer" and text is not None}
    first = number.get("ex", 0)
    names = [axis for axis in order if axis in AXES] if layer.is_map else ["batch", "channel"]
    if array.ndim == len(names) - 1 and ("ex" in number or examples == 1):
        array = array[np.newaxis]
    rows = slice(number.get("r0", 0), number.get("r1"))
    channels = slice(number.get("c0", 0), number.get("c1"), number.get("step"))
    row_axis = next(axis for axis in order if axis in ("time", "mel"))
    index = tuple(
        {"channel": channels, row_axis: rows}.get(axis, slice(None))
        for axis in AXES[1:]
        if layer.is_map or axis == "channel"
    )
    words = [
        f"example {first}" if "ex" in number else "",
        f"{row_axis} {_span(rows)}" if "r0" in number else "",
        f"channel {_span(channels)}" if "c0" in number else "",
        f"every {channels.step}th channel" if "step" in number else "",
    ]
    what = ", ".join(word for word in words if word) or "all"
    inner = tuple(len(range(*part.indices(size))) for part, size in zip(index, layer.shape, strict=True))
    fault = ""
    if not layer.is_map and "r0" in number:
        fault = f"is a cut along {row_axis}, which a vector does not have"
    elif array.ndim != len(names):
        fault = f"has shape {list(array.shape)}, but its axes are {', '.join(names)}"
    else:
        array = array.transpose([names.index(axis) for axis in AXES if axis in names])
        if "r0" in number and "c0" not in number and 0 < array.shape[-1] < inner[-1]:
            inner = (*inner[:-1], array.shape[-1])  # a cut of rows may be of the first channels only
            index = (*index[:-1], slice(0, inner[-1]))
            what += f", channel {_span(index[-1])}"
        if array.shape[1:] != inner:
            fault = f"has shape {list(array.shape[1:])} where the model has {list(inner)}"
        elif len(array) == 0 or first + len(array) > examples:
            fault = f"is of {len(array)} examples from {first} on, but there are {examples}"

    def take(activations: Array) -> Array:
        taken: Array = activations[(slice(None), *index)]
        return taken

    return Part(layer.name, name, what, first, array, take, fault=fault)


def _span(part: slice) -> str:
    return str(part.start) if part.stop == part.start + 1 else f"{part.start}-{part.stop - 1}"


def _statistic(name: str, array: Array, layer: Layer, kind: str, examples: int) -> Part:
    fault = ""
    if array.ndim != 2 or array.shape[1] != layer.shape[-1] or not 0 < len(array) <= examples:
        fault = f"has shape {list(array.shape)} where the model has [{examples}, {layer.shape[-1]}]"
    reduce = _REDUCE[kind]

    def take(activations: Array) -> Array:
        return np.asarray(reduce(activations.astype(np.float64), axis=(1, 2)))

    def size(activations: Array) -> float:
        magnitude = np.max if kind == "min" else reduce
        return float(np.max(magnitude(np.abs(activations.astype(np.float64)), axis=(1, 2))))

    # Means and sums may cancel, and the least of rectified values may be a small difference of large sums.
    measure = size if kind in ("mean", "sum", "min") else None
    return Part(layer.name, name, f"{kind} of channels", 0, array, take, measure, True, fault)


def _shape(name: str, array: Array, layer: Layer, order: Sequence[str]) -> Part:
    sizes = dict(zip(AXES[1:], layer.shape, strict=True)) if layer.is_map else {"channel": layer.shape[0]}
    ours = [sizes[axis] for axis in order if axis in sizes]
    given = [int(size) for size in array.ravel()][1:]
    fault = "" if given == ours else f"says {given} where the model has {ours}"
    nothing = np.zeros((0, 1))
    return Part(layer.name, name, "shape", 0, nothing, lambda activations: activations, fault=fault)
