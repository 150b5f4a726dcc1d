"""Dense evaluation: the numbers of the excerpts one by one, for any network whose layers allow it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models import Model, load_model, wrap_model
from actprobe.models.dense import DenseEvaluation
from actprobe.models.networks import svd

EVERY_LAYER = list(svd.LAYERS)
FRAMES, BANDS = 24, 10


def assert_equal(ours: dict[str, NDArray[Any]], theirs: dict[str, NDArray[Any]]) -> None:
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert ours[name].shape == expected.shape, name
        assert ours[name].dtype == np.float32
        assert np.abs(ours[name] - expected).max() <= 1e-5 * max(1, np.abs(expected).max()), name


def means_of(activations: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: v.mean((1, 2)) if v.ndim == 4 else v for name, v in activations.items()}


# Networks of a user's own


class Windows(FrontEnd):
    """One sample a frame; an example is a window of frames."""

    name = "windows"
    sample_rate = frame_hop = frame_length = 1
    first_frame = 0
    windows = True

    def __init__(self, shape: tuple[Any, Any] = (FRAMES, BANDS), hop: int = 1) -> None:
        super().__init__()
        self.example_shape = shape
        self.example_samples, self.hop = shape[0], hop

    def band_edges_hz(self) -> NDArray[Any]:
        return np.arange(self.example_shape[1] + 2.0)

    def example_starts(self, samples: Any) -> Any:
        raise NotImplementedError

    def examples(self, samples: Any) -> Any:
        raise NotImplementedError

    def constants(self) -> Any:
        raise NotImplementedError


@pytest.fixture(scope="module")
def keras() -> Any:
    return backend.keras


def gated(tensor: Any) -> Any:
    """An activation of a user's own."""
    return tensor * backend.tf.tanh(tensor)


def stack(*layers: Any) -> Any:
    def build(tensor: Any) -> Any:
        for layer in layers:
            tensor = layer(tensor)
        return tensor

    return build


def poolings(k: Any) -> Any:
    return stack(
        k.Conv2D(4, 3, activation="relu", name="conv1"),
        k.MaxPooling2D(2, name="pool1"),
        k.BatchNormalization(name="bn"),
        k.Conv2D(5, (2, 3), activation=gated, name="conv2"),
        k.AveragePooling2D((3, 1), (2, 1), name="wider_than_its_stride"),
        k.MaxPooling2D((1, 2), (2, 1), name="narrower"),
        k.Flatten(name="flatten"),
        k.Dropout(0.5, name="dropout"),
        k.Dense(6, "elu", name="dense"),
        k.BatchNormalization(name="bn_of_a_vector"),
        k.Dense(3, "softmax", name="tags"),
    )


def strides(k: Any) -> Any:
    return stack(
        k.Conv2D(4, (5, 3), strides=(2, 2), activation="tanh", name="strided"),
        k.DepthwiseConv2D((3, 1), name="depthwise"),
        k.SeparableConv2D(4, (2, 2), strides=(3, 3), activation="relu", name="separable"),
        k.Dense(4, "relu", name="by_position"),
        k.Dense(2, name="again"),
        k.PReLU(shared_axes=(1, 2), name="prelu"),
    )


def dilated(k: Any) -> Any:
    return stack(
        k.Cropping2D(((2, 1), (1, 0)), name="cropped"),
        k.Conv2D(3, (3, 2), dilation_rate=(3, 2), name="dilated"),
        k.LayerNormalization(name="ln"),
        k.Softmax(name="softmax"),
        k.MaxPooling2D((3, 2), name="pool"),
        k.ZeroPadding2D(((0, 0), (2, 1)), name="padded_in_mel"),
        k.GlobalMaxPooling2D(keepdims=True, name="greatest"),
        k.Conv2D(5, 1, padding="same", activation="relu", name="behind"),
        k.Flatten(name="flatten"),
    )


def padded_in_mel(k: Any) -> Any:
    return stack(
        k.Conv2D(3, (1, 3), padding="same", name="one_frame"),
        k.MaxPooling2D((2, 3), padding="same", name="divides"),
        k.Conv2D(3, (1, 5), strides=(2, 1), padding="same", activation="relu", name="skipping"),
        k.GlobalAveragePooling2D(name="average"),
        k.Dense(3, name="dense"),
    )


