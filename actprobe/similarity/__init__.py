"""Activations and features -> similarity tables."""

from actprobe.similarity.alignment import ALIGNMENT_COLUMNS, align_units
from actprobe.similarity.cka import CKA_COLUMNS, KernelAlignment, cka_table, linear_cka
from actprobe.similarity.neurons import (
    LAYER_COLUMNS,
    NEURON_COLUMNS,
    NeuronSimilarity,
    NeuronTables,
    neuron_similarity,
    neuron_table,
    unit_means,
)
from actprobe.similarity.playlists import PLAYLIST_COLUMNS, Extremes, cut_playlist, playlist
from actprobe.similarity.statistics import constant_neurons

__all__ = [
    "ALIGNMENT_COLUMNS",
    "CKA_COLUMNS",
    "LAYER_COLUMNS",
    "NEURON_COLUMNS",
    "PLAYLIST_COLUMNS",
    "KernelAlignment",
    "Extremes",
    "NeuronSimilarity",
    "NeuronTables",
    "align_units",
    "cka_table",
    "constant_neurons",
    "cut_playlist",
    "linear_cka",
    "neuron_similarity",
    "neuron_table",
    "playlist",
    "unit_means",
]
