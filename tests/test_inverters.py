"""The inverters themselves: the published ones, designed ones, their files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actprobe.analyses.inversion.networks.arrays import get_arrays, initial_arrays, set_arrays
from actprobe.analyses.inversion.networks.design import design, plan_for
from actprobe.analyses.inversion.networks.inverter import load_inverter
from actprobe.analyses.inversion.networks.inverter_file import Origin, save_inverter
from actprobe.analyses.inversion.networks.port import port, unport
from actprobe.analyses.inversion.training.losses import Objective
from actprobe.errors import UsageError, WeightsError
from actprobe.frontends import SvdFrontEnd
from actprobe.models import layers_of, network_named
from actprobe.models.networks.svd import INVERTERS

FILES = {
    "conv1": "conv1_a1", "conv2": "conv2_a15", "mp3": "mp3_a16", "conv4": "conv4_a25", "conv5": "conv5_a7",
    "mp6": "mp6_a3", "fc7": "fc7_a3", "fc8": "fc8_a26",
}  # fmt: skip
# Arrays in the file, parameters, trainable parameters
COUNTS = {
    "fc8": (52, 131201, 130081), "fc7": (47, 176001, 175009), "mp6": (25, 80484, 80242),
    "conv5": (25, 144772, 144322), "conv4": (25, 576260, 575362), "mp3": (30, 45892, 45602),
    "conv2": (20, 28324, 28130), "conv1": (10, 37700, 37570),
}  # fmt: skip


@pytest.fixture(scope="module")
def original(assets: Path) -> dict[str, Any]:
    folder = assets / "originals/svd"
    return {layer: folder / f"jamendo_augment_gen_{name}.npz" for layer, name in FILES.items()}


def as_public(features: Any) -> Any:
    """Golden features are [batch, channel, time, mel] in float16."""
    features = features.astype(np.float32)
    return features.transpose(0, 2, 3, 1) if features.ndim == 4 else features


# The published inverters


@pytest.mark.parametrize("layer", ["fc8", "mp6", "conv4", "conv1"])
def test_the_original_weights_give_the_outputs_of_the_original(
    assets: Path, original: dict[str, Any], layer: str
) -> None:
    with np.load(assets / f"golden/b_inverter_{layer}.npz") as golden:
        inverter = load_inverter("svd", layer, original[layer])
        found = inverter(as_public(golden["features"]))
        assert found.dtype == np.float32
        assert np.abs(found - golden["output"]).max() < 1e-5
    assert inverter.weights.kind == "original"
    assert inverter.weights.catalog_name == f"svd_inverter_{layer}"


@pytest.mark.parametrize("layer", FILES)
def test_every_inverter_has_the_published_size(original: dict[str, Any], layer: Any) -> None:
    arrays, parameters, trainable = COUNTS[layer]
    inverter = load_inverter("svd", layer, original[layer])
    with np.load(original[layer]) as stored:
        shapes = tuple(stored[f"param{i}"].shape for i in range(arrays))
        assert len(stored.files) == arrays
    assert inverter.plan.arrays_in_file() == shapes
    assert sum(weight.size for weight in inverter.keras_model.get_weights()) == parameters
    assert sum(np.prod(weight.shape) for weight in inverter.keras_model.trainable_variables) == trainable
    assert inverter(np.zeros((1, *inverter.feature_shape), np.float32)).shape == (1, 115, 80)


def by_hand(features: Any, arrays: Any, steps: Any, grid: Any = None) -> Any:
    """An inverter in numpy, double precision, straight from the definitions of Lasagne's layers.

    A convolution is a sum over its flipped kernel; a transposed convolution puts every input value, times
    the kernel, where a strided convolution would have read: what Lasagne leaves unflipped is the
    gradient of a layer that flips.
    """
    rest = iter([array.astype(np.float64) for array in arrays])
    tensor = features.astype(np.float64)  # [channel, time, mel] or [unit]
    for kind, normalized in steps:
        kernel = next(rest)
        if kind == "dense":
            tensor = tensor @ kernel
        elif kind == "conv":
            padded = np.pad(tensor, ((0, 0), (1, 1), (1, 1)))
            _, time, mel = tensor.shape
            tensor = sum(
                np.einsum("oi,itm->otm", kernel[:, :, 2 - a, 2 - b], padded[:, a : a + time, b : b + mel])
                for a in range(3)
                for b in range(3)
            )
        else:
            if tensor.ndim == 1:
                tensor = tensor.reshape(grid)
            _, time, mel = tensor.shape
            large = np.zeros((kernel.shape[1], 2 * time + 2, 2 * mel + 2))
            for a in range(4):
                for b in range(4):
                    part = np.einsum("io,itm->otm", kernel[:, :, 3 - a, 3 - b], tensor)
                    large[:, a : a + 2 * time : 2, b : b + 2 * mel : 2] += part
            tensor = large[:, 1:-1, 1:-1]
        along = (slice(None),) + (None,) * (tensor.ndim - 1)
        if normalized:
            beta, gamma, mean, inverse_std = (next(rest)[along] for _ in range(4))
            tensor = (tensor - mean) * (gamma * inverse_std) + beta
        else:
            tensor = tensor + next(rest)[along]
        tensor = np.where(tensor > 0, tensor, np.expm1(np.minimum(tensor, 0)))
    excerpt = tensor[0, :115, :80]
    time, mel = (115 - excerpt.shape[0]) // 2, (80 - excerpt.shape[1]) // 2
    return np.pad(excerpt, ((time, time), (mel, mel)))


C, U, D = ("conv", True), ("up", True), ("dense", True)
HAND = {
    "fc8": [D, D, *4 * [U, C], ("up", False)],
    "fc7": [D, *4 * [U, C], ("up", False)],
    "conv5": [C, C, C, U, U],
    "mp3": [C, C, C, C, U, U],
    "conv2": [C, C, C, C],
}


@pytest.mark.parametrize("layer", HAND)
def test_an_inverter_written_from_the_definitions_agrees(original: dict[str, Any], layer: Any) -> None:
    inverter = load_inverter("svd", layer, original[layer])
    shape = inverter.feature_shape
    features = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    with np.load(original[layer]) as stored:
        arrays = [stored[f"param{i}"] for i in range(len(stored.files))]
    channels_first = features[0].transpose(2, 0, 1) if len(shape) == 3 else features[0]
    expected = by_hand(channels_first, arrays, HAND[layer], (16, 4, 4))
    assert np.abs(inverter(features)[0] - expected).max() < 1e-5 * max(1, np.abs(expected).max())


def test_the_ending_decides_whether_anything_is_below_minus_one(original: dict[str, Any]) -> None:
    features = 20 * np.random.default_rng(0).standard_normal((4, 256)).astype(np.float32)
    elu = load_inverter("svd", "fc7", original["fc7"])(features)
    linear = load_inverter("svd", "fc7", original["fc7"], ending="linear")(features)
    assert elu.min() >= -1
    assert linear.min() < -1
    assert np.allclose(elu, np.where(linear > 0, linear, np.expm1(np.minimum(linear, 0))), atol=1e-6)


def test_batches_do_not_change_what_comes_out(original: dict[str, Any]) -> None:
    inverter = load_inverter("svd", "mp6", original["mp6"])
    features = np.random.default_rng(1).standard_normal((5, 11, 7, 64)).astype(np.float32)
    assert np.allclose(inverter(features), inverter(features, batch_size=2), atol=1e-6)
    assert inverter(features[:0]).shape == (0, 115, 80)


# What is refused


def test_wrong_features_are_refused() -> None:
    inverter = load_inverter("svd", "fc8")
    with pytest.raises(UsageError, match=r"\[batch, 64\], not \[2, 65\]"):
        inverter(np.zeros((2, 65), np.float32))
    with pytest.raises(UsageError, match="at least one"):
        inverter(np.zeros((2, 64), np.float32), batch_size=0)
    with pytest.raises(UsageError, match="NaN or infinity"):
        inverter(np.full((2, 64), np.nan, np.float32))


def test_a_checkpoint_of_another_layer_is_refused(original: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="read as an inverter of svd fc7"):
        load_inverter("svd", "fc7", original["fc8"])
    with pytest.raises(UsageError, match="inverts fc8, not fc7"):
        load_inverter("svd", "fc7", "svd_inverter_fc8")
    plan = INVERTERS["fc7"]
    path = tmp_path / "mine.npz"
    arrays = {f"param{i}": array for i, array in enumerate(initial_arrays(plan, 0))}
    save_inverter(path, arrays, Origin("svd", "fc6"))
    with pytest.raises(WeightsError, match="is an inverter of svd fc6, not of svd fc7"):
        load_inverter("svd", "fc7", path)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(UsageError, match="no layer 'fc12'"):
        load_inverter("svd", "fc12")
    with pytest.raises(UsageError, match="no ending 'relu'"):
        load_inverter("svd", "fc8", ending="relu")
    with pytest.raises(UsageError, match="no architecture"):
        load_inverter("svd", "fc8", architecture="deep")
    with pytest.raises(UsageError, match="neither a file nor in the catalog"):
        load_inverter("svd", "fc8", "nothing")


@pytest.mark.parametrize("damage", ["nan", "missing", "double", "truncated", "foreign"])
def test_damaged_files_are_refused(tmp_path: Path, damage: str) -> None:
    plan = INVERTERS["fc8"]
    arrays = {f"param{i}": array for i, array in enumerate(initial_arrays(plan, 0))}
    path = tmp_path / "x.npz"
    if damage == "nan":
        arrays["param3"][5] = np.nan
    elif damage == "missing":
        del arrays["param7"]
    save_inverter(path, arrays, Origin("svd", "fc8"), "float64" if damage == "double" else "float32")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-5000])
    elif damage == "foreign":
        path.write_bytes(path.read_bytes().replace(b'{"model": "svd"', b'["model": "svd"'))
    with pytest.raises(WeightsError):
        load_inverter("svd", "fc8", path)


# Files


@pytest.mark.parametrize("layer", ["fc7", "conv2"])
def test_arrays_go_to_the_layers_and_back_unchanged(original: dict[str, Any], layer: str) -> None:
    plan = INVERTERS[layer]
    with np.load(original[layer]) as stored:
        arrays = [stored[f"param{i}"] for i in range(len(stored.files))]
    back = unport(port(arrays, plan), plan)
    assert list(back) == [f"param{i}" for i in range(len(arrays))]
    assert all(np.array_equal(back[f"param{i}"], array) for i, array in enumerate(arrays))


@pytest.mark.parametrize("architecture", ["published", "designed", "wide"])
def test_a_saved_inverter_is_the_one_that_is_loaded(tmp_path: Path, architecture: str) -> None:
    made = load_inverter("svd", "conv5", ending="linear", architecture=architecture, seed=7)
    path = tmp_path / "mine.npz"
    origin = Origin("svd", "conv5", "abc", "linear", architecture)
    save_inverter(path, get_arrays(made.keras_model, made.plan), origin)
    again = load_inverter("svd", "conv5", path)
    assert again.plan == made.plan
    assert again.plan.ending == "linear"
    assert again.weights.kind == "unverified"
    assert again.weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    features = np.random.default_rng(0).standard_normal((2, 33, 21, 64)).astype(np.float32)
    assert np.array_equal(made(features), again(features))
    with pytest.raises(WeightsError, match="ends linear, not elu"):
        load_inverter("svd", "conv5", path, ending="elu")


def test_a_file_of_half_the_size_keeps_three_digits(tmp_path: Path) -> None:
    made = load_inverter("svd", "fc8", ending="linear", architecture="wide", seed=7)
    origin = Origin("svd", "fc8", "abc", "linear", "wide")
    for dtype in ("float32", "float16"):
        save_inverter(tmp_path / f"{dtype}.npz", get_arrays(made.keras_model, made.plan), origin, dtype)
    whole, half = ((tmp_path / f"{dtype}.npz").stat().st_size for dtype in ("float32", "float16"))
    assert half < 0.55 * whole
    again = load_inverter("svd", "fc8", tmp_path / "float16.npz")
    features = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    assert again(features) == pytest.approx(made(features), abs=2e-3)


def test_a_file_that_names_no_known_architecture_is_refused(tmp_path: Path) -> None:
    made = load_inverter("svd", "fc8", ending="linear", architecture="designed", seed=7)
    path = tmp_path / "mine.npz"
    save_inverter(path, get_arrays(made.keras_model, made.plan), Origin("svd", "fc8", "", "linear", "tall"))
    with pytest.raises(WeightsError, match="an architecture 'tall' that does not exist"):
        load_inverter("svd", "fc8", path)


def test_a_wide_inverter_has_twice_the_channels() -> None:
    network, frontend = network_named("svd"), SvdFrontEnd()
    for layer in ("fc7", "conv5"):
        usual, wide = (plan_for(network, frontend, layer, architecture=each) for each in ("designed", "wide"))
        for step, wider in zip(usual.steps[:-1], wide.steps[:-1], strict=True):
            assert step.kind == wider.kind
            assert wider.channels == 2 * step.channels
        assert sum(np.prod(shape) for shape in wide.arrays_in_file()) > 1.8 * sum(
            np.prod(shape) for shape in usual.arrays_in_file()
        )


def test_seeded_weights_are_as_lasagne_draws_them() -> None:
    plan = INVERTERS["fc7"]
    arrays = initial_arrays(plan, 3)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, initial_arrays(plan, 3), strict=True))
    assert not np.array_equal(arrays[0], initial_arrays(plan, 4)[0])
    # variance 1 / fan_in: 256 rows of the dense layer, 64 * 16 outputs of the first up-convolution
    assert arrays[0].std() == pytest.approx((1 / 256) ** 0.5, rel=0.02)
    assert arrays[5].shape == (16, 64, 4, 4)
    assert arrays[5].std() == pytest.approx((1 / (64 * 16)) ** 0.5, rel=0.02)
    assert arrays[10].std() == pytest.approx((1 / (64 * 9)) ** 0.5, rel=0.02)
    assert [float(array.mean()) for array in arrays[1:5]] == [0, 1, 0, 1]


# The layers


@pytest.mark.parametrize("scale", [(2, 2), (2, 1), (1, 2), (1, 1)])
def test_the_up_convolution_is_a_transposed_convolution(scale: tuple[int, int]) -> None:
    from actprobe import backend
    from actprobe.analyses.inversion.networks.keras_layers import up_convolution

    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((*(4 if each == 2 else 3 for each in scale), 3, 5)).astype(np.float32)
    tensor = rng.standard_normal((2, 6, 4, 5)).astype(np.float32)
    size = (2, 6 * scale[0], 4 * scale[1], 3)
    expected = backend.tf.nn.conv2d_transpose(tensor, kernel, size, scale, "SAME").numpy()
    found = up_convolution(backend.tf.constant(tensor), backend.tf.constant(kernel), scale).numpy()
    assert found.shape == size
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("counts", [1, 2])
def test_batch_normalisation_keeps_the_inverse_deviation(quick: bool, counts: int) -> None:
    from actprobe.analyses.inversion.networks.batch_norm import BatchNorm

    layer = BatchNorm(quick)
    rng = np.random.default_rng(0)
    maps = (3 * rng.standard_normal((4, 5, 6, 8)) + 2).astype(np.float32)
    layer.build(maps.shape)
    layer.counts = counts
    found = layer(maps, training=True).numpy()
    mean, variance = maps.mean((0, 1, 2)), maps.var((0, 1, 2))
    assert np.abs(found - (maps - mean) / np.sqrt(variance + 1e-4)).max() < 1e-5
    kept = 0.9**counts
    assert layer.mean.numpy() == pytest.approx((1 - kept) * mean, abs=1e-5)
    expected = kept + (1 - kept) / np.sqrt(variance + 1e-4)
    assert layer.inverse_std.numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("elu", [False, True])
@pytest.mark.parametrize("shape", [(4, 5, 6, 8), (64, 8)])
def test_gradients_of_batch_normalisation_and_elu(
    quick: bool, elu: bool, shape: tuple[int, int, int, int] | tuple[int, int]
) -> None:
    from actprobe import backend
    from actprobe.analyses.inversion.networks.batch_norm import BatchNorm

    tf, rng = backend.tf, np.random.default_rng(0)
    maps = tf.constant((3 * rng.standard_normal(shape) + 2).astype(np.float32))
    upstream = tf.constant(rng.standard_normal(shape).astype(np.float32))
    layer = BatchNorm(quick, elu)
    layer.build(shape)
    layer.gamma.assign(rng.uniform(0.5, 2, 8).astype(np.float32))
    layer.beta.assign(rng.standard_normal(8).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(maps)
        found = layer(maps, training=True)
        mean, variance = tf.nn.moments(maps, list(range(len(shape) - 1)))
        expected = tf.nn.batch_normalization(maps, mean, variance, layer.beta, layer.gamma, 1e-4)
        expected = tf.nn.elu(expected) if elu else expected
    assert np.abs(found - expected).max() < 1e-5
    for source in (maps, layer.gamma, layer.beta):
        ours, theirs = (tape.gradient(each, source, upstream) for each in (found, expected))
        assert np.abs(ours - theirs).max() < 1e-4


def test_mixed_precision_is_near_single_precision() -> None:
    from actprobe.analyses.inversion.networks.build import build_inverter

    plan = INVERTERS["mp6"]
    arrays = initial_arrays(plan, 0)
    features = np.random.default_rng(0).standard_normal((8, 11, 7, 64)).astype(np.float32)
    outputs = []
    for precision in ("float32", "mixed_bfloat16"):
        inverter = build_inverter(plan, precision=precision)
        set_arrays(inverter, arrays, plan)
        assert all(each.dtype == "float32" for each in inverter.weights)
        outputs.append(inverter(features, training=True).numpy())
    assert 0 < np.abs(outputs[0] - outputs[1]).mean() < 0.02


def test_gradients_in_mixed_precision_are_near_those_in_single_precision() -> None:
    """Sums over all places of a map, such as that of the last bias, are not made in bfloat16."""
    from actprobe import backend
    from actprobe.analyses.inversion.networks.build import build_inverter

    tf, plan, rng = backend.tf, INVERTERS["fc7"], np.random.default_rng(0)
    features = tf.constant(rng.standard_normal((8, 256)).astype(np.float32))
    wanted = tf.constant(rng.standard_normal((8, 115, 80)).astype(np.float32))
    norms = []
    for precision in ("float32", "mixed_bfloat16"):
        inverter = build_inverter(plan, precision=precision)
        set_arrays(inverter, initial_arrays(plan, 0), plan)
        with tf.GradientTape() as tape:
            loss = Objective("input").measure(inverter(features, training=True), wanted)
        norms.append([float(tf.norm(each)) for each in tape.gradient(loss, inverter.trainable_variables)])
    assert norms[1] == pytest.approx(norms[0], rel=0.05)


# Designed inverters


@pytest.mark.parametrize("layer", ["fc8", "fc7", "mp6", "conv5", "conv4", "mp3", "conv2", "conv1"])
def test_published_layers_get_the_published_network(layer: str) -> None:
    network, frontend = network_named("svd"), SvdFrontEnd()
    assert network.layers[layer].shape == INVERTERS[layer].feature_shape
    assert plan_for(network, frontend, layer) == INVERTERS[layer]
    assert plan_for(network, frontend, layer, architecture="designed") != INVERTERS[layer]


@settings(max_examples=300, deadline=None)
@given(
    example=st.tuples(st.integers(1, 1500), st.integers(1, 200)),
    data=st.data(),
)
def test_a_design_reaches_the_excerpt_from_any_shape(example: Any, data: Any) -> None:
    strides = None
    if data.draw(st.booleans()):
        features = (data.draw(st.integers(1, 5000)),)
    else:
        sizes = [data.draw(st.integers(1, max(1, 2 * size))) for size in example]
        features = (*sizes, data.draw(st.integers(1, 512)))
        if data.draw(st.booleans()):
            strides = tuple(data.draw(st.floats(1, size + 1)) for size in example)
    plan = design(features, example, strides=strides)
    assert plan.steps[-1].channels == 1
    for made, wanted in zip(plan.map_shape, example, strict=True):
        assert wanted <= made < 2 * max(wanted, 4)
    if plan.aligned is not None:
        for axis in (0, 1):
            places = plan.places(axis)
            assert len(places) == plan.aligned[axis]
            assert all(0 <= place <= features[axis] - 1 for place in places)
            assert places == sorted(places)


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        ("cnn_at", "elu5"),
        ("cnn_at", "pool2"),
        ("mm_cnn", "prediction"),
        ("svd", "conv1/linear"),
        ("vggish", "fc1"),
    ],
)
def test_any_layer_of_any_network_gets_an_inverter(network: str, layer: str) -> None:
    try:
        shape = layers_of(network)[layer].shape
    except UsageError:
        layer = list(layers_of(network))[-2]
        shape = layers_of(network)[layer].shape
    inverter = load_inverter(network, layer, seed=1)
    frontend = network_named(network).frontend
    assert frontend is not None
    example = frontend().example_shape
    found = inverter(np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32))
    assert found.shape == (1, *example)
    assert np.isfinite(found).all()


def test_the_floor_of_the_ending_is_for_normalised_excerpts_only() -> None:
    assert load_inverter("svd", "fc8").plan.ending == "elu"
    assert load_inverter("mm_cnn", "prediction").plan.ending == "linear"


def test_a_wrapped_model_gets_an_inverter() -> None:
    from actprobe import backend
    from actprobe.models import wrap_model

    layers = backend.keras.layers
    inputs = backend.keras.Input((40, 30))
    tensor = layers.Reshape((40, 30, 1))(inputs)
    tensor = layers.Conv2D(6, 3, strides=(4, 2), padding="same", activation="relu", name="conv")(tensor)
    tensor = layers.Dense(5, name="dense")(layers.Flatten()(tensor))
    model = wrap_model(backend.keras.Model(inputs, tensor, name="mine"))
    examples = np.random.default_rng(0).standard_normal((3, 40, 30)).astype(np.float32)
    for layer in ("conv", "dense"):
        inverter = load_inverter(model, layer)
        assert inverter(model.activations(examples, [layer])[layer]).shape == (3, 40, 30)


@pytest.mark.parametrize(("layer", "first"), [("mp3", 3), ("conv4", 6), ("conv5", 9), ("mp6", 12)])
def test_a_map_is_resampled_so_that_every_position_comes_where_it_was_seen(layer: str, first: int) -> None:
    """Position i of conv5 is centred at frame 9 + 3 i, and after the doublings that is where it must be."""
    from actprobe import backend
    from actprobe.analyses.inversion.networks.design import strides_of
    from actprobe.analyses.inversion.networks.keras_layers import interpolated
    from actprobe.models.networks import svd

    described = svd.LAYERS[layer]
    strides = strides_of(described, svd.FRONTEND())
    stride = 9 if layer == "mp6" else 3
    assert strides == pytest.approx((stride, stride))
    plan = plan_for(network_named("svd"), svd.FRONTEND(), layer, architecture="designed")
    doubled = 8 if layer == "mp6" else 2
    assert plan.aligned == (-(-115 // doubled), 80 // doubled)
    assert plan.aligned[0] > described.shape[0]  # nothing is lost to coarser sampling
    positions = np.arange(described.shape[0], dtype=np.float64)
    rows = interpolated(backend.tf.constant(positions), plan.places(0), 0).numpy()
    centres = (np.arange(len(rows)) + 0.5) * doubled - 0.5
    inside = (centres >= first) & (centres <= first + stride * positions[-1])
    assert rows[inside] == pytest.approx((centres[inside] - first) / stride, abs=1e-5)
    assert set(rows[~inside]) <= {0.0, positions[-1]}


def test_without_strides_a_map_reaches_from_end_to_end() -> None:
    plan = design((5, 4, 8), (40, 4))
    assert plan.aligned == (5, 4)
    assert plan.places(0) == [0, 1, 2, 3, 4]
    assert plan.map_shape == (40, 4)
