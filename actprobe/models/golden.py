"""Golden files: what an original program computed in its layers, to hold a port against.

The format is described in ``docs/golden-format.md``. A golden file is an npz with the examples that
went in and, for any of the layers, all values, a cut of them or statistics of each channel. Axes may
come in the original's order. Nothing that such a file says is believed: sizes are bounded before
anything is unpacked, and objects are never unpickled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import WeightsError
from actprobe.models.golden_file import Array, read_arrays
from actprobe.models.golden_parts import AXES, Part, part_of
from actprobe.models.layer_table import LayerTable

# In this order when the shapes leave a choice.
ORDERS = (
    AXES,
    ("batch", "channel", "time", "mel"),
    ("batch", "mel", "time", "channel"),
    ("batch", "channel", "mel", "time"),
)


@dataclass(frozen=True, eq=False)
class Golden:
    """A golden file as a model needs it.

    `examples`, float32 [batch, time, mel], go into the network, and `parts` come out, in the order of the
    layers. `axes` is the order of the axes in the file; arrays in `unused` belong to no layer of the model.
    """

    path: Path
    examples: NDArray[np.float32]
    parts: tuple[Part, ...]
    axes: tuple[str, ...]
    unused: tuple[str, ...]


def read_golden(path: str | Path, layers: LayerTable, example_shape: tuple[int, int]) -> Golden:
    """Read a golden file for a model: examples, and every array that belongs to one of its layers.

    A `WeightsError` if the file is no such npz, is too large, holds NaN or something else than numbers, or
    its examples do not fit the model's `example_shape` (time, mel).
    """
    path = Path(path)
    arrays = read_arrays(path)
    given, used = _input(path, arrays)
    order = _order(path, arrays, given, layers, example_shape)
    examples = _examples(path, given, order, example_shape)
    found: dict[str, list[Part]] = {}
    unused = []
    for name, array in arrays.items():
        if name in used or name == "axes":
            continue
        part = part_of(name, array, layers, order, len(examples))
        if part is None:
            unused.append(name)
        else:
            found.setdefault(part.layer, []).append(part)
    parts = tuple(part for layer in layers for part in found.get(layer, ()))
    return Golden(path, examples, parts, order, tuple(unused))


def _input(path: Path, arrays: Mapping[str, Array]) -> tuple[Array, set[str]]:
    """Find the examples as the file has them, and the names that they were made from."""
    if "input" in arrays:
        return arrays["input"], {"input"}
    names = ("input_raw_db", "input_mean", "input_std")
    if not all(name in arrays for name in names):
        raise WeightsError(path, "input", "this array is missing: the examples that go into the network")
    raw, mean, std = (arrays[name].astype(np.float64) for name in names)
    if mean.shape or std.shape or std <= 0:
        raise WeightsError(path, "input_std", "must be one positive number, and input_mean one number")
    return (raw - mean) / std, set(names)


def _order(
    path: Path,
    arrays: Mapping[str, Array],
    given: Array,
    layers: LayerTable,
    example_shape: tuple[int, int],
) -> tuple[str, ...]:
    """Find out in which order the axes come: as the file says, or as its shapes say."""
    if "axes" in arrays:
        order = tuple(re.findall(r"[a-z]+", " ".join(map(str, arrays["axes"].ravel())).lower()))
        if sorted(order) != sorted(AXES) or order[0] != "batch":
            raise WeightsError(path, "axes", f"must be batch and then time, mel and channel, not {order}")
        return order
    maps = {name: layer.shape for name, layer in layers.items() if layer.is_map}
    shapes: list[tuple[int, ...]] = []
    wanted: list[tuple[int, ...]] = []
    for name, array in arrays.items():
        stem, _, suffix = name.rpartition("/") if name.endswith("/shape") else (name, "", "")
        layer = layers.get(stem)
        if layer is not None and layer.name in maps:
            shape = tuple(int(size) for size in array) if suffix else array.shape
            if len(shape) == len(AXES):
                shapes.append(shape[1:])
                wanted.append(maps[layer.name])

    def fits(order: tuple[str, ...]) -> tuple[bool, int]:
        inner = [AXES.index(axis) - 1 for axis in order[1:]]
        same = sum(shape == tuple(ours[i] for i in inner) for shape, ours in zip(shapes, wanted, strict=True))
        return _example_axes(given, order, example_shape) is not None, same

    return max(ORDERS, key=fits)  # the first of equals


def _example_axes(given: Array, order: Sequence[str], example_shape: tuple[int, int]) -> list[int] | None:
    """Give the axes of the file's examples in the order [batch,] time, mel [, channel], if they fit."""
    names = {4: order, 3: [a for a in order if a != "channel"], 2: [a for a in order if a in ("time", "mel")]}
    if given.ndim not in names:
        return None
    axes = [names[given.ndim].index(axis) for axis in AXES if axis in names[given.ndim]]
    shape = tuple(given.shape[axis] for axis in axes)
    first = 0 if given.ndim == 2 else 1
    fits = shape[first : first + 2] == example_shape and shape[first + 2 :] in ((), (1,))
    return axes if fits else None


def _examples(
    path: Path, given: Array, order: Sequence[str], example_shape: tuple[int, int]
) -> NDArray[np.float32]:
    axes = _example_axes(given, order, example_shape)
    if axes is None or given.size == 0 or given.dtype.kind not in "fiu":
        raise WeightsError(
            path,
            "input",
            f"has shape {list(given.shape)}; the network takes examples [batch, {example_shape[0]} time, "
            f"{example_shape[1]} mel] in the order of axes {', '.join(order)}",
        )
    return np.ascontiguousarray(given.transpose(axes).reshape(-1, *example_shape), np.float32)
