"""VGGish: front end, network, checkpoint, 8-bit features and smoke test are those of the original.

The goldens in tests/data were computed by the original program (tensorflow/models research/audioset,
Apache-2.0) from synthetic signals; they hold nobody's recordings and no published weights.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.errors import FrontEndError, UsageError, WeightsError
from actprobe.frontends import VggishFrontEnd
from actprobe.frontends.vggish import vggish_mel_matrix
from actprobe.models import WeightsRecord, layers_of, load_model, network_named
from actprobe.models.keras_model import KerasModel
from actprobe.models.networks import vggish as network
from actprobe.models.networks import vggish_smoke
from actprobe.models.networks.vggish_postprocess import VggishPostprocessor, quantise
from actprobe.models.networks.vggish_smoke import smoke_checks
from actprobe.models.weights import set_weights
from actprobe.weights import TfCheckpointWeights

DATA = Path(__file__).parent / "data"
LOG_MEL = 5e-4  # absolute
RELATIVE = 1e-4


def stored(name: str) -> dict[str, NDArray[Any]]:
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


# Front end


def published_recipe(samples: NDArray[Any], hann_period: int = 400) -> NDArray[Any]:
    """The log-mel frames by numpy in double precision, from the formulas of mel_features.py."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 400)[::160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi / hann_period * np.arange(400))
    values: NDArray[Any] = np.log(np.abs(np.fft.rfft(frames * window, 512)) @ vggish_mel_matrix() + 0.01)
    return values


def chirp() -> NDArray[Any]:
    time = np.arange(48000) / 16000
    noise = np.random.RandomState(0).standard_normal(48000)
    values: NDArray[Any] = (
        0.5 * np.sin(2 * np.pi * (100 * time + 1200 * time**2)) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * time))
        + 0.02 * noise
    )
    return values


def sine(hertz: float, seconds: float = 1.5, rate: int = 16000) -> NDArray[Any]:
    values: NDArray[Any] = np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(
        np.float32
    )
    return values


def test_mel_matrix_is_that_of_the_original() -> None:
    golden = stored("vggish_logmel_synth")["mel_matrix"]
    assert np.abs(vggish_mel_matrix() - golden).max() <= 1e-7
    assert not vggish_mel_matrix()[0].any()
    edges = VggishFrontEnd().band_edges_hz()
    assert edges.shape == (66,)
    assert edges[[0, -1]] == pytest.approx([125, 7500])


def test_log_mel_of_the_golden_chirp() -> None:
    golden = stored("vggish_logmel_synth")
    assert np.array_equal(chirp()[[0, 1, 100, 47999]], golden["wave_check"])
    frames = VggishFrontEnd().frames(chirp().astype(np.float32))
    assert frames.dtype == np.float32
    assert frames.shape == golden["logmel"].shape == (298, 64)
    assert np.abs(frames - golden["logmel"]).max() <= LOG_MEL


def test_log_mel_of_the_sine_of_the_smoke_test() -> None:
    golden = stored("vggish_smoke_logmel")
    frames = VggishFrontEnd().frames(sine(1000, seconds=3))
    assert np.abs(frames[0] - golden["logmel_frame0"]).max() <= LOG_MEL
    assert frames.mean() == pytest.approx(float(golden["logmel_mean"]), abs=LOG_MEL)
    assert frames.std() == pytest.approx(float(golden["logmel_std"]), abs=LOG_MEL)
    assert frames.max() == pytest.approx(4.811118, abs=LOG_MEL)
    assert frames.mean(axis=0).argmax() == 19


@pytest.mark.parametrize("hertz", [440, 761.0988, 1268.1025, 2024.844, 3999.7])
def test_full_scale_sines_equal_the_recipe_in_the_empty_bands_too(hertz: float) -> None:
    """In single precision inside the transform these differ by up to 1.4e-3."""
    assert np.abs(VggishFrontEnd().frames(sine(hertz)) - published_recipe(sine(hertz))).max() <= 1e-5


