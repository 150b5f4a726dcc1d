"""Networks: the port equals the original layer by layer, and every layer has a name and a place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError, WeightsError
from actprobe.models import NETWORKS, Model, layers_of, load_model, network_named
from actprobe.models.networks.cnn_at import TAGS
from actprobe.models.spec_table import layer_table

RELATIVE = 1e-4


@pytest.fixture(scope="session")
def golden(assets: Path) -> Any:
    with np.load(assets / "golden/cnn_at_musictagger_std.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden_examples(golden: Any) -> NDArray[Any]:
    standardised = (golden["input_raw_db"] - golden["input_mean"]) / golden["input_std"]
    values: NDArray[Any] = standardised.T[np.newaxis].astype(np.float32)
    return values


@pytest.fixture(scope="session")
def golden_run(cnn_at: Model, golden_examples: Any) -> dict[str, NDArray[Any]]:
    return cnn_at.activations(golden_examples, list(cnn_at.layers))


TAPS = [
    "bn_0_freq",
    *(f"{kind}{i}" for i in range(1, 6) for kind in ("conv", "bn", "pool")),
    "output",
]


@pytest.mark.parametrize("layer", TAPS)
def test_layer_equals_the_original(layer: str, golden: Any, golden_run: Any) -> None:
    ours = golden_run[layer]
    if ours.ndim == 4:
        ours = ours.transpose(0, 2, 1, 3)  # the original's order is mel, time
    assert list(ours.shape) == list(golden[f"{layer}/shape"])
    checked = 0
    for key, cut in {
        layer: np.s_[:],
        f"{layer}/rows0_8": np.s_[:, :8, :, :1],
        f"{layer}/ch0_1": np.s_[..., :1],
        f"{layer}/ch0_2": np.s_[..., :2],
    }.items():
        if key in golden:
            expected = golden[key]
            assert np.abs(ours[cut] - expected).max() <= RELATIVE * np.abs(expected).max()
            checked += 1
    if ours.ndim == 4:
        sums = ours.sum(axis=(1, 2), dtype=np.float64)
        scale = np.abs(ours).sum(axis=(1, 2), dtype=np.float64).max()
        assert np.abs(sums - golden[f"{layer}/sum_pc"]).max() <= RELATIVE * scale
        checked += 1
    assert checked >= 1


def test_tags_of_the_golden_clip(golden: Any, golden_run: Any) -> None:
    assert list(golden["tags"]) == list(TAGS)
    best = np.argsort(-golden_run["output"][0])[:3]
    assert [TAGS[i] for i in best] == ["jazz", "instrumental", "electronic"]
    assert golden_run["output"][0, best[0]] == pytest.approx(0.928, abs=5e-4)


@pytest.mark.parametrize(
    ("clip", "tags"),
    [
        ("cute", {"jazz": 0.545, "instrumental": 0.149, "guitar": 0.080}),
        ("actionable", {"rock": 0.377, "classic rock": 0.155, "80s": 0.113}),
        ("dubstep", {"electronic": 0.420, "electro": 0.187, "rock": 0.123}),
        ("thejazzpiano", {"jazz": 0.928, "instrumental": 0.131, "electronic": 0.060}),
    ],
)
def test_published_melgrams_get_the_tags_of_the_original(
    assets: Path, cnn_at: Model, clip: str, tags: dict[str, Any]
) -> None:
    with np.load(assets / "golden/cnn_at_inputs.npz") as clips:
        melgram = clips[clip].T[np.newaxis]
    output = cnn_at.activations((melgram - melgram.mean()) / melgram.std(), ["output"])["output"][0]
    assert [TAGS[i] for i in np.argsort(-output)[:3]] == list(tags)
    assert np.sort(output)[:-4:-1] == pytest.approx(list(tags.values()), abs=5.1e-4)


def test_real_recording_end_to_end_gets_its_tags(assets: Path, cnn_at: Model) -> None:
    from actprobe import load_audio

    examples = cnn_at.frontend(load_audio(assets / "audio/instrumental/bensound-thejazzpiano.mp3"))
    output = cnn_at.activations(examples, ["output"])["output"]
    assert output.shape == (1, 50)
    assert TAGS[int(output[0].argmax())] == "jazz"
    assert output.max() > 0.8


def test_theano_and_tensorflow_files_give_the_same_network(assets: Path, cnn_at: Model) -> None:
    theano = load_model("cnn_at", assets / "originals/cnn_at/music_tagger_cnn_weights_theano.h5")
    assert theano.weights.kind == cnn_at.weights.kind == "original"
    assert theano.weights.sha256 != cnn_at.weights.sha256
    for ours, other in zip(cnn_at.keras_model.get_weights(), theano.keras_model.get_weights(), strict=True):
        assert np.array_equal(ours, other)


def test_pre_activations_enter_their_nonlinearity(golden_run: Any) -> None:
    for i in range(1, 6):
        linear = golden_run[f"elu{i}/linear"]
        assert np.array_equal(linear, golden_run[f"bn{i}"])
        elu = np.where(linear > 0, linear, np.expm1(linear))
        assert np.allclose(golden_run[f"elu{i}"], elu, atol=1e-6)
        assert np.array_equal(golden_run[f"conv{i}/linear"], golden_run[f"conv{i}"])
    assert np.allclose(golden_run["output"], 1 / (1 + np.exp(-golden_run["output/linear"])), atol=1e-6)


def test_layer_table_has_the_shapes_that_the_network_computes(golden_run: Any) -> None:
    layers = layers_of("cnn_at")
    assert set(layers) == set(golden_run)
    for name, layer in layers.items():
        assert golden_run[name].shape[1:] == layer.shape


def test_layer_table_of_the_published_architecture() -> None:
    layers = layers_of("cnn_at")
    shapes = {f"pool{i}": layers[f"pool{i}"].shape for i in range(1, 6)}
    assert shapes == {
        "pool1": (341, 48, 32),
        "pool2": (85, 24, 128),
        "pool3": (21, 12, 128),
        "pool4": (4, 4, 192),
        "pool5": (1, 1, 256),
    }
    assert load_model("cnn_at").keras_model.count_params() == 870_154


def test_receptive_fields_follow_from_kernels_and_pools() -> None:
    """By hand: conv1 sees 3 frames, pool1 6 with stride 4, conv2 14, pool2 26 with stride 16."""
    layers = layers_of("cnn_at")
    frames = {"conv1": (3, 1), "pool1": (6, 4), "conv2": (14, 4), "pool2": (26, 16)}
    for name, (field, stride) in frames.items():
        assert layers[name].receptive_field_seconds == pytest.approx(((field - 1) * 256 + 512) / 12000)
        assert layers[name].hop_seconds == pytest.approx(stride * 256 / 12000)
    assert layers["pool1"].first_seconds == pytest.approx(1.5 * 256 / 12000)
    low, high = layers["conv1"].receptive_field_hz
    assert low < high
    assert layers["output"].receptive_field_seconds == pytest.approx(29.12)
    assert layers["output"].receptive_field_hz == pytest.approx((6000, 6000))


def test_receptive_field_is_where_the_network_listens(random_cnn_at: Model) -> None:
    """A change of the input outside a position's field, padding aside, leaves the position alone."""
    layers = layers_of("cnn_at")
    examples = np.random.default_rng(0).standard_normal((1, 1366, 96)).astype(np.float32)
    changed = examples.copy()
    frame = 700
    changed[0, frame] += 5
    for name in ("conv1", "pool1", "conv2", "pool2"):
        layer = layers[name]
        before, after = (random_cnn_at.activations(x, [name])[name] for x in (examples, changed))
        moved = np.flatnonzero(np.abs(after - before).max(axis=(0, 2, 3)) > 1e-4)
        centre = frame * 256 / 12000
        reach = (layer.receptive_field_seconds - (512 - 256) / 12000) / 2
        assert len(moved)
        assert (np.abs(layer.times()[moved] - centre) <= reach + 1e-9).all()


