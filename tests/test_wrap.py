"""A user's own Keras model: every layer equals Keras' own, has a place, and every analysis takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import actprobe
from actprobe import backend, wrap_model
from actprobe.corpora import open_corpus
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd, MelgramFrontEnd
from actprobe.models import load_model

FRAMES, BANDS = MelgramFrontEnd.example_shape


@pytest.fixture(scope="module")
def layers() -> Any:
    return backend.keras.layers


def model_of(layers: Any, *stack: Any, shape: tuple[int, ...] = (40, 12, 1), **options: Any) -> Any:
    """A functional model from a stack of layers."""
    inputs = tensor = layers.Input(shape, name="given")
    for layer in stack:
        tensor = layer(tensor)
    return backend.keras.Model(inputs, tensor, **options)


def examples(shape: tuple[int, int] = (40, 12), count: int = 3) -> NDArray[Any]:
    return np.random.default_rng(0).standard_normal((count, *shape)).astype(np.float32)


def keras_output(keras_model: Any, layer: str, inputs: NDArray[Any]) -> NDArray[Any]:
    part = backend.keras.Model(keras_model.input, keras_model.get_layer(layer).output)
    values: NDArray[Any] = part(inputs, training=False).numpy()
    return values


@pytest.fixture(scope="module")
def small(layers: Any) -> Any:
    """Convolution, normalisation with statistics, pooling and dense layers on melgrams."""
    backend.keras.utils.set_random_seed(0)
    keras_model = model_of(
        layers,
        layers.Conv2D(4, (5, 3), strides=(4, 2), padding="same", activation="elu", name="conv"),
        layers.BatchNormalization(name="bn"),
        layers.LeakyReLU(0.1, name="leaky"),
        layers.MaxPooling2D((4, 4), name="pool"),
        layers.Dropout(0.5, name="dropout"),
        layers.GlobalAveragePooling2D(name="gap"),
        layers.Dense(6, "softmax", name="tags"),
        shape=(FRAMES, BANDS, 1),
        name="mine",
    )
    rng = np.random.default_rng(1)
    keras_model.get_layer("bn").set_weights([rng.uniform(0.5, 2, 4) for _ in range(4)])
    return keras_model


@pytest.fixture(scope="module")
def wrapped(small: Any) -> Any:
    return wrap_model(small, MelgramFrontEnd())


NAMES = ["conv", "bn", "leaky", "pool", "dropout", "gap", "tags"]


@pytest.mark.parametrize("layer", NAMES)
def test_layer_equals_that_of_kerass_own_sub_model(small: Any, wrapped: Any, layer: Any) -> None:
    inputs = examples((FRAMES, BANDS), 2)
    ours = wrapped.activations(inputs, [layer])[layer]
    expected = keras_output(small, layer, inputs[..., np.newaxis])
    assert ours.dtype == np.float32
    assert ours.shape[1:] == wrapped.layers[layer].shape
    assert np.abs(ours - expected).max() <= 1e-6 * np.abs(expected).max()


def test_what_enters_a_nonlinearity_is_there(small: Any, wrapped: Any) -> None:
    inputs = examples((FRAMES, BANDS), 2)
    acts = wrapped.activations(inputs, ["conv/linear", "conv", "leaky/linear", "bn", "tags/linear", "tags"])
    kernel, bias = small.get_layer("conv").get_weights()
    expected = backend.tf.nn.conv2d(inputs[..., np.newaxis], kernel, (4, 2), "SAME").numpy() + bias
    assert np.abs(acts["conv/linear"] - expected).max() <= 1e-5
    assert np.array_equal(acts["leaky/linear"], acts["bn"])
    exponentials = np.exp(acts["tags/linear"].astype(float))
    assert acts["tags"] == pytest.approx(exponentials / exponentials.sum(1, keepdims=True), abs=1e-6)
    assert acts["tags/linear"].min() < 0


def test_the_users_model_stays_as_it_was(small: Any, wrapped: Any, layers: Any) -> None:
    wrapped.activations(examples((FRAMES, BANDS), 1), ["conv/linear", "tags"])
    assert small.get_layer("conv").activation is backend.keras.activations.elu
    for layer in small.layers:
        assert layer.output is not None  # Keras refuses this once a layer was called again
    copy = backend.keras.models.clone_model(small)
    assert copy.count_params() == small.count_params() == wrapped.keras_model.count_params()


def test_weights_are_shared_and_their_digest_tells_models_apart(layers: Any) -> None:
    def build(units: int = 3, activation: str = "relu") -> Any:
        dense = layers.Dense(units, activation, kernel_initializer="ones", name="dense")
        return model_of(layers, layers.Flatten(name="flatten"), dense, name="m")

    keras_model = build()
    one = wrap_model(keras_model)
    assert one.weights.kind == "user model"
    assert "user's own model" in str(one.weights)
    assert wrap_model(build()).weights.sha256 == one.weights.sha256
    assert wrap_model(build(activation="tanh")).weights.sha256 != one.weights.sha256
    before = one.activations(examples(), ["dense/linear"])["dense/linear"]
    keras_model.get_layer("dense").set_weights([np.full((480, 3), 2, np.float32), np.ones(3, np.float32)])
    after = one.activations(examples(), ["dense/linear"])["dense/linear"]
    assert after == pytest.approx(2 * before + 1, abs=1e-3)
    assert wrap_model(keras_model).weights.sha256 != one.weights.sha256


def test_receptive_fields_are_those_of_the_built_in_network() -> None:
    """cnn_at opened as if it were a user's: a Keras model, built from other classes, with one truth."""
    built_in = load_model("cnn_at")
    keras_model = built_in.keras_model
    plain = backend.keras.Model(keras_model.input, keras_model.output["output"])
    table = wrap_model(plain, MelgramFrontEnd()).layers
    assert not {f"conv{i}" for i in range(1, 6)} - set(table)
    for name, layer in built_in.layers.items():
        if name in ("output", "output/linear"):  # two Keras layers, named otherwise
            continue
        ours = table[name]
        assert ours.shape == layer.shape
        assert ours.hop_seconds == pytest.approx(layer.hop_seconds)
        assert ours.first_seconds == pytest.approx(layer.first_seconds)
        assert ours.receptive_field_seconds == pytest.approx(layer.receptive_field_seconds)
        assert ours.hop_hz == pytest.approx(layer.hop_hz)
        assert ours.receptive_field_hz == pytest.approx(layer.receptive_field_hz)


