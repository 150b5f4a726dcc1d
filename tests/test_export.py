"""Exports: what is served gives Python's numbers, appears whole or not at all, and needs TensorFlow only."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_support import python_without

from actprobe import backend, load_audio
from actprobe.analyses.inversion.networks.inverter import load_inverter
from actprobe.errors import ActprobeError, UsageError
from actprobe.frontends import (
    FrameFrontEnd,
    FrontEnd,
    MelgramFrontEnd,
    MmCnnFrontEnd,
    SvdFrontEnd,
    VggishFrontEnd,
    cover,
)
from actprobe.frontends.segments import cover_graph
from actprobe.models import NETWORKS, load_model, wrap_model
from actprobe.models.source import ModelSource
from actprobe.serving.bundle import new_version, read_models_config, versions_in, write_settings
from actprobe.serving.export import export
from actprobe.serving.proof import check_equal, sound
from actprobe.serving.signatures import network_signatures
from actprobe.serving.warmup import MOST_RECORDS, WARMUP_FILE, read_warmup, write_warmup

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
INVERTED = ("conv1", "conv2", "mp3", "conv4", "conv5", "mp6", "fc7", "fc8")
TOLERANCE = 1e-5  # of the largest value, or of 1


# CREPE's sizes differ in numbers of channels alone.
SERVED = [name for name in NETWORKS if not name.startswith("crepe") or name == "crepe_tiny"]


def close(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    assert np.abs(found - expected).max(initial=0.0) <= TOLERANCE * scale


@pytest.fixture(scope="session")
def models() -> Any:
    """Networks by name, each opened once."""
    opened = {}

    def get(name: Any) -> Any:
        if name not in opened:
            opened[name] = (
                load_model(name, checkpoint="svd-open") if name == "svd" else load_model(name, seed=1)
            )
        return opened[name]

    return get


@pytest.fixture(scope="session")
def small() -> Any:
    """A network that is exported in no time."""
    return own_model(None)


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="session")
def served(models: Any, out: Path) -> Any:
    """Exported models by name, each exported and loaded once: the version's folder and its signatures."""
    done = {}

    def get(name: Any) -> tuple[Any, Any]:
        if name not in done:
            network, _, layer = name.partition(":")
            if layer:
                inverter = load_inverter(network, layer, seed=1)
                exported = export(inverter, output_dir=out, network=models(network))
            else:
                exported = export(models(name), output_dir=out)
            done[name] = exported.folder, backend.tf.saved_model.load(str(exported.folder))
        return done[name][0], done[name][1].signatures

    return get


# The front ends


FRONTENDS: dict[str, Callable[[str], FrontEnd]] = {
    "svd": lambda padding: SvdFrontEnd(padding=padding),
    "svd, hop 9": lambda padding: SvdFrontEnd(hop=9, padding=padding),
    "vggish": lambda padding: VggishFrontEnd(padding=padding),
    "vggish, hop 7": lambda padding: VggishFrontEnd(hop=7, padding=padding),
    "mm_cnn": lambda padding: MmCnnFrontEnd(padding=padding),
    "cnn_at": lambda padding: MelgramFrontEnd(padding=padding),
}


