"""CNN-AT with 1024 hidden units: the architecture of the case study, to be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actprobe import backend
from actprobe.corpora.fcvid import CLASSES
from actprobe.errors import UsageError
from actprobe.models import Model, layers_of, load_model


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("cnn_at_fcvid", seed=0)


@pytest.fixture(scope="module")
def examples() -> NDArray[Any]:
    return np.random.default_rng(0).standard_normal((2, 1366, 96)).astype(np.float32)


@pytest.fixture(scope="module")
def computed(model: Model, examples: Any) -> dict[str, NDArray[Any]]:
    return model.activations(examples, list(model.layers), batch_size=2)


def test_layer_table_has_the_shapes_that_the_network_computes(model: Model, computed: Any) -> None:
    for name, layer in model.layers.items():
        assert computed[name].shape == (2, *layer.shape)
    assert set(model.keras_model.output) <= set(model.layers)


def test_architecture_is_that_of_the_authors_program(model: Model) -> None:
    layers = layers_of("cnn_at_fcvid")
    assert {name: layers[name].shape for name in ("pad", "bn_0", "pool1", "pool2", "pool3", "pool4")} == {
        "pad": (1440, 96, 1),
        "bn_0": (1440, 96, 1),
        "pool1": (720, 48, 64),
        "pool2": (240, 16, 128),
        "pool3": (60, 4, 128),
        "pool4": (15, 1, 128),
    }
    assert layers["flatten"].shape == (1920,)
    assert layers["fc1"].shape == (1024,)  # wide enough for the paper's activation 259
    assert layers["output"].shape == (12,)
    network = model.keras_model
    assert network.count_params() == 2_356_620
    assert network.get_layer("bn_0").gamma.shape == (1440,)
    assert network.get_layer("bn1").epsilon == network.get_layer("bn_0").epsilon == 1e-3


def test_the_melgram_lies_in_the_middle_of_its_zeros(examples: Any, computed: Any) -> None:
    padded = computed["pad"][..., 0]
    assert np.array_equal(padded[:, 37:-37], examples)
    assert not padded[:, :37].any()
    assert not padded[:, -37:].any()


def test_times_count_from_the_start_of_the_melgram(model: Model) -> None:
    """By hand: 37 frames of zeros lie before frame 0; pool1 has the centre between two frames."""
    layers = model.layers
    assert layers["conv1"].times()[37] == pytest.approx(0)
    assert layers["pool1"].first_seconds == pytest.approx((0.5 - 37) * 256 / 12000)
    assert layers["pool1"].hop_seconds == pytest.approx(2 * 256 / 12000)
    # conv1 3, pool1 4, conv2 4 + 2 * 2, pool2 8 + 2 * 2 frames
    assert layers["pool2"].receptive_field_seconds == pytest.approx((11 * 256 + 512) / 12000)
    assert layers["pool4"].hop_seconds == pytest.approx(96 * 256 / 12000)


def test_hidden_layer_is_an_elu_of_its_pre_activation(computed: Any) -> None:
    linear = computed["fc1/linear"]
    assert (linear < 0).any()
    assert np.allclose(computed["fc1"], np.where(linear > 0, linear, np.expm1(linear)), atol=1e-5)
    assert computed["output"].sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_classes_are_in_the_order_of_the_ids_not_of_the_alphabet() -> None:
    assert len(CLASSES) == 12
    assert [CLASSES[i] for i in (0, 1, 2, 6, 10, 11)] == [
        "accordion", "trumpet", "flute", "violin", "cello", "piano",
    ]  # fmt: skip
    assert list(CLASSES) != sorted(CLASSES)


def test_there_are_no_published_weights_and_the_message_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"of somebody else")
    with pytest.raises(UsageError, match=r"no weights of cnn_at_fcvid are published.*seeded.*wrap_model"):
        load_model("cnn_at_fcvid", tmp_path / "weights.h5")


def test_it_learns_in_one_step(examples: Any) -> None:
    keras = backend.keras
    keras.utils.set_random_seed(0)
    model = load_model("cnn_at_fcvid", seed=0)
    network = keras.Model(model.keras_model.input, model.keras_model.output["output"])
    labels = np.eye(12, dtype=np.float32)[[3, 8]]
    network.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy")
    before, loss = network.get_weights(), network.test_on_batch(examples, labels)
    network.train_on_batch(examples, labels)
    for weight, old in zip(network.weights, before, strict=True):
        assert not np.array_equal(weight.numpy(), old), weight.name
    assert network.test_on_batch(examples, labels) < loss
