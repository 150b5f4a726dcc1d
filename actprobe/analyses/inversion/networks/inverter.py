"""`load_inverter`: a feature inverter, ready to be handed activations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.analyses.inversion.networks.arrays import initial_arrays, set_arrays
from actprobe.analyses.inversion.networks.build import build_inverter
from actprobe.analyses.inversion.networks.design import ARCHITECTURES, plan_for
from actprobe.analyses.inversion.networks.inverter_file import ORIGIN, architecture_in, read_inverter
from actprobe.checkpoints.catalog import find
from actprobe.errors import UsageError, WeightsError
from actprobe.frontends import FrontEnd
from actprobe.models.inverter_specs import Plan
from actprobe.models.model import Model
from actprobe.models.network import Network
from actprobe.models.registry import network_named
from actprobe.models.weights import WeightsRecord
from actprobe.weights.cache import identify, locate

Floats = NDArray[np.float32]

BATCH = 32


class Inverter:
    """A feature inverter.

    Parameters
    ----------
    model_name, layer : str
        Whose features it takes.
    plan : Plan
        What it is made of.
    keras_model : tf_keras.Model
        Features [batch, ...] -> excerpts [batch, time, mel].
    weights : WeightsRecord
        Which weights it holds.

    Attributes
    ----------
    feature_shape : tuple of int
        (unit,) or (time, mel, channel).
    example_shape : tuple of int
        (time, mel) of what comes out.
    """

    def __init__(
        self, model_name: str, layer: str, plan: Plan, keras_model: Any, weights: WeightsRecord
    ) -> None:
        self.model_name, self.layer, self.plan = model_name, layer, plan
        self.keras_model, self.weights = keras_model, weights
        self.feature_shape, self.example_shape = plan.feature_shape, plan.example_shape
        self._function: Any = None

    def __repr__(self) -> str:
        """Name the layer and the weights."""
        return f"<actprobe inverter of {self.model_name} {self.layer}, {self.weights}>"

    def __call__(self, features: NDArray[Any], *, batch_size: int | None = None) -> Floats:
        """Turn features back into excerpts.

        Parameters
        ----------
        features : numpy.ndarray
            Shape [batch, *feature_shape], as `Model.activations` gives them.
        batch_size : int, optional
            Examples that go through together; 32 by default.

        Returns
        -------
        numpy.ndarray
            float32, shape [batch, time, mel], in the normalised units of the network's front end.

        Raises
        ------
        UsageError
            Features of another shape, not finite, or a batch size below 1.
        """
        features = np.asarray(features)
        if features.shape[1:] != self.feature_shape or features.ndim != len(self.feature_shape) + 1:
            wanted = ", ".join(("batch", *map(str, self.feature_shape)))
            raise UsageError(
                f"the inverter of {self.layer} takes features of shape [{wanted}], not {list(features.shape)}"
            )
        step = BATCH if batch_size is None else batch_size
        if step < 1:
            raise UsageError(f"batch_size={batch_size}: at least one example at a time")
        if self._function is None:
            tf = backend.tf
            signature = [tf.TensorSpec((None, *self.feature_shape), tf.float32)]
            self._function = tf.function(
                lambda batch: self.keras_model(batch, training=False), input_signature=signature
            )
        pieces = [np.zeros((0, *self.example_shape), np.float32)]
        for start in range(0, len(features), step):
            batch = np.asarray(features[start : start + step], np.float32)
            if not np.isfinite(batch).all():
                raise UsageError(f"the features of {self.layer} hold NaN or infinity")
            pieces.append(self._function(batch).numpy())
        return np.concatenate(pieces)


def load_inverter(
    model: str | Model,
    layer: str,
    checkpoint: str | Path | None = None,
    *,
    ending: str | None = None,
    architecture: str = "published",
    seed: int = 0,
) -> Inverter:
    """Open a feature inverter.

    Parameters
    ----------
    model : str or Model
        The network, or its name.
    layer : str
        The layer whose features it takes, such as ``fc8``.
    checkpoint : str or Path, optional
        Weight file, of the original's layout or made by ``actprobe-train-inverter``, or the name of a
        catalog entry. None gives seeded random weights.
    ending : str, optional
        ``elu``, the default where inverters were published, or ``linear``; a file made here states it.
    architecture : str, optional
        ``published``, or ``designed`` for one that is designed even where there is a published one; a
        file made here states it.
    seed : int, optional
        Seed of random weights; not used with a checkpoint.

    Returns
    -------
    Inverter
        Its ``weights`` say whether they are original, open, unverified or random.

    Raises
    ------
    UsageError
        No such network, layer, ending, architecture or catalog entry, or an entry for another layer.
    WeightsError
        The checkpoint was refused: damaged, or for another layer or network.

    Examples
    --------
    >>> examples = model.frontend(actprobe.load_audio("song.mp3"))[:2]
    >>> invert = actprobe.load_inverter(model, "fc8")
    >>> invert(model.activations(examples, ["fc8"])["fc8"]).shape
    (2, 115, 80)
    """
    network, frontend = _of_network(model)
    name, canonical = network.name, network.layers[layer].name

    def plan_of(ending: str | None, architecture: str) -> Plan:
        return plan_for(network, frontend, canonical, ending=ending, architecture=architecture)

    if checkpoint is None:
        plan = plan_of(ending, architecture)
        arrays = initial_arrays(plan, seed)
        record = WeightsRecord("seeded random", seed=seed)
    else:
        entry = find(checkpoint) if isinstance(checkpoint, str) else None
        if entry is not None and entry.role == "inverter" and entry.layer != canonical:
            raise UsageError(f"{entry.name} inverts {entry.layer}, not {canonical}")
        path, named = locate(checkpoint, name, "inverter")
        has_origin, hinted = architecture_in(path)
        if has_origin:
            architecture = hinted
            if architecture not in ARCHITECTURES:
                raise WeightsError(
                    path, ORIGIN, f"names an architecture {architecture!r} that does not exist"
                )
        plan = plan_of(ending, architecture)
        try:
            arrays, origin, sha256 = read_inverter(path, plan, has_origin)
        except WeightsError as error:
            raise _explained(error, name, canonical) from error
        if origin is not None:
            if (origin.model, origin.layer) != (name, canonical):
                made_for = f"is an inverter of {origin.model} {origin.layer}, not of {name} {canonical}"
                raise WeightsError(path, "", made_for)
            if origin.architecture != architecture:
                raise WeightsError(path, ORIGIN, "contradicts the arrays of the file")
            if ending not in (None, origin.ending):
                raise WeightsError(path, "", f"ends {origin.ending}, not {ending}")
            plan = plan_of(origin.ending, architecture)
        entry = identify(path, sha256, name)
        if named is not None and entry is not named:
            raise WeightsError(path, "", f"is not the file of {named.name}")
        if entry is not None and entry.layer != canonical:
            raise WeightsError(path, "", f"is {entry.name}, an inverter of {entry.layer}, not of {canonical}")
        if entry is None:
            record = WeightsRecord("unverified", str(path), sha256)
        else:
            kind = "open" if entry.packaged else "original"
            record = WeightsRecord(kind, str(path), sha256, catalog_name=entry.name, licence=entry.licence)
    keras_model = build_inverter(plan, f"inverter_of_{_plain(name)}_{_plain(canonical)}")
    set_arrays(keras_model, arrays, plan)
    return Inverter(name, canonical, plan, keras_model, record)


def _explained(error: WeightsError, model: str, layer: str) -> WeightsError:
    reason = f"{error.reason} (read as an inverter of {model} {layer})"
    return WeightsError(error.path, error.entry, reason)


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _of_network(model: str | Model) -> tuple[Network, FrontEnd]:
    if isinstance(model, Model):
        return model.network, model.frontend
    network = network_named(model)
    assert network.frontend is not None
    return network, network.frontend()