def graph_examples(frontend: Any) -> Any:
    """Waveform [batch, samples] -> examples of all recordings, inside a graph."""
    tf, graph = backend.tf, frontend.example_graph()

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.float32)])  # type: ignore[untyped-decorator]
    def run(waveform: Any) -> tuple[Any, Any]:
        longer = graph.lengthened(waveform)
        starts = graph.starts(tf.shape(longer)[1])
        rows, each = tf.shape(longer)[0], tf.size(starts)
        chosen = tf.range(rows * each)
        return graph.cut(graph.prepare(longer), chosen // each, tf.gather(starts, chosen % each)), starts

    return run


def sounds(samples: Any, rate: Any) -> dict[str, Any]:
    random = np.random.default_rng(3)
    seconds = np.arange(samples) / rate
    click = np.zeros(samples)
    click[samples // 2] = 1.0
    return {
        "noise": 0.3 * random.standard_normal(samples),
        "full-scale sine": np.sin(2 * np.pi * 440 * seconds),
        "silence": np.zeros(samples),
        "click": click,
        "faint": 1e-4 * random.standard_normal(samples),
        "offset": np.full(samples, 0.5),
    }


@pytest.mark.parametrize("padding", ["zeros", "repeat"])
@pytest.mark.parametrize("name", FRONTENDS)
def test_front_end_in_the_graph_is_the_one_in_python(name: Any, padding: str) -> None:
    frontend = FRONTENDS[name](padding)
    run = graph_examples(frontend)
    length = frontend.example_samples
    for samples in (1, 700, length - 1, length, length + 1, round(1.1 * length), round(2.37 * length)):
        for what, waveform in sounds(samples, frontend.sample_rate).items():
            waveform = waveform.astype(np.float32)
            examples, starts = run(waveform[None])
            expected = frontend(waveform, frontend.sample_rate)
            assert list(starts) == list(frontend.example_starts(max(samples, length))), what
            assert np.abs(np.asarray(examples) - expected).max() <= 1e-5 * max(1, np.abs(expected).max()), (
                what
            )


def test_front_end_in_the_graph_normalises(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    waveform = (0.1 * random.standard_normal(400_000)).astype(np.float32)
    np.savez(tmp_path / "svd.npz", mean=random.standard_normal(80), std=random.uniform(1, 2, 80))
    np.save(tmp_path / "mm_cnn.npy", random.standard_normal((96, 128)))
    np.savez(tmp_path / "cnn_at.npz", mean=np.float64(-30.0), std=np.float64(12.0))
    for frontend in (
        SvdFrontEnd(tmp_path / "svd.npz"),
        MmCnnFrontEnd(tmp_path / "mm_cnn.npy"),
        MelgramFrontEnd(tmp_path / "cnn_at.npz"),
    ):
        plain = type(frontend)()(waveform, frontend.sample_rate)
        examples, _ = graph_examples(frontend)(waveform[None])
        close(examples, frontend(waveform, frontend.sample_rate))
        assert np.abs(np.asarray(examples) - plain).max() > 0.1


def test_long_recordings_are_computed_in_pieces() -> None:
    frontend = SvdFrontEnd(hop=500)
    waveform = sound((1, 2 * 2048 * frontend.frame_hop + 12_345), frontend.sample_rate)
    close(graph_examples(frontend)(waveform)[0], frontend(waveform[0], frontend.sample_rate))


def test_front_ends_in_the_graph_on_recordings(assets: Path) -> None:
    files = (
        sorted((assets / "audio/MIR-1K/Wavfile").glob("*"))[:2]
        + sorted((assets / "audio/annotated").glob("*.flac"))[:2]
    )
    assert len(files) == 4
    for make in FRONTENDS.values():
        frontend = make("zeros")
        run = graph_examples(frontend)
        for file in files:
            samples = load_audio(file, sample_rate=frontend.sample_rate).samples
            close(run(samples[None])[0], frontend(samples, frontend.sample_rate))


@pytest.fixture(scope="module")
def covered() -> dict[int, Any]:
    """Covers recordings inside a graph, by the length of a segment."""
    tf = backend.tf
    signature = [tf.TensorSpec((), tf.int32)]
    return {
        length: tf.function(
            lambda samples, length=length: cover_graph(samples, length), input_signature=signature
        )
        for length in (1000, 349_440)
    }


@settings(max_examples=200, deadline=None)
@given(share=st.floats(1, 2000), length=st.sampled_from([1000, 349_440]))
def test_recordings_are_covered_as_python_covers_them(
    covered: dict[int, Any], share: Any, length: Any
) -> None:
    samples = round(share * length)
    assert list(covered[length](samples).numpy()) == list(cover(samples, length))


def test_a_front_end_of_python_code_is_refused() -> None:
    class Own(MelgramFrontEnd):
        def examples(self, samples: Any) -> Any:
            return super().examples(samples) + 1

    with pytest.raises(UsageError, match="not written with TensorFlow operations"):
        Own().example_graph()


# Every signature against Python


@pytest.mark.parametrize("name", SERVED)
def test_network_is_served_as_python_computes_it(name: Any, models: Any, served: Any) -> None:
    model, (_, signatures) = models(name), served(name)
    outputs = model.exported
    assert set(signatures) == {"serving_default", "activations", "from_waveform"}
    large = np.prod(model.frontend.example_shape) > 100_000
    for batch in (1, 2, 3) if large else (1, 3, 8):
        examples = np.random.default_rng(batch).standard_normal((batch, *model.frontend.example_shape))
        examples = examples.astype(np.float32)
        found = signatures["activations"](examples=backend.tf.constant(examples))
        expected = model.activations(examples, list(model.layers))
        assert set(found) == set(model.layers)
        for layer in model.layers:
            close(found[layer], expected[layer])
        if large and batch > 1:
            continue  # from_waveform takes the same way, below
        found = signatures["serving_default"](examples=backend.tf.constant(examples))
        assert set(found) == set(outputs)
        for layer in outputs:
            close(found[layer], expected[layer])


@pytest.mark.parametrize("name", SERVED)
def test_waveform_is_served_as_python_computes_it(name: Any, models: Any, served: Any) -> None:
    model, (_, signatures) = models(name), served(name)
    frontend, outputs = model.frontend, model.exported
    span = frontend.example_samples
    for batch, samples in ((3, span // 3), (2, span + 2000), (1, round(2.3 * span))):
        waveform = sound((batch, samples), frontend.sample_rate)
        found = signatures["from_waveform"](waveform=backend.tf.constant(waveform))
        assert set(found) == {*outputs, "times", "centre_times"}
        starts = frontend.example_starts(samples)
        for row in range(batch):
            expected = model.activations(frontend(waveform[row], frontend.sample_rate), outputs)
            for layer in outputs:
                close(found[layer][row], expected[layer])
            np.testing.assert_allclose(found["times"][row], starts / frontend.sample_rate, rtol=1e-12)
            middle = (starts + span / 2) / frontend.sample_rate
            np.testing.assert_allclose(found["centre_times"][row], middle, rtol=1e-12)


@pytest.mark.parametrize("layer", INVERTED)
def test_inverter_is_served_as_python_computes_it(layer: Any, models: Any, served: Any) -> None:
    model, (path, signatures) = models("svd"), served(f"svd:{layer}")
    inverter = load_inverter("svd", layer, seed=1)
    frontend = model.frontend
    assert path.parent.name == f"svd_inverter_{layer}"
    assert set(signatures) == {"serving_default", "from_mel", "from_waveform"}
    for batch in (1, 2, 3):
        examples = np.random.default_rng(batch).standard_normal((batch, 115, 80)).astype(np.float32)
        features = model.activations(examples, [layer])[layer]
        expected = inverter(features)
        found = signatures["serving_default"](features=backend.tf.constant(features))
        close(found["mel_spectrogram"], expected)
        close(
            signatures["from_mel"](mel_spectrogram=backend.tf.constant(examples))["mel_spectrogram"], expected
        )
    for batch, samples in ((1, 5_000), (1, 37_000), (2, 37_600)):
        waveform = sound((batch, samples), frontend.sample_rate)
        found = signatures["from_waveform"](waveform=backend.tf.constant(waveform))
        starts = frontend.example_starts(samples)
        for row in range(batch):
            examples = frontend(waveform[row], frontend.sample_rate)
            close(found["mel_spectrogram"][row], inverter(model.activations(examples, [layer])[layer]))
            frames = (starts[:, None] + 512 + 315 * np.arange(115)) / 22050
            np.testing.assert_allclose(found["frame_times"][row], frames, rtol=1e-12)


def own_model(frontend: Any) -> Any:
    keras = backend.keras
    inputs = keras.Input((None, 80) if frontend else (20, 80))
    tensor = keras.layers.Conv1D(4, 3, activation="relu", name="features")(inputs)
    tensor = keras.layers.GlobalAveragePooling1D(name="mean")(tensor)
    outputs = keras.layers.Dense(2, activation="softmax", name="answer")(tensor)
    return wrap_model(keras.Model(inputs, outputs), frontend=frontend, name="mine")


def test_a_model_of_ones_own_is_served(tmp_path: Path) -> None:
    model = own_model(SvdFrontEnd(hop=20))
    exported = export(model, output_dir=tmp_path, name="my-model", layers=["features", "answer"])
    signatures = backend.tf.saved_model.load(str(exported.folder)).signatures
    waveform = sound((2, 60_000), 22050)
    found = signatures["from_waveform"](waveform=backend.tf.constant(waveform))
    examples = model.frontend(waveform[1], 22050)
    close(found["answer"][1], model.activations(examples, ["answer"])["answer"])
    found = signatures["activations"](examples=backend.tf.constant(examples))
    assert set(found) == {"features", "answer"}
    close(found["features"], model.activations(examples, ["features"])["features"])


class OwnFrames(FrameFrontEnd):
    """A front end of one's own: logarithmic power in 16 bands of 256 samples, 12 frames an example."""

    name = "own frames"
    unit = "ln"
    sample_rate = 8000
    frame_length = frame_hop = 256
    first_frame = 128
    example_shape = (12, 16)
    example_samples = 12 * 256

    def frames_in(self, samples: Any) -> Any:
        return samples // 256

    def graph(self, samples: Any) -> Any:
        tf = backend.tf
        frames = tf.reshape(samples[: 256 * (tf.size(samples) // 256)], (-1, 256))
        power = tf.abs(tf.signal.rfft(frames))[:, 1:] ** 2
        return tf.math.log(1e-6 + tf.reduce_mean(tf.reshape(power, (-1, 16, 8)), 2))

    def band_edges_hz(self) -> Any:
        return np.linspace(0, 4000, 18)

    def constants(self) -> dict[str, Any]:
        return {"bands": 16}


def test_any_wrapped_convolutional_network_is_served(tmp_path: Path) -> None:
    keras = backend.keras
    inputs = tensor = keras.Input((12, 16, 1))
    for filters in (4, 6):
        tensor = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(tensor)
        tensor = keras.layers.BatchNormalization()(tensor)
        tensor = keras.layers.MaxPooling2D(2)(keras.layers.Activation("relu")(tensor))
    tensor = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(tensor))
    network = keras.Model(inputs, keras.layers.Dense(5, activation="sigmoid", name="tags")(tensor))
    model = wrap_model(network, frontend=OwnFrames(hop=6), name="tagger")
    exported = export(model, output_dir=tmp_path)
    assert exported.signatures == ("serving_default", "activations", "from_waveform")
    assert exported.notes == ()
    signatures = backend.tf.saved_model.load(str(exported.folder)).signatures
    assert set(signatures["activations"].structured_outputs) == set(model.layers)
    for samples in (1000, 12 * 256, 40_001):
        waveform = sound((2, samples), 8000)
        found = signatures["from_waveform"](waveform=backend.tf.constant(waveform))
        for row in range(2):
            examples = model.frontend(waveform[row], 8000)
            close(found["tags"][row], model.activations(examples, ["tags"])["tags"])
        np.testing.assert_allclose(found["times"][0], model.frontend.example_starts(samples) / 8000)


def test_result_of_an_export_tells_what_was_written(tmp_path: Path) -> None:
    found = export(own_model(SvdFrontEnd(hop=20)), output_dir=tmp_path)
    assert (found.folder, found.version) == (tmp_path / "models/mine/1", 1)
    assert found.folder.joinpath("README.md").exists()
    assert 0 <= found.deviation <= TOLERANCE
    facts = json.loads((found.folder / "export.json").read_text())
    assert facts["deviation"] == found.deviation
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["exported"]["path"] == str(found.folder)
    assert record["flags"]["output_dir"] == str(tmp_path)
    assert found.weights["mine"].kind == record["weights"]["mine"]["kind"] == "user model"
    shown = found._repr_html_()
    for signature in found.signatures:
        assert f"<td>{signature}</td>" in shown
    assert "waveform [batch, samples]" in shown


def test_an_export_is_compared_with_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is what Python computes, front end included, not what the same graph says once more."""
    model = own_model(SvdFrontEnd(hop=20))
    examples = model.frontend.examples
    monkeypatch.setattr(model.frontend, "examples", lambda samples: examples(samples) + 1)
    with pytest.raises(ActprobeError, match=r"mine, from_waveform: answer differs by .* nothing is written"):
        export(model, output_dir=tmp_path)
    assert not (tmp_path / "models").exists()


def test_what_does_not_go_together_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    unopened = ModelSource("svd", checkpoint="no-such-checkpoint")
    with pytest.raises(UsageError, match="has no layer 'fc10'"):
        export(unopened, output_dir=tmp_path, outputs=["fc10"])
    with pytest.raises(UsageError, match="goes with an inverter"):
        export(unopened, output_dir=tmp_path, network=unopened)
    with pytest.raises(UsageError, match="no format"):
        export(unopened, output_dir=tmp_path, file_format="onnx")
    with pytest.raises(UsageError, match="has no layers to give"):
        export(load_inverter("svd", "fc8"), output_dir=tmp_path, layers=["fc8"])
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_front_end_has_no_from_waveform(tmp_path: Path) -> None:
    assert export(own_model(None), output_dir=tmp_path).signatures == ("serving_default", "activations")


def test_front_end_that_is_no_graph_leaves_from_waveform_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Own(SvdFrontEnd):
        name = "own"

        def examples(self, samples: Any) -> Any:
            return super().examples(samples)

    exported = export(own_model(Own()), output_dir=tmp_path)
    assert exported.signatures == ("serving_default", "activations")
    (note,) = [note for note in exported.notes if "from_waveform" in note]
    assert "the front end own" in note
    assert note in (exported.folder / "README.md").read_text()
    assert note in json.loads((tmp_path / "run.json").read_text())["exported"]["notes"]
    assert note.rstrip(".") in caplog.text


def test_a_layer_called_times_is_refused() -> None:
    keras = backend.keras
    inputs = keras.Input((20, 8))
    model = wrap_model(keras.Model(inputs, keras.layers.Flatten(name="times")(inputs)))
    with pytest.raises(UsageError, match="rename it"):
        network_signatures(model)


# Refusals inside the graph


@pytest.mark.parametrize(
    ("waveform", "sentence"),
    [
        (np.zeros((1, 0)), "too short: at least 1 sample .* fewer than 36934 samples are followed by zeros"),
        (np.zeros((0, 9)), "too short"),
        (np.array([[0.0, np.nan, 0.0]]), "holds NaN or infinity"),
        (np.array([[0.0], [np.inf]]), "holds NaN or infinity"),
    ],
)
def test_no_sound_is_an_invalid_argument(waveform: Any, sentence: str, served: Any) -> None:
    _, signatures = served("svd")
    with pytest.raises(backend.tf.errors.InvalidArgumentError, match=sentence):
        signatures["from_waveform"](waveform=backend.tf.constant(waveform, backend.tf.float32))


def test_examples_of_another_shape_are_refused(served: Any) -> None:
    _, signatures = served("svd")
    with pytest.raises((backend.tf.errors.InvalidArgumentError, TypeError)):
        signatures["serving_default"](examples=backend.tf.zeros((1, 114, 80)))


# What lies on disk


def test_weights_are_stored_once(models: Any, served: Any) -> None:
    for name in ("svd", "vggish"):
        path, _ = served(name)
        numbers = sum(int(np.prod(variable.shape)) for variable in models(name).keras_model.variables)
        stored = (path / "variables/variables.data-00000-of-00001").stat().st_size
        assert 4 * numbers <= stored < 4 * numbers + 20_000
        assert (path / "saved_model.pb").stat().st_size < 3_000_000


def test_same_model_same_weights_and_answers(small: Any, tmp_path: Path) -> None:
    written = [export(small, output_dir=tmp_path / side).folder for side in ("a", "b")]
    variables = [(path / "variables/variables.data-00000-of-00001").read_bytes() for path in written]
    requests = [(path / WARMUP_FILE).read_bytes() for path in written]
    assert len(set(variables)) == len(set(requests)) == 1
    examples = backend.tf.ones((2, 20, 80))
    first, second = (
        backend.tf.saved_model.load(str(path)).signatures["activations"](examples=examples)
        for path in written
    )
    assert all(np.array_equal(first[layer], second[layer]) for layer in first)


def test_loads_without_keras_and_without_actprobe(models: Any, served: Any, tmp_path: Path) -> None:
    model = models("svd")
    waveform = sound((2, 50_000), 22050)
    np.save(tmp_path / "waveform.npy", waveform)
    code = """
        import numpy as np, tensorflow as tf
        folder, given, found = sys.argv[1:]
        signatures = tf.saved_model.load(folder).signatures
        assert "tf_keras" not in sys.modules and "actprobe" not in sys.modules
        outputs = signatures["from_waveform"](waveform=tf.constant(np.load(given)))
        np.savez(found, **{name: value.numpy() for name, value in outputs.items()})
        """
    path, _ = served("svd")
    done = python_without(
        ("keras", "tf_keras", "actprobe"), code, path, tmp_path / "waveform.npy", tmp_path / "found.npz"
    )
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npz")
    close(found["fc9"][1], model.activations(model.frontend(waveform[1], 22050), ["fc9"])["fc9"])


def test_saved_model_cli_shows_and_runs_it(models: Any, served: Any, tmp_path: Path) -> None:
    path, _ = served("svd")
    tool = Path(sys.executable).with_name("saved_model_cli")
    common: list[str | Path] = [sys.executable, tool]

    def call(*arguments: Any) -> Any:
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            [*common, *arguments], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = call("show", "--dir", path, "--tag_set", "serve", "--signature_def", "from_waveform")
    assert "inputs['waveform']" in shown
    assert all(f"outputs['{name}']" in shown for name in ("fc9", "times", "centre_times"))
    examples = np.random.default_rng(0).standard_normal((2, 115, 80)).astype(np.float32)
    np.save(tmp_path / "examples.npy", examples)
    call(
        *("run", "--dir", path, "--tag_set", "serve", "--signature_def", "serving_default"),
        *("--inputs", f"examples={tmp_path / 'examples.npy'}", "--outdir", tmp_path),
    )
    close(np.load(tmp_path / "fc9.npy"), models("svd").activations(examples, ["fc9"])["fc9"])


def test_graph_has_no_python_and_no_custom_operation(served: Any) -> None:
    """Every operation is one of TensorFlow's own, and none calls back into Python."""
    from tensorflow.core.protobuf import saved_model_pb2

    for name in ("svd", "cnn_at", "mm_cnn", "vggish", "svd:fc8"):
        path, _ = served(name)
        saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
        graph = saved.meta_graphs[0].graph_def
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        operations = {node.op for node in nodes}
        assert not {operation for operation in operations if "PyFunc" in operation}
        functions = {function.signature.name for function in graph.library.function}
        known = {re.sub(r"(?<!^)([A-Z])", r"\1", operation) for operation in dir(backend.tf.raw_ops)}
        assert operations - functions <= known


def test_every_output_has_the_batch_first(models: Any) -> None:
    """TensorFlow Serving's batcher splits every output along its first axis."""
    for name in ("svd", "cnn_at", "vggish"):
        for signature in network_signatures(models(name))[0]:
            assert signature.input.shape[0] == "batch"
            assert all(output.shape[0] == "batch" for output in signature.outputs)


# Warm-up


def test_warm_up_requests_replay(served: Any) -> None:
    for name in ("svd", "cnn_at", "svd:fc8"):
        path, signatures = served(name)
        records = list(read_warmup(path / WARMUP_FILE))
        assert {signature for signature, _ in records} == set(signatures)
        assert len(records) <= MOST_RECORDS
        for signature, inputs in records:
            given = {key: backend.tf.constant(value) for key, value in inputs.items()}
            outputs = signatures[signature](**given)
            assert all(np.isfinite(output).all() for output in outputs.values())
            assert all(len(output) == len(next(iter(inputs.values()))) for output in outputs.values())


def test_warm_up_requests_are_prediction_logs(served: Any) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    path, _ = served("svd")
    for record in backend.tf.data.TFRecordDataset(str(path / WARMUP_FILE)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        assert log.predict_log.request.model_spec.name == "svd"


def test_more_warm_up_requests_than_a_server_takes_are_refused(tmp_path: Path) -> None:
    requests = [("serving_default", {"x": np.zeros(1)})] * (MOST_RECORDS + 1)
    with pytest.raises(ValueError, match="1000"):
        write_warmup(tmp_path / "requests", "mine", requests)


# Versions


def test_versions_are_numbered_on_and_never_overwritten(small: Any, tmp_path: Path) -> None:
    first, second = (export(small, output_dir=tmp_path) for _ in range(2))
    assert (first.version, second.version) == (1, 2)
    export(small, output_dir=tmp_path, version=7)
    before = (tmp_path / "models/mine/7/saved_model.pb").stat().st_mtime_ns
    with pytest.raises(UsageError, match="is there already"):
        export(small, output_dir=tmp_path, version=7)
    assert (tmp_path / "models/mine/7/saved_model.pb").stat().st_mtime_ns == before
    assert export(small, output_dir=tmp_path).version == 8
    assert versions_in(tmp_path / "models/mine") == [1, 2, 7, 8]
    assert not (tmp_path / ".exporting").exists()
    (tmp_path / f"models/mine/{2**63 - 1}").mkdir()
    with pytest.raises(UsageError, match="is the highest version there can be"):
        export(small, output_dir=tmp_path)


def test_a_version_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with new_version(tmp_path, "models", "a") as slow:
        (slow.folder / "slow").touch()
        with new_version(tmp_path, "models", "a") as fast:
            (fast.folder / "fast").touch()
    assert (fast.version, slow.version) == (1, 2)
    with pytest.raises(UsageError, match="is there already"), new_version(tmp_path, "models", "a", 5):
        (tmp_path / "models/a/5").mkdir()
    assert (tmp_path / "models/a/1/fast").exists()
    assert (tmp_path / "models/a/2/slow").exists()


def test_what_fails_leaves_nothing(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actprobe.serving.export.write_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(small, output_dir=tmp_path)
    assert not (tmp_path / "models").exists()
    assert not (tmp_path / "models.config").exists()
    assert not (tmp_path / ".exporting").exists()


def test_what_is_killed_leaves_nothing_that_a_server_would_load(small: Any, tmp_path: Path) -> None:
    """SIGKILL in the middle of writing: the version is not there, and the next export has its number."""
    code = """
        import os, signal
        from actprobe import backend, export, wrap_model
        from actprobe.serving import export as home
        home.write_card = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        keras = backend.keras
        inputs = keras.Input((4, 8))
        model = wrap_model(keras.Model(inputs, keras.layers.Flatten()(inputs)), name="mine")
        export(model, output_dir=sys.argv[1])
        """
    done = python_without((), code, tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(tmp_path.rglob("saved_model.pb")), "it was killed before anything was written"
    assert versions_in(tmp_path / "models/mine") == []
    assert not list(tmp_path.glob("models/**/saved_model.pb"))
    assert export(small, output_dir=tmp_path).version == 1


def test_a_model_that_answers_otherwise_does_not_appear(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actprobe.serving.proof.TOLERANCE", -1.0)
    with pytest.raises(ActprobeError, match=r"differs by .* nothing is written"):
        export(small, output_dir=tmp_path)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"a": [1.0, 2.0], "b": [1.0]}, "gives"),
        ({"a": [1.0]}, "shape"),
        ({"a": [1.0, 2.1]}, "differs"),
        ({"a": [1.0, float("nan")]}, "differs"),
    ],
)
def test_other_answers_are_told(found: dict[str, Any], reason: str) -> None:
    with pytest.raises(ActprobeError, match=reason):
        check_equal("x", found, {"a": [1.0, 2.0]})


def test_a_full_disk_is_told_in_one_line(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        message = "{{function_node x}} /somewhere/variables; No space left on device [Op:SaveV2]"
        raise backend.tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(backend.tf.saved_model, "save", full)
    with pytest.raises(ActprobeError) as refusal:
        export(small, output_dir=tmp_path)
    assert str(refusal.value) == f"{tmp_path}: cannot be written to (No space left on device)"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "/a", ".a", "a b", "a\n", "-a", "x" * 129, "ä"]
)
def test_names_that_are_none_are_refused(name: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name"), new_version(tmp_path, "models", name):
        pass
    assert not list(tmp_path.iterdir())


# Settings of the server


def test_models_config_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text(
        'model_config_list { config { name: "other" base_path: "/elsewhere" model_platform: "tensorflow" '
        "model_version_policy { specific { versions: 3 versions: 4 } } "
        'version_labels { key: "stable" value: 3 } } }'
    )
    write_settings(tmp_path, "svd", 1)
    write_settings(tmp_path, "svd", 2)
    other, svd = read_models_config(tmp_path / "models.config").model_config_list.config
    assert (other.name, other.base_path, dict(other.version_labels)) == ("other", "/elsewhere", {"stable": 3})
    assert list(other.model_version_policy.specific.versions) == [3, 4]
    assert (svd.name, svd.base_path, svd.model_platform) == ("svd", "/models/svd", "tensorflow")
    assert svd.model_version_policy.WhichOneof("policy_choice") is None


def test_labels_lead_from_canary_to_stable(tmp_path: Path) -> None:
    for version in (1, 2):
        (tmp_path / f"models/svd/{version}").mkdir(parents=True)
    write_settings(tmp_path, "svd", 1, label="stable")
    write_settings(tmp_path, "svd", 2, label="canary")
    (entry,) = read_models_config(tmp_path / "models.config").model_config_list.config
    assert dict(entry.version_labels) == {"stable": 1, "canary": 2}
    assert list(entry.model_version_policy.specific.versions) == [1, 2]
    write_settings(tmp_path, "svd", 2, label="stable")
    (entry,) = read_models_config(tmp_path / "models.config").model_config_list.config
    assert dict(entry.version_labels) == {"stable": 2, "canary": 2}


def test_a_models_config_that_is_none_is_left_alone(small: Any, tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text("no protocol buffer")
    with pytest.raises(ActprobeError, match=r"is not a models\.config"):
        write_settings(tmp_path, "svd", 1)
    with pytest.raises(ActprobeError, match=r"is not a models\.config"):
        export(small, output_dir=tmp_path)
    assert not (tmp_path / "models").exists()
    assert (tmp_path / "models.config").read_text() == "no protocol buffer"


def test_settings_that_were_changed_stay(tmp_path: Path) -> None:
    write_settings(tmp_path, "svd", 1)
    (tmp_path / "batching_parameters.txt").write_text("max_batch_size { value: 8 }\n")
    write_settings(tmp_path, "svd", 2)
    assert (tmp_path / "batching_parameters.txt").read_text() == "max_batch_size { value: 8 }\n"


def test_batching_waits_for_nothing_and_invents_nothing(tmp_path: Path) -> None:
    write_settings(tmp_path, "svd", 1)
    text = (tmp_path / "batching_parameters.txt").read_text()
    settings = dict(
        re.findall(r"(\w+) {? ?(?:value: )?:? ?(\w+)", text.replace("{ value:", "").replace(":", ""))
    )
    assert settings["batch_timeout_micros"] == "0"
    assert int(settings["max_batch_size"]) > 1
    assert int(settings["max_enqueued_batches"]) > 0
    assert settings["pad_variable_length_inputs"] == "false"
    assert "allowed_batch_sizes" not in settings


# The card


def test_card_says_what_it_is(served: Any) -> None:
    path, signatures = served("svd")
    card = (path / "README.md").read_text()
    facts = json.loads((path / "export.json").read_text())
    for signature, loaded in signatures.items():
        stated = facts["signatures"][signature]
        specs = loaded.structured_input_signature[1]
        assert list(specs) == [stated["input"]["name"]]
        assert {output["name"] for output in stated["outputs"]} == set(loaded.structured_outputs)
        for output in stated["outputs"]:
            spec = loaded.structured_outputs[output["name"]]
            axes = [axis if isinstance(axis, int) else None for axis in output["shape"]]
            assert (spec.shape.as_list(), spec.dtype.name) == (axes, output["dtype"])
        assert f"### {signature}" in card
        assert "/v1/models/svd:predict" in card
    weights = facts["weights"]["network svd"]
    assert weights["catalog_name"] == "svd-open"
    assert weights["sha256"] in card
    assert "for research" in (path / "WEIGHTS_LICENCE.txt").read_text()
    assert str(ROOT) not in card + json.dumps(facts) + (path / "WEIGHTS_LICENCE.txt").read_text()


def test_licence_texts_come_with_the_weights(assets: Path, tmp_path: Path) -> None:
    file = assets / "originals/cnn_at/music_tagger_cnn_weights_tensorflow.h5"
    path = export(load_model("cnn_at", file), output_dir=tmp_path, layers=["output"]).folder
    licence = (path / "WEIGHTS_LICENCE.txt").read_text()
    assert "Copyright (c) 2016 Keunwoo Choi" in licence
    assert "THE SOFTWARE IS PROVIDED" in licence
    assert "music_tagger_cnn_weights_tensorflow.h5" in (path / "README.md").read_text()
    assert str(assets) not in (path / "README.md").read_text() + (path / "export.json").read_text()


def test_weights_that_nobody_licensed_are_marked(assets: Path, models: Any, tmp_path: Path) -> None:
    file = assets / "originals/svd/jamendo_augment_gen_fc8_a26.npz"
    inverter = load_inverter("svd", "fc8", file)
    path = export(inverter, output_dir=tmp_path, network=models("svd")).folder
    card = (path / "README.md").read_text()
    assert "keep this model to yourself" in card
    assert "was not made for these weights of the network" in card


def test_random_weights_are_marked(served: Any) -> None:
    path, _ = served("mm_cnn")
    assert "weights are random" in (path / "README.md").read_text()


# Other formats


ESSENTIA = """
    import numpy as np
    import essentia
    essentia.log.infoActive = False
    from essentia import Pool
    from essentia.standard import TensorflowPredict
    file, given, found = sys.argv[1:]
    given = np.load(given)
    outputs = {}
    for name, wanted in (("examples", "layers"), ("waveform", "frames")):
        nodes = [str(node) for node in given[wanted]]
        pool = Pool()
        # essentia's tensors have four axes: [batch, channel, time, frequency]
        value = given[name]
        pool.set(name, value.reshape(len(value), 1, *(1,) * (3 - value.ndim), *value.shape[1:]))
        pool = TensorflowPredict(graphFilename=file, inputs=[name], outputs=nodes)(pool)
        outputs |= {node: pool[node] for node in nodes}
    np.savez(found, **{name.replace("/", "|"): value for name, value in outputs.items()})
    """


@pytest.mark.parametrize("name", ["svd", "cnn_at", "mm_cnn"])
def test_frozen_graph_runs_in_essentia(name: str, models: Any, tmp_path: Path) -> None:
    """essentia's own TensorFlow takes the graph from examples to layers and from a waveform to outputs."""
    model, outputs = models(name), models(name).exported
    layers = None if name == "svd" else [*outputs, next(iter(model.layers))]
    exported = export(model, output_dir=tmp_path, layers=layers, file_format="pb")
    assert exported.folder == tmp_path / "pb" / name / "1"
    assert not (tmp_path / "models").exists()
    frontend = model.frontend
    waveform = sound((1, round(1.3 * frontend.example_samples)), frontend.sample_rate)
    examples = frontend(waveform[0], frontend.sample_rate)
    few = np.ascontiguousarray(examples[:3])
    layers = layers or list(model.layers)
    nodes = [f"from_waveform/{output}" for output in outputs]
    np.savez(tmp_path / "given.npz", examples=few, waveform=waveform, layers=layers, frames=nodes)
    file = exported.folder / f"{name}.pb"
    done = python_without(
        ("tensorflow", "tf_keras"), ESSENTIA, file, tmp_path / "given.npz", tmp_path / "found.npz"
    )
    assert done.returncode == 0, done.stderr
    found = {key.replace("|", "/"): value for key, value in np.load(tmp_path / "found.npz").items()}
    expected = model.activations(few, layers)
    for layer in layers:
        close(found[layer].reshape(expected[layer].shape), expected[layer])
    expected = model.activations(examples, outputs)
    for layer in outputs:
        close(found[f"from_waveform/{layer}"].reshape(expected[layer].shape), expected[layer])


def test_frozen_graph_holds_every_weight_once(models: Any, tmp_path: Path) -> None:
    model = models("svd")
    exported = export(model, output_dir=tmp_path, file_format="pb")
    numbers = sum(int(np.prod(variable.shape)) for variable in model.keras_model.variables)
    assert (exported.folder / "svd.pb").stat().st_size < 4 * numbers + 500_000


@pytest.mark.parametrize("name", ["svd", "mm_cnn", "svd:fc8"])
def test_tflite_gives_the_numbers_of_python(name: str, models: Any, tmp_path: Path) -> None:
    network, _, layer = name.partition(":")
    model = models(network)
    examples = np.random.default_rng(5).standard_normal((3, *model.frontend.example_shape)).astype(np.float32)
    if layer:
        inverter = load_inverter(network, layer, seed=1)
        exported = export(inverter, output_dir=tmp_path, file_format="tflite")
        features = model.activations(examples, [layer])[layer]
        given, expected = {"features": features}, {"mel_spectrogram": inverter(features)}
    else:
        exported = export(model, output_dir=tmp_path, file_format="tflite")
        given, expected = {"examples": examples}, model.activations(examples, model.exported)
    interpreter = backend.tf.lite.Interpreter(model_path=str(next(exported.folder.glob("*.tflite"))))
    assert list(interpreter.get_signature_list()) == list(exported.signatures)
    found = interpreter.get_signature_runner(exported.signatures[0])(**given)
    assert set(found) == set(expected)
    for key in expected:
        close(found[key], expected[key])


def test_only_what_is_served_has_labels(small: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only a savedmodel"):
        export(small, output_dir=tmp_path, file_format="pb", label="canary")
    with pytest.raises(UsageError, match="no format 'onnx'"):
        export(small, output_dir=tmp_path, file_format="onnx")


# The command


def test_command_exports_a_network(binary: Any, tmp_path: Path) -> None:
    done = binary(
        *("actprobe-export", "--model=svd", "--checkpoint=svd-open", "--layers=fc7,fc8", "--name=detector"),
        *(f"--output_dir={tmp_path}", "--label=canary"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "models/detector/1: serving_default, activations, from_waveform" in done.stdout
    signatures = backend.tf.saved_model.load(str(tmp_path / "models/detector/1")).signatures
    assert set(signatures["activations"].structured_outputs) == {"fc7", "fc8"}
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["exported"]["version"] == 1
    assert record["weights"]["svd"]["catalog_name"] == "svd-open"
    (entry,) = read_models_config(tmp_path / "models.config").model_config_list.config
    assert (entry.name, dict(entry.version_labels)) == ("detector", {"canary": 1})


def test_command_exports_an_inverter(binary: Any, tmp_path: Path) -> None:
    done = binary(
        "actprobe-export", "--inverter=svd:fc8", "--model_checkpoint=svd-open", f"--output_dir={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    assert "models/svd_inverter_fc8/1: serving_default, from_mel, from_waveform" in done.stdout
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["flags"]["checkpoint"] is None
    assert {weights["kind"] for weights in record["weights"].values()} == {"seeded random", "open"}


@pytest.mark.parametrize(
    ("flags", "code", "reason"),
    [
        ([], 2, "either --model=NETWORK or --inverter"),
        (["--model=svd", "--inverter=svd:fc8"], 2, "either --model=NETWORK or --inverter"),
        (["--model=svdd"], 2, "there is no model 'svdd'"),
        (["--model=svd", "--layers=fc10"], 2, "has no layer 'fc10'"),
        (["--model=svd", "--name=../svd"], 2, "cannot be the name of a model"),
        (["--inverter=svd"], 2, "is not NETWORK:LAYER"),
        (["--inverter=svd:fc10"], 2, "has no layer 'fc10'"),
        (["--model=svd", "--checkpoint=FILE"], 1, "FILE"),
        (["--model=svd", "--output_dir=/proc/nowhere"], 1, "/proc/nowhere: cannot be written to"),
    ],
)
def test_command_refuses_in_one_line(
    flags: list[Any], code: int, reason: str, binary: Any, tmp_path: Path
) -> None:
    file = tmp_path / "no-weights.npz"
    file.write_bytes(b"no weights")
    flags = [flag.replace("FILE", str(file)) for flag in flags]
    done = binary("actprobe-export", f"--output_dir={tmp_path / 'out'}", *flags)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert reason.replace("FILE", str(file)) in done.stderr
    assert not (tmp_path / "out/models").exists()


# The manifests


def documents() -> dict[Path, Any]:
    return {
        path.relative_to(DEPLOY): list(yaml.safe_load_all(path.read_text("utf-8")))
        for path in sorted(DEPLOY.rglob("*.yaml"))
    }


def servers() -> list[Any]:
    """The servers of the manifests: image, flags, mounts (target -> folder of OUT), ports, health check."""
    files = documents()
    (compose,) = files[Path("compose.yaml")]
    found = []
    for service in compose["services"].values():
        mounts = {
            mount["target"]: mount["source"].partition("}")[2].strip("/") for mount in service["volumes"]
        }
        ports = {port.split(":")[-1] for port in service["ports"]}
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        health = service["healthcheck"]["test"][-1]
        found.append((service["image"], service["command"], mounts, ports, health))
    (deployment,) = files[Path("kubernetes/base/deployment.yaml")]
    pod = deployment["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    mounts = {
        mount["mountPath"]: mount.get("subPath", "")
        for mount in server["volumeMounts"]
        if mount["name"] == "models"
    }
    ports = {str(port["containerPort"]) for port in server["ports"]}
    health = server["readinessProbe"]["exec"]["command"][-1]
    found.append((server["image"], server["args"], mounts, ports, health))
    return found


def test_manifests_name_what_export_writes(small: Any, tmp_path: Path) -> None:
    exported = export(small, output_dir=tmp_path, name="svd")
    (entry,) = read_models_config(tmp_path / "models.config").model_config_list.config
    for image, flags, mounts, ports, health in servers():
        assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+(-gpu)?", image)
        values = dict(flag.removeprefix("--").split("=") for flag in flags)
        files = [value for name, value in values.items() if name.endswith("_file")]
        assert len(files) == 3
        for file in files:
            folder, _, name = file.rpartition("/")
            assert (tmp_path / mounts[folder] / name).is_file(), file
        base, _, name = entry.base_path.rpartition("/")
        assert (tmp_path / mounts[base] / name / str(exported.version)) == exported.folder
        assert ports == {"8500", "8501"}
        assert "127.0.0.1/8501" in health
        assert "/v1/models/%s" in health
        assert "ACTPROBE_MODEL" in health


def test_manifests_agree_with_each_other(tmp_path: Path) -> None:
    files = documents()
    (deployment,) = files[Path("kubernetes/base/deployment.yaml")]
    (service,) = files[Path("kubernetes/base/service.yaml")]
    (scaler,) = files[Path("kubernetes/base/autoscaler.yaml")]
    (volume,) = files[Path("kubernetes/base/volume.yaml")]
    (adapter,) = files[Path("kubernetes/prometheus-adapter.yaml")]
    (gpu,) = files[Path("kubernetes/gpu/kustomization.yaml")]
    template = deployment["spec"]["template"]
    (server,) = template["spec"]["containers"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    named = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == named
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    claims = [
        one["persistentVolumeClaim"]["claimName"]
        for one in template["spec"]["volumes"]
        if "emptyDir" not in one
    ]
    assert claims == [volume["metadata"]["name"]]
    pods = [
        metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"] if metric["type"] == "Pods"
    ]
    assert pods == [rule["name"]["as"] for rule in adapter["rules"]["custom"]]
    (patch,) = gpu["patches"]
    change = yaml.safe_load(patch["patch"])
    assert change["metadata"]["name"] == patch["target"]["name"] == deployment["metadata"]["name"]
    assert [one["name"] for one in change["spec"]["template"]["spec"]["containers"]] == [server["name"]]
    name, _, tag = server["image"].partition(":")
    assert gpu["images"] == [{"name": name, "newTag": f"{tag}-gpu"}]
    write_settings(tmp_path, "svd", 1)
    notes = template["metadata"]["annotations"]
    assert notes["prometheus.io/path"] in (tmp_path / "monitoring.config").read_text()
    assert int(notes["prometheus.io/port"]) == named["rest"]
    assert server["startupProbe"]["grpc"]["port"] == server["livenessProbe"]["grpc"]["port"] == named["grpc"]
    base = {path.name for path in files if path.parent == Path("kubernetes/base")} - {"kustomization.yaml"}
    assert base == set(files[Path("kubernetes/base/kustomization.yaml")][0]["resources"])


def test_cpu_and_gpu_differ_in_the_image_only() -> None:
    (compose,) = documents()[Path("compose.yaml")]
    cpu, gpu = compose["services"]["cpu"], compose["services"]["gpu"]
    assert gpu["image"] == f"{cpu['image']}-gpu"
    assert cpu["command"] == gpu["command"]
    devices = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["capabilities"] == ["gpu"]


def test_health_check_tells_a_model_that_answers_from_one_that_does_not(tmp_path: Path) -> None:
    """The command of both manifests, run against a server that says what TensorFlow Serving says."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Status(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state = {"/v1/models/svd": "AVAILABLE", "/v1/models/slow": "LOADING"}.get(self.path)
            self.send_response(200 if state else 404)
            self.end_headers()
            self.wfile.write(
                json.dumps({"model_version_status": [{"version": "1", "state": state}]}).encode()
            )

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Status) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for *_, health in servers():
            command = health.replace("$$", "$").replace("127.0.0.1/8501", f"127.0.0.1/{server.server_port}")
            for name, code in (("svd", 0), ("slow", 1), ("other", 1)):
                done = subprocess.run(
                    ["bash", "-c", command], env=os.environ | {"ACTPROBE_MODEL": name}, check=False
                )
                assert done.returncode == code, name
        server.shutdown()
    done = subprocess.run(
        ["bash", "-c", command], env=os.environ | {"ACTPROBE_MODEL": "svd"}, capture_output=True, check=False
    )
    assert done.returncode != 0
