"""Weights that a framework saved come back by name and shape, into networks of actprobe and of users."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError, WeightsError
from actprobe.models import load_model
from actprobe.models.adapters.saved_weights import load_weights


def build(keras: Any, channels: int = 4, bias: bool = True) -> Any:
    return keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(channels, 3, name="first"),
            keras.layers.BatchNormalization(name="bn"),
            keras.layers.Conv2D(2, 3, name="second"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="out", use_bias=bias),
        ]
    )


def randomise(network: Any) -> None:
    rng = np.random.default_rng(5)
    for weight in network.weights:
        weight.assign(rng.random(weight.shape).astype(np.float32))


def check_equal(one: Any, other: Any) -> None:
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(params=["keras", "keras3"])
def keras(request: pytest.FixtureRequest) -> Any:
    return getattr(backend, request.param)


@pytest.fixture
def trained(keras: Any) -> Any:
    network = build(keras)
    network.compile("adam", "mse")
    network.fit(np.ones((2, 8, 8, 1), np.float32), np.ones((2, 3), np.float32), verbose=0)
    randomise(network)
    return network


@pytest.mark.parametrize("file", ["a.weights.h5", "a.keras", "a.h5"])
def test_what_keras_saves_comes_back(tmp_path: Path, keras: Any, trained: Any, file: str) -> None:
    save = trained.save_weights if "weights" in file else trained.save
    save(str(tmp_path / file))
    fresh = build(keras)
    load_weights(fresh, tmp_path / file)
    check_equal(fresh, trained)


@pytest.mark.parametrize("end", ["", ".index"])
def test_a_checkpoint_of_tensorflow_2_comes_back(tmp_path: Path, end: str) -> None:
    network = build(backend.keras)
    randomise(network)
    network.save_weights(str(tmp_path / "model"), save_format="tf")
    fresh = build(backend.keras)
    load_weights(fresh, f"{tmp_path}/model{end}")
    check_equal(fresh, network)


def test_keras_3_finds_layers_by_name_in_another_order(tmp_path: Path) -> None:
    """Both convolutions have the same class, and the file calls them conv2d and conv2d_1."""
    keras = backend.keras3
    inputs = keras.Input((8, 8, 1))
    one, two = (keras.layers.Conv2D(2, 3, name=name) for name in ("one", "two"))
    there = keras.Model(inputs, [one(inputs), two(inputs)])
    back = keras.Model(inputs, [keras.layers.Conv2D(2, 3, name=name)(inputs) for name in ("two", "one")])
    randomise(there)
    there.save_weights(str(tmp_path / "a.weights.h5"))
    load_weights(back, tmp_path / "a.weights.h5")
    for name in ("one", "two"):
        check_equal(back.get_layer(name), there.get_layer(name))


def write_safetensors(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    header, place = {}, 0
    for name, array in arrays.items():
        end = place + array.nbytes
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header).encode()
    numbers = b"".join(array.tobytes() for array in arrays.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)


def test_safetensors_fill_a_network_of_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    network, fresh = (torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Linear(4, 2)) for _ in range(2))
    write_safetensors(
        tmp_path / "a.safetensors", {name: t.numpy() for name, t in network.state_dict().items()}
    )
    load_weights(fresh, tmp_path / "a.safetensors")
    for ours, theirs in zip(fresh.parameters(), network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_safetensors_fill_a_network_of_keras(tmp_path: Path, trained: Any, keras: Any) -> None:
    names = [
        f"{layer.name}.{w.name.split('/')[-1].split(':')[0]}"
        for layer in trained.layers
        for w in layer.weights
    ]
    write_safetensors(tmp_path / "a.safetensors", dict(zip(names, trained.get_weights(), strict=True)))
    fresh = build(keras)
    load_weights(fresh, tmp_path / "a.safetensors")
    check_equal(fresh, trained)


DAMAGE = {
    "cut off": lambda image: image[:-4],
    "longer": lambda image: image + b"1234",
    "no header": lambda image: struct.pack("<Q", 2**63) + image[8:],
    "no JSON": lambda image: image.replace(b"{", b"[", 1),
    "negative shape": lambda image: image.replace(b"[4]", b"[-]".replace(b"-", b"-4"), 1),
    "another shape": lambda image: image.replace(b'"shape": [4]', b'"shape": [5]', 1),
    "overlap": lambda image: image.replace(b"[16, 32]", b"[0, 16] ", 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_safetensors_are_refused(tmp_path: Path, damage: str) -> None:
    torch = pytest.importorskip("torch")
    network = torch.nn.BatchNorm1d(4, track_running_stats=False)
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {name: np.ones(4, np.float32) for name in network.state_dict()})
    load_weights(network, path)
    changed = DAMAGE[damage](path.read_bytes())
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    with pytest.raises(WeightsError):
        load_weights(network, path)


def test_what_is_missing_or_does_not_fit_is_one_sentence(tmp_path: Path, keras: Any, trained: Any) -> None:
    build(keras, bias=False).save_weights(str(tmp_path / "less.weights.h5"))
    build(keras, channels=5).save_weights(str(tmp_path / "wider.weights.h5"))
    before = trained.get_weights()
    with pytest.raises(WeightsError, match=r"out/bias: this variable of the network is not in the file$"):
        load_weights(trained, tmp_path / "less.weights.h5")
    with pytest.raises(WeightsError, match=r"first/kernel: has shape \(3, 3, 1, 5\), not \(3, 3, 1, 4\)$"):
        load_weights(trained, tmp_path / "wider.weights.h5")
    for ours, theirs in zip(trained.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes a built network"):
        load_weights(object(), tmp_path / "a.keras")


@pytest.mark.parametrize("file", ["a.weights.h5", "a.keras", "a.h5", "weights.h5", "checkpoint"])
@pytest.mark.parametrize("name", ["svd", "mm_cnn_multilayer"])
def test_networks_of_actprobe_open_with_what_keras_saved_of_them(
    tmp_path: Path, name: str, file: str
) -> None:
    one = load_model(name, seed=7)
    save = (
        one.keras_model.save_weights
        if file in ("a.weights.h5", "weights.h5", "checkpoint")
        else one.keras_model.save
    )
    save(str(tmp_path / file))
    again = load_model(name, tmp_path / file)
    check_equal(again.keras_model, one.keras_model)
    assert again.weights.kind == "unverified"
    assert len(again.weights.sha256) == 64
