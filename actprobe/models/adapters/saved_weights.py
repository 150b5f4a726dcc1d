"""Weights that a framework saved, into a network that the user built or that actprobe built itself.

Keras 2 and 3 (``.h5``, ``.weights.h5``, ``.keras``), TensorFlow 2 checkpoints and safetensors files hold
arrays under names; each of them has its own way to name the variables of a layer. The file is read by
`actprobe.weights`, which trusts nothing, and not by the framework.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError, WeightsError
from actprobe.formats.arrays import Arrays, Wanted
from actprobe.formats.hdf5 import SIGNATURE
from actprobe.weights.guarded import read_arrays, read_file, size_limit
from actprobe.weights.tf_checkpoint import checkpoint_images

DTYPES = ("<f4", "<f2", "<f8", "<i4", "<i8")
OBJECTS = b"_CHECKPOINTABLE_OBJECT_GRAPH"
KERAS_2 = (b"kernel", b"moving_mean")  # in names of arrays; Keras 1 wrote W and running_mean
SLOTS = re.compile(r"(^|/)(optimizer|_?optimizer_weights)/|OPTIMIZER_SLOT")
OF_OBJECT = re.compile(r"(?:.*/)?layer_with_weights-(\d+)/(\w+)/\.ATTRIBUTES/VARIABLE_VALUE")
HEAD = 1 << 20


@dataclass(frozen=True)
class Variable:
    """A variable of a network, and all that files call it by.

    - `layer`, `short`: the layer's name and its own in it, such as ``conv1`` and ``kernel``
    - `place`: where Keras 3 stores its layer, by class and number, such as ``layers/conv2d_1``
    - `order`: number of the layer among those with weights
    - `index`: its own number in the layer
    - `assign`: sets its value
    """

    layer: str
    short: str
    place: str
    order: int
    index: int
    shape: tuple[int, ...]
    assign: Callable[[NDArray[Any]], Any]

    def __str__(self) -> str:
        return f"{self.layer}/{self.short}" if self.layer else self.short


def load_weights(network: Any, path: str | os.PathLike[str]) -> None:
    """Load the weights that a framework saved into a network of the same layers.

    Parameters
    ----------
    network : keras.Model, tf_keras.Model or torch.nn.Module
        A built network. Its layers are found by their names, or, where the file has none, by class and
        order.
    path : str or os.PathLike
        A file of Keras 2 or 3 (``.h5``, ``.weights.h5``, ``.keras``), a TensorFlow 2 checkpoint (its prefix
        or its index) or a safetensors file. What it holds beside, such as the state of an optimizer, is not
        read.

    Raises
    ------
    WeightsError
        The file cannot be read, lacks a variable of the network or has one of another shape. The network is
        as it was.

    Examples
    --------
    >>> import tf_keras
    >>> from actprobe.models.adapters.saved_weights import load_weights
    >>> def build():
    ...     return tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,), name="out")])
    >>> trained, fresh = build(), build()
    >>> trained.save_weights("trained.weights.h5")
    >>> load_weights(fresh, "trained.weights.h5")
    >>> (fresh.get_weights()[0] == trained.get_weights()[0]).all()
    True
    """
    variables = list(variables_of(network))
    for variable, array in zip(variables, read_saved(path, variables)[0], strict=True):
        variable.assign(array)


def read_saved(path: str | os.PathLike[str], variables: Sequence[Variable]) -> tuple[list[NDArray[Any]], str]:
    """Read the values of variables in their order, and the digest of the file, see `load_weights`."""
    name = os.fspath(path)
    numbers = sum(int(np.prod(variable.shape)) for variable in variables)
    wanted = Wanted(None, DTYPES, 8 * numbers, surplus=True)
    kind = kind_of(name)
    if kind == "a TensorFlow checkpoint":
        named, images = checkpoint_images(name, size_limit(wanted))
        found, sha256 = read_arrays(named, kind, images, wanted)
    else:
        found, sha256 = read_file(name, kind, wanted)
    names = max(_naming_schemes(found), key=lambda scheme: sum(bool(scheme(v)) for v in variables))
    missing = [str(variable) for variable in variables if not names(variable)]
    if missing:
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise WeightsError(name, missing[0], f"this variable of the network is not in the file{others}")
    arrays = []
    for variable in variables:
        array = found[names(variable)].array
        if array.shape != variable.shape:
            raise WeightsError(name, str(variable), f"has shape {array.shape}, not {variable.shape}")
        arrays.append(array)
    return arrays, sha256


def kind_of(path: str) -> str:
    """Say which reader a file of weights needs, by its name and first bytes; the reader finds out more."""
    if path.endswith(".safetensors"):
        return "a safetensors file"
    if path.endswith(".keras"):
        return "a .keras file"
    return "an HDF5 file" if _head(path).startswith(SIGNATURE) else "a TensorFlow checkpoint"


def is_saved(path: str | os.PathLike[str]) -> bool:
    """Whether a file looks as if a framework of today had saved it, and not the authors of a network of old.

    What is seen here only decides what reads the file; all of it is checked then.
    """
    name = os.fspath(path)
    if name.endswith((".safetensors", ".keras", ".weights.h5")):
        return True
    if _head(name).startswith(SIGNATURE):
        return any(word in _head(name) for word in KERAS_2)
    return OBJECTS in _head(f"{name.removesuffix('.index')}.index")


def _head(path: str) -> bytes:
    try:
        if not Path(path).is_file():
            return b""
        with Path(path).open("rb") as file:
            return file.read(HEAD)
    except (OSError, ValueError):
        return b""  # reported by what reads the file


def variables_of(network: Any) -> Iterator[Variable]:
    """List the variables of a network of tf-keras, Keras 3 or PyTorch, layer by layer."""
    if hasattr(network, "state_dict"):
        for order, (name, tensor) in enumerate(network.state_dict().items()):
            yield Variable("", name, "", order, 0, tuple(tensor.shape), _torch_assign(tensor))
        return
    if not hasattr(network, "layers") or not network.weights:
        raise UsageError("load_weights takes a built network of tf-keras, Keras 3 or PyTorch")
    yield from _keras_variables(network, "layers", Counter())


def _keras_variables(network: Any, prefix: str, taken: Counter[str]) -> Iterator[Variable]:
    numbers: Counter[str] = Counter()
    for layer in network.layers:
        kind = re.sub(r"(?<!^)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
        place = f"{prefix}/{kind}_{numbers[kind]}" if numbers[kind] else f"{prefix}/{kind}"
        numbers[kind] += 1
        if getattr(layer, "layers", None):
            yield from _keras_variables(layer, f"{place}/layers", taken)
        elif layer.weights:
            for index, weight in enumerate(layer.weights):
                short = weight.name.split("/")[-1].removesuffix(":0")
                shape = tuple(weight.shape)
                yield Variable(layer.name, short, place, taken["layers"], index, shape, weight.assign)
            taken["layers"] += 1


def _torch_assign(tensor: Any) -> Callable[[NDArray[Any]], Any]:
    return lambda array: tensor.copy_(tensor.new_tensor(array))


def _naming_schemes(found: Arrays) -> list[Callable[[Variable], str]]:
    """Give the ways to find the key of a variable in a file; each gives an empty text for none."""
    own = {key: each for key, each in found.items() if not SLOTS.search(key)}
    labels: dict[tuple[str, str], str] = {}
    named: dict[tuple[str, str], str] = {}
    ordered: dict[tuple[str, str], str] = {}
    for key, each in own.items():
        *above, last = re.split(r"[/.]", key)
        if each.layer and labels.setdefault((each.layer, last), key) != key:
            labels[each.layer, last] = ""  # two layers of this name
        for layer in above:
            named.setdefault((layer, last), key)
        if match := OF_OBJECT.fullmatch(key):
            ordered[match[1], match[2]] = key

    return [
        lambda v: str(v) if str(v) in own else "",
        lambda v: labels.get((v.layer, str(v.index)), ""),
        lambda v: named.get((v.layer, v.short), ""),
        lambda v: f"{v.place}/vars/{v.index}" if f"{v.place}/vars/{v.index}" in own else "",
        lambda v: ordered.get((str(v.order), v.short), ""),
    ]