class Frames(FrontEnd):
    """A front end of one sample a frame, so that seconds count frames and hertz bands."""

    name = "frames"
    sample_rate = frame_hop = frame_length = 1
    first_frame = 0

    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.example_shape = shape
        self.example_samples = shape[0]

    def band_edges_hz(self) -> NDArray[Any]:
        return np.arange(self.example_shape[1] + 2.0)

    def example_starts(self, samples: Any) -> Any:
        raise NotImplementedError

    def examples(self, samples: Any) -> Any:
        raise NotImplementedError

    def constants(self) -> Any:
        raise NotImplementedError


def by_frames(keras_model: Any) -> Any:
    return wrap_model(keras_model, Frames(tuple(keras_model.inputs[0].shape[1:3])))


STACKS = {
    "same, strided, even": lambda k: [k.Conv2D(2, (4, 2), (3, 1), "same"), k.AveragePooling2D((2, 1))],
    "valid, dilated": lambda k: [k.Conv2D(2, (3, 1), dilation_rate=(2, 1)), k.MaxPooling2D((3, 2), (2, 1))],
    "padded and cropped": lambda k: [
        k.ZeroPadding2D(((3, 1), (0, 2))), k.DepthwiseConv2D((5, 1)), k.Cropping2D(((2, 0), (1, 1))),
    ],
    "separable": lambda k: [k.SeparableConv2D(3, (3, 3), padding="same"), k.PReLU(), k.MaxPooling2D()],
    "pooled same": lambda k: [k.MaxPooling2D((3, 3), (2, 2), "same"), k.Dense(3, "tanh")],
}  # fmt: skip


@pytest.mark.parametrize("stack", STACKS)
def test_positions_listen_where_the_table_says(layers: Any, stack: Any) -> None:
    """The first and last frame that move a position are the ends of its receptive field."""
    backend.keras.utils.set_random_seed(0)
    model = by_frames(model_of(layers, *STACKS[stack](layers)))
    row = list(model.layers.values())[-1]
    changes = np.random.default_rng(0).uniform(1, 2, (40, 12)).astype(np.float32)
    changed = np.zeros((2, 40, 40, 12), np.float32)
    for sign, frame in np.ndindex(2, 40):
        changed[sign, frame, frame] = changes[frame] * (1 - 2 * sign)
    acts = model.activations(changed.reshape(80, 40, 12), [row.name])[row.name]
    rest = model.activations(np.zeros((1, 40, 12), np.float32), [row.name])[row.name]
    moved = (np.abs(acts - rest).max(axis=(2, 3)) > 0).reshape(2, 40, -1).any(axis=0)  # [frame, position]
    reach = (row.receptive_field_seconds - 1) / 2
    assert moved.shape[1] == row.shape[0]
    for time, frames in zip(row.times(), moved.T, strict=True):
        heard = np.flatnonzero(frames)
        assert heard[0] == max(0, round(time - reach))
        assert heard[-1] == min(39, round(time + reach))


