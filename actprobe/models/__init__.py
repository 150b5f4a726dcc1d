"""The networks: one file each, opened by `load_model`."""

from actprobe.models.adapters.tf_keras import wrap_model
from actprobe.models.model import Model, WeightsRecord
from actprobe.models.registry import NETWORKS, layers_of, load_model
from actprobe.models.source import ModelSource
from actprobe.models.table import Layer, LayerTable

__all__ = [
    "NETWORKS",
    "Layer",
    "LayerTable",
    "Model",
    "ModelSource",
    "WeightsRecord",
    "layers_of",
    "load_model",
    "wrap_model",
]
