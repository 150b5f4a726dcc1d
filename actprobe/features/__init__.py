"""Waveform -> hand-crafted features: numbers of a recording (scalars), and maps over time and bins."""

from actprobe.features.labels import Plan, label_values, resolve
from actprobe.features.level import loudness, rms
from actprobe.features.maps import FeatureMap, compute_maps, feature_map
from actprobe.features.melody import pitch, pitch_confidence
from actprobe.features.onset_strength import onset_strength
from actprobe.features.own import import_features
from actprobe.features.pitch_class import chroma, hpcp, hpcp_entropy
from actprobe.features.registry import Feature, available, describe, get_feature
from actprobe.features.rhythm import onset_rate, onset_times, tempo
from actprobe.features.salience import pitch_salience
from actprobe.features.scalars import compute_scalars, feature
from actprobe.features.separation import harmonic_percussive, harmonic_ratio
from actprobe.features.spectrum import (
    spectral_bandwidth,
    spectral_centroid,
    spectral_flux,
    zero_crossing_rate,
)

__all__ = [
    "Feature",
    "FeatureMap",
    "Plan",
    "available",
    "chroma",
    "compute_maps",
    "compute_scalars",
    "describe",
    "feature",
    "feature_map",
    "get_feature",
    "harmonic_percussive",
    "harmonic_ratio",
    "hpcp",
    "hpcp_entropy",
    "import_features",
    "label_values",
    "loudness",
    "onset_rate",
    "onset_strength",
    "onset_times",
    "pitch",
    "pitch_confidence",
    "pitch_salience",
    "resolve",
    "rms",
    "spectral_bandwidth",
    "spectral_centroid",
    "spectral_flux",
    "tempo",
    "zero_crossing_rate",
]
