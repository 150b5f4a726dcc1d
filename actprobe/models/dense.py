"""Dense evaluation: a whole recording at hop 1 for about the price of its frames, not of its excerpts.

Neighbouring excerpts share 114 of their 115 frames. A layer that neither pads nor looks at the
position within the excerpt gives one value for each frame of the recording, wherever the excerpts
begin, and excerpt k merely picks some of them. Poolings make it pick every third (after ``mp3``) or
every ninth (after ``mp6``), beginning at k: so every pooling is computed once for each of its phases
and the phases go on as a batch ("shift and stitch": Sermanet et al.: OverFeat, ICLR 2014, section 3.3;
Giusti et al.: Fast image scanning with deep max-pooling convolutional neural networks, ICIP 2013,
who call the phases fragments). The first dense layer becomes a convolution over all that an excerpt
picks. The result is that of the excerpts one by one up to the rounding of sums in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.models.model import Model
from actprobe.models.networks import svd
from actprobe.models.specs import Conv, Dense, Flatten, MaxPool
from actprobe.models.table import Layer

__all__ = ["DenseEvaluation", "dense_activations"]

Arrays = dict[str, NDArray[np.float32]]

PHASES = 9  # of all poolings together: excerpts k and k + 9 share rows of mp6
EXCERPTS_AT_ONCE = 1800  # a multiple of 9: 26 s of sound


class DenseEvaluation:
    """Named layers of the singing voice detector, for every excerpt of recordings.

    Traced once; opened for many recordings it costs nothing again.

    Parameters
    ----------
    model : Model
        The network ``svd``. Weights are looked up when it runs, so training goes on being seen.
    layers : sequence of str, optional
        Layer names.
    reduce : str, optional
        ``mean`` gives for each map the mean of every channel over the map's time and mel, shape
        [excerpts, channel], in place of the maps. Vectors stay as they are.
    excerpts_at_once : int, optional
        Excerpts that go through the network together, which bounds the memory beside the results.

    Raises
    ------
    UsageError
        Another network, a layer it does not have, or no such reduction.
    """

    def __init__(
        self,
        model: Model,
        layers: Sequence[str] = ("fc9",),
        *,
        reduce: str | None = None,
        excerpts_at_once: int = EXCERPTS_AT_ONCE,
    ) -> None:
        if model.layers is not svd.LAYERS:
            raise UsageError(f"dense evaluation is for {svd.NAME}, whose layers do not pad; not {model.name}")
        if reduce not in (None, "mean"):
            raise UsageError(f"there is no reduction {reduce!r}; there is mean")
        if excerpts_at_once < 1:
            raise UsageError(f"excerpts_at_once={excerpts_at_once}: at least one excerpt at a time")
        self.layers = dict(zip(layers, model.layers.select(layers), strict=True))
        self.excerpt_frames, self.bands = model.frontend.example_shape
        self.reduce = reduce
        self._step = -(-excerpts_at_once // PHASES) * PHASES
        tf = backend.tf
        signature = [tf.TensorSpec((None, self.bands), tf.float32)]
        graph = _graph(model.keras_model, tuple(self.layers.values()), means=reduce is not None)
        self._function = tf.function(graph, input_signature=signature, autograph=False)

    def chunks(self, frames: NDArray[np.float32]) -> Iterator[tuple[int, Arrays]]:
        """Evaluate a recording a bounded number of excerpts at a time.

        Parameters
        ----------
        frames : numpy.ndarray
            float32, shape [frames, mel], as ``model.frontend.frames`` gives them; at least 115.

        Yields
        ------
        first : int
            The chunk's first excerpt.
        activations : dict
            Layer name -> float32 array for the chunk's excerpts, as `__call__` gives them for all.

        Raises
        ------
        UsageError
            Frames of another shape or too few for one excerpt.
        """
        for first, count, rows in self._rows(frames):
            yield first, {name: self._by_excerpt(name, rows[name], count) for name in rows}

    def __call__(self, frames: NDArray[np.float32]) -> Arrays:
        """Evaluate a recording.

        Parameters
        ----------
        frames : numpy.ndarray
            float32, shape [frames, mel], as ``model.frontend.frames`` gives them; at least 115.

        Returns
        -------
        dict
            Layer name -> float32 array, [excerpts, unit] for vectors and [excerpts, time, mel, channel]
            for maps. Excerpt k is frames k to k + 114. Maps are read-only views: excerpts share the
            memory of what they share, which is one row [mel, channel] for each frame.

        Raises
        ------
        UsageError
            Frames of another shape or too few for one excerpt.
        """
        pieces: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self.layers}
        count = len(frames) - self.excerpt_frames + 1
        for first, chunk, rows in self._rows(frames):
            for name, values in rows.items():
                pieces[name].append(values if first + chunk == count else values[:chunk])
        return {name: self._by_excerpt(name, np.concatenate(rows), count) for name, rows in pieces.items()}

    def _rows(self, frames: NDArray[np.float32]) -> Iterator[tuple[int, int, Arrays]]:
        """Yield a chunk's first excerpt, its excerpts, and by layer one row for each frame."""
        frames = np.asarray(frames, np.float32)
        if frames.ndim != 2 or frames.shape[1] != self.bands or len(frames) < self.excerpt_frames:
            raise UsageError(
                f"dense evaluation takes frames of shape [frames, {self.bands}], at least "
                f"{self.excerpt_frames} of them, not {list(frames.shape)}"
            )
        behind = self.excerpt_frames - 1
        excerpts = len(frames) - behind
        for first in range(0, excerpts, self._step):
            count = min(self._step, excerpts - first)
            # Whole rounds of phases; what the added frames give belongs to no excerpt and is cut off.
            missing = -count % PHASES
            chunk = np.pad(frames[first : first + count + behind], ((0, missing), (0, 0)))
            rows = {name: value.numpy() for name, value in self._function(chunk).items()}
            yield first, count, {name: value[: len(value) - missing] for name, value in rows.items()}

    def _by_excerpt(self, name: str, rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Pick what each excerpt picks."""
        layer = self.layers[name]
        if layer.kind == "flatten":
            maps = _pick(rows, svd.LAYERS["mp6"], count)
            return np.ascontiguousarray(maps.transpose(0, 3, 1, 2)).reshape(count, -1)
        if not layer.is_map or self.reduce:
            return rows
        return _pick(rows, layer, count)


def dense_activations(
    model: Model,
    frames: NDArray[np.float32],
    layers: Sequence[str] = ("fc9",),
    *,
    reduce: str | None = None,
) -> Arrays:
    """Compute the activations of every excerpt of one recording, see `DenseEvaluation`.

    Parameters
    ----------
    model : Model
        The network ``svd``.
    frames : numpy.ndarray
        float32, shape [frames, mel], as ``model.frontend.frames`` gives them; at least 115.
    layers : sequence of str, optional
        Layer names.
    reduce : str, optional
        ``mean`` for channel means in place of maps.

    Returns
    -------
    dict
        Layer name -> float32 array, [excerpts, unit] for vectors, [excerpts, time, mel, channel] for
        maps (read-only views) or [excerpts, channel] for their means.

    Raises
    ------
    UsageError
        Another network, a layer it does not have, no such reduction, or unusable frames.
    """
    return DenseEvaluation(model, layers, reduce=reduce)(frames)


def _pick(rows: NDArray[np.float32], layer: Layer, count: int) -> NDArray[np.float32]:
    """Pick rows k, k + stride, ... for excerpt k; a view."""
    stride = round(layer.hop_seconds * svd.FRONTEND.sample_rate / svd.FRONTEND.frame_hop)
    reach = stride * (layer.shape[0] - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(rows, reach, axis=0)
    return windows[:count, ..., ::stride].transpose(0, 3, 1, 2)


def _graph(keras_model: Any, layers: Sequence[Layer], *, means: bool) -> Callable[[Any], dict[str, Any]]:
    """Make the dense network of the Keras layers; its maps are [phase, row, mel, channel]."""
    tf = backend.tf
    wanted = {layer.tensor: layer for layer in layers}

    def graph(frames: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def keep(name: str, tensor: Any) -> None:
            if name not in wanted:
                return
            layer = wanted[name]
            if means and layer.is_map:
                tensor = tf.nn.avg_pool1d(tf.reduce_mean(tensor, 2), layer.shape[0], 1, "VALID")
            found[layer.name] = _stitch(tensor) if tensor.shape.rank > 2 else tensor

        def activate(spec: Conv | Dense, tensor: Any) -> Any:
            keep(f"{spec.name}/linear", tensor)
            tensor = keras_model.get_layer(f"{spec.name}_{spec.activation}")(tensor)
            keep(spec.name, tensor)
            return tensor

        tensor = frames[tf.newaxis, :, :, tf.newaxis]
        for spec in svd.SPECS:
            match spec:
                case Conv(name):
                    tensor = activate(spec, keras_model.get_layer(name)(tensor))
                case MaxPool(name, size):
                    tensor = _pool(tensor, size)
                    keep(name, tensor)
                case Flatten(name):
                    keep(name, tensor)
                case Dense(name):
                    dense = keras_model.get_layer(name)
                    linear = dense(tensor) if tensor.shape.rank == 2 else _first_dense(tensor, dense)
                    tensor = activate(spec, linear)
        return found

    return graph


def _stitch(tensor: Any) -> Any:
    """[phase, row, ...] -> [frame, ...]: row i of phase p is that of frame p + phases * i."""
    tf = backend.tf
    rest = tensor.shape[2:]
    return tf.reshape(tf.transpose(tensor, (1, 0, *range(2, tensor.shape.rank))), (-1, *rest))


def _pool(tensor: Any, size: tuple[int, int]) -> Any:
    """Pool for every shift in time: phase p of d becomes phases p, p + d, ... of d * size."""
    tf = backend.tf
    time, mel = size
    rows = (tf.shape(tensor)[1] - (time - 1)) // time * time
    shifted = [tensor[:, shift : shift + rows] for shift in range(time)]
    pooled = [tf.nn.max_pool2d(part, (time, mel), (time, mel), "VALID") for part in shifted]
    return tf.concat(pooled, axis=0)


def _first_dense(tensor: Any, dense: Any) -> Any:
    """Dense layer on ``flatten`` (channel, time, mel) as a convolution over rows; gives [excerpt, unit]."""
    tf = backend.tf
    phases, _, mel, channels = tensor.shape
    units = dense.kernel.shape[1]
    kernel = tf.reshape(dense.kernel, (channels, -1, mel, units))
    size = kernel.shape[1]
    # One product for all rows of the kernel, then each is added where it belongs.
    kernel = tf.reshape(tf.transpose(kernel, (2, 0, 1, 3)), (mel * channels, size * units))
    products = tf.reshape(
        tf.matmul(tf.reshape(tensor, (-1, mel * channels)), kernel), (phases, -1, size, units)
    )
    rows = tf.shape(products)[1] - size + 1
    return _stitch(tf.add_n([products[:, i : i + rows, i] for i in range(size)])) + dense.bias
