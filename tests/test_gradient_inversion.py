"""Inversion by optimisation: the objective is the stated one, its gradient right, the search lowers it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actprobe import backend, wrap_model
from actprobe.analyses.inversion.inverting.gradient import GradientInverter, GradientSettings
from actprobe.errors import UsageError
from actprobe.models import load_model

SHAPE = (12, 8)


@pytest.fixture(scope="module")
def tiny() -> Any:
    """A smooth network, so that finite differences tell its gradient."""
    layers = backend.keras.layers
    backend.keras.utils.set_random_seed(0)
    given = layers.Input((*SHAPE, 1))
    maps = layers.Conv2D(3, 3, activation="elu", name="maps")(given)
    told = layers.Dense(5, "tanh", name="told")(layers.Flatten(name="flat")(maps))
    return wrap_model(backend.keras.Model(given, layers.Dense(1, "sigmoid", name="out")(told)), name="tiny")


def excerpts(count: int = 4) -> NDArray[Any]:
    rng = np.random.default_rng(5)
    smooth = np.cumsum(rng.standard_normal((count, *SHAPE)), axis=1) / 3
    values: NDArray[Any] = smooth.astype(np.float32)
    return values


@pytest.mark.parametrize("layer", ["maps", "told", "maps/linear"])
def test_objective_is_the_stated_sum(tiny: Any, layer: str) -> None:
    settings = GradientSettings(alpha_weight=0.2, time_weight=0.3, mel_weight=0.7, range_=2.0)
    inverter = GradientInverter(tiny, layer, settings)
    x, target = excerpts(3), tiny.activations(excerpts(3)[::-1].copy(), [layer])[layer]
    features = tiny.activations(x, [layer])[layer]
    for i, found in enumerate(
        inverter.objective(backend.tf.constant(x), backend.tf.constant(target)).numpy()
    ):
        expected = (
            np.sum((features[i] - target[i]) ** 2) / np.sum(target[i] ** 2)
            + 0.2 * np.mean(np.abs(x[i] / 2) ** 6)
            + 0.3 * np.mean(np.diff(x[i], axis=0) ** 2)
            + 0.7 * np.mean(np.diff(x[i], axis=1) ** 2)
        )
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("layer", ["maps", "told"])
def test_gradient_is_that_of_finite_differences(tiny: Any, layer: str) -> None:
    inverter = GradientInverter(tiny, layer, GradientSettings(alpha_weight=0.1))
    tf = backend.tf
    x = excerpts(1)
    target = tf.constant(tiny.activations(excerpts(2)[1:], [layer])[layer])

    def objective(mel_spectrogram: Any) -> float:
        return float(inverter.objective(tf.constant(mel_spectrogram.astype(np.float32)), target)[0])

    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        value = inverter.objective(variable, target)
    gradient = tape.gradient(value, variable).numpy()
    rng = np.random.default_rng(0)
    for _ in range(6):
        direction = rng.standard_normal(x.shape)
        direction /= np.linalg.norm(direction)
        numeric = (objective(x + 0.02 * direction) - objective(x - 0.02 * direction)) / 0.04
        assert float(np.sum(gradient * direction)) == pytest.approx(numeric, rel=0.02, abs=2e-4)


@pytest.mark.parametrize("layer", ["maps", "told"])
def test_search_lowers_the_objective_and_comes_near_the_features(tiny: Any, layer: str) -> None:
    x = excerpts()
    features = tiny.activations(x, [layer])[layer]
    inverter = GradientInverter(tiny, layer, GradientSettings(steps=150, time_weight=1e-3, mel_weight=1e-3))
    found, objective, start = inverter.search(features)
    assert found.shape == x.shape
    assert found.dtype == np.float32
    assert (objective < 0.1 * start).all()
    told = inverter.objective(backend.tf.constant(found), backend.tf.constant(features)).numpy()
    assert objective == pytest.approx(told, rel=1e-4)
    again = tiny.activations(found, [layer])[layer]
    assert np.linalg.norm(again - features) < 0.35 * np.linalg.norm(features)


def test_result_depends_on_the_seed_not_on_the_batch(tiny: Any) -> None:
    features = tiny.activations(excerpts(), ["told"])["told"]
    settings = GradientSettings(steps=20)
    together = GradientInverter(tiny, "told", settings)(features)
    alone = GradientInverter(tiny, "told", settings)(features, batch_size=1)
    assert np.abs(together - alone).max() < 1e-3
    assert np.array_equal(together, GradientInverter(tiny, "told", settings)(features))
    other = GradientInverter(tiny, "told", GradientSettings(steps=20, seed=1))(features)
    assert np.abs(together - other).max() > 0.01


def test_regularisers_do_what_they_are_for(tiny: Any) -> None:
    features = tiny.activations(excerpts(), ["told"])["told"]

    def roughness(axis: int, **weights: Any) -> float:
        settings = GradientSettings(steps=60, **weights)
        return float(np.mean(np.diff(GradientInverter(tiny, "told", settings)(features), axis=axis) ** 2))

    assert roughness(1, time_weight=5, mel_weight=0) < 0.5 * roughness(1, time_weight=0, mel_weight=5)
    assert roughness(2, time_weight=0, mel_weight=5) < 0.5 * roughness(2, time_weight=5, mel_weight=0)
    small = GradientInverter(tiny, "told", GradientSettings(steps=60, alpha_weight=10, range_=0.2))(features)
    assert np.abs(small).max() < 0.5


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_objective_that_explodes_leaves_the_best_that_was_seen(tiny: Any) -> None:
    features = tiny.activations(excerpts(), ["told"])["told"]
    wild = GradientInverter(tiny, "told", GradientSettings(steps=15, learning_rate=1e12))
    found, objective, start = wild.search(features)
    assert np.isfinite(found).all()
    assert (objective <= start).all()


def test_silent_features_are_no_division_by_zero(tiny: Any) -> None:
    found = GradientInverter(tiny, "told", GradientSettings(steps=5))(np.zeros((2, 5), np.float32))
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (np.zeros((2, 4)), r"shape \[batch, 5\], not \[2, 4\]"),
        (np.zeros((0, 5)), "shape"),
        (np.full((1, 5), np.nan), "NaN or infinity"),
    ],
)
def test_unusable_features_are_refused(tiny: Any, features: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        GradientInverter(tiny, "told")(features)


def test_unusable_settings_and_layers_are_refused(tiny: Any) -> None:
    with pytest.raises(UsageError, match="positive"):
        GradientInverter(tiny, "told", GradientSettings(steps=0))
    with pytest.raises(UsageError, match="no layer 'fc9'"):
        GradientInverter(tiny, "fc9")


def test_a_network_of_the_house_is_inverted() -> None:
    """One short search through the detector: features come nearer than the noise they started from."""
    model = load_model("svd", seed=1)
    x = np.random.default_rng(0).standard_normal((2, 115, 80)).astype(np.float32)
    features = model.activations(x, ["mp6"])["mp6"]
    _, objective, start = GradientInverter(model, "mp6", GradientSettings(steps=12)).search(features)
    assert (objective < 0.9 * start).all()