def test_branches_see_what_any_of_them_sees_and_the_rest_is_not_claimed(layers: Any) -> None:
    inputs = layers.Input((40, 12, 1))
    narrow = layers.Conv2D(2, (3, 1), padding="same", name="narrow")(inputs)
    wide = layers.Conv2D(2, (9, 5), padding="same", name="wide")(inputs)
    both = layers.Concatenate(name="both")([narrow, wide])
    pooled = layers.MaxPooling2D((2, 1), name="pooled")(both)
    turned = layers.Permute((2, 1, 3), name="turned")(pooled)
    behind = layers.Conv2D(1, 3, name="behind")(turned)
    model = by_frames(backend.keras.Model(inputs, layers.Flatten(name="flat")(behind)))
    assert model.layers["both"].receptive_field_seconds == 9
    assert model.layers["pooled"].receptive_field_seconds == 10
    assert model.layers["pooled"].hop_seconds == 2
    assert np.isnan(model.layers["turned"].receptive_field_seconds)
    assert np.isnan(model.layers["behind"].times()).all()
    assert model.layers["flat"].receptive_field_seconds == 40
    assert "nan" in str(model.layers)


def test_nested_models_are_opened_too(layers: Any) -> None:
    backend.keras.utils.set_random_seed(0)
    innermost = backend.keras.Sequential(
        [layers.InputLayer((40, 12, 2)), layers.Conv2D(3, 3, activation="relu", name="conv")],
        name="innermost",
    )
    inner = model_of(layers, innermost, layers.MaxPooling2D(2, name="pool"), shape=(40, 12, 2), name="inner")
    keras_model = model_of(
        layers, layers.Conv2D(2, 3, padding="same", name="conv"), inner, layers.Flatten(name="flat")
    )
    model = by_frames(keras_model)
    assert list(model.layers) == [
        "conv/linear", "conv",
        "inner/innermost/conv/linear", "inner/innermost/conv", "inner/innermost", "inner/pool", "inner",
        "flat",
    ]  # fmt: skip
    acts = model.activations(examples(), list(model.layers))
    expected = innermost(keras_output(keras_model, "conv", examples()[..., np.newaxis])).numpy()
    assert acts["inner/innermost/conv"] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(np.maximum(acts["inner/innermost/conv/linear"], 0), acts["inner/innermost/conv"])
    assert np.array_equal(acts["inner/pool"], acts["inner"])
    assert model.layers["inner/pool"].receptive_field_seconds == 6


def test_layer_that_is_called_again_is_there_twice(layers: Any) -> None:
    shared = layers.Conv2D(1, 3, padding="same", activation="relu", name="shared")
    model = wrap_model(model_of(layers, shared, shared))
    assert list(model.layers) == ["shared/linear", "shared", "shared#2/linear", "shared#2"]
    acts = model.activations(examples(), ["shared", "shared#2"])
    expected = shared(shared(examples()[..., np.newaxis])).numpy()
    assert acts["shared#2"] == pytest.approx(expected, abs=1e-6)


def test_several_outputs_ranks_and_types(layers: Any) -> None:
    tf = backend.tf
    inputs = layers.Input((40, 12))
    sequence, state = layers.GRU(5, return_sequences=True, return_state=True, name="gru")(inputs)
    convolved = layers.Conv1D(3, 5, activation="relu", name="conv1d")(inputs)
    whole = layers.Lambda(lambda x: tf.argmax(x, axis=-1), name="best")(convolved)
    outputs = [layers.Dense(2, name="a")(state), layers.Dense(2, name="b")(layers.Flatten()(sequence)), whole]
    model = by_frames(backend.keras.Model(inputs, outputs))
    assert model.layers["gru/0"].shape == (40, 1, 5)
    assert model.layers["gru/1"].shape == (5,)
    assert model.layers["conv1d"].shape == (36, 1, 3)
    assert model.layers["conv1d"].receptive_field_seconds == 5
    assert model.layers["conv1d"].receptive_field_hz == (13, 13)
    assert np.isnan(model.layers["gru/0"].hop_seconds)
    assert "best" not in model.layers
    acts = model.activations(examples(), ["a", "b", "gru/0", "conv1d/linear"])
    assert {name: array.shape for name, array in acts.items()} == {
        "a": (3, 2), "b": (3, 2), "gru/0": (3, 40, 1, 5), "conv1d/linear": (3, 36, 1, 3),
    }  # fmt: skip


def test_input_without_channel_axis_and_of_any_length(layers: Any) -> None:
    inputs = layers.Input((None, BANDS))
    tensor = layers.Reshape((-1, BANDS, 1), name="as_map")(inputs)
    tensor = layers.Conv2D(2, 3, padding="same", name="conv")(tensor)
    keras_model = backend.keras.Model(inputs, layers.GlobalMaxPooling2D(name="gmp")(tensor))
    model = wrap_model(keras_model, MelgramFrontEnd())
    assert model.layers["conv"].shape == (FRAMES, BANDS, 2)
    with pytest.raises(UsageError, match="have to be known"):
        wrap_model(keras_model)


