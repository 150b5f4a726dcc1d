"""Features of excerpts, computed once and kept beside the frames as rows of memory-mapped files.

Where a map can be evaluated densely, neighbouring excerpts share its rows as they share their frames, when
every n-th row is set apart (after a pooling by n). Other features are kept example by example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe import backend
from actprobe.analyses.inversion.training.store import Excerpts, FrameStore
from actprobe.errors import CorpusError
from actprobe.models.model import Model
from actprobe.provenance import atomic_path, digest
from actprobe.training.batches import Rows

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# Excerpts are about 10 frames apart: those of maps with a larger stride share so little that example by
# example is smaller.
LARGEST_STRIDE = 3


@dataclass(frozen=True)
class _Layout:
    """How the features of a layer lie in a file: every ``stride``-th row together, or example by example."""

    shape: tuple[int, ...]
    stride: int  # 0: example by example

    @property
    def width(self) -> int:
        return int(np.prod(self.shape[1:] if self.stride else self.shape))

    @property
    def count(self) -> int:
        return self.shape[0] if self.stride else 1

    def dense_rows(self, frames: int, example_frames: int) -> int:
        """Rows of a recording, all phases together."""
        return frames - example_frames + 1 + self.stride * (self.shape[0] - 1)


def _layout(model: Model, layer: str) -> _Layout:
    described = model.layers[layer]
    if not described.is_map or model.dense_refusal([layer]):
        return _Layout(described.shape, 0)
    stride = model.dense([layer]).strides[layer]
    return _Layout(described.shape, stride if stride <= LARGEST_STRIDE else 0)


def feature_bytes(store: FrameStore, excerpts: Excerpts, model: Model, layer: str, dtype: str) -> int:
    """Say how large the file of a layer's features would be, for dtype ``float32`` or ``bfloat16``."""
    layout = _layout(model, layer)
    rows = len(excerpts)
    if layout.stride:
        rows = sum(layout.dense_rows(int(length), store.example_frames) for length in store.lengths)
    return rows * layout.width * (2 if dtype == "bfloat16" else 4)


def cached_features(
    store: FrameStore, excerpts: Excerpts, model: Model, layers: Sequence[str], dtype: str = "float32"
) -> dict[str, Rows]:
    """Compute features of the excerpts once, and give them as rows of files, by layer.

    The files are stored beside those of ``store``, which has the frames. ``dtype`` is ``float32``, or
    ``bfloat16`` where that is what the inverter computes with: the same rounding once. CorpusError: the
    features hold NaN or infinity.
    """
    found: dict[str, Rows] = {}
    files: dict[str, Path] = {}
    layouts = {layer: _layout(model, layer) for layer in layers}
    weights = [model.weights.sha256, model.weights.seed, model.frontend.describe()]
    for layer, layout in layouts.items():
        which = [] if layout.stride else [digest(np.stack([excerpts.recording, excerpts.start]).tolist())]
        key = digest([store.key, model.name, weights, layer, dtype, *which])
        files[layer] = store.folder / f"features-{key}.{dtype}"
    missing = [layer for layer in layouts if not files[layer].exists()]
    if missing:
        _write_features(
            store, excerpts, model, {layer: (layouts[layer], files[layer]) for layer in missing}, dtype
        )
    stored = np.uint16 if dtype == "bfloat16" else np.float32
    for layer, layout in layouts.items():
        values = np.memmap(files[layer], stored, "r").reshape(-1, layout.width)
        first = _first_rows(store, excerpts, layout)
        found[layer] = Rows(values, first, layout.count, layout.shape)
    return found


