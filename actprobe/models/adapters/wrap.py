"""`wrap_model`: a user's own network, opened like those of the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.frontends.check import check_frontend
from actprobe.models.adapters.axes import axes_named
from actprobe.models.keras_kinds import of_keras3
from actprobe.models.model import Model


def wrap_model(
    network: Any,
    frontend: FrontEnd | None = None,
    name: str | None = None,
    *,
    axes: str = "time,mel",
    outputs: Sequence[str] | None = None,
) -> Model:
    """Open a network of your own, for every analysis that the catalog's networks go through.

    Every layer is there by its own name. In Keras, layers of nested models are ``NESTED/LAYER``, and what
    enters a nonlinearity is ``NAME/linear``, also for layers with an activation of their own. In PyTorch,
    modules have the names of ``named_modules()``, what enters a nonlinearity that is a module is
    ``NAME/linear``, and what the network computes behind its last module is ``output``. A layer that is
    called again has ``#2`` and so on behind its name; one with several outputs ``/0``, ``/1``. The network
    itself is not changed and shares its weights with the wrapped one.

    Activations are [batch, time, mel, channel] or [batch, unit], whatever the network's own order;
    sequences [batch, time, unit] are maps with one mel position. Where the way from the input leads through
    convolutions, poolings, elementwise layers and merges, the layer table knows hop and receptive field;
    they are NaN elsewhere, and everywhere without a front end. Kinds of layers are their class names.

    Parameters
    ----------
    network : tf_keras.Model, keras.Model or torch.nn.Module
        A Keras model is functional or Sequential, built, channels last, with one input; Keras 3 computes with
        TensorFlow. A PyTorch network's ``forward`` takes one tensor; it is used in evaluation mode. It may
        have several outputs.
    frontend : FrontEnd, optional
        What the network's examples come from. Without one, `Model.activations` takes examples and recordings
        cannot be used; a PyTorch network needs one.
    name : str, optional
        Name in tables and messages; by default that of the network.
    axes : str, optional
        The order of the network's input: ``time,mel``, ``mel,time``, or ``samples`` for a network of
        waveforms, whose front end is a `WaveformFrontEnd`. A channel axis of one may come last (Keras) or
        before the others (PyTorch), or be missing.
    outputs : sequence of str, optional
        Labels of the output units, in order, such as the tags or classes that they stand for.

    Returns
    -------
    Model
        The model; its ``weights`` are of the kind ``user model`` with a digest of network and weights.

    Raises
    ------
    UsageError
        A network that cannot be opened like this, with the reason, or labels that are too few or too many.

    Examples
    --------
    >>> from actprobe.backend import keras
    >>> from actprobe.frontends import LogMelFrontEnd
    >>> network = keras.Sequential([
    ...     keras.layers.Input((100, 40, 1)),
    ...     keras.layers.Conv2D(8, 5, activation="relu", name="conv"),
    ...     keras.layers.GlobalMaxPooling2D(name="pool"),
    ...     keras.layers.Dense(2, activation="softmax", name="classes"),
    ... ])
    >>> frontend = LogMelFrontEnd(n_fft=512, hop_length=160, n_mels=40, frames=100, hop=50)
    >>> model = actprobe.wrap_model(network, frontend, outputs=["speech", "music"])
    >>> list(model.layers)
    ['conv/linear', 'conv', 'pool', 'classes/linear', 'classes']
    """
    axes_named(axes)
    check_frontend(frontend)
    name = name or str(getattr(network, "name", None) or type(network).__name__)
    kinds = {each.__module__.split(".")[0] for each in type(network).__mro__}
    if of_keras3(network):
        from actprobe.models.adapters.keras3 import wrap_keras3

        return wrap_keras3(network, frontend, name, axes, outputs)
    if "tf_keras" in kinds:
        from actprobe.models.adapters.tf_keras import wrap_keras

        return wrap_keras(network, frontend, name, axes, outputs)
    if "torch" in kinds:
        from actprobe.models.adapters.torch import wrap_torch

        return wrap_torch(network, frontend, name, axes, outputs)
    if isinstance(network, str | Path):
        from actprobe.models.adapters.keras_file import how_to_open

        raise UsageError(how_to_open(Path(network)))
    raise UsageError(
        f"{type(network).__name__} is not a tf_keras model, a Keras 3 model or a torch.nn.Module: what "
        f"another framework computes is analysed as stored activations"
    )