def branches(k: Any) -> Any:
    def build(tensor: Any) -> Any:
        first = k.Conv2D(4, (5, 3), activation="relu", name="wide")(tensor)
        second = k.Cropping2D(((1, 3), (1, 1)), name="aside")(tensor)
        second = k.Conv2D(4, 1, name="narrow")(second)
        both = k.Add(name="sum")([first, second])
        both = k.Concatenate(name="both")([both, k.Maximum(name="larger")([first, second])])
        slow = k.AveragePooling2D((4, 2), name="slow")(both)
        fast = k.MaxPooling2D((10, 8), name="fast")(both)
        vectors = [k.Flatten(name="flat")(slow), k.Flatten(name="flat_too")(fast)]
        vectors.append(k.GlobalMaxPooling2D(name="all")(first))
        return k.Dense(3, name="dense")(k.Concatenate(name="joined")(vectors))

    return build


def turned(k: Any) -> Any:
    def build(tensor: Any) -> Any:
        tensor = k.Conv2D(3, 3, activation="relu", name="conv")(tensor)
        tensor = k.Permute((1, 3, 2), name="channels_before_mel")(tensor)
        tensor = k.MaxPooling2D((2, 1), name="pool")(tensor)
        mel_first = k.Permute((3, 1, 2), name="mel_first")(tensor)
        channel_first = k.Permute((3, 2, 1), name="twice")(mel_first)
        one = k.Dense(4, "relu", name="one")(k.Flatten(name="theano")(mel_first))
        two = k.Dense(4, name="two")(k.Reshape((-1,), name="vector")(k.ReLU(name="relu")(channel_first)))
        three = k.Reshape((11, 24), name="sequence")(tensor)
        three = k.Conv1D(5, 3, strides=2, name="conv1d")(three)
        three = k.GlobalAveragePooling1D(name="gap")(k.MaxPooling1D(2, 1, name="pool1d")(three))
        two = k.Dense(3, name="back")(k.Reshape((2, 2), name="square")(two))
        return k.Concatenate(name="joined")([one, k.Flatten(name="last")(two), three])

    return build


def nested(k: Any) -> Any:
    inner = backend.keras.Sequential(
        [
            k.InputLayer((FRAMES - 2, BANDS - 2, 3)),
            k.Conv2D(4, 3, activation=gated, name="conv"),
            k.MaxPooling2D(3, name="pool"),
        ],
        name="inner",
    )
    shared = k.Dense(3, "relu", name="shared")

    def build(tensor: Any) -> Any:
        tensor = k.Conv2D(3, 3, activation="relu", name="conv")(tensor)
        tensor = shared(shared(tensor))
        return k.Dense(2, name="dense")(k.Flatten(name="flatten")(inner(tensor)))

    return build


def operations(k: Any) -> Any:
    def build(tensor: Any) -> Any:
        tf = backend.tf
        tensor = k.Conv2D(4, 3, name="conv")(tensor)
        tensor = 2 * tf.nn.relu(tensor) - 1
        tensor = tensor + k.Conv2D(4, (1, 3), padding="same", name="side")(tensor)
        return k.Dense(900, name="large")(k.Flatten(name="flatten")(tensor))

    return build


def same(k: Any) -> Any:
    """Kernels and steps of odd and even lengths; zeros stand at both ends of every map."""
    return stack(
        k.Conv2D(4, (5, 3), padding="same", activation="relu", name="odd"),
        k.BatchNormalization(name="bn"),
        k.Conv2D(4, (4, 2), padding="same", activation=gated, name="even"),
        k.Conv2D(4, (3, 3), strides=(2, 2), padding="same", name="strided"),
        k.BatchNormalization(axis=2, name="bn_of_bands"),
        k.MaxPooling2D((3, 2), (1, 2), padding="same", name="greatest"),
        k.AveragePooling2D((2, 2), (1, 1), padding="same", name="average"),
        k.Dropout(0.5, name="dropout"),
        k.Conv2D(3, (2, 1), name="not_padded"),
        k.Flatten(name="flatten"),
        k.Dense(3, "softmax", name="tags"),
    )


