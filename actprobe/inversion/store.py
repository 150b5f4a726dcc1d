"""What a training reads: log-mel frames of every recording and features of them, memory-mapped.

All three things that an example is made of (the excerpt, the features that are inverted, the features that
are compared) are rows of a file: an example is some rows that follow each other. Neighbouring excerpts
share the rows of their frames; of the singing voice detector's maps they share those, too, when every third
row is set apart (after its pooling by three), as dense evaluation gives them.

Files are made once, aside, and named after all that decides them, so that trainings may share a folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe import backend
from actprobe.corpora.labelled import LabelledRecording
from actprobe.errors import AudioError, CorpusError
from actprobe.frontends import FrontEnd
from actprobe.frontends.frames import FrameFrontEnd
from actprobe.models import svd
from actprobe.models.dense import DenseEvaluation
from actprobe.models.model import Model
from actprobe.provenance import atomic_path, digest

__all__ = ["Excerpts", "FrameStore", "Rows", "cached_features"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Examples as rows of a file.

    Parameters
    ----------
    values : numpy.ndarray
        Shape [rows, width], memory-mapped; float32, or bfloat16 as uint16.
    first : numpy.ndarray
        int64, shape [examples]: first row of each.
    count : int
        Rows of an example.
    shape : tuple of int
        Shape of an example.
    """

    values: NDArray[Any]
    first: Ints
    count: int
    shape: tuple[int, ...]

    def gather(self, which: Ints) -> NDArray[Any]:
        """Read examples.

        Parameters
        ----------
        which : numpy.ndarray
            Their numbers.

        Returns
        -------
        numpy.ndarray
            Shape [len(which), *shape], of the type of the file.
        """
        out = np.empty((len(which), self.count, self.values.shape[1]), self.values.dtype)
        for place, start in zip(out, self.first[which], strict=True):
            place[:] = self.values[start : start + self.count]
        return out.reshape(len(which), *self.shape)


@dataclass(frozen=True)
class Excerpts:
    """Where the excerpts of a corpus begin.

    Parameters
    ----------
    recording : numpy.ndarray
        int64, shape [excerpts]: number of the recording in the store.
    start : numpy.ndarray
        int64, shape [excerpts]: frame within the recording.
    """

    recording: Ints
    start: Ints

    def __len__(self) -> int:
        """Count the excerpts."""
        return len(self.start)

    def take(self, which: Any) -> Excerpts:
        """Take some of them.

        Parameters
        ----------
        which : slice or numpy.ndarray
            Which.

        Returns
        -------
        Excerpts
            Those.
        """
        return Excerpts(self.recording[which], self.start[which])


