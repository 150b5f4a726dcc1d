"""Networks of one's own, of tf-keras and of Keras 3: export, TensorFlow alone, server and client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_support import options, python_without, running

import actprobe
from actprobe import backend
from actprobe.errors import ActprobeError, UsageError
from actprobe.frontends import FrontEnd, LogMelFrontEnd, WaveformFrontEnd
from actprobe.serving.client import Client
from actprobe.serving.proof import sound

RATE = 16000
TOLERANCE = 1e-5  # of the largest value, or of 1


def close(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * max(1.0, np.abs(expected).max())


def front_end() -> FrontEnd:
    return LogMelFrontEnd(sample_rate=RATE, n_fft=256, hop_length=160, n_mels=20, frames=30, hop=15)


def network(keras: Any, shape: Any) -> Any:
    """Convolutions with and without an activation, a normalisation, a branch, dropout, dense layers."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = layers.Input(shape)
    x = layers.Conv2D(6, 3, activation="relu", name="edges")(inputs)
    x = layers.BatchNormalization(name="scale")(x)
    x = layers.MaxPooling2D(2, name="coarse")(x)
    branch = layers.LeakyReLU(name="leaky")(layers.Conv2D(6, 3, padding="same", name="shapes")(x))
    x = layers.Dropout(0.5, name="dropped")(layers.Add(name="sum")([x, branch]))
    x = layers.Dense(8, activation="elu", name="hidden")(layers.GlobalAveragePooling2D(name="means")(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="classes")(x))


@pytest.fixture(scope="module")
def models() -> dict[str, actprobe.Model]:
    labels = ["dog", "siren", "rain"]
    own2, own3 = network(backend.keras, (30, 20, 1)), network(backend.keras3, (20, 30, 1))
    return {
        "own2": actprobe.wrap_model(own2, front_end(), "own2", outputs=labels),
        "own3": actprobe.wrap_model(own3, front_end(), "own3", axes="mel,time", outputs=labels),
    }