def same_until_nothing_is_shared(k: Any) -> Any:
    return stack(
        *(k.Conv2D(3, (7, 3), padding="same", activation="relu", name=f"conv{i}") for i in range(5)),
        k.GlobalAveragePooling2D(name="means"),
    )


def zeros_of_every_kind(k: Any) -> Any:
    return stack(
        k.ZeroPadding2D(((2, 1), (1, 0)), name="zeros"),
        k.LayerNormalization(name="ln"),
        k.Conv2D(4, 3, dilation_rate=(2, 1), padding="same", name="dilated"),
        k.Cropping2D(((1, 6), (1, 1)), name="cropped"),
        k.DepthwiseConv2D((3, 2), padding="same", activation="relu", name="depthwise"),
        k.SeparableConv2D(5, (3, 3), padding="same", name="separable"),
        k.Permute((1, 3, 2), name="turned"),
        k.ZeroPadding2D((1, 0), name="zeros_again"),
        k.AveragePooling2D((3, 2), (2, 1), padding="same", name="average"),
        k.MaxPooling2D((10, 1), name="nearly_all"),
        k.Dense(2, name="dense"),
    )


def padded_in_one_dimension(k: Any) -> Any:
    return stack(
        k.Reshape((FRAMES, BANDS), name="rows"),
        k.Conv1D(6, 4, padding="causal", activation="relu", name="causal"),
        k.Conv1D(6, 3, 2, padding="same", activation="tanh", name="conv"),
        k.MaxPooling1D(3, 1, padding="same", name="pool"),
        k.SeparableConv1D(4, 2, padding="same", name="separable"),
        k.DepthwiseConv1D(3, padding="same", name="depthwise"),
        k.ZeroPadding1D((1, 0), name="zeros"),
        k.Reshape((-1, 2, 2), name="square"),
        k.GlobalMaxPooling2D(keepdims=True, name="greatest"),
    )


def padded_branches(k: Any) -> Any:
    """As in musicnn: filters of several lengths side by side, sums with what came before, both poolings."""

    def build(tensor: Any) -> Any:
        around = k.ZeroPadding2D((1, 0), name="around")(tensor)
        across = k.Conv2D(4, (3, BANDS), activation="relu", name="across")(around)
        long = k.Conv2D(4, (9, 1), padding="same", activation="relu", name="long")(tensor)
        longer = k.MaxPooling2D((1, BANDS), name="longer")(k.Conv2D(2, (12, 1), padding="same")(tensor))
        first = k.Concatenate(name="first")([across, k.MaxPooling2D((1, BANDS), name="pool")(long), longer])
        second = k.Conv2D(10, (3, 1), padding="same", activation="relu", name="second")(first)
        second = k.Add(name="sum")([second, first])
        last = k.Conv2D(10, (11, 1), padding="same", name="last")(second)
        last = k.Subtract(name="nothing_shared")([last, 2 * second])
        vectors = [k.GlobalMaxPooling2D(name="max")(first), k.GlobalAveragePooling2D(name="mean")(second)]
        vectors += [k.GlobalMaxPooling2D(name="max_of_last")(last), k.Flatten(name="flat")(first)]
        return k.Dense(3, name="dense")(k.Concatenate(name="joined")(vectors))

    return build


PADDED = [same, same_until_nothing_is_shared, zeros_of_every_kind, padded_in_one_dimension, padded_branches]
NETWORKS = [poolings, strides, dilated, padded_in_mel, branches, turned, nested, operations, *PADDED]


def planted(build: Any, keras: Any) -> Any:
    keras.utils.set_random_seed(0)
    inputs = keras.layers.Input((FRAMES, BANDS, 1), name="given")
    keras_model = keras.Model(inputs, build(keras.layers)(inputs), name="mine")
    rng = np.random.default_rng(1)
    for weight in keras_model.weights:
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(0.5, 2, weight.shape))
    return keras_model


def wrapped(build: Any, keras: Any, frontend: Any = None) -> Model:
    return wrap_model(planted(build, keras), frontend or Windows())


