"""`load_inverter`: a feature inverter, ready to be handed activations."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.checkpoints.catalog import find
from actprobe.errors import UsageError, WeightsError
from actprobe.frontends import FrontEnd
from actprobe.inversion.design import plan_for, strides_of
from actprobe.inversion.keras_layers import build_inverter
from actprobe.inversion.networks import Plan
from actprobe.inversion.port import port, unport
from actprobe.models.model import Model, WeightsRecord
from actprobe.models.registry import NETWORKS, layers_of
from actprobe.models.table import LayerTable
from actprobe.provenance import atomic_path
from actprobe.weights.cache import identify, locate
from actprobe.weights.npz import read_npz

__all__ = ["Inverter", "Origin", "initial_arrays", "load_inverter", "save_inverter"]

Floats = NDArray[np.float32]

BATCH = 32
ORIGIN = "origin"
ORIGIN_BYTES = 1024
DIRECTORY_BYTES = 1 << 16  # the names of an npz stand at its end


@dataclass(frozen=True)
class Origin:
    """What an inverter trained here was made for; stored with its weights.

    Parameters
    ----------
    model, layer : str
        Whose features it inverts.
    weights : str
        sha256 of the network's weights; empty for seeded random ones.
    ending : str
        See `Plan`.
    architecture : str
        See `actprobe.inversion.design.plan_for`.
    """

    model: str
    layer: str
    weights: str = ""
    ending: str = "elu"
    architecture: str = "published"


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
        The network, or its name, such as ``svd``.
    layer : str
        The layer whose features it takes, such as ``fc8``.
    checkpoint : str or Path, optional
        Weight file, of the original's layout or made by ``actprobe-train-inverter``, or the name of a
        catalog entry, such as ``svd_inverter_fc8``. None gives seeded random weights.
    ending : str, optional
        ``elu`` (as published, the default of svd) or ``linear`` (of others); a file made here says it itself.
    architecture : str, optional
        ``published``, or ``designed`` for one that is designed even where there is a published one; a
        file made here says it itself.
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
    """
    name, table, frontend = _of_network(model)
    canonical = table[layer].name

    def plan_of(ending: str | None, architecture: str) -> Plan:
        return plan_for(
            name,
            canonical,
            table[canonical].shape,
            frontend.example_shape,
            strides=strides_of(table[canonical], frontend),
            ending=ending,
            architecture=architecture,
        )

    if checkpoint is None:
        plan = plan_of(ending, architecture)
        arrays = initial_arrays(plan, seed)
        record = WeightsRecord("seeded random", seed=seed)
    else:
        entry = find(checkpoint) if isinstance(checkpoint, str) else None
        if entry is not None and entry.role == "inverter" and entry.layer != canonical:
            raise UsageError(f"{entry.name} inverts {entry.layer}, not {canonical}")
        path, named = locate(checkpoint, name, "inverter")
        has_origin, hinted = _hints(path)
        if has_origin:
            architecture = hinted
        plan = plan_of(ending, architecture)
        try:
            arrays, origin, sha256 = _read(path, plan, has_origin)
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


def _of_network(model: str | Model) -> tuple[str, LayerTable, FrontEnd]:
    if isinstance(model, Model):
        return model.name, model.layers, model.frontend
    table = layers_of(model)
    network = importlib.import_module(NETWORKS[model])
    frontend: FrontEnd = network.FRONTEND()
    return model, table, frontend


def set_arrays(keras_model: Any, arrays: list[Floats], plan: Plan) -> None:
    """Set the weights of an inverter.

    Parameters
    ----------
    keras_model : tf_keras.Model
        What `build_inverter` gave for the plan.
    arrays : list of numpy.ndarray
        In the layout of Lasagne.
    plan : Plan
        The inverter.
    """
    for name, values in port(arrays, plan).items():
        keras_model.get_layer(name).set_weights(values)


