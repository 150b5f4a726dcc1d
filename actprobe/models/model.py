"""Model: a network, its front end and its weights, ready to be asked for activations."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models.dense import DenseEvaluation
from actprobe.models.inverter_specs import Plan
from actprobe.models.network import Network
from actprobe.models.output import Output, output_layer_of, threshold_beside
from actprobe.models.specs import Spec
from actprobe.models.split import Split
from actprobe.models.weights import WeightsRecord

VALUES_IN_BATCH = 1 << 20

Activations = dict[str, NDArray[np.float32]]
Compute = Callable[[NDArray[np.float32]], Activations]


class Model(ABC):
    """A network that has been opened.

    Parameters
    ----------
    network : Network
        What it offers.
    frontend : FrontEnd
        Waveform -> examples.
    weights : WeightsRecord
        Which weights the model holds.

    Attributes
    ----------
    name : str
        Name of the network.
    layers : LayerTable
        The layers by name.
    """

    what = "a network that TensorFlow does not compute"
    has_gradients = False  # whether `keras_model` is there
    computes = True  # whether any example can be given to it; False where activations are stored

    def __init__(self, network: Network, frontend: FrontEnd, weights: WeightsRecord) -> None:
        self.network = network
        self.name = network.name
        self.layers = network.layers
        self.frontend = frontend
        self.weights = weights
        self._splits: dict[tuple[str, ...], Split] = {}
        self.opened_from: dict[str, Any] | None = None  # what `frontend_of` makes its front end of

    def __repr__(self) -> str:
        """Name the network and its weights."""
        return f"<actprobe model {self.name}, {self.weights}, {len(self.layers)} layers>"

    def open(self) -> Model:
        """Give the model itself; a `ModelSource` opens one here.

        Returns
        -------
        Model
            This one.
        """
        return self

    @property
    def example_seconds(self) -> float:
        """Sound that one example spans."""
        return self.frontend.example_samples / self.frontend.sample_rate

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The output units, with labels where they are known."""
        return self.network.outputs or ()

    @property
    def output_layer(self) -> str:
        """The last layer that is no pre-activation."""
        return output_layer_of(self.layers)

    @property
    def exported(self) -> tuple[str, ...]:
        """The layers that an exported model gives unless told otherwise."""
        return self.network.exported

    @property
    def default_comparator(self) -> str | None:
        """The layer in which feature inversion compares excerpts; None where one has to be named."""
        return self.network.comparator

    @property
    def inverter_plans(self) -> Mapping[str, Plan]:
        """The published feature inverters by layer; empty where there are none."""
        return self.network.inverters

    @property
    def specs(self) -> tuple[Spec, ...] | None:
        """The network in the words of `actprobe.models.specs`; None for a user's own."""
        return self.network.specs

    @property
    def threshold(self) -> float:
        """The output from which a detector decides yes: that of its model card, 0.5 without one."""
        return threshold_beside(self.weights.path)

    @property
    def keras_model(self) -> Any:
        """The network in tf-keras: input [batch, time, mel], output a dict with every layer by name.

        Raises
        ------
        UsageError
            TensorFlow does not compute the network.
        """
        raise UsageError(
            f"{self.name} is {self.what}: its gradients are not at hand in TensorFlow, which gradient "
            f"inversion, losses in a comparator, attribution and export need"
        )

    @abstractmethod
    def digest(self) -> str:
        """Hash the weights as they are now."""

    @abstractmethod
    def with_random_weights(self, seed: int) -> Model:
        """Open the same network with seeded random weights, the control of every analysis.

        Parameters
        ----------
        seed : int
            Seed of the weights.

        Returns
        -------
        Model
            The control. A user's own Keras network is not built again: it holds the random weights for
            the time it computes, and its own otherwise. A PyTorch network is copied and initialised
            again by its modules' ``reset_parameters``.
        """

    def control_seeds(self, count: int, first: int = 1) -> list[int]:
        """Give seeds for `with_random_weights`, none of which is that of the network's own weights.

        Parameters
        ----------
        count : int
            How many.
        first : int, optional
            The lowest.

        Returns
        -------
        list of int
            Ascending.
        """
        seeds = (seed for seed in itertools.count(first) if seed != self.weights.seed)
        return list(itertools.islice(seeds, count))

    def dense_refusal(self, layers: Sequence[str]) -> str:
        """Say why layers cannot be evaluated densely.

        Parameters
        ----------
        layers : sequence of str
            Layer names.

        Returns
        -------
        str
            The reason in a few words; empty where they can.

        Raises
        ------
        UsageError
            A layer that the network does not have.
        """
        self.layers.select(layers)
        return f"it is {self.what}"

    def evaluation(self, layers: Sequence[str]) -> str:
        """Choose how the examples of a recording go through the network.

        Parameters
        ----------
        layers : sequence of str
            Layers that are wanted.

        Returns
        -------
        str
            ``dense`` where that is possible and examples overlap so much that it is faster, else ``batches``.
        """
        return "batches"

    def dense(
        self,
        layers: Sequence[str],
        reduce: str | None = None,
        *,
        excerpts_at_once: int | None = None,
    ) -> DenseEvaluation:
        """Make a dense evaluation of named layers: every excerpt of a recording, frame by frame.

        Parameters
        ----------
        layers : sequence of str
            Layer names, or ``all``: every layer but pre-activations.
        reduce : str, optional
            ``mean`` gives for each map the mean of every channel over time and mel.
        excerpts_at_once : int, optional
            Excerpts that go through the network together, which bounds memory.

        Returns
        -------
        DenseEvaluation
            Frames of a recording -> activations of all its excerpts.

        Raises
        ------
        UsageError
            Layers that cannot be evaluated densely, a layer that the network does not have, or no such
            reduction.

        Examples
        --------
        >>> model = actprobe.load_model("svd", checkpoint="svd-open")
        >>> waveform = actprobe.load_audio("song.mp3", model.frontend.sample_rate)
        >>> frames = model.frontend.frames(waveform.samples)
        >>> model.dense(["fc8"])(frames)["fc8"].shape[-1]
        64
        """
        raise UsageError(f"{self.name} cannot be evaluated densely: {self.dense_refusal(layers)}")

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
            Layer names, or ``all``: every layer but pre-activations.
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

        Examples
        --------
        >>> model = actprobe.load_model("svd", checkpoint="svd-open", hop=35)
        >>> examples = model.frontend(actprobe.load_audio("song.mp3"))
        >>> model.activations(examples[:2], ["mp3", "fc8/linear"])["fc8/linear"].shape
        (2, 64)
        """
        batches = list(self.iter_activations(examples, layers, batch_size=batch_size))
        if len(batches) == 1:
            return batches[0]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}

    def iter_activations(
        self, examples: NDArray[np.float32], layers: Sequence[str], *, batch_size: int | None = None
    ) -> Iterator[Activations]:
        """Compute the activations batch by batch, so that memory does not grow with the recording.

        Parameters
        ----------
        examples : numpy.ndarray
            Shape [batch, time, mel], as `frontend` gives them.
        layers : sequence of str
            Layer names, or ``all``: every layer but pre-activations.
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
        names = self.layers.asked(layers)
        tensors = tuple(layer.tensor for layer in self.layers.select(names))
        compute = self._compute(tuple(dict.fromkeys(tensors)))
        step = batch_size or self.batch_size
        with self.computing():
            for start in range(0, len(examples), step):
                outputs = compute(examples[start : start + step])
                yield {name: outputs[tensor] for name, tensor in zip(names, tensors, strict=True)}

    def split(self, layer: str, outputs: Sequence[str]) -> Split:
        """Cut the network at a layer, so that what comes after can be computed with other values of it.

        Parameters
        ----------
        layer : str
            Where it is cut.
        outputs : sequence of str
            Layers behind it whose activations are wanted.

        Returns
        -------
        Split
            Both parts.

        Raises
        ------
        UsageError
            A layer that the network does not have, or from which no output is computed; a network that
            cannot be cut.

        Examples
        --------
        >>> model = actprobe.load_model("svd", checkpoint="svd-open")
        >>> halfway = model.split("mp3", ["fc9"]).before(model.frontend(actprobe.load_audio("song.mp3"))[:2])
        >>> halfway.values.shape
        (2, 37, 25, 32)
        """
        key = (layer, *outputs)
        if key not in self._splits:
            tensors = {name: self.layers[name].tensor for name in outputs}
            self._splits[key] = self._split(self.layers[layer].tensor, list(dict.fromkeys(tensors.values())))
            self._splits[key].names = tensors
        return self._splits[key]

    def _split(self, layer: str, outputs: Sequence[str]) -> Split:
        raise UsageError(f"{self.name} is {self.what}: its layers cannot be replaced")

    def computing(self) -> AbstractContextManager[None]:
        """Make the context in which the network computes.

        Returns
        -------
        context manager
            Within it the network has the weights of `weights`, also where a control lends its own to a
            user's network.
        """
        return nullcontext()

    @abstractmethod
    def _compute(self, tensors: tuple[str, ...]) -> Compute:
        """Give what computes tensors, named as in `Layer.tensor`, of a batch of examples."""