def frames_of(count: int, bands: int = BANDS, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng([seed, count]).standard_normal((count, bands)).astype(np.float32)


def one_by_one(model: Model, frames: NDArray[Any], layers: Any) -> dict[str, NDArray[Any]]:
    windows = np.lib.stride_tricks.sliding_window_view(frames, model.frontend.example_shape[0], axis=0)
    return model.activations(windows.transpose(0, 2, 1), layers, batch_size=32)


@pytest.mark.parametrize("build", NETWORKS)
def test_every_layer_of_any_network_equals_the_excerpts_one_by_one(build: Any, keras: Any) -> None:
    model = wrapped(build, keras)
    names = list(model.layers)
    assert model.dense_refusal(names) == ""
    dense, means = model.dense(names), model.dense(names, "mean")
    chunked = model.dense(names, excerpts_at_once=5)
    for count in (FRAMES, FRAMES + 1, FRAMES + 37):
        frames = frames_of(count)
        expected = one_by_one(model, frames, names)
        assert_equal(dense(frames), expected)
        assert_equal(chunked(frames), expected)
        assert_equal(means(frames), means_of(expected))


LAYERS: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.builds(
        lambda size, step, mel, padding: (
            "Conv2D", (3, (size, mel)), {"strides": (step, 1), "activation": "elu", "padding": padding}
        ),
        st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.sampled_from(["valid", "same"]),
    ),
    st.builds(
        lambda kind, size, step, padding: (kind, ((size, 1), (step, 1)), {"padding": padding}),
        st.sampled_from(["MaxPooling2D", "AveragePooling2D"]), st.integers(1, 4), st.integers(1, 4),
        st.sampled_from(["valid", "same"]),
    ),
    st.builds(lambda before, after: ("ZeroPadding2D", (((before, after), (0, 0)),), {}),
              st.integers(0, 2), st.integers(0, 2)),
    st.builds(lambda before, after: ("Cropping2D", (((before, after), (0, 0)),), {}),
              st.integers(0, 2), st.integers(0, 2)),
    st.just(("BatchNormalization", (), {})),
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(LAYERS, min_size=1, max_size=5), end=st.sampled_from(["Flatten", "GlobalMaxPooling2D"]))
def test_any_order_of_windows_and_strides_and_zeros(keras: Any, drawn: Any, end: Any) -> None:
    keras.backend.clear_session()
    tensor = inputs = keras.layers.Input((FRAMES, BANDS, 1))
    for kind, arguments, options in drawn:
        layer = getattr(keras.layers, kind)(*arguments, **options)
        with suppress(ValueError):  # nothing would be left
            tensor = layer(tensor)
    tensor = keras.layers.Dense(3)(getattr(keras.layers, end)()(tensor))
    model = wrap_model(keras.Model(inputs, tensor), Windows())
    frames = frames_of(FRAMES + 31)
    assert_equal(model.dense(list(model.layers))(frames), one_by_one(model, frames, list(model.layers)))


@pytest.mark.parametrize(
    ("build", "names"), [(poolings, ["pool1", "tags"]), (same, ["odd", "strided", "tags"])]
)
def test_chunks_at_a_hop_are_every_so_manieth_excerpt(build: Any, names: list[str], keras: Any) -> None:
    model = wrapped(build, keras)
    frames = frames_of(90)
    expected = one_by_one(model, frames, names)
    for hop in (1, 3, 11):
        chunks = list(model.dense(names, excerpts_at_once=8).chunks(frames, hop))
        assert [first % hop for first, _ in chunks] == [0] * len(chunks)
        for name, values in expected.items():
            ours = np.concatenate([chunk[name] for _, chunk in chunks])
            assert_equal({name: ours}, {name: values[::hop]})


def test_strides_are_those_of_the_rows_that_excerpts_share(keras: Any) -> None:
    dense = wrapped(poolings, keras).dense(["conv1", "pool1", "narrower", "flatten", "tags"])
    assert dense.strides == {"conv1": 1, "pool1": 2, "narrower": 8, "flatten": 0, "tags": 0}
    padded = wrapped(zeros_of_every_kind, keras).dense(["zeros", "cropped", "depthwise"])
    assert padded.strides == {"zeros": 0, "cropped": 0, "depthwise": 0}  # not all of their rows