@pytest.fixture(scope="module")
def out(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both networks and an inverter of one, exported."""
    folder = tmp_path_factory.mktemp("own")
    for model in models.values():
        actprobe.export(model, output_dir=folder)
    inverter = actprobe.load_inverter(models["own3"], "coarse", seed=1)
    actprobe.export(inverter, output_dir=folder, network=models["own3"])
    return folder


@pytest.fixture(scope="module")
def server(out: Path) -> Iterator[Any]:
    with running(options(out)) as started:
        yield started


@pytest.fixture(params=["rest", "grpc"])
def address(request: pytest.FixtureRequest, server: Any) -> str:
    ports = {"rest": f"http://127.0.0.1:{server.rest_api_port}", "grpc": f"127.0.0.1:{server.port}"}
    return ports[request.param]


def test_tensorflow_alone_gives_the_numbers_of_python(models: Any, out: Path, tmp_path: Path) -> None:
    """Neither actprobe nor any Keras is needed, the one that the network was written in least of all."""
    code = """
        import sys, numpy as np, tensorflow as tf
        out, given, found = sys.argv[1:]
        given, answers = np.load(given), {}
        for name in ("own2", "own3"):
            signatures = tf.saved_model.load(f"{out}/models/{name}/1").signatures
            outputs = signatures["activations"](examples=tf.constant(given[name]))
            outputs |= signatures["from_waveform"](waveform=tf.constant(given["waveform"]))
            answers |= {f"{name} {key}".replace("/", "|"): value.numpy() for key, value in outputs.items()}
        np.savez(found, **answers)
        """
    waveform = sound((1, RATE), RATE)
    examples = {name: model.frontend(waveform[0], RATE) for name, model in models.items()}
    np.savez(tmp_path / "given.npz", waveform=waveform, **examples)
    blocked = ("actprobe", "keras", "tf_keras")
    done = python_without(blocked, code, out, tmp_path / "given.npz", tmp_path / "found.npz")
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npz")
    for name, model in models.items():
        expected = model.activations(examples[name], list(model.layers))
        for layer in set(expected) - {"classes"}:
            close(found[f"{name} {layer}".replace("/", "|")], expected[layer])
        close(found[f"{name} classes"][0], expected["classes"])
        starts = model.frontend.example_starts(RATE)
        np.testing.assert_allclose(found[f"{name} times"][0], starts / RATE)


@pytest.mark.parametrize("name", ["own2", "own3"])
def test_the_server_gives_them_to_the_client(name: str, models: Any, address: str) -> None:
    model, waveform = models[name], sound((1, RATE), RATE)[0]
    examples = model.frontend(waveform, RATE)
    expected = model.activations(examples, list(model.layers))
    with Client(address, model=name) as client:
        found = client.activations(examples)
        assert set(found) == set(model.layers)
        for layer, values in expected.items():
            close(found[layer], values)
        found = client.activations(actprobe.Waveform(waveform, RATE))
        close(found["classes"], expected["classes"])


def test_an_inverter_of_it_is_served_with_the_network_before_it(models: Any, address: str) -> None:
    model, inverter = models["own3"], actprobe.load_inverter(models["own3"], "coarse", seed=1)
    waveform = sound((1, RATE), RATE)
    examples = model.frontend(waveform[0], RATE)
    features = model.activations(examples, ["coarse"])["coarse"]
    with Client(address, model="own3_inverter_coarse") as client:
        close(client.invert(features), inverter(features))
        close(
            client.predict({"mel_spectrogram": examples}, "from_mel")["mel_spectrogram"], inverter(features)
        )
        close(
            client.predict({"waveform": waveform}, "from_waveform")["mel_spectrogram"][0], inverter(features)
        )


def test_its_card_does_not_make_it_one_of_the_catalog(models: Any, out: Path) -> None:
    folder = out / "models/own3/1"
    card, facts = (folder / "README.md").read_text(), json.loads((folder / "export.json").read_text())
    assert f"weights of a user's own model (sha256 {models['own3'].weights.sha256[:12]})" in card
    assert (
        facts["signatures"]["activations"]["input"]["what"] == "examples as the front end log_mel gives them"
    )
    assert facts["frontend"]["n_mels"] == 20
    assert "whoever trained the model" in (folder / "WEIGHTS_LICENCE.txt").read_text()


@pytest.mark.parametrize("file_format", ["pb", "tflite"])
@pytest.mark.parametrize("name", ["own2", "own3"])
def test_other_formats_take_it(name: str, file_format: str, models: Any, tmp_path: Path) -> None:
    exported = actprobe.export(models[name], output_dir=tmp_path, file_format=file_format)
    assert (exported.folder / f"{name}.{file_format}").stat().st_size > 1000
    assert exported.deviation <= TOLERANCE


def test_the_control_of_a_network_is_exported_with_its_random_weights(models: Any, tmp_path: Path) -> None:
    """It lends them to the network only while it computes."""
    model = models["own3"]
    control = model.with_random_weights(0)
    path = actprobe.export(control, output_dir=tmp_path).folder
    examples = model.frontend(sound((1, RATE), RATE)[0], RATE)
    found = backend.tf.saved_model.load(str(path)).signatures["activations"](
        examples=backend.tf.constant(examples)
    )
    close(found["edges"], control.activations(examples, ["edges"])["edges"])
    own = model.activations(examples, ["edges"])["edges"]
    assert np.abs(found["edges"] - own).max() > 0.1
    assert "weights are random" in (path / "README.md").read_text()


# What cannot be exported


def test_a_layer_that_computes_in_python_is_refused(tmp_path: Path) -> None:
    """Here it would give the right numbers; in a server there is no such function."""
    keras, tf = backend.keras, backend.tf

    class Squashed(keras.layers.Layer):  # type: ignore[misc,name-defined]
        def call(self, inputs: Any) -> Any:
            return tf.ensure_shape(tf.numpy_function(np.tanh, [inputs], tf.float32), inputs.shape)

    inputs = keras.Input((30, 20))
    squashed = keras.layers.Flatten()(Squashed(name="squashed")(inputs))
    model = actprobe.wrap_model(keras.Model(inputs, keras.layers.Dense(2)(squashed)), name="mine")
    for file_format in ("savedmodel", "pb", "tflite"):
        with pytest.raises(UsageError, match=r"^squashed computes in Python .* write it with TensorFlow"):
            actprobe.export(model, output_dir=tmp_path, file_format=file_format)
    assert not list(tmp_path.rglob("*.pb"))


def test_a_name_that_no_node_can_have_is_left_out_of_a_frozen_graph(tmp_path: Path) -> None:
    keras = backend.keras
    inputs = keras.Input((30, 20, 1))
    twice = keras.layers.Conv2D(1, 3, padding="same", name="twice")
    outputs = keras.layers.Flatten(name="flat")(twice(twice(inputs)))
    model = actprobe.wrap_model(keras.Model(inputs, outputs), name="mine")
    assert "twice#2" in model.layers
    with pytest.raises(UsageError, match=r"no node 'twice#2.*rename it, or leave it out"):
        actprobe.export(model, output_dir=tmp_path, file_format="pb")
    layers = ["twice", "flat"]
    assert actprobe.export(model, output_dir=tmp_path, file_format="pb", layers=layers).deviation <= TOLERANCE


def test_what_tensorflow_lite_lacks_is_named(tmp_path: Path) -> None:
    keras = backend.keras
    recurrent = keras.Sequential([keras.layers.Input((30, 20)), keras.layers.LSTM(2)])
    with pytest.raises(ActprobeError, match=r"^mine cannot be converted: TensorFlow Lite has no \w+ as"):
        actprobe.export(
            actprobe.wrap_model(recurrent, name="mine"), output_dir=tmp_path, file_format="tflite"
        )


# Networks of waveforms


def test_a_network_of_waveforms_and_its_inverter_are_exported(tmp_path: Path) -> None:
    keras = backend.keras
    keras.utils.set_random_seed(0)
    layers = keras.layers
    net = keras.Sequential(
        [
            layers.Input((800, 1)),
            layers.Conv1D(4, 16, strides=8, activation="relu", name="filters"),
            layers.GlobalMaxPooling1D(name="peaks"),
        ]
    )
    model = actprobe.wrap_model(net, WaveformFrontEnd(RATE, 800), "waves", axes="samples")
    inverter = actprobe.load_inverter(model, "filters", seed=1)
    path = actprobe.export(inverter, output_dir=tmp_path, network=model).folder
    signatures = backend.tf.saved_model.load(str(path)).signatures
    waveform = sound((1, 2400), RATE)
    found = signatures["from_waveform"](waveform=backend.tf.constant(waveform))["mel_spectrogram"]
    assert found.shape == (1, 3, 800, 1)
    features = model.activations(model.frontend(waveform[0], RATE), ["filters"])["filters"]
    close(found[0], inverter(features))
    assert "log-mel" not in (path / "README.md").read_text()
