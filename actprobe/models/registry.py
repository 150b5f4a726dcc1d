"""The networks by name, and `load_model`.

Adding a network is adding its file in `actprobe.models.networks` and its name to `NETWORKS`; what it offers
is read from the file, see `actprobe.models.network`. A family of networks shares a file.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from absl import logging

from actprobe.checkpoints.catalog import CatalogEntry
from actprobe.errors import UsageError, WeightsError
from actprobe.frontends import FrontEnd
from actprobe.models.adapters.saved_weights import is_saved, read_saved, variables_of
from actprobe.models.keras_model import KerasModel
from actprobe.models.layer_table import LayerTable
from actprobe.models.model import Model
from actprobe.models.network import Network, network_in
from actprobe.models.random_weights import seed_weights
from actprobe.models.weights import WeightsRecord, set_weights
from actprobe.weights.cache import fetch_command, identify, locate, mismatch

# Name -> the module that describes it.
NETWORKS: Mapping[str, str] = {
    "basic_pitch": "basic_pitch",
    "cnn_at": "cnn_at",
    "cnn_at_fcvid": "cnn_at_fcvid",
    "crepe_full": "crepe",
    "crepe_large": "crepe",
    "crepe_medium": "crepe",
    "crepe_small": "crepe",
    "crepe_tiny": "crepe",
    "mm_cnn": "mm_cnn",
    "mm_cnn_multilayer": "mm_cnn_multilayer",
    "musicnn_msd": "musicnn",
    "musicnn_mtt": "musicnn",
    "svd": "svd",
    "vgg_msd": "musicnn",
    "vgg_mtt": "musicnn",
    "vggish": "vggish",
}


@cache
def network_named(name: str) -> Network:
    """Read what a network offers, without building it; no such name is a `UsageError`."""
    if name not in NETWORKS:
        raise UsageError(f"there is no model {name!r}; there is {', '.join(NETWORKS)}")
    return network_in(importlib.import_module(f"actprobe.models.networks.{NETWORKS[name]}"), name)


def layers_of(name: str) -> LayerTable:
    """Give the layer table of a network, without building it; no such name is a `UsageError`."""
    return network_named(name).layers


def load_model(
    name: str,
    checkpoint: str | Path | None = None,
    normalization: str | Path | None = None,
    *,
    seed: int = 0,
    **frontend_options: Any,
) -> Model:
    """Open a network.

    Parameters
    ----------
    name : str
        A name in `NETWORKS`.
    checkpoint : str or Path, optional
        Weight file, or the name of a catalog entry that ``actprobe-fetch`` has put into the cache. A file
        is one that the network's authors published, or one that Keras saved from the network
        (``model.keras_model.save_weights``). None gives seeded random weights, the control of every analysis.
    normalization : str or Path, optional
        What the front end standardises by, a file or the name of a catalog entry; see the front end of
        the network. A checkpoint named by its catalog entry brings its own.
    seed : int, optional
        Seed of random weights; not used with a checkpoint.
    **frontend_options
        Further options of the network's front end, such as ``padding="repeat"``.

    Returns
    -------
    Model
        Its ``weights`` say whether they are original, unverified (a hash that the catalog does not
        know) or random.

    Raises
    ------
    UsageError
        No such network, or an option its front end refuses.
    WeightsError
        The checkpoint or the normalisation was refused.

    Examples
    --------
    >>> import actprobe
    >>> model = actprobe.load_model("svd", seed=1)
    >>> model.weights.kind
    'seeded random'
    """
    network = network_named(name)
    assert network.build is not None
    path, named = (None, None) if checkpoint is None else locate(checkpoint, name, "weights")
    if path is not None and network.read is None and not is_saved(path):
        raise UsageError(
            f"no weights of {name} are published, so {checkpoint} cannot be read; without a checkpoint it "
            f"opens with seeded random weights, and a network you trained opens by actprobe.wrap_model"
        )
    if normalization is None and named is not None and named.normalization:
        normalization = named.normalization
    frontend = frontend_of(name, normalization, **frontend_options)
    weights = None if path is None else _published(network, path)
    keras_model = network.build()
    if path is None:
        seed_weights(keras_model, seed)
        record = WeightsRecord("seeded random", seed=seed)
    elif weights is None or network.port is None:
        variables = list(variables_of(keras_model))
        arrays, sha256 = read_saved(path, variables)
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        record = _record(str(path), sha256, None)
    else:
        set_weights(keras_model, network.port(weights))
        entry = identify(path, weights.sha256, name)
        if named is not None and entry is not named:
            raise WeightsError(path, "", f"is not the file of {named.name}; {_mending(named)}")
        if entry is not None and entry.normalization and normalization is None:
            logging.warning(
                "%s: these weights were trained on examples normalised by %s, and no normalization is given",
                name,
                entry.normalization,
            )
        record = _record(str(path), weights.sha256, entry)
    opened = KerasModel(network, keras_model, frontend, record)
    given = None if normalization is None else str(normalization)
    opened.opened_from = {"name": name, "normalization": given, **frontend_options}
    return opened


def _published(network: Network, path: Path) -> Any:
    """Read a file as its authors published it; None where only Keras can have saved it."""
    if network.read is None:
        return None
    try:
        return network.read(path)
    except WeightsError:
        if not is_saved(path):
            raise
        return None


def frontend_of(name: str, normalization: str | Path | None = None, **options: Any) -> FrontEnd:
    """Make the front end of a network, as `load_model` does, without the network."""
    network = network_named(name)
    assert network.frontend is not None
    if normalization is not None:
        normalization = _normalization(normalization, name)
    known = [option for option in inspect.signature(network.frontend).parameters if option != "normalization"]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise UsageError(f"the front end of {name} has no option {unknown[0]}; it has {', '.join(known)}")
    return network.frontend(normalization, **options)


def _normalization(file: str | Path, model: str) -> Path:
    path, named = locate(file, model, "normalization")
    reason = "" if named is None else mismatch(path, named)
    if named is not None and reason:
        raise WeightsError(path, "", f"{reason}; {_mending(named)}")
    return path


def _mending(entry: CatalogEntry) -> str:
    return f"{fetch_command(entry)} mends it"


def _record(path: str, sha256: str, entry: CatalogEntry | None) -> WeightsRecord:
    if entry is None:
        return WeightsRecord("unverified", path, sha256)
    kind = "open" if entry.packaged else "original"
    return WeightsRecord(kind, path, sha256, catalog_name=entry.name, licence=entry.licence)