def test_random_weights_are_a_control_that_repeats() -> None:
    one, same, other = (load_model("cnn_at", seed=seed) for seed in (7, 7, 8))
    assert one.weights.kind == "seeded random"
    assert "random" in str(one.weights)
    for x, y in zip(one.keras_model.get_weights(), same.keras_model.get_weights(), strict=True):
        assert np.array_equal(x, y)
    assert not np.array_equal(one.keras_model.get_weights()[4], other.keras_model.get_weights()[4])


def test_activations_do_not_depend_on_the_batch(random_cnn_at: Model) -> None:
    examples = np.random.default_rng(1).standard_normal((5, 1366, 96)).astype(np.float32)
    together = random_cnn_at.activations(examples, ["pool4", "output"], batch_size=5)
    split = random_cnn_at.activations(examples, ["pool4", "output"], batch_size=2)
    for name in together:
        assert np.allclose(together[name], split[name], rtol=1e-4, atol=1e-5)


def test_fixed_batches_give_the_same_bits_wherever_an_example_lies(random_cnn_at: Model) -> None:
    """What lets a resumed run write the same bytes as an uninterrupted one."""
    examples = np.random.default_rng(2).standard_normal((8, 1366, 96)).astype(np.float32)
    order = np.random.default_rng(3).permutation(8)
    one = random_cnn_at.activations(examples, ["pool4", "pool5"], batch_size=8)
    other = random_cnn_at.activations(examples[order], ["pool4", "pool5"], batch_size=8)
    for name in one:
        assert np.array_equal(one[name][order], other[name])


