"""Model: a network, its front end and its weights, ready to be asked for activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models.table import LayerTable
from actprobe.weights import seeded_kernel

__all__ = ["Model", "WeightsRecord"]

ASSIGNED_AT_ONCE = 1 << 22  # bytes

VALUES_IN_BATCH = 1 << 20

Activations = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class WeightsRecord:
    """Which weights a model holds.

    Parameters
    ----------
    kind : str
        ``original`` (published by the network's authors), ``open`` (trained by this project), ``seeded
        random``, ``unverified``, or ``user model`` for those of a Keras model that `actprobe.wrap_model`
        opened.
    path : str
        The file; empty for random weights.
    sha256 : str
        Hash of the file, or of the network and weights of a user's own model; empty for random weights.
    seed : int or None
        Seed of random weights.
    catalog_name : str
        Entry of the catalog whose hash the file has; empty if none.
    licence : str
        Licence of the file as the catalog states it; empty if unknown.
    """

    kind: str
    path: str = ""
    sha256: str = ""
    seed: int | None = None
    catalog_name: str = ""
    licence: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        match self.kind:
            case "original" | "open":
                return f"{self.kind} weights ({self.catalog_name})"
            case "seeded random":
                return f"seeded random weights (seed {self.seed})"
            case "user model":
                return f"weights of a user's own model (sha256 {self.sha256[:12]})"
            case _:
                return f"UNVERIFIED weights ({self.path}, sha256 {self.sha256[:12]})"


class Model:
    """A network that has been opened.

    Parameters
    ----------
    name : str
        Name of the network.
    keras_model : tf_keras.Model
        Input [batch, time, mel]; output a dict with every layer by name.
    frontend : FrontEnd
        Waveform -> examples.
    layers : LayerTable
        The layers by name.
    weights : WeightsRecord
        Which weights the model holds.
    """

    def __init__(
        self, name: str, keras_model: Any, frontend: FrontEnd, layers: LayerTable, weights: WeightsRecord
    ) -> None:
        self.name = name
        self.keras_model = keras_model
        self.frontend = frontend
        self.layers = layers
        self.weights = weights
        self._functions: dict[tuple[str, ...], Any] = {}

    def __repr__(self) -> str:
        """Name the network and its weights."""
        return f"<actprobe model {self.name}, {self.weights}, {len(self.layers)} layers>"

    def open(self) -> Model:
        """Give the model itself; a `ModelSource` opens one here."""
        return self

    @property
    def batch_size(self) -> int:
        """Examples that go through the network together unless told otherwise: 8 large or 64 small ones."""
        values = int(np.prod(self.frontend.example_shape))
        return int(np.clip(VALUES_IN_BATCH // values, 8, 64))

    def activations(
        self, examples: NDArray[np.float32], layers: Sequence[str], *, batch_size: int | None = None
    ) -> Activations:
        """Compute the activations of named layers in one pass.

        Parameters
        ----------
        examples : numpy.ndarray
            Shape [batch, time, mel], as `frontend` gives them.
        layers : sequence of str
            Layer names.
        batch_size : int, optional
            Examples that go through the network together; by default `batch_size` of the model.

        Returns
        -------
        dict
            Layer name -> float32 array, [batch, time, mel, channel] for maps and [batch, unit] for
            vectors.

        Raises
        ------
        UsageError
            A layer that the network does not have, or examples of another shape.
        """
        batches = list(self.iter_activations(examples, layers, batch_size=batch_size))
        return {name: np.concatenate([batch[name] for batch in batches]) for name in layers}

    def iter_activations(
        self, examples: NDArray[np.float32], layers: Sequence[str], *, batch_size: int | None = None
    ) -> Iterator[Activations]:
        """Compute the activations batch by batch, so that memory does not grow with the recording.

        Parameters
        ----------
        examples : numpy.ndarray
            Shape [batch, time, mel], as `frontend` gives them.
        layers : sequence of str
            Layer names.
        batch_size : int, optional
            Examples in each batch, by default `batch_size` of the model; the last may hold fewer.

        Yields
        ------
        dict
            Layer name -> float32 array, as `activations` returns them.

        Raises
        ------
        UsageError
            A layer that the network does not have, or examples of another shape.
        """
        examples = np.asarray(examples, np.float32)
        expected = self.frontend.example_shape
        if examples.ndim != 3 or examples.shape[1:] != expected or len(examples) == 0:
            raise UsageError(
                f"{self.name} takes examples of shape [batch, {expected[0]}, {expected[1]}] "
                f"([batch, time, mel]), not {list(examples.shape)}"
            )
        tensors = tuple(layer.tensor for layer in self.layers.select(layers))
        function = self._function(tuple(dict.fromkeys(tensors)))
        step = batch_size or self.batch_size
        for start in range(0, len(examples), step):
            outputs = function(examples[start : start + step])
            yield {name: outputs[tensor].numpy() for name, tensor in zip(layers, tensors, strict=True)}

    def _function(self, tensors: tuple[str, ...]) -> Any:
        """Trace the part of the network that these layers need, once."""
        if tensors not in self._functions:
            tf, keras = backend.tf, backend.keras
            outputs = {name: self.keras_model.output[name] for name in tensors}
            part = keras.Model(self.keras_model.input, outputs)
            signature = [tf.TensorSpec((None, *self.frontend.example_shape), tf.float32)]
            self._functions[tensors] = tf.function(
                lambda examples: part(examples, training=False), input_signature=signature
            )
        return self._functions[tensors]


def set_weights(keras_model: Any, by_layer: Mapping[str, Sequence[NDArray[np.float32]]]) -> None:
    """Set a model's weights, every layer exactly once.

    Parameters
    ----------
    keras_model : tf_keras.Model
        A freshly built network.
    by_layer : mapping
        Layer name -> arrays in the order of ``layer.set_weights``.
    """
    wanting = {layer.name for layer in keras_model.layers if layer.weights}
    if wanting != set(by_layer):
        raise ValueError(f"weights for {sorted(by_layer)} do not fit layers {sorted(wanting)}")
    for name, arrays in by_layer.items():
        _assign(keras_model.get_layer(name), arrays)


def hash_weights(keras_model: Any, digest: Any) -> None:
    """Put shapes, types and values of all weights of a network into a hash.

    Parameters
    ----------
    keras_model : tf_keras.Model
        The network.
    digest : hashlib hash
        Is updated.
    """
    for weight in keras_model.weights:
        values = np.ascontiguousarray(backend.tf.convert_to_tensor(weight).numpy())
        digest.update(f"{values.shape} {values.dtype}\n".encode())
        digest.update(values.data)


def seed_weights(keras_model: Any, seed: int) -> None:
    """Set seeded random kernels; biases stay zero and normalisations neutral.

    Parameters
    ----------
    keras_model : tf_keras.Model
        A freshly built network.
    seed : int
        Same seed, same weights, on every version of TensorFlow.
    """
    for layer in keras_model.layers:
        if hasattr(layer, "kernel"):
            kernel = seeded_kernel(layer.name, tuple(layer.kernel.shape), seed)
            _assign(layer, [kernel, *(np.zeros(w.shape, np.float32) for w in layer.weights[1:])])


def _assign(layer: Any, arrays: Sequence[NDArray[np.float32]]) -> None:
    """Set a layer's weights in place, some rows at a time; ``layer.set_weights`` copies them twice."""
    for variable, array in zip(layer.weights, arrays, strict=True):
        if variable.shape != array.shape:
            raise ValueError(f"{variable.name} has shape {variable.shape}, not {array.shape}")
        rows = max(1, ASSIGNED_AT_ONCE // array[:1].nbytes)
        for start in range(0, len(array), rows):
            part = array[start : start + rows]
            backend.tf.raw_ops.ResourceStridedSliceAssign(
                ref=variable.handle, begin=[start], end=[start + len(part)], strides=[1], value=part
            )
