"""Planted truth: a channel that is the harmonic part, shifted and scaled, is found, and noise is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actprobe import backend, maps, wrap_model
from actprobe.analyses.maps.table import rank_maps
from actprobe.corpora.phantom import write_phantom
from actprobe.models.networks.svd import FRONTEND

HARMONIC, PERCUSSIVE, NOISE = 0, 1, range(2, 8)
DELAY = 2  # frames by which the planted channels look back


def _wild(x: Any) -> Any:
    return backend.tf.sin(997.0 * x)


@pytest.fixture(scope="module")
def planted() -> Any:
    """A network of two filters that separate as HPSS does, and six channels of noise.

    The first filter smooths along time, the second along frequency; both look back, and both are pooled. The
    noise is a wild function of the sound, so that it changes with every recording and follows none of its
    features.
    """
    keras = backend.keras
    sound = keras.Input((115, 80), name="sound")
    image = keras.layers.Reshape((115, 80, 1), name="image")(sound)
    ridge = np.zeros((13, 13), np.float32)
    ridge[3 - DELAY : 10 - DELAY, 6] = 1 / 7
    hit = np.zeros((13, 13), np.float32)
    hit[6 - DELAY, :] = 1 / 13
    filters = keras.layers.Conv2D(2, (13, 13), padding="same", name="filters")
    noise = keras.layers.Conv2D(len(NOISE), (3, 3), padding="same", name="mixture")
    wild = keras.layers.Activation(_wild, name="wild")
    both = keras.layers.Concatenate(name="both")([filters(image), wild(noise(image))])
    pooled = keras.layers.MaxPooling2D((2, 2), name="pooled")(both)
    network = keras.Model(sound, pooled)
    filters.set_weights([np.stack([ridge, hit], axis=-1)[:, :, np.newaxis], np.zeros(2, np.float32)])
    kernel = np.random.default_rng(5).standard_normal((3, 3, 1, len(NOISE))).astype(np.float32)
    noise.set_weights([kernel, np.zeros(len(NOISE), np.float32)])
    return wrap_model(network, frontend=FRONTEND())


@pytest.fixture(scope="module")
def found(planted: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("planted")
    write_phantom(folder / "in", recordings=10, seconds=5)
    return maps(
        planted,
        folder / "in",
        layers=["pooled"],
        features=["harmonic", "percussive"],
        output_dir=folder / "out",
        figures=0,
    )


def test_planted_harmonic_channel_is_first_and_beats_its_null(found: Any) -> None:
    best = rank_maps(found.table, "harmonic").iloc[0]
    assert best.channel == HARMONIC
    assert best.q < 0.01
    assert best.score > best.score_null


def test_planted_percussive_channel_is_first_and_beats_its_null(found: Any) -> None:
    best = rank_maps(found.table, "percussive").iloc[0]
    assert best.channel == PERCUSSIVE
    assert best.q < 0.01
    assert best.score > best.score_null


def test_noise_channels_are_not_found(found: Any) -> None:
    noise = found.table[found.table.channel.isin(NOISE)]
    assert (noise.keypoints_map > 20).all()
    assert not (noise.q < 0.05).any()