def test_outputs_are_the_units_of_the_last_layer_with_labels_if_given(layers: Any) -> None:
    dense = layers.Dense(3, "softmax", name="animal")
    keras_model = model_of(layers, layers.Flatten(name="flat"), dense, name="mine")
    assert [str(output) for output in wrap_model(keras_model).outputs] == ["animal/0", "animal/1", "animal/2"]
    labelled = wrap_model(keras_model, outputs=["dog", "cat", "bee"])
    assert [(output.layer, output.unit, output.label) for output in labelled.outputs] == [
        ("animal", 0, "dog"), ("animal", 1, "cat"), ("animal", 2, "bee"),
    ]  # fmt: skip
    for wrong in (["dog", "cat"], "dog"):
        with pytest.raises(UsageError, match=r"mine has 3 output units \(animal\): give as many labels"):
            wrap_model(keras_model, outputs=wrong)


def test_half_precision_comes_out_as_float32(layers: Any) -> None:
    dense = layers.Dense(3, "relu", dtype="float16", name="dense")
    acts = wrap_model(model_of(layers, layers.Flatten(), dense)).activations(
        examples(), ["dense", "dense/linear"]
    )
    assert {array.dtype for array in acts.values()} == {np.dtype(np.float32)}


def refused(layers: Any, kind: str) -> Any:
    keras = backend.keras
    match kind:
        case "two inputs":
            inputs = [layers.Input((40, 12, 1), name=name) for name in ("audio", "score")]
            return keras.Model(inputs, layers.Add()(inputs))
        case "subclassed":

            class Mine(keras.Model):  # type: ignore[misc,name-defined]
                def call(self, inputs: Any) -> Any:
                    return inputs

            return Mine(name="mine")
        case "not built":
            return keras.Sequential([layers.Flatten(), layers.Dense(3)])
        case "channels first":
            return model_of(layers, layers.Conv2D(2, 1, data_format="channels_first", name="turned"))
        case "rank":
            return model_of(layers, layers.Dense(3), shape=(12,))
        case "channels":
            return model_of(layers, layers.Flatten(), shape=(40, 12, 3))
        case "function":
            return lambda x: x


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("two inputs", "has 2 inputs"),
        ("subclassed", "mine is a subclassed model"),
        ("not built", "without a known input shape"),
        ("channels first", r"channels first \(turned\)"),
        ("rank", r"takes \[None, 12\], not \[batch, time, mel\]"),
        ("channels", r"takes \[None, 40, 12, 3\]"),
        ("function", "function is not a tf_keras model"),
    ],
)
def test_model_that_cannot_be_opened_says_why(layers: Any, kind: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        wrap_model(refused(layers, kind))


def test_front_end_of_another_shape_is_refused(layers: Any) -> None:
    with pytest.raises(UsageError, match=r"takes \[None, 40, 12, 1\], but melgram gives .* 1366 .* by 96"):
        wrap_model(model_of(layers, layers.Flatten()), MelgramFrontEnd())


def test_neurons_of_a_wrapped_model(wrapped: Any, small: Any, tmp_path: Path) -> None:
    write_phantom(tmp_path / "in", recordings=5, seconds=4)
    recordings = open_corpus(tmp_path / "in")
    found = actprobe.neurons(
        wrapped, recordings, layers=["pool", "conv/linear"], features=["loudness"],
        output_dir=tmp_path / "out", figures=0,
    )  # fmt: skip
    assert found.record["weights"]["kind"] == "user model"
    assert len(found.table) == 8
    inputs = wrapped.frontend(actprobe.load_audio(recordings[0].path))
    expected = keras_output(small, "pool", inputs[..., np.newaxis]).mean(axis=(0, 1, 2))
    assert found.activity["pool"][0] == pytest.approx(expected, abs=1e-5)


def test_activations_of_a_wrapped_model_and_none_without_a_front_end(
    wrapped: Any, layers: Any, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).standard_normal(12000) * 0.1, 12000)
    recordings = open_corpus(tmp_path / "a.wav")
    found = actprobe.activations(wrapped, recordings, layers=["tags"], output_dir=tmp_path / "out")
    assert found["a.wav"]["tags"].shape == (1, 6)
    without = wrap_model(model_of(layers, layers.Flatten(name="flat"), name="bare"))
    with pytest.raises(UsageError, match="bare was wrapped without a front end"):
        actprobe.activations(without, recordings, layers=["flat"], output_dir=tmp_path / "out")
    with pytest.raises(UsageError, match="without a front end"):
        without.frontend(np.zeros(10), 10)


def test_wrapping_imports_nothing_heavy_until_it_is_asked() -> None:
    import subprocess
    import sys

    code = "import sys, actprobe.models.adapters.tf_keras; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