def get_arrays(keras_model: Any, plan: Plan) -> dict[str, Floats]:
    """Get the weights of an inverter.

    Parameters
    ----------
    keras_model : tf_keras.Model
        What `build_inverter` gave for the plan.
    plan : Plan
        The inverter.

    Returns
    -------
    dict
        ``param0`` and so on, in the layout of Lasagne.
    """
    by_layer = {layer.name: layer.get_weights() for layer in keras_model.layers if layer.weights}
    return unport(by_layer, plan)


def initial_arrays(plan: Plan, seed: int) -> list[Floats]:
    """Draw weights as Lasagne's HeNormal with gain 1 does: of variance 1 / fan_in.

    fan_in is what Lasagne takes for it: the inputs of a unit or of a convolution's output, but for an
    up-convolution its *output* channels times the size of the kernel.

    Parameters
    ----------
    plan : Plan
        The inverter.
    seed : int
        Same seed, same weights, on every version of TensorFlow.

    Returns
    -------
    list of numpy.ndarray
        float32, in the layout of Lasagne: normalisations neutral, biases zero.
    """
    shapes = iter(plan.arrays_in_file())
    arrays: list[Floats] = []
    for number, (_, step, _, _) in enumerate(plan.walk()):
        shape = next(shapes)
        fan_in = shape[0] if step.kind == "dense" else math.prod(shape[1:])
        rng = np.random.Generator(np.random.PCG64([seed, number]))
        arrays.append((rng.standard_normal(shape) / math.sqrt(fan_in)).astype(np.float32))
        neutral = (0, 1, 0, 1) if step.normalized else (0,)
        arrays += [np.full(next(shapes), value, np.float32) for value in neutral]
    return arrays


def save_inverter(path: Path, arrays: Mapping[str, Floats], origin: Origin) -> None:
    """Write the weights of an inverter, all or nothing: the original's arrays and what they are for.

    Parameters
    ----------
    path : Path
        npz to be.
    arrays : mapping
        ``param0`` and so on, as `get_arrays` gives them.
    origin : Origin
        What they are for.
    """
    text = json.dumps(asdict(origin)).encode().ljust(ORIGIN_BYTES)
    if len(text) > ORIGIN_BYTES:
        raise UsageError(f"{origin.layer}: the name of a layer has to be shorter to be stored")
    members: dict[str, Any] = {**arrays, ORIGIN: np.frombuffer(text, np.uint8)}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **members)


def _hints(path: Path) -> tuple[bool, str]:
    """Look whether a file says what it is for, and for the architecture that it names.

    What is seen here only decides which arrays the file is held against; all of it is checked then.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - DIRECTORY_BYTES))
            tail = file.read(DIRECTORY_BYTES)
    except OSError:
        return False, "published"  # whoever reads the file says what is wrong with it
    designed = b'"architecture": "designed"' in tail
    return f"{ORIGIN}.npy".encode() in tail, "designed" if designed else "published"


def _read(path: Path, plan: Plan, has_origin: bool) -> tuple[list[Floats], Origin | None, str]:
    """Read the arrays, the origin if the file has one, and the digest of the file."""
    expected: dict[str, tuple[int, ...]] = {
        f"param{i}": shape for i, shape in enumerate(plan.arrays_in_file())
    }
    if has_origin:
        file = read_npz(path, expected | {ORIGIN: (ORIGIN_BYTES,)}, dtypes=("<f4", "|u1"))
    else:
        file = read_npz(path, expected)
    arrays = [file.arrays[key] for key in expected]
    for key, array in zip(expected, arrays, strict=True):
        if array.dtype != np.float32:
            raise WeightsError(path, key, f"has type {array.dtype.str}, not <f4; it is not cast")
    for number, array in enumerate(arrays):
        if not np.isfinite(array).all():
            raise WeightsError(path, f"param{number}", "holds NaN or infinity")
    if not has_origin:
        return arrays, None, file.sha256
    try:
        fields = json.loads(file.arrays[ORIGIN].astype(np.uint8).tobytes().decode())
        origin = Origin(**{key: str(value) for key, value in fields.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(path, ORIGIN, "does not say what the weights were made for") from error
    return arrays, origin, file.sha256
