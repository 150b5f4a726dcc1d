"""Which inverters are meant: folders, catalog entries, files and open inverters, by layer and method.

A text lists sources, separated by commas. Each is ``[METHOD:][LAYER=]WHAT``, where WHAT is

- a folder, in which every npz named after a layer is taken: ``fc8.npz``, ``fc8/inverter.npz``,
  ``NETWORK-inverter-fc8.npz``;
- an npz, or the name of a catalog entry; LAYER may be left out where the name tells it.

METHOD is what the inverters are called in tables, such as ``joint``; by default the loss that metrics.json
beside the file names, or ``inverter``. A method of which inverters were trained with several seeds is in the
list several times. Without a list the inverters that the catalog has for the network's weights are taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from actprobe.analyses.inversion.networks.inverter import Inverter, load_inverter
from actprobe.checkpoints.catalog import entries, find
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.models.source import ModelSource
from actprobe.weights.cache import locate

InverterSources: TypeAlias = "str | Path | Inverter | Sequence[str | Path | Inverter] | None"
METHOD = "inverter"
# Kinds of layers, as layer tables and Keras name them, that hold the same values as the layer before.
RESHAPINGS = ("dropout", "flatten", "identity", "permute", "reshape", "zeropadding")
PASSING = frozenset({"backup", "cache", "logs", "shards"})  # what a training keeps beside its result


@dataclass(frozen=True)
class Source:
    """Where an inverter is.

    ``method`` is its name in tables, ``layer`` the layer that it inverts, ``checkpoint`` a file or catalog
    entry, ``inverter`` the inverter itself where it is already open. ``training`` numbers those of one
    method and layer, from 1.
    """

    method: str
    layer: str
    checkpoint: str
    inverter: Inverter | None = field(default=None, compare=False)
    training: int = 1


def invertible_layers(model: Model) -> list[str]:
    """List the layers worth inverting: neither pre-activations nor mere reshapings, nor the output."""
    names = [
        name
        for name, layer in model.layers.items()
        if not layer.is_pre_activation and not layer.kind.lower().replace(" ", "").startswith(RESHAPINGS)
    ]
    return names[:-1]


def find_sources(
    model: Model | ModelSource, wanted: InverterSources, trainings: bool = False
) -> list[Source]:
    """Find the inverters that are meant; nothing means those that the catalog has for an opened network.

    They come by method in the order of the list, and by layer in that of the network; there is at least one.
    ``trainings``: whether a method with a name may have several inverters for a layer, each from an item of
    its own. A UsageError where there is nothing, no layer told by a name, or one layer twice for one method
    or item.
    """
    match wanted:
        case str():
            items: list[Any] = [item.strip() for item in wanted.split(",") if item.strip()]
        case Path() | Inverter():
            items = [wanted]
        case _:
            items = list(wanted or ())
    by_item = [_expand(model, item) for item in items]
    if not items:
        assert isinstance(model, Model)  # its weights decide
        by_item = [_of_catalog(model)]
        if not by_item[0]:
            raise UsageError(
                f"the catalog has no inverters for these weights of {model.name} ({model.weights}); "
                f"name some with --inverters=FOLDER or LAYER=FILE, or take --method=gradient"
            )
    everything = list(chain.from_iterable(by_item))
    unnamed = [source for source in everything if source.method == METHOD]
    for among in [*by_item, unnamed] if trainings else [everything]:
        _refuse_doubles(among)
    found: list[Source] = []
    for source in everything:
        before = sum((each.method, each.layer) == (source.method, source.layer) for each in found)
        found.append(replace(source, training=before + 1))
    methods = list(dict.fromkeys(source.method for source in found))
    order = {name: i for i, name in enumerate(model.layers)}
    return sorted(found, key=lambda source: (methods.index(source.method), order[source.layer]))


def _refuse_doubles(found: Sequence[Source]) -> None:
    for source in found:
        same = [each for each in found if (each.method, each.layer) == (source.method, source.layer)]
        if len(same) > 1:
            which = ", ".join(each.checkpoint for each in same)
            raise UsageError(f"{source.layer} is there more than once: {which}; name one of them")


def sources_of(
    model: Model | ModelSource, sources: Sequence[Source], layers: Sequence[str] | None
) -> list[Source]:
    """Keep what `find_sources` found for some layers; None keeps all.

    A UsageError for a layer without an inverter, or that the network does not have.
    """
    if layers is None:
        return list(sources)
    wanted = [layer.name for layer in model.layers.select(layers)]
    missing = [name for name in wanted if name not in {source.layer for source in sources}]
    if missing:
        there = ", ".join(dict.fromkeys(source.layer for source in sources))
        raise UsageError(f"there is no inverter for {', '.join(missing)}; there is one for {there}")
    return [source for source in sources if source.layer in wanted]


def open_sources(
    model: Model, sources: Sequence[Source], layers: Sequence[str] | None
) -> list[tuple[Source, Inverter]]:
    """Open what `find_sources` found for some layers, see `sources_of`.

    A WeightsError for a file that was refused.
    """
    return [
        (source, source.inverter or load_inverter(model, source.layer, source.checkpoint))
        for source in sources_of(model, sources, layers)
    ]


def recorded(source: Source, inverter: Inverter) -> dict[str, Any]:
    """Say for run.json what inverted a layer.

    ``method`` and ``layer`` as in tables, the number of its ``training``, the ``loss`` that it was trained
    with (empty where no metrics.json beside it tells), and its weights: ``catalog_name``, ``path``,
    ``sha256``.
    """
    loss = _loss_of(Path(inverter.weights.path), inverter.layer)
    return {
        "method": source.method, "layer": inverter.layer, "training": source.training, "loss": loss,
        **vars(inverter.weights),
    }  # fmt: skip


def _expand(model: Model | ModelSource, item: str | Path | Inverter) -> list[Source]:
    if isinstance(item, Inverter):
        return [_opened(model, item)]
    item = str(item)
    method, colon, rest = item.partition(":")
    if not colon or "/" in method or "=" in method:
        method, rest = "", item
    layer, equals, where = rest.partition("=")
    if equals:
        name = model.layers[layer].name
        locate(where, model.name, "inverter")
        return [Source(method or _loss_of(Path(where), name) or METHOD, name, where)]
    entry = find(rest)
    if entry is not None:
        return [Source(method or METHOD, model.layers[entry.layer or rest].name, rest)]
    path = Path(rest)
    if not path.exists():
        raise UsageError(f"{rest} is neither a folder nor a file nor in the catalog")
    if path.is_dir():
        files = [
            file
            for file in sorted(path.rglob("*.npz"))
            if not PASSING.intersection(file.relative_to(path).parts[:-1])
        ]
        named = [(_layer_in(model, file.relative_to(path).as_posix()), file) for file in files]
        found = [
            Source(method or _loss_of(file, layer) or METHOD, layer, str(file))
            for layer, file in named
            if layer
        ]
        if not found:
            raise UsageError(f"{path} holds no npz named after a layer of {model.name}")
        return found
    told = _layer_in(model, path.name) or _layer_in(model, path.resolve().parent.name)
    if not told:
        raise UsageError(f"{path}: its name does not tell which layer it inverts; give LAYER={path}")
    return [Source(method or _loss_of(path, told) or METHOD, told, str(path))]


def _opened(model: Model | ModelSource, inverter: Inverter) -> Source:
    layer = model.layers[inverter.layer]
    shapes = (layer.shape, model.frontend.example_shape)
    if inverter.model_name != model.name or (inverter.feature_shape, inverter.example_shape) != shapes:
        raise UsageError(f"{inverter!r} is none of {model.name} {layer.name}")
    path = inverter.weights.path
    if name := inverter.weights.catalog_name:  # as if it had been named
        return Source(METHOD, layer.name, name, inverter)
    method = _loss_of(Path(path), layer.name) if path else ""
    return Source(method or METHOD, layer.name, path or str(inverter.weights), inverter)


def _layer_in(model: Model | ModelSource, name: str) -> str:
    """Find the layer that a file's name tells; the last word of the name that is a layer's counts."""
    plain = {layer.replace("/", "_"): layer for layer in model.layers}
    for between in (r"[^A-Za-z0-9_]+", r"[^A-Za-z0-9]+"):  # names of layers may have a _ of their own
        told = [plain[word] for word in re.split(between, name) if word in plain]
        if told:
            return told[-1]
    return ""


def _loss_of(file: Path, layer: str) -> str:
    """Name the loss of an inverter, if metrics.json beside it has one: of its training, or layer by layer."""
    try:
        metrics = json.loads((file.parent / "metrics.json").read_text("utf-8"))
        return str(metrics.get(layer, metrics)["objective"]["name"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def _of_catalog(model: Model) -> list[Source]:
    weights = model.weights.catalog_name
    return [
        Source(METHOD, entry.layer, entry.name)
        for entry in entries(model.name, "inverter")
        if entry.inverts == weights and not entry.replaced_by
    ]