def _first_rows(store: FrameStore, excerpts: Excerpts, layout: _Layout) -> Ints:
    if not layout.stride:
        return np.arange(len(excerpts))
    stride = layout.stride
    rows = np.asarray([layout.dense_rows(int(n), store.example_frames) for n in store.lengths], np.int64)
    firsts = np.concatenate([[0], np.cumsum(rows)[:-1]])
    in_phase = (rows[:, None] - np.arange(stride) + stride - 1) // stride
    phases = np.concatenate([np.zeros((len(rows), 1), np.int64), np.cumsum(in_phase, 1)[:, :-1]], 1)
    phase = excerpts.start % stride
    found: Ints = firsts[excerpts.recording] + phases[excerpts.recording, phase] + excerpts.start // stride
    return found


def _write_features(
    store: FrameStore,
    excerpts: Excerpts,
    model: Model,
    missing: dict[str, tuple[_Layout, Path]],
    dtype: str,
) -> None:
    """Go through the recordings once and write all layers that are missing."""
    evaluate = _evaluator(store, model, tuple(missing))
    bounds = np.searchsorted(excerpts.recording, np.arange(len(store.names) + 1))
    with ExitStack() as stack:
        files = {}
        for layer, (_, path) in missing.items():
            files[layer] = stack.enter_context(stack.enter_context(atomic_path(path)).open("wb"))
        for number, name in enumerate(store.names):
            if number % 100 == 0:
                what = f"features of {', '.join(missing)}"
                logging.info("%s: %d of %d recordings", what, number, len(store.names))
            starts = excerpts.start[bounds[number] : bounds[number + 1]]
            activations = evaluate(store.frames_of(number), starts)
            for layer, (layout, _) in missing.items():
                if layout.stride:
                    rows = _rows_of(activations[layer], layout.stride)
                    parts = [rows[phase :: layout.stride] for phase in range(layout.stride)]
                else:
                    parts = [activations[layer]]
                for part in parts:
                    if not np.isfinite(part).all():
                        raise CorpusError(name, f"the features of {layer} hold NaN or infinity")
                    files[layer].write(_stored(part, dtype).tobytes())
                    files[layer].flush()


def _evaluator(
    store: FrameStore, model: Model, layers: tuple[str, ...]
) -> Callable[[Floats, Ints], dict[str, Floats]]:
    """Make a function from the frames of a recording to features: of all excerpts where they share rows."""
    able = [layer for layer in layers if not model.dense_refusal([layer]) and _is_small(model, layer)]
    sharing = [layer for layer in able if _layout(model, layer).stride]
    others = [layer for layer in layers if layer not in able]
    dense = model.dense(able) if able else None

    def evaluate(frames: Floats, starts: Ints) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        if dense is not None and sharing:
            every = dense(frames)
            found = {layer: every[layer] if layer in sharing else every[layer][starts] for layer in able}
        elif dense is not None:
            hop = int(np.gcd.reduce(starts)) or 1  # 0 where there is one excerpt
            chunks = [chunk for _, chunk in dense.chunks(frames, hop)]
            found = {
                layer: np.concatenate([chunk[layer] for chunk in chunks])[starts // hop] for layer in able
            }
        if others:
            examples = np.stack([frames[start : start + store.example_frames] for start in starts])
            found |= model.activations(examples, others)
        return found

    return evaluate


def _is_small(model: Model, layer: str) -> bool:
    """Whether all excerpts of a recording fit into memory: rows that they share, or one row each."""
    described = model.layers[layer]
    return not described.is_map or described.shape[0] == 1 or model.dense([layer]).strides[layer] > 0


def _rows_of(view: Floats, stride: int) -> Floats:
    """Undo the sharing: [excerpts, time, mel, channel] -> [rows, mel, channel], row r is that of frame r."""
    excerpts, time = view.shape[:2]
    tail = np.arange(excerpts, excerpts + stride * (time - 1))
    place = -(-(tail - excerpts + 1) // stride)
    return np.concatenate([view[:, 0], view[tail - stride * place, place]])


def _stored(values: Floats, dtype: str) -> NDArray[Any]:
    if dtype == "bfloat16":
        return np.ascontiguousarray(values.astype(backend.tf.bfloat16.as_numpy_dtype))
    return np.ascontiguousarray(values, np.float32)
