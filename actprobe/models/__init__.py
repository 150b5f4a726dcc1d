"""The networks: one file each, opened by `load_model`."""

from actprobe.models.adapters.wrap import wrap_model
from actprobe.models.layer_table import Layer, LayerTable
from actprobe.models.model import Model
from actprobe.models.output import Output
from actprobe.models.registry import NETWORKS, layers_of, load_model, network_named
from actprobe.models.source import ModelSource
from actprobe.models.weights import WeightsRecord

__all__ = [
    "NETWORKS",
    "Layer",
    "LayerTable",
    "Model",
    "ModelSource",
    "Output",
    "WeightsRecord",
    "layers_of",
    "load_model",
    "network_named",
    "wrap_model",
]