class FrameStore:
    """Normalised log-mel frames of recordings in one memory-mapped file.

    Parameters
    ----------
    folder : Path
        Where the file is or will be.
    recordings : sequence of LabelledRecording
        What it holds. A recording that cannot be read or whose frames hold NaN is left out with a warning,
        and so is one that is shorter than an example, unless the front end repeats such recordings.
    frontend : FrontEnd
        Waveform -> frames or examples.

    Attributes
    ----------
    names : list of str
        The recordings that are in it.
    problems : list of str
        One line for each that is not.

    Raises
    ------
    CorpusError
        None of them can be used.
    """

    def __init__(self, folder: Path, recordings: Sequence[LabelledRecording], frontend: FrontEnd) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.frontend = folder, frontend
        self.example_frames, self.bands = frontend.example_shape
        self.by_frames = isinstance(frontend, FrameFrontEnd)
        self.key = digest(
            [frontend.describe(), [[str(each.path), *_stamp(each.path)] for each in recordings]]
        )
        data, index = folder / f"frames-{self.key}.f32", folder / f"frames-{self.key}.json"
        if not index.exists():
            self._write(data, index, recordings)
        found = json.loads(index.read_text())
        self.names: list[str] = found["names"]
        self.problems: list[str] = found["problems"]
        if not self.names:
            where = recordings[0].path.parent if recordings else folder
            reason = self.problems[0] if self.problems else "there is none"
            raise CorpusError(where, f"none of the {len(recordings)} recordings can be used ({reason})")
        self.lengths: Ints = np.asarray(found["lengths"], np.int64)
        self.firsts: Ints = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.values = np.memmap(data, np.float32, "r").reshape(-1, self.bands)

    def _write(self, data: Path, index: Path, recordings: Sequence[LabelledRecording]) -> None:
        names, lengths, problems = [], [], []
        with atomic_path(data) as temporary:
            with temporary.open("wb") as file:
                for number, recording in enumerate(recordings):
                    if number % 100 == 0:
                        logging.info("frames: %d of %d recordings", number, len(recordings))
                    try:
                        frames = self._frames_of(recording)
                    except AudioError as error:
                        problems.append(str(error))
                        logging.warning("left out: %s", error)
                        continue
                    file.write(frames.tobytes())
                    names.append(recording.name)
                    lengths.append(len(frames))
            if not names:
                temporary.write_bytes(bytes(4 * self.bands))  # nothing maps an empty file
        with atomic_path(index) as temporary:
            temporary.write_text(json.dumps({"names": names, "lengths": lengths, "problems": problems}))

    def _frames_of(self, recording: LabelledRecording) -> Floats:
        frontend = self.frontend
        samples = recording.mixture(frontend.sample_rate)
        if len(samples) < frontend.example_samples and frontend.padding != "repeat":
            seconds, needed = (n / frontend.sample_rate for n in (len(samples), frontend.example_samples))
            raise AudioError(recording.path, f"{seconds:.2f} s are less than an excerpt ({needed:.2f} s)")
        if not len(samples):
            raise AudioError(recording.path, "holds no samples")
        if isinstance(frontend, FrameFrontEnd):
            frames = frontend.frames(samples)
        else:
            frames = frontend.examples(samples).reshape(-1, self.bands)
        if not np.isfinite(frames).all():
            raise AudioError(recording.path, "its log-mel frames hold NaN or infinity")
        return np.ascontiguousarray(frames, np.float32)

    def frames_of(self, number: int) -> Floats:
        """Give the frames of a recording.

        Parameters
        ----------
        number : int
            Of the recording.

        Returns
        -------
        numpy.ndarray
            float32, shape [frames, mel].
        """
        first = self.firsts[number]
        return np.asarray(self.values[first : first + self.lengths[number]])

    def excerpts(self, hop: int) -> Excerpts:
        """List the excerpts: every ``hop`` frames while one frame is left behind them, as published.

        Front ends that make separate examples give these.

        Parameters
        ----------
        hop : int
            Frames between starts.

        Returns
        -------
        Excerpts
            In the order of the recordings.
        """
        if self.by_frames:
            starts = [np.arange(0, max(length - self.example_frames, 1), hop) for length in self.lengths]
        else:
            starts = [np.arange(0, length, self.example_frames) for length in self.lengths]
        recording = np.repeat(np.arange(len(starts)), [len(each) for each in starts])
        return Excerpts(recording, np.concatenate(starts).astype(np.int64))

    def rows(self, excerpts: Excerpts) -> Rows:
        """Give excerpts as rows of the frames.

        Parameters
        ----------
        excerpts : Excerpts
            Of this store.

        Returns
        -------
        Rows
            Of shape [time, mel].
        """
        first = self.firsts[excerpts.recording] + excerpts.start
        return Rows(self.values, first, self.example_frames, (self.example_frames, self.bands))


def _stamp(path: Path) -> tuple[int, int]:
    if not path.is_file():
        return -1, -1
    status = path.stat()
    return status.st_size, status.st_mtime_ns


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
    if model.layers is not svd.LAYERS or not described.is_map:
        return _Layout(described.shape, 0)
    stride = round(described.hop_seconds * svd.FRONTEND.sample_rate / svd.FRONTEND.frame_hop)
    # After both poolings excerpts 10 frames apart share too little: example by example is smaller.
    return _Layout(described.shape, stride if stride <= 3 else 0)


def feature_bytes(store: FrameStore, excerpts: Excerpts, model: Model, layer: str, dtype: str) -> int:
    """Say how large the file of a layer's features would be.

    Parameters
    ----------
    store : FrameStore
        The frames.
    excerpts : Excerpts
        Examples that are wanted.
    model : Model
        The network.
    layer : str
        Its layer.
    dtype : str
        ``float32`` or ``bfloat16``.

    Returns
    -------
    int
        Bytes.
    """
    layout = _layout(model, layer)
    rows = len(excerpts)
    if layout.stride:
        rows = sum(layout.dense_rows(int(length), store.example_frames) for length in store.lengths)
    return rows * layout.width * (2 if dtype == "bfloat16" else 4)


def cached_features(
    store: FrameStore, excerpts: Excerpts, model: Model, layers: Sequence[str], dtype: str = "float32"
) -> dict[str, Rows]:
    """Compute features of the excerpts once, and give them as rows of files.

    Parameters
    ----------
    store : FrameStore
        The frames; the files come beside its own.
    excerpts : Excerpts
        Examples that are wanted.
    model : Model
        The network.
    layers : sequence of str
        Its layers.
    dtype : str, optional
        ``float32``, or ``bfloat16`` where that is what the inverter computes with: the same rounding once.

    Returns
    -------
    dict
        Layer -> its features.

    Raises
    ------
    CorpusError
        The features hold NaN or infinity.
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
    if model.layers is not svd.LAYERS:

        def one_by_one(frames: Floats, starts: Ints) -> dict[str, Floats]:
            examples = np.stack([frames[start : start + store.example_frames] for start in starts])
            return model.activations(examples, layers)

        return one_by_one
    dense = DenseEvaluation(model, layers)
    sharing = [layer for layer in layers if _layout(model, layer).stride]

    def densely(frames: Floats, starts: Ints) -> dict[str, Floats]:
        found = dense(frames)
        return {layer: found[layer] if layer in sharing else found[layer][starts] for layer in layers}

    return densely


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