def test_large_rows_go_through_fewer_at_a_time(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from actprobe.models import dense

    model = wrapped(poolings, keras)
    frames = frames_of(500)
    assert len(list(model.dense(["conv1"]).chunks(frames))) == 1
    monkeypatch.setattr(dense, "BYTES_AT_ONCE", 100 * 4 * 4 * 8)
    chunks = [len(chunk["conv1"]) for _, chunk in model.dense(["conv1"]).chunks(frames)]
    assert chunks == [100, 100, 100, 100, 77]


def test_the_control_computes_densely_with_its_random_weights(keras: Any) -> None:
    model = wrapped(poolings, keras)
    before = one_by_one(model, frames_of(40), ["tags", "pool1"])
    control = model.with_random_weights(5)
    assert control.weights.kind == "seeded random"
    random = one_by_one(control, frames_of(40), ["tags", "pool1"])
    assert np.abs(random["tags"] - before["tags"]).max() > 1e-2
    assert_equal(control.dense(["tags", "pool1"])(frames_of(40)), random)
    assert_equal(model.dense(["tags", "pool1"])(frames_of(40)), before)


# What is refused


def refused(kind: str, k: Any) -> Any:
    conv = k.Conv2D(3, 3, activation="relu", name="conv")
    match kind:
        case "groups":
            return stack(conv, k.Conv2D(3, 3, padding="same", groups=3, name="padded"), k.Flatten(name="end"))
        case "statistics":
            return stack(conv, k.BatchNormalization(axis=1, name="bn"))
        case "weights":
            return stack(conv, k.PReLU(name="prelu"))
        case "softmax":
            return stack(conv, k.Softmax(axis=1, name="softmax"))
        case "recurrent":
            return stack(conv, k.Reshape((22, 24), name="rows"), k.GRU(3, name="gru"), k.Dense(2, name="end"))
        case "attention":

            def build(tensor: Any) -> Any:
                tensor = k.Reshape((22, 24), name="rows")(conv(tensor))
                return k.Dense(2, name="end")(k.Attention(name="attention")([tensor, tensor]))

            return build
        case "scaled":

            def build(tensor: Any) -> Any:
                tensor = conv(tensor)
                gate = k.GlobalAveragePooling2D(keepdims=True, name="gate")(tensor)
                return k.Multiply(name="scaled")([tensor, gate])

            return build
        case "other frames":

            def build(tensor: Any) -> Any:
                other = k.MaxPooling2D((1, 1), (2, 1), name="other")(tensor)
                cut = k.Cropping2D(((0, 12), (0, 0)), name="cut")(tensor)
                return k.Add(name="added")([other, cut])

            return build
        case "joined":
            return lambda tensor: k.Concatenate(1, name="joined")([conv(tensor), conv(tensor)])
        case "pieces":
            return stack(conv, k.Reshape((11, 16, 3), name="pieces"))
        case "turned":
            return stack(conv, k.Permute((2, 1, 3), name="turned"), k.Conv2D(2, 3, name="behind"))
        case "unknown":
            return stack(
                conv, k.Lambda(lambda x: x - backend.tf.reduce_mean(x, 1, keepdims=True), name="own")
            )
        case "upsampled":
            return stack(conv, k.UpSampling2D(2, name="up"))
        case "reversed":
            return lambda tensor: backend.tf.reverse(conv(tensor), [1])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("groups", "padded pads in time and convolves in groups"),
        ("statistics", "bn normalises along time"),
        ("weights", "prelu has weights for every frame"),
        ("softmax", "softmax acts along time"),
        ("recurrent", "gru is recurrent"),
        ("attention", "attention (Attention) may mix frames"),
        ("scaled", "scaled mixes a map with a vector of the whole excerpt"),
        ("other frames", "added joins maps whose frames differ"),
        ("joined", "joined joins along time"),
        ("pieces", "pieces reshapes time"),
        ("turned", "behind works on permuted axes"),
        ("unknown", "own (Lambda) may mix frames"),
        ("upsampled", "up (UpSampling2D) may mix frames"),
        ("reversed", "(reverse) may mix frames"),
    ],
)
def test_a_layer_that_does_not_act_by_frames_is_refused_with_all_behind_it(
    keras: Any, kind: str, said: str
) -> None:
    model = wrapped(lambda k: refused(kind, k), keras)
    assert model.dense_refusal(list(model.layers)[-1:]).endswith(said)
    with pytest.raises(UsageError, match=r"mine cannot be evaluated densely: "):
        model.dense(list(model.layers))
    if "conv" in model.layers:
        assert model.dense_refusal(["conv"]) == ""
        frames = frames_of(30)
        assert_equal(model.dense(["conv"])(frames), one_by_one(model, frames, ["conv"]))


