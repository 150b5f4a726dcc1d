"""Dense evaluation: a whole recording at hop 1 for about the price of its frames, not of its excerpts.

Neighbouring excerpts share all but one of their frames. A layer that neither pads nor looks at the
position within the excerpt gives one value for each frame of the recording, wherever the excerpts
begin, and excerpt k merely picks some of them. A pooling or stride makes it pick every n-th, beginning
at k: so it is computed once for each of its phases and the phases go on as a batch ("shift and stitch":
Sermanet et al.: OverFeat, ICLR 2014, section 3.3; Giusti et al.: Fast image scanning with deep max-pooling
convolutional neural networks, ICIP 2013, who call the phases fragments). A dense layer on flattened maps
becomes a convolution over all that an excerpt picks, and a pooling over the whole excerpt one over as many
rows. The result is that of the excerpts one by one up to the rounding of sums in another order.

Where a layer pads in time, zeros stand at both ends of every excerpt, and the rows that they reach are the
excerpt's own: these edges are computed for each excerpt, all other rows once.

How this is done is derived from the network's layers (`actprobe.models.dense_graph`). An activation
function is taken to act by position, or across channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.base import FrontEnd
from actprobe.models import dense_rows
from actprobe.models.dense_graph import DenseGraph, Value
from actprobe.models.dense_places import Refused, Shared, as_singles
from actprobe.models.layer_table import Layer

Floats = NDArray[np.float32]
Arrays = dict[str, Floats]

EXCERPTS_AT_ONCE = 1800  # fewer where rows are large
BYTES_AT_ONCE = 36 << 20  # of the largest layer
EDGED_BYTES_AT_ONCE = 256 << 20  # the same where excerpts have edges of their own, which are most of it
# Dense evaluation is used where it takes so many times fewer products. Products estimate the time well:
# measured on 2 cores, SVD is 43 times faster at hop 1 and musicnn 6.2 at hop 1 and 2.6 at hop 32, where the
# products are 46, 6.9 and 3.2 times fewer.
FEWER_PRODUCTS = 2


def why_not_dense(keras_model: Any, layers: Sequence[Layer], frontend: FrontEnd) -> str:
    """Say why layers cannot be evaluated densely, in a few words; empty where they can."""
    graph = DenseGraph(keras_model, frontend.example_shape)
    refused = [value.place for value in (graph[layer.tensor] for layer in layers)]
    for place in refused:
        if isinstance(place, Refused):
            return place.reason
    if not frontend.known:
        return "it was wrapped without a front end"
    return "" if frontend.windows else f"the examples of {frontend.name} are not windows of common frames"


def is_faster(keras_model: Any, layers: Sequence[Layer], frontend: FrontEnd) -> bool:
    """Whether excerpts overlap so much that dense evaluation is faster than excerpt by excerpt."""
    graph = DenseGraph(keras_model, frontend.example_shape)
    needed = graph.needed([graph[layer.tensor] for layer in layers])
    densely = sum(value.of_excerpt_densely(frontend.hop) for value in needed)
    return sum(value.of_excerpt for value in needed) >= FEWER_PRODUCTS * densely


class DenseEvaluation:
    """Named layers of a network, for every excerpt of recordings.

    Traced once; opened for many recordings it costs nothing again. Weights are looked up when it runs, so
    training goes on being seen.

    Parameters
    ----------
    name : str
        Name of the network.
    keras_model : tf_keras.Model
        The network.
    layers : mapping of str to Layer
        What is asked for.
    frontend : FrontEnd
        What its examples come from.
    reduce : str, optional
        ``mean`` gives for each map the mean of every channel over the map's time and mel, shape
        [excerpts, channel], in place of the maps. Vectors stay as they are.
    excerpts_at_once : int, optional
        Excerpts that go through the network together, which bounds the memory beside the results.
    lent : callable, optional
        Makes the context in which the network computes.

    Attributes
    ----------
    strides : dict of str to int
        Layer name -> frames between neighbouring rows of an excerpt's map [row, ...]; 0 where excerpts
        share no rows.

    Raises
    ------
    UsageError
        A layer that cannot be evaluated densely, or no such reduction.
    """

    def __init__(
        self,
        name: str,
        keras_model: Any,
        layers: Mapping[str, Layer],
        frontend: FrontEnd,
        *,
        reduce: str | None = None,
        excerpts_at_once: int | None = None,
        lent: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        refusal = why_not_dense(keras_model, tuple(layers.values()), frontend)
        if refusal:
            raise UsageError(f"{name} cannot be evaluated densely: {refusal}")
        if reduce not in (None, "mean"):
            raise UsageError(f"there is no reduction {reduce!r}; there is mean")
        if excerpts_at_once is not None and excerpts_at_once < 1:
            raise UsageError(f"excerpts_at_once={excerpts_at_once}: at least one excerpt at a time")
        self.layers = dict(layers)
        self.excerpt_frames, self.bands = frontend.example_shape
        self._lent = lent
        self._graph = DenseGraph(keras_model, frontend.example_shape)
        self._means = {key for key, layer in self.layers.items() if reduce and layer.is_map}
        values = {key: self._value(key) for key in self.layers}
        self._places = {
            key: value.place
            for key, value in values.items()
            if isinstance(value.place, Shared) and key not in self._means
        }
        rows = {key: place.stride for key, place in self._places.items() if place.natural}
        self.strides = {key: rows.get(key, 0) for key in self.layers}
        self._needed = self._graph.needed(tuple(values.values()))
        self._phases = self._graph.phases(tuple(values.values()))
        self._at_once = excerpts_at_once
        tf = backend.tf
        signature = [tf.TensorSpec((None, self.bands), tf.float32), tf.TensorSpec((None,), tf.int32)]

        def graph(frames: Any, starts: Any) -> dict[str, Any]:
            tensors = self._graph.compute(tuple(values.values()), frames, starts)
            return {
                key: tf.cast(self._result(values[key], tensor, means=key in self._means), tf.float32)
                for key, tensor in zip(values, tensors, strict=True)
            }

        self._function = tf.function(graph, input_signature=signature, autograph=False)

    def chunks(self, frames: Floats, hop: int = 1) -> Iterator[tuple[int, Arrays]]:
        """Evaluate a recording a bounded number of excerpts at a time.

        Parameters
        ----------
        frames : numpy.ndarray
            float32, shape [frames, mel], as ``frontend.frames`` gives them; at least one excerpt.
        hop : int, optional
            Frames between the excerpts that are given.

        Yields
        ------
        first : int
            Frame at which the chunk's first excerpt begins.
        activations : dict
            Layer name -> float32 array for the chunk's excerpts, as `__call__` gives them for all.

        Raises
        ------
        UsageError
            Frames of another shape or too few for one excerpt.
        """
        for first, count, rows in self._rows(frames, hop):
            start = -first % hop
            yield (
                first + start,
                {
                    key: self._by_excerpt(key, values, count)[start::hop] if key in self._places else values
                    for key, values in rows.items()
                },
            )

    def __call__(self, frames: Floats) -> Arrays:
        """Evaluate a recording.

        Parameters
        ----------
        frames : numpy.ndarray
            float32, shape [frames, mel], as ``frontend.frames`` gives them; at least one excerpt.

        Returns
        -------
        dict
            Layer name -> float32 array, [excerpts, unit] for vectors and [excerpts, time, mel, channel]
            for maps. Excerpt k begins at frame k. Maps are read-only views where excerpts share all of
            their rows: they share the memory too, which is one row [mel, channel] for each frame. Maps in
            which a layer that pads in time has a part are as large as those of the excerpts one by one.

        Raises
        ------
        UsageError
            Frames of another shape or too few for one excerpt.
        """
        pieces: dict[str, list[Floats]] = {key: [] for key in self.layers}
        count = len(frames) - self.excerpt_frames + 1
        for first, chunk, rows in self._rows(frames):
            for key, values in rows.items():
                pieces[key].append(values if first + chunk == count else values[:chunk])
        return {key: self._by_excerpt(key, np.concatenate(rows), count) for key, rows in pieces.items()}

    def _value(self, key: str) -> Value:
        """Give what is computed for a layer: rows that excerpts share, if they share all of them."""
        value = self._graph[self.layers[key].tensor]
        edged = isinstance(value.place, Shared) and any(value.place.edges)
        return self._graph.laid_out(value) if edged and key not in self._means else value

    def _step(self, hop: int) -> int:
        """Bound the memory of the largest layer, but not so far that chunks share few rows."""
        edged = any(isinstance(value.place, Shared) and any(value.place.edges) for value in self._needed)
        numbers = max(max(value.numbers(hop) for value in self._needed), 1)
        fitting = int((EDGED_BYTES_AT_ONCE if edged else BYTES_AT_ONCE) // (4 * numbers))
        least = self.excerpt_frames // 4 if edged else self.excerpt_frames
        at_once = self._at_once or min(EXCERPTS_AT_ONCE, max(least, fitting))
        return -(-at_once // self._phases) * self._phases

    def _rows(self, frames: Floats, hop: int = 1) -> Iterator[tuple[int, int, Arrays]]:
        """Yield a chunk's first excerpt, its excerpts, and by layer rows for each frame or wanted excerpt."""
        frames = np.asarray(frames, np.float32)
        if frames.ndim != 2 or frames.shape[1] != self.bands or len(frames) < self.excerpt_frames:
            raise UsageError(
                f"dense evaluation takes frames of shape [frames, {self.bands}], at least "
                f"{self.excerpt_frames} of them, not {list(frames.shape)}"
            )
        behind = self.excerpt_frames - 1
        excerpts = len(frames) - behind
        step = self._step(hop)
        for first in range(0, excerpts, step):
            count = min(step, excerpts - first)
            # Whole rounds of phases; what the added frames give belongs to no excerpt and is cut off.
            missing = -count % self._phases
            chunk = np.pad(frames[first : first + count + behind], ((0, missing), (0, 0)))
            starts = np.arange(-first % hop, count, hop, dtype=np.int32)
            if not len(starts):
                continue
            with self._lent():
                rows = {key: value.numpy() for key, value in self._function(chunk, starts).items()}
            for key in self._places:
                rows[key] = rows[key][: len(rows[key]) - missing]
            yield first, count, rows

    def _result(self, value: Value, tensor: Any, *, means: bool) -> Any:
        place = value.place
        if not isinstance(place, Shared):
            return backend.tf.reduce_mean(tensor, (1, 2)) if means else tensor
        if not means:
            return dense_rows.stitched(tensor.shared)
        if place.natural:
            beside = dense_rows.by_part(lambda part: backend.tf.reduce_mean(part, 2))
            return dense_rows.over_time(beside(tensor), place.shape[0], "AVG")
        return backend.tf.reduce_mean(as_singles(place)(tensor), (1, 2))

    def _by_excerpt(self, key: str, rows: Floats, count: int) -> Floats:
        """Pick what each excerpt picks: rows k, k + stride, ... for excerpt k; a view but for vectors."""
        place = self._places.get(key)
        if place is None:
            return rows
        reach = place.stride * (place.shape[0] - 1) + 1
        windows = np.lib.stride_tricks.sliding_window_view(rows, reach, axis=0)
        picked = np.moveaxis(windows[:count, ..., :: place.stride], -1, 1)
        picked = picked.transpose(0, *(axis + 1 for axis in place.order))
        return np.ascontiguousarray(picked).reshape(count, -1) if place.flat else picked