def test_log_mel_of_real_music_equals_the_recipe(assets: Path) -> None:
    from actprobe.audio import load_audio

    samples = load_audio(assets / "audio/instrumental/bensound-thejazzpiano.mp3", sample_rate=16000).samples
    assert np.abs(VggishFrontEnd().frames(samples) - published_recipe(samples)).max() <= 1e-5


def test_essentia_agrees_with_the_recipe_but_for_its_window() -> None:
    """An independent implementation, whose Hann window is symmetric."""
    samples = chirp().astype(np.float32)
    algorithm = backend.essentia.TensorflowInputVGGish()
    theirs = np.stack([algorithm(samples[i : i + 400]) for i in range(0, 48000 - 399, 160)])
    assert np.abs(published_recipe(samples, hann_period=399) - theirs).max() <= LOG_MEL
    assert np.abs(published_recipe(samples) - theirs).max() > 0.05


def test_examples_follow_one_another_and_the_tail_is_dropped() -> None:
    front_end = VggishFrontEnd()
    samples = chirp().astype(np.float32)
    frames, examples = front_end.frames(samples), front_end(samples, 16000)
    assert np.array_equal(examples, frames[: 3 * 96].reshape(3, 96, 64))
    assert front_end.example_starts(len(samples)).tolist() == [0, 15360, 30720]
    assert front_end(Waveform(np.zeros(160000, np.float32), 16000)).shape == (10, 96, 64)