def test_networks_of_the_catalog_say_whether_they_can_be_followed(
    random_svd: Model, random_cnn_at: Model
) -> None:
    assert random_svd.dense_refusal(EVERY_LAYER) == ""
    assert random_cnn_at.dense_refusal(["output"]) == "bn_0_freq normalises along time"
    for name in ("vggish", "mm_cnn", "musicnn_msd", "vgg_msd"):
        model = load_model(name)
        assert model.dense_refusal(list(model.layers)) == "", name
    with pytest.raises(UsageError, match="cnn_at cannot be evaluated densely: bn_0_freq"):
        random_cnn_at.dense(["conv1"])


def test_examples_that_are_no_windows_are_refused(keras: Any) -> None:
    frontend = Windows()
    frontend.windows = False
    model = wrapped(poolings, keras, frontend)
    assert model.dense_refusal(["tags"]) == "the examples of windows are not windows of common frames"
    bare = wrap_model(planted(poolings, keras))
    assert bare.dense_refusal(["tags"]) == "it was wrapped without a front end"
    assert bare.evaluation(["tags"]) == "batches"


def test_excerpts_have_to_overlap_enough(keras: Any) -> None:
    """Half of the products is fast enough: an excerpt's 22 rows against a row for each frame of the hop."""
    assert [load_model("svd", hop=hop).evaluation(["fc8"]) for hop in (1, 23, 24)] == [
        "dense", "dense", "batches",
    ]  # fmt: skip
    for hop, way in ((11, "dense"), (12, "batches")):
        model = wrapped(lambda k: refused("groups", k), keras, Windows(hop=hop))
        assert model.evaluation(["conv"]) == way
        assert model.evaluation(["end"]) == "batches"


def test_edges_count_for_each_excerpt(keras: Any) -> None:
    """Of 24 rows, four layers with kernels of 3 have 3, 5, 7 and 9 to compute, of 7 nearly all."""

    def padding(size: int) -> Any:
        return lambda k: stack(*(k.Conv2D(3, size, padding="same", name=f"conv{i}") for i in range(4)))

    short, long = (wrapped(padding(size), keras) for size in (3, 7))
    assert short.evaluation(["conv3"]) == "dense"
    assert long.dense_refusal(["conv3"]) == ""
    assert long.evaluation(["conv3"]) == "batches"


def test_wrong_arguments_are_refused(random_svd: Model) -> None:
    with pytest.raises(UsageError, match="fc10"):
        random_svd.dense(["fc10"])
    with pytest.raises(UsageError, match=r"median.*mean"):
        random_svd.dense(["fc9"], "median")
    with pytest.raises(UsageError, match="at least one excerpt"):
        random_svd.dense(["fc9"], excerpts_at_once=0)
    for frames in (frames_of(114, 80), frames_of(200, 79), frames_of(200, 80)[np.newaxis]):
        with pytest.raises(UsageError, match=r"\[frames, 80\], at least 115"):
            random_svd.dense(["fc9"])(frames)


# The singing voice detector


@pytest.fixture(scope="session")
def in_chunks_of_18(random_svd: Model) -> DenseEvaluation:
    return random_svd.dense(EVERY_LAYER, excerpts_at_once=18)


@pytest.fixture(scope="session")
def means_in_chunks_of_18(random_svd: Model) -> DenseEvaluation:
    return random_svd.dense(EVERY_LAYER, excerpts_at_once=18, reduce="mean")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(115, 180), seed=st.integers(0, 5))