def test_unknown_names_list_what_there_is(random_cnn_at: Model) -> None:
    examples = np.zeros((1, 1366, 96), np.float32)
    with pytest.raises(UsageError, match=r"pool9.*conv1.*output"):
        random_cnn_at.activations(examples, ["pool9"])
    with pytest.raises(UsageError, match="more than once"):
        random_cnn_at.activations(examples, ["pool4", "pool4"])
    with pytest.raises(UsageError, match="at least one layer"):
        random_cnn_at.activations(examples, [])
    with pytest.raises(UsageError, match=r"1366, 96.*not \[1, 96, 1366\]"):
        random_cnn_at.activations(examples.transpose(0, 2, 1), ["pool4"])
    with pytest.raises(UsageError, match="cnn_at"):
        load_model("resnet")
    with pytest.raises(UsageError, match="no option hop; it has padding"):
        load_model("cnn_at", hop=10)


def test_names_of_the_published_files_are_understood() -> None:
    assert layers_of("cnn_at")["elu_3"] is layers_of("cnn_at")["elu3"]


def test_missing_checkpoint_is_named() -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.h5"):
        load_model("cnn_at", "nowhere.h5")


def test_batch_norm_keeps_the_published_epsilon(random_cnn_at: Model) -> None:
    layer = random_cnn_at.keras_model.get_layer("bn1")
    assert isinstance(layer, backend.keras.layers.BatchNormalization)
    assert layer.epsilon == 1e-6
    assert not layer.fused