def test_hop_in_frames_makes_examples_overlap() -> None:
    samples = chirp().astype(np.float32)
    front_end = VggishFrontEnd(hop=10)
    frames, examples = front_end.frames(samples), front_end(samples, 16000)
    starts = front_end.example_starts(len(samples))
    assert len(examples) == len(starts) == 1 + (298 - 96) // 10
    for example, start in zip(examples, starts // 160, strict=True):
        assert np.array_equal(example, frames[start : start + 96])


def test_short_recording_is_lengthened_to_one_example() -> None:
    """The original gives nothing below 15600 samples."""
    for length in (1, 399, 15360, 15599):
        samples = chirp()[:length].astype(np.float32)
        zeros, repeat = (VggishFrontEnd(padding=p)(samples, 16000) for p in ("zeros", "repeat"))
        assert zeros.shape == repeat.shape == (1, 96, 64)
        padded = np.pad(samples, (0, 15600 - length))
        assert np.abs(zeros[0] - published_recipe(padded)).max() <= LOG_MEL
        assert np.isfinite(repeat).all()
    with pytest.raises(FrontEndError):
        VggishFrontEnd()(np.zeros(0, np.float32), 16000)


def test_silence_is_the_logarithm_of_the_offset() -> None:
    assert np.allclose(VggishFrontEnd()(np.zeros(20000, np.float32), 16000), np.log(0.01))


@pytest.mark.parametrize("length", [15600, 16000, 31999, 32240, 32400, 40000, 48000])
def test_long_recordings_are_computed_in_pieces_without_a_seam(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    samples = chirp()[:length].astype(np.float32)
    whole = VggishFrontEnd().frames(samples)
    assert len(whole) == VggishFrontEnd().frames_in(length)
    monkeypatch.setattr(VggishFrontEnd, "frames_at_once", 100)
    assert np.array_equal(VggishFrontEnd().frames(samples), whole)


def test_front_end_says_what_it_does_and_takes_no_normalization() -> None:
    front_end = VggishFrontEnd(hop=48)
    described = json.loads(json.dumps(front_end.describe()))
    assert (described["name"], described["hop"], described["log_offset"]) == ("vggish_logmel", 48, 0.01)
    with pytest.raises(UsageError, match="mean"):
        VggishFrontEnd("mean.npz")
    with pytest.raises(UsageError, match="hop=0"):
        VggishFrontEnd(hop=0)


# Network


def seeded_arrays() -> dict[str, NDArray[Any]]:
    """The weights that the goldens were made with."""
    arrays = {}
    for i, (name, shape) in enumerate(network.arrays_in_file().items()):
        array = np.random.RandomState(1000 + i).standard_normal(shape)
        array *= np.sqrt(2 / np.prod(shape[:-1])) if name.endswith("weights") else 0.05
        arrays[name] = array.astype(np.float32)
    return arrays


@pytest.fixture(scope="module")
def arrays() -> Iterator[Any]:
    made = seeded_arrays()
    yield made
    made.clear()
    gc.collect()


@pytest.fixture(scope="module")
def vggish(arrays: Any) -> Iterator[KerasModel]:
    keras_model = network.build()
    set_weights(keras_model, network.port(TfCheckpointWeights(arrays, "")))
    yield KerasModel(network_named("vggish"), keras_model, VggishFrontEnd(), WeightsRecord("unverified"))
    gc.collect()


@pytest.fixture(scope="module")
def golden(assets: Path) -> Any:
    with np.load(assets / "golden/vggish_seeded.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def golden_run(vggish: KerasModel, golden: Any) -> Any:
    return vggish.activations(golden["input"], list(vggish.layers))


@pytest.fixture(scope="module")
def run(vggish: KerasModel) -> Any:
    examples = vggish.frontend(chirp().astype(np.float32)[:16000], 16000)
    return vggish.activations(examples, list(vggish.layers))


TAPS = {
    name: name
    for name in (
        *(f"{kind}{i}" for i in (1, 2) for kind in ("conv", "pool")),
        "conv3_1", "conv3_2", "pool3", "conv4_1", "conv4_2", "pool4", "fc1_1", "fc1_2", "fc2", "embedding",
    )
} | {"embedding_relu_2017": "embedding/relu"}  # fmt: skip


@pytest.mark.parametrize("tap", TAPS)
def test_layer_equals_the_original(tap: Any, golden: Any, golden_run: Any) -> None:
    ours = golden_run[TAPS[tap]]
    assert list(ours.shape) == list(golden[f"{tap}/shape"])
    checked = 0
    for key, cut in {tap: np.s_[:], f"{tap}/ex0_ch0_8": np.s_[0, ..., :8]}.items():
        if key in golden:
            expected = golden[key]
            taken = ours[cut][: len(expected)]
            assert taken.shape == expected.shape
            assert np.abs(taken - expected).max() <= RELATIVE * np.abs(expected).max()
            checked += 1
    if ours.ndim == 4:
        sums, sizes = (x.sum(axis=(1, 2), dtype=np.float64) for x in (ours, np.abs(ours)))
        assert np.abs(sums - golden[f"{tap}/sum_pc"]).max() <= RELATIVE * sizes.max()
        checked += 1
    assert checked == (2 if ours.ndim == 4 else 1)


def test_embedding_is_before_the_rectifier_and_both_are_there(run: Any) -> None:
    embedding = run["embedding"]
    assert embedding.min() < 0
    assert np.array_equal(embedding, run["fc2"])
    assert np.array_equal(run["embedding/relu"], np.maximum(embedding, 0))


def test_pre_activations_enter_their_rectifier(run: Any) -> None:
    linear = [name for name in run if name.endswith("/linear")]
    assert len(linear) == 8
    for name in linear:
        assert run[name].min() < 0
        assert np.array_equal(run[name.removesuffix("/linear")], np.maximum(run[name], 0))


def test_layer_table_has_the_shapes_that_the_network_computes(run: Any) -> None:
    for name, layer in layers_of("vggish").items():
        assert run[name].shape[1:] == layer.shape


def test_layer_table_of_the_published_architecture() -> None:
    layers = layers_of("vggish")
    assert {f"pool{i}": layers[f"pool{i}"].shape for i in range(1, 5)} == {
        "pool1": (48, 32, 64),
        "pool2": (24, 16, 128),
        "pool3": (12, 8, 256),
        "pool4": (6, 4, 512),
    }
    assert [layers[name].neurons for name in ("flatten", "fc1_1", "fc1_2", "embedding")] == [
        12288, 4096, 4096, 128,
    ]  # fmt: skip
    assert layers["conv1"].receptive_field_seconds == pytest.approx(0.045)
    assert layers["embedding"].receptive_field_seconds == pytest.approx(0.975)
    assert layers["pool1"].first_seconds == pytest.approx(0.0125 + 0.005)
    assert sum(np.prod(shape) for shape in network.arrays_in_file().values()) == 72_141_184


def test_operations_of_the_original_graph_are_names_of_layers() -> None:
    layers = layers_of("vggish")
    for operation, name in {
        "vggish/conv1/Relu": "conv1",
        "vggish/conv3/conv3_2/Relu": "conv3_2",
        "vggish/conv4/conv4_1/BiasAdd": "conv4_1/linear",
        "vggish/pool4/MaxPool": "pool4",
        "vggish/fc1/fc1_2/Relu": "fc1_2",
        "vggish/fc2/BiasAdd": "fc2",
        "vggish/fc2/Relu": "embedding/relu",
        "vggish/embedding": "embedding",
    }.items():
        assert layers[operation].name == name


# Checkpoint


def save(folder: Path, arrays: dict[str, NDArray[Any]], version: int) -> Path:
    """Write the variables as `tf.train.Saver` would, by the operation that it runs."""
    path, raw_ops = str(folder / "vggish_model.ckpt"), backend.tf.raw_ops
    names, whole = list(arrays), [""] * len(arrays)
    if version == 1:
        raw_ops.SaveSlices(
            filename=path, tensor_names=names, shapes_and_slices=whole, data=list(arrays.values())
        )
    else:
        raw_ops.SaveV2(prefix=path, tensor_names=names, shape_and_slices=whole, tensors=list(arrays.values()))
    return Path(path)


@pytest.fixture
def checkpoint(tmp_path: Path, request: pytest.FixtureRequest, arrays: Any) -> Iterator[Any]:
    yield save(tmp_path, arrays, request.param)
    for file in tmp_path.iterdir():
        file.unlink()  # 288 MB, which pytest would keep


@pytest.mark.parametrize("checkpoint", [2], indirect=True, ids="version {}".format)
def test_model_holds_the_variables_of_a_checkpoint(checkpoint: Path, arrays: Any) -> None:
    check_model_of(checkpoint, arrays)


@pytest.mark.parametrize("checkpoint", [1], indirect=True, ids="version {}".format)
def test_loading_adds_at_most_700_megabytes(checkpoint: Path, arrays: Any) -> None:
    """And what is loaded are the variables; one file of 288 MB serves both tests."""
    assert checkpoint.stat().st_size == 288_567_887
    check_model_of(checkpoint, arrays)
    code = """
import re, sys
from pathlib import Path
from actprobe import backend
from actprobe.models import load_model
backend.tf.zeros(1)
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
model = load_model("vggish", sys.argv[1])
print(peak() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", code, checkpoint], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert 288e6 < int(run.stdout.split()[-1]) <= 700e6


def check_model_of(checkpoint: Path, arrays: dict[str, NDArray[Any]]) -> None:
    model = load_model("vggish", checkpoint)
    assert model.weights.kind == "unverified"
    assert len(model.weights.sha256) == 64
    for name, (kernel, bias) in {
        layer.name: layer.get_weights() for layer in model.keras_model.layers if layer.weights
    }.items():
        scope = network.SCOPES[name]
        assert np.array_equal(kernel, arrays[f"vggish/{scope}/weights"])
        assert np.array_equal(bias, arrays[f"vggish/{scope}/biases"])


def test_other_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, {"vggish/conv1/weights": np.zeros((3, 3, 1, 64), np.float32)}, 1)
    with pytest.raises(WeightsError, match=r"conv1/biases: this array is missing \(and 16 more\)"):
        load_model("vggish", path)
    path = save(tmp_path, {"vggish/logits/weights": np.zeros((128, 5), np.float32)}, 1)
    with pytest.raises(WeightsError, match=r"conv1/weights: this array is missing \(and 17 more\)"):
        load_model("vggish", path)


# 8-bit features


@pytest.fixture(scope="module")
def parameters() -> tuple[Any, Any]:
    random = np.random.RandomState(7)
    eigen_vectors = random.standard_normal((128, 128)) * 0.08
    return eigen_vectors, random.standard_normal(128) * 0.5


def test_features_of_the_golden_embeddings_are_the_same_bytes(
    golden: Any, parameters: tuple[Any, Any]
) -> None:
    expected = stored("vggish_postprocess")
    postprocess = VggishPostprocessor(*parameters)
    assert np.allclose(postprocess.project(golden["embedding"]), expected["pca_applied"], rtol=0, atol=1e-12)
    features = postprocess(golden["embedding"])
    assert features.dtype == np.uint8
    assert features.tobytes() == expected["quantised"].tobytes()


def test_golden_projections_are_quantised_to_the_same_bytes(parameters: tuple[Any, Any]) -> None:
    """The same without the embeddings, which are found back from their projection."""
    expected = stored("vggish_postprocess")
    assert quantise(expected["pca_applied"]).tobytes() == expected["quantised"].tobytes()
    eigen_vectors, means = parameters
    embeddings = np.linalg.solve(eigen_vectors, expected["pca_applied"].T).T + means
    assert np.allclose(VggishPostprocessor(*parameters).project(embeddings), expected["pca_applied"])


def test_quantisation_truncates() -> None:
    values = np.array([-np.float64(9), -2, -2 + 3.99 / 255, 0, 2 - 1e-9, 2, 9])
    assert quantise(values).tolist() == [0, 0, 0, 127, 254, 255, 255]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(128,), (128, 1), (1, 128)])
def test_parameters_are_read_from_the_npz_of_the_original(
    tmp_path: Path, parameters: tuple[Any, Any], dtype: Any, shape: tuple[int] | tuple[int, int]
) -> None:
    eigen_vectors, means = (array.astype(dtype) for array in parameters)
    file = tmp_path / "vggish_pca_params.npz"
    np.savez_compressed(file, pca_eigen_vectors=eigen_vectors, pca_means=means.reshape(shape))
    postprocess = VggishPostprocessor.read(file)
    assert len(postprocess.sha256) == 64
    embeddings = np.random.default_rng(0).standard_normal((5, 128)).astype(np.float32)
    expected = VggishPostprocessor(eigen_vectors, means)
    assert postprocess.project(embeddings).dtype == dtype
    assert np.array_equal(postprocess(embeddings), expected(embeddings))


@pytest.mark.parametrize(
    ("changed", "entry"),
    [
        ({"pca_means": np.zeros(127)}, "pca_means"),
        ({"pca_means": np.full(128, np.nan)}, "pca_means"),
        ({"pca_means": None}, "pca_means"),
        ({"pca_means": np.array([None] * 128)}, "pca_means"),
        ({"pca_eigen_vectors": np.zeros((128, 64))}, "pca_eigen_vectors"),
        ({"pca_eigen_vectors": np.zeros((128, 128), np.int64)}, "pca_eigen_vectors"),
        ({"more": np.zeros(3)}, "more.npy"),
    ],
)
def test_other_parameters_are_refused_by_name(
    tmp_path: Path, parameters: tuple[Any, Any], changed: dict[str, Any], entry: str
) -> None:
    arrays = {"pca_eigen_vectors": parameters[0], "pca_means": parameters[1]} | changed
    file = tmp_path / "parameters.npz"
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(WeightsError) as refused:
        VggishPostprocessor.read(file)
    assert refused.value.entry == entry


def test_parameters_have_a_name_in_the_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTPROBE_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="actprobe-fetch --model=vggish --name=vggish_pca"):
        VggishPostprocessor.read("vggish_pca")


def test_embeddings_that_cannot_be_features_are_refused(parameters: tuple[Any, Any]) -> None:
    postprocess = VggishPostprocessor(*parameters)
    with pytest.raises(UsageError, match=r"\[batch, 128\], not \[128\]"):
        postprocess(np.zeros(128))
    with pytest.raises(UsageError, match="not finite"):
        postprocess(np.full((1, 128), np.nan))
    with pytest.raises(UsageError, match=r"128 x 128.*\(64, 128\)"):
        VggishPostprocessor(np.zeros((64, 128)), np.zeros(128))


# Smoke test


class Fake:
    """A network whose outputs have a mean and a deviation of our choosing."""

    def __init__(self, moments: dict[tuple[str, int], tuple[float, float]], factor: float = 1.0) -> None:
        self.moments = moments
        self.factor = factor
        self.examples: list[NDArray[Any]] = []

    def activations(self, examples: Any, layers: Any) -> dict[str, Any]:
        (layer,) = layers
        mean, deviation = self.moments[layer, len(self.examples)]
        self.examples.append(examples)
        signs = np.where(np.arange(len(examples) * 128) % 2, 1.0, -1.0)
        values = self.factor * (mean + deviation * signs)
        return {layer: values.astype(np.float32).reshape(-1, 128)}


def checks_of(fake: Any, *more: Any) -> Any:
    return smoke_checks(fake, *more)


PUBLISHED = {
    ("embedding/relu", 0): (0.131, 0.238),
    ("embedding", 1): (-0.0333, 0.380),
    ("embedding", 2): (0.000657, 0.343),
}


def test_smoke_test_passes_with_the_numbers_of_the_original_and_only_with_these() -> None:
    checks = checks_of(Fake(PUBLISHED))
    assert [check.expected for check in checks] == [0.131, 0.238, -0.0333, 0.380, 0.000657, 0.343]
    assert all(check.passed and check.relative_tolerance == 0.1 for check in checks)
    assert checks[-1].got == pytest.approx(0.343, rel=1e-5)
    assert str(checks[0]) == "pass  2017, embedding/relu, mean: 0.131, expected 0.131 within 10%"
    assert all(check.passed for check in checks_of(Fake(PUBLISHED, 1.09)))
    for factor in (1.11, 0.89, -1.0, np.nan):
        failed = [check for check in checks_of(Fake(PUBLISHED, factor)) if not check.passed]
        assert len(failed) == (3 if factor == -1.0 else 6)
        assert str(failed[0]).startswith("FAIL")


def test_smoke_test_listens_to_the_sines_of_the_original() -> None:
    fake = Fake(PUBLISHED)
    checks_of(fake)
    golden = stored("vggish_smoke_logmel")
    assert [examples.shape for examples in fake.examples] == [(3, 96, 64)] * 3
    assert np.abs(fake.examples[2][0, 0] - golden["logmel_frame0"]).max() <= LOG_MEL
    # The time axis of the first two versions includes its end.
    resampled = np.sin(2 * np.pi * 1000 * np.linspace(0, 3, 3 * 44100)).astype(np.float32)
    for examples in fake.examples[:2]:
        assert np.array_equal(examples, VggishFrontEnd()(resampled, 44100))


def test_smoke_test_of_the_features() -> None:
    def postprocess(embeddings: NDArray[Any]) -> NDArray[Any]:
        count = len(given)
        given.append(embeddings)
        mean, deviation = [(123, 75), (122, 93), (126, 89)][count]
        return np.where(np.arange(embeddings.size) % 2, mean + deviation, mean - deviation).astype(np.uint8)

    given: list[NDArray[Any]] = []
    checks = checks_of(Fake(PUBLISHED), postprocess)
    features = [check for check in checks if "8-bit" in check.name]
    assert (len(checks), len(features)) == (12, 6)
    assert [check.expected for check in features] == [123.0, 75.0, 122.0, 93.5, 126.0, 89.3]
    assert all(check.passed for check in checks)


def test_smoke_test_runs_on_the_network_and_random_weights_fail_it(vggish: KerasModel) -> None:
    checks = smoke_checks(vggish)
    assert [check.name for check in checks] == [
        f"{version.name}, {version.layer}, {kind}"
        for version in vggish_smoke.VERSIONS
        for kind in ("mean", "deviation")
    ]
    assert not all(check.passed for check in checks)
