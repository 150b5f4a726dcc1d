"""The networks by name, and `load_model`.

Adding a network is adding its file beside this one and its line in `NETWORKS`.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from absl import logging

from actprobe.checkpoints.catalog import CatalogEntry
from actprobe.errors import UsageError, WeightsError
from actprobe.models.model import Model, WeightsRecord, seed_weights, set_weights
from actprobe.models.table import LayerTable
from actprobe.weights.cache import identify, locate, mismatch

__all__ = ["NETWORKS", "layers_of", "load_model"]

NETWORKS = {
    "cnn_at": "actprobe.models.networks.cnn_at",
    "cnn_at_fcvid": "actprobe.models.networks.cnn_at_fcvid",
    "mm_cnn": "actprobe.models.networks.mm_cnn",
    "mm_cnn_multilayer": "actprobe.models.networks.mm_cnn_multilayer",
    "svd": "actprobe.models.networks.svd",
    "vggish": "actprobe.models.networks.vggish",
}


def _network(name: str) -> Any:
    if name not in NETWORKS:
        raise UsageError(f"there is no model {name!r}; there is {', '.join(NETWORKS)}")
    return importlib.import_module(NETWORKS[name])


def layers_of(name: str) -> LayerTable:
    """Give the layer table of a network without building it.

    Parameters
    ----------
    name : str
        A name in `NETWORKS`.

    Returns
    -------
    LayerTable
        Every layer with shape, hop and receptive field.

    Raises
    ------
    UsageError
        No such network.
    """
    table: LayerTable = _network(name).LAYERS
    return table


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
        A name in `NETWORKS`, such as ``cnn_at``.
    checkpoint : str or Path, optional
        Weight file, or the name of a catalog entry that ``actprobe-fetch`` has put into the cache. None
        gives seeded random weights, the control of every analysis.
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
    """
    network = _network(name)
    if checkpoint is not None and not hasattr(network, "read"):
        raise UsageError(
            f"no weights of {name} are published, so {checkpoint} cannot be read; without a checkpoint it "
            f"opens with seeded random weights, and a network you trained opens by actprobe.wrap_model"
        )
    path, named = (None, None) if checkpoint is None else locate(checkpoint, name, "weights")
    if normalization is None and named is not None and named.normalization:
        normalization = named.normalization
    if normalization is not None:
        normalization = _normalization(normalization, name)
    known = [option for option in inspect.signature(network.FRONTEND).parameters if option != "normalization"]
    unknown = [option for option in frontend_options if option not in known]
    if unknown:
        raise UsageError(f"the front end of {name} has no option {unknown[0]}; it has {', '.join(known)}")
    frontend = network.FRONTEND(normalization, **frontend_options)
    weights = None if path is None else network.read(path)
    keras_model = network.build()
    if path is None or weights is None:
        seed_weights(keras_model, seed)
        record = WeightsRecord("seeded random", seed=seed)
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
    return Model(name, keras_model, frontend, network.LAYERS, record)


def _normalization(file: str | Path, model: str) -> Path:
    path, named = locate(file, model, "normalization")
    reason = "" if named is None else mismatch(path, named)
    if named is not None and reason:
        raise WeightsError(path, "", f"{reason}; {_mending(named)}")
    return path


def _mending(entry: CatalogEntry) -> str:
    return f"actprobe-fetch --model={entry.model} --name={entry.name} mends it"


def _record(path: str, sha256: str, entry: CatalogEntry | None) -> WeightsRecord:
    if entry is None:
        return WeightsRecord("unverified", path, sha256)
    kind = "open" if entry.packaged else "original"
    return WeightsRecord(kind, path, sha256, catalog_name=entry.name, licence=entry.licence)