def test_a_user_may_import_tensorflow_first() -> None:
    code = """
import tensorflow
import numpy as np
import actprobe
from actprobe.features import compute_scalars
model = actprobe.load_model("svd", checkpoint="svd-open")
print(model.activations(np.zeros((1, 115, 80), np.float32), ["fc9"])["fc9"].shape)
samples = np.zeros(44100, np.float32)
samples[11025::11025] = 0.9
print(compute_scalars(actprobe.Waveform(samples, 44100), ["onset_rate"])["onset_rate"])
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    shape, onset_rate = done.stdout.splitlines()
    assert shape == "(1, 1)"
    assert float(onset_rate) == 3.0


# What a network offers


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_network_offers_fits_its_layers(name: Any) -> None:
    network = network_named(name)
    assert network.layers is layers_of(name)
    assert network.outputs is not None
    units = {(output.layer, output.unit, output.mel) for output in network.outputs}
    assert len(units) == len(network.outputs)
    for name_of_layer, mel in {(output.layer, output.mel is not None) for output in network.outputs}:
        layer = network.layers[name_of_layer]
        positions = range(layer.shape[1]) if mel else [None]
        expected = {(layer.name, unit, position) for unit in range(layer.neurons) for position in positions}
        assert {each for each in units if each[0] == name_of_layer} == expected
    assert network.exported == tuple(layer.name for layer in network.layers.select(network.exported))
    if network.comparator is not None:
        assert network.layers[network.comparator].is_map
    assert network.frontend is not None
    assert network.specs is not None
    for inverted, plan in network.inverters.items():
        assert plan.feature_shape == network.layers[inverted].shape
        assert plan.example_shape == network.frontend().example_shape
    assert list(layer_table(name, network.frontend(), network.specs)) == list(network.layers)


def test_outputs_are_labelled_where_their_meaning_is_known() -> None:
    tags, instruments = network_named("cnn_at").outputs, network_named("mm_cnn").outputs
    assert tags is not None
    assert [str(output) for output in tags] == list(TAGS)
    assert tags[9].meaning == "probability of the tag"
    assert instruments is not None
    assert [str(output) for output in instruments][-1] == "human singing voice"
    (singing,) = load_model("svd").outputs
    assert (singing.layer, singing.meaning) == ("fc9", "probability of singing at the centre frame")
    assert network_named("vggish").outputs == ()


def test_the_control_is_the_network_with_the_same_seed_and_the_models_front_end() -> None:
    model = load_model("cnn_at", seed=1, padding="repeat")
    control = model.with_random_weights(7)
    assert control.frontend is model.frontend
    assert (control.weights.kind, control.weights.seed) == ("seeded random", 7)
    expected = load_model("cnn_at", seed=7).keras_model.get_weights()
    for ours, theirs in zip(control.keras_model.get_weights(), expected, strict=True):
        assert np.array_equal(ours, theirs)
    untouched = load_model("cnn_at", seed=1).keras_model.get_weights()
    for ours, theirs in zip(model.keras_model.get_weights(), untouched, strict=True):
        assert np.array_equal(ours, theirs)


PLANTED = """
from actprobe.frontends import MelgramFrontEnd as FRONTEND
from actprobe.models.keras_build import build_keras
from actprobe.models.spec_table import layer_table
from actprobe.models.specs import Conv, Dense, Flatten, MaxPool

NAME = "planted"
SPECS = (
    Conv("conv", 2, (3, 3), "valid", "relu"), MaxPool("pool", (64, 32)), Flatten("flat"), Dense("end", 3)
)
LAYERS = layer_table(NAME, FRONTEND(), SPECS)


def build():
    return build_keras(NAME, FRONTEND.example_shape, SPECS)
"""


def test_adding_a_network_is_one_file_and_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from actprobe.models import networks, registry

    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "NETWORKS", {**NETWORKS, "planted": "planted"})
    model = load_model("planted", seed=2)
    assert model.output_layer == "end"
    assert model.exported == ("end",)
    assert [str(output) for output in model.outputs] == ["end/0", "end/1", "end/2"]
    assert (model.default_comparator, dict(model.inverter_plans), model.threshold) == (None, {}, 0.5)
    run = model.activations(np.zeros((1, 1366, 96), np.float32), list(model.layers))
    assert run["end"].shape == (1, 3)
    (tmp_path / "weights.npz").write_bytes(b"of somebody else")
    with pytest.raises(UsageError, match="no weights of planted are published"):
        load_model("planted", tmp_path / "weights.npz")