def test_every_layer_of_every_excerpt_equals_the_excerpts_one_by_one(
    random_svd: Model,
    in_chunks_of_18: DenseEvaluation,
    means_in_chunks_of_18: DenseEvaluation,
    count: Any,
    seed: Any,
) -> None:
    frames = frames_of(count, 80, seed)
    expected = one_by_one(random_svd, frames, EVERY_LAYER)
    assert_equal(in_chunks_of_18(frames), expected)
    assert_equal(means_in_chunks_of_18(frames), means_of(expected))


@pytest.mark.parametrize("phase", range(9))
def test_every_phase_of_the_poolings_is_that_of_its_excerpt(random_svd: Model, phase: int) -> None:
    """Excerpt k shares its tiles of mp6 only with excerpts k + 9, k + 18, ..."""
    frames = frames_of(115 + 20, 80)
    dense = random_svd.dense(["mp6", "fc9"])(frames)
    for k in (phase, phase + 9):
        alone = random_svd.activations(frames[np.newaxis, k : k + 115], ["mp6", "fc9"])
        assert_equal({name: dense[name][k : k + 1] for name in dense}, alone)


@pytest.mark.parametrize("count", [115, 116, 123, 124, 132, 133, 134])
def test_first_and_last_excerpt(random_svd: Model, in_chunks_of_18: DenseEvaluation, count: int) -> None:
    frames = frames_of(count, 80)
    dense = in_chunks_of_18(frames)
    assert {len(values) for values in dense.values()} == {count - 114}
    ends = {name: values[[0, -1]] for name, values in dense.items()}
    assert_equal(ends, random_svd.activations(np.stack([frames[:115], frames[-115:]]), EVERY_LAYER))


def test_original_weights_and_sound_give_the_original_numbers_densely(
    golden_svd: Model, golden_sound: Any
) -> None:
    pcm = (golden_sound["pcm_int16"] / 32768).astype(np.float32)
    dense = golden_svd.dense(["mp6", "fc7", "fc8", "fc9"])(golden_svd.frontend.frames(pcm))
    at = golden_sound["excerpts_index"]
    ours = {name: values[at] for name, values in dense.items()}
    assert_equal(ours, golden_svd.activations(golden_sound["excerpts"], list(dense)))


def test_chunks_are_bounded_and_together_the_whole(in_chunks_of_18: DenseEvaluation) -> None:
    frames = frames_of(170, 80)
    chunks = list(in_chunks_of_18.chunks(frames))
    assert [first for first, _ in chunks] == [0, 18, 36, 54]
    assert [len(chunk["mp6"]) for _, chunk in chunks] == [18, 18, 18, 2]
    whole = in_chunks_of_18(frames)
    for name, values in whole.items():
        assert np.array_equal(np.concatenate([chunk[name] for _, chunk in chunks]), values)


def test_maps_share_the_memory_of_what_excerpts_share(random_svd: Model) -> None:
    maps = random_svd.dense(["conv5"])(frames_of(300, 80))["conv5"]
    assert maps.shape == (186, 33, 21, 64)
    assert np.shares_memory(maps[0, 1], maps[3, 0])
    assert not maps.flags.writeable


def test_weights_that_change_are_seen() -> None:
    model = load_model("svd", seed=1)
    evaluate = model.dense(["fc8"])
    before = evaluate(frames_of(120, 80))
    for layer in model.keras_model.layers:
        layer.set_weights([0.5 * array for array in layer.get_weights()])
    after = evaluate(frames_of(120, 80))
    assert np.abs(after["fc8"] - before["fc8"]).max() > 0.1
    assert_equal(after, one_by_one(model, frames_of(120, 80), ["fc8"]))


# Networks of the catalog that pad


@pytest.mark.parametrize("name", ["musicnn_msd", "vgg_msd"])
def test_every_layer_of_networks_with_zeros_at_the_ends_of_excerpts(name: str) -> None:
    model = load_model(name, seed=2)
    frames = np.abs(frames_of(187 + 2, 96))
    names = list(model.layers)
    expected = one_by_one(model, frames, names)
    assert_equal(model.dense(names)(frames), expected)
    assert_equal(model.dense(names, "mean")(frames), means_of(expected))
