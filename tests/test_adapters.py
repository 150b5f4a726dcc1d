"""One network in tf-keras, Keras 3 and PyTorch: the same layers, the same table, the same answers."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import actprobe
from actprobe import backend, wrap_model
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import UsageError
from actprobe.frontends import SvdFrontEnd
from actprobe.models.adapters.torch import TorchModel

try:
    import torch
    from torch import nn
except ImportError:
    torch = nn = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed (actprobe[torch])")
FRAMEWORKS = ["keras3", pytest.param("torch", marks=needs_torch)]
FRAMES, BANDS = SvdFrontEnd.example_shape


def frontend() -> SvdFrontEnd:
    return SvdFrontEnd(hop=35)


def in_keras(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((FRAMES, BANDS, 1)),
            layers.Conv2D(4, (5, 3), strides=(2, 1), name="conv"),
            layers.ReLU(name="relu"),
            layers.MaxPooling2D((3, 2), name="pool"),
            layers.BatchNormalization(epsilon=1e-3, name="bn"),
            layers.Conv2D(3, (3, 3), padding="same", dilation_rate=(2, 1), name="conv2"),
            layers.ELU(name="elu"),
            layers.Flatten(name="flat"),
            layers.Dense(6, name="fc"),
            layers.LeakyReLU(0.3, name="leaky"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(3, name="tags"),
        ],
        name="mine",
    )


def in_torch(arrays: Any) -> Any:
    """The same with the weights of the Keras model, in PyTorch's usual order [batch, 1, mel, time]."""
    conv, conv_bias, gamma, beta, mean, variance, conv2, conv2_bias, fc, fc_bias, tags, tags_bias = arrays
    module = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, 4, (3, 5), stride=(1, 2)),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d((2, 3)),
            bn=nn.BatchNorm2d(4, eps=1e-3),
            conv2=nn.Conv2d(4, 3, (3, 3), padding="same", dilation=(1, 2)),
            elu=nn.ELU(),
            flat=nn.Flatten(),
            fc=nn.Linear(18 * 39 * 3, 6),
            leaky=nn.LeakyReLU(0.3),
            dropout=nn.Dropout(0.5),
            tags=nn.Linear(6, 3),
        )
    )
    fc = fc.reshape(18, 39, 3, 6).transpose(2, 1, 0, 3).reshape(-1, 6)  # flattened [channel, mel, time]
    state = {
        "conv.weight": conv.transpose(3, 2, 1, 0), "conv.bias": conv_bias, "bn.weight": gamma,
        "bn.bias": beta, "bn.running_mean": mean, "bn.running_var": variance,
        "conv2.weight": conv2.transpose(3, 2, 1, 0), "conv2.bias": conv2_bias, "fc.weight": fc.T,
        "fc.bias": fc_bias, "tags.weight": tags.T,
        "tags.bias": tags_bias,
    }  # fmt: skip
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.items()}
    module.load_state_dict(tensors, strict=False)
    return module


@pytest.fixture(scope="module")
def twins() -> dict[str, Any]:
    """Networks by framework, opened; all hold the same weights."""
    keras_model = in_keras(backend.keras)
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(-0.3, 0.3, array.shape).astype(np.float32) for array in keras_model.get_weights()]
    arrays[2], arrays[5] = np.abs(arrays[2]) + 0.5, np.abs(arrays[5]) + 0.5  # scale and variance
    found = {}
    for framework in ("keras", "keras3"):
        network = in_keras(getattr(backend, framework))
        network.set_weights(arrays)
        found[framework] = wrap_model(network, frontend())
    if torch is not None:
        found["torch"] = wrap_model(in_torch(arrays), frontend(), "mine", axes="mel,time")
    return found


def examples(shape: tuple[int, ...] = (FRAMES, BANDS), count: int = 3) -> NDArray[Any]:
    return np.random.default_rng(1).standard_normal((count, *shape)).astype(np.float32)


def geometry(layer: Any) -> tuple[float, ...]:
    return (
        layer.hop_seconds, layer.first_seconds, layer.receptive_field_seconds, *layer.hop_hz,
        *layer.receptive_field_hz,
    )  # fmt: skip


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_layer_is_the_same_in_every_framework(twins: dict[str, Any], framework: Any) -> None:
    theirs, ours = twins["keras"], twins[framework]
    names = [name for name in ours.layers if name in theirs.layers]
    assert {"conv", "relu/linear", "relu", "pool", "bn", "conv2", "elu", "fc", "leaky", "tags"} <= {*names}
    expected = theirs.activations(examples(), names)
    for name, values in ours.activations(examples(), names).items():
        wanted = expected[name]
        if name == "flat" and framework == "torch":  # its own order
            wanted = expected["elu"].transpose(0, 3, 2, 1).reshape(len(wanted), -1)
        assert values.dtype == np.float32
        assert values.shape == wanted.shape == (3, *ours.layers[name].shape)
        assert np.abs(values - wanted).max() <= 1e-5 * max(1, np.abs(wanted).max()), name


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_layer_table_is_the_same_in_every_framework(twins: dict[str, Any], framework: Any) -> None:
    for name, layer in twins[framework].layers.items():
        other = twins["keras"].layers[name]
        assert layer.shape == other.shape
        assert not any(map(math.isnan, geometry(layer)))
        assert geometry(layer) == pytest.approx(geometry(other)), layer.name


def test_keras3_names_what_enters_an_activation_and_takes_nested_models_and_merges() -> None:
    def build(keras: Any) -> Any:
        layers = keras.layers
        given = layers.Input((40, 12, 1), name="given")
        inside = layers.Input((40, 12, 2), name="inside")
        inner = keras.Model(
            inside, layers.Conv2D(2, 3, padding="same", activation="relu", name="conv")(inside), name="inner"
        )
        conv = layers.Conv2D(2, 3, padding="same", activation="tanh", name="conv")(given)
        both = layers.Add(name="both")([conv, inner(inner(conv))])
        return keras.Model(given, layers.GlobalMaxPooling2D(name="gmp")(both), name="mine")

    theirs, ours = build(backend.keras), build(backend.keras3)
    ours.set_weights(theirs.get_weights())
    one, other = wrap_model(theirs), wrap_model(ours)
    assert list(one.layers) == list(other.layers)
    assert "inner#2/conv/linear" in other.layers
    assert [row.kind for row in one.layers.values()] == [row.kind for row in other.layers.values()]
    expected = one.activations(examples((40, 12)), list(one.layers))
    for name, values in other.activations(examples((40, 12)), list(other.layers)).items():
        assert values == pytest.approx(expected[name], abs=1e-6), name
    assert ours.get_layer("conv").activation.__name__ == "tanh"


def test_keras3_has_gradients_and_the_same_control(twins: dict[str, Any]) -> None:
    one, other = twins["keras"], twins["keras3"]
    tf = backend.tf
    inputs = tf.constant(examples())
    gradients = []
    for model in (one, other):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(model.keras_model(inputs, training=False)["tags"] ** 2)
        gradients.append(tape.gradient(loss, inputs).numpy())
    assert gradients[0] == pytest.approx(gradients[1], abs=1e-4)
    controls = [model.with_random_weights(3).activations(examples(), ["fc"])["fc"] for model in (one, other)]
    assert np.array_equal(*controls)
    assert not np.allclose(controls[0], one.activations(examples(), ["fc"])["fc"])


def test_keras3_evaluates_densely_like_tf_keras() -> None:
    def build(keras: Any) -> Any:
        layers = keras.layers
        stack = [
            layers.Input((FRAMES, BANDS, 1)), layers.Conv2D(2, (5, 3), activation="relu", name="conv"),
            layers.MaxPooling2D((3, 2), name="pool"), layers.BatchNormalization(name="bn"),
            layers.Flatten(name="flat"), layers.Dense(3, "sigmoid", name="fc"),
        ]  # fmt: skip
        return keras.Sequential(stack)

    theirs, ours = build(backend.keras), build(backend.keras3)
    ours.set_weights(theirs.get_weights())
    model = wrap_model(ours, SvdFrontEnd(hop=5))
    names = ["conv/linear", "pool", "fc"]
    assert model.evaluation(names) == "dense"
    frames = np.random.default_rng(2).standard_normal((160, BANDS)).astype(np.float32)
    expected = wrap_model(theirs, SvdFrontEnd(hop=5)).dense(names)(frames)
    excerpts = np.lib.stride_tricks.sliding_window_view(frames, FRAMES, axis=0).transpose(0, 2, 1)
    plain = model.activations(excerpts, names)
    for name, values in model.dense(names)(frames).items():
        assert values == pytest.approx(expected[name], abs=1e-6), name
        assert values == pytest.approx(plain[name], abs=1e-5), name
    one_by_one = wrap_model(recurrent(backend.keras3), SvdFrontEnd(hop=5))
    assert one_by_one.evaluation(["gru"]) == "batches"


def test_masks_of_keras3_reach_the_layers_behind() -> None:
    keras = backend.keras3
    layers = keras.layers
    network = keras.Sequential(
        [layers.Input((12, 5)), layers.Masking(name="mask"), layers.GRU(3, name="gru")], name="masked"
    )
    given = examples((12, 5))
    given[:, 6:] = 0
    found = wrap_model(network).activations(given, ["gru"])["gru"]
    assert found == pytest.approx(network(given).numpy(), abs=1e-6)
    assert not np.allclose(found, network.get_layer("gru")(given).numpy())


def recurrent(keras: Any) -> Any:
    layers = keras.layers
    given = layers.Input((FRAMES, BANDS), name="given")
    sequence = layers.GRU(4, return_sequences=True, name="gru")(given)
    attended = layers.MultiHeadAttention(2, 3, name="mha")(sequence, sequence)
    normalised = layers.LayerNormalization(epsilon=1e-5, name="norm")(attended)
    return keras.Model(given, layers.GlobalAveragePooling1D(name="gap")(normalised), name="recurrent")


def test_recurrent_and_attention_layers_are_maps_with_one_mel_position() -> None:
    one, other = recurrent(backend.keras), recurrent(backend.keras3)
    other.set_weights(one.get_weights())
    tables = [wrap_model(network, frontend()) for network in (one, other)]
    for model in tables:
        assert {name: layer.shape for name, layer in model.layers.items()} == {
            "gru": (FRAMES, 1, 4), "mha": (FRAMES, 1, 4), "norm": (FRAMES, 1, 4), "gap": (4,),
        }  # fmt: skip
        assert math.isnan(model.layers["gru"].hop_seconds)
        assert "is recurrent" in model.dense_refusal(["gru"])
    expected = tables[0].activations(examples(), ["gru", "mha", "gap"])
    for name, values in tables[1].activations(examples(), ["gru", "mha", "gap"]).items():
        assert values == pytest.approx(expected[name], abs=1e-5), name


@pytest.mark.parametrize("framework", ["keras", "keras3"])
@pytest.mark.parametrize("channel", [False, True])
def test_mel_before_time(framework: str, channel: bool) -> None:
    """The same network with its axes turned round, opened with one argument more, is the same network."""
    keras = getattr(backend, framework)
    layers = keras.layers

    def build(turned: Any) -> Any:
        sizes = (BANDS, FRAMES) if turned else (FRAMES, BANDS)
        given = tensor = layers.Input((*sizes, 1) if channel else sizes)
        if not channel:
            tensor = layers.Reshape((*sizes, 1), name="as_map")(given)
        kernel = (3, 5) if turned else (5, 3)
        tensor = layers.Conv2D(2, kernel, strides=(1, 2) if turned else (2, 1), name="conv")(tensor)
        return keras.Model(given, layers.GlobalAveragePooling2D(name="gap")(tensor))

    plain, turned = build(False), build(True)
    kernel, bias = plain.get_weights()
    turned.set_weights([kernel.transpose(1, 0, 2, 3), bias])
    one, other = wrap_model(plain, frontend()), wrap_model(turned, frontend(), axes="mel,time")
    assert geometry(one.layers["conv"]) == pytest.approx(geometry(other.layers["conv"]))
    expected = one.activations(examples(), ["conv", "gap"])
    for name, values in other.activations(examples(), ["conv", "gap"]).items():
        assert values.shape[1:] == one.layers[name].shape
        assert values == pytest.approx(expected[name], abs=1e-5)
    with pytest.raises(UsageError, match='axes="mel,time" is the other order'):
        wrap_model(turned, frontend())


RATE, SAMPLES = 8000, 4000


def waveforms() -> actprobe.frontends.WaveformFrontEnd:
    return actprobe.frontends.WaveformFrontEnd(RATE, SAMPLES, 2000)


@pytest.mark.parametrize("framework", ["keras", "keras3"])
@pytest.mark.parametrize("channel", [False, True])
def test_networks_of_waveforms(framework: str, channel: bool) -> None:
    keras = getattr(backend, framework)
    layers = keras.layers
    given = tensor = layers.Input((SAMPLES, 1) if channel else (SAMPLES,))
    if not channel:
        tensor = layers.Reshape((SAMPLES, 1), name="as_map")(given)
    tensor = layers.Conv1D(4, 64, strides=16, activation="relu", name="conv")(tensor)
    tensor = layers.MaxPooling1D(4, name="pool")(tensor)
    network = keras.Model(given, layers.GlobalAveragePooling1D(name="gap")(tensor), name="raw")
    model = wrap_model(network, waveforms(), axes="samples")
    row = model.layers["pool"]
    assert (row.shape, row.hop_seconds) == ((61, 1, 4), 64 / RATE)
    assert row.receptive_field_seconds == pytest.approx((64 + 3 * 16) / RATE)
    assert row.receptive_field_hz == (RATE / 2, RATE / 2)
    found = model.activations(examples((SAMPLES, 1)), ["gap"])["gap"]
    assert found == pytest.approx(
        network(examples((SAMPLES, 1)) if channel else examples((SAMPLES,))).numpy()
    )


def test_waveform_front_end_cuts_samples() -> None:
    sound = np.arange(9000, dtype=np.float32)
    cut = waveforms()(sound, RATE)
    assert cut.shape == (3, SAMPLES, 1)
    assert [int(example[0, 0]) for example in cut] == [0, 2000, 4000]
    covered = actprobe.frontends.WaveformFrontEnd(RATE, SAMPLES)
    assert [int(example[0, 0]) for example in covered(sound[:8500], RATE)] == [250, 4250]
    assert waveforms()(sound[:10], RATE)[0, 10:].max() == 0
    with pytest.raises(UsageError, match="hop_samples=0: at least 1"):
        actprobe.frontends.WaveformFrontEnd(RATE, SAMPLES, 0)


@needs_torch
def test_pytorch_networks_of_waveforms() -> None:
    class Raw(nn.Module):  # type: ignore[misc]
        def __init__(self, channel: Any) -> None:
            super().__init__()
            self.conv, self.pool, self.channel = nn.Conv1d(1, 4, 64, stride=16), nn.AvgPool1d(4), channel

        def forward(self, x: Any) -> Any:
            x = x if self.channel else x.unsqueeze(1)
            return self.pool(torch.relu(self.conv(x))).mean(-1)

    for channel in (False, True):
        model = wrap_model(Raw(channel), waveforms(), axes="samples")
        assert [(name, layer.shape) for name, layer in model.layers.items()] == [
            ("conv", (247, 1, 4)), ("pool", (61, 1, 4)), ("output", (4,)),
        ]  # fmt: skip
        row = model.layers["pool"]
        assert row.hop_seconds == 64 / RATE
        assert row.receptive_field_seconds == pytest.approx((64 + 3 * 16) / RATE)
        assert row.receptive_field_hz == (RATE / 2, RATE / 2)
        acts = model.activations(examples((SAMPLES, 1)), ["pool", "output"])
        assert acts["pool"].mean(axis=(1, 2)) == pytest.approx(acts["output"], abs=1e-6)


def torch_of(forward: Any, **modules: Any) -> Any:
    """A PyTorch network of named modules and a function that calls them."""

    class Mine(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            for name, module in modules.items():
                setattr(self, name, module)

        def forward(self, x: Any) -> Any:
            return forward(self, x)

    return Mine()


@needs_torch
def test_pytorch_functions_between_modules_are_followed() -> None:
    def forward(net: Any, x: Any) -> Any:  # [batch, 1, mel, time]
        x = torch.relu(net.bn(net.conv(x))) * 2
        x = net.deep(x) + x
        x = net.pool(x)
        x = nn.functional.max_pool2d(x, (2, 1))
        x = net.wide(x).mean(2).transpose(1, 2)  # [batch, time, channel]
        x, _ = net.gru(x)
        return net.fc(net.norm(x)).mean(1)

    model = wrap_model(
        torch_of(
            forward, conv=nn.Conv2d(1, 4, 3, padding=1), bn=nn.BatchNorm2d(4),
            deep=nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()), pool=nn.MaxPool2d((2, 5)),
            wide=nn.Conv2d(4, 2, 3), gru=nn.GRU(2, 5, batch_first=True), norm=nn.LayerNorm(5),
            fc=nn.Linear(5, 3),
        ),
        frontend(), axes="mel,time",
    )  # fmt: skip
    shapes = {name: layer.shape for name, layer in model.layers.items()}
    assert shapes == {
        "conv": (115, 80, 4), "bn": (115, 80, 4), "deep.0": (115, 80, 4), "deep.1/linear": (115, 80, 4),
        "deep.1": (115, 80, 4), "deep": (115, 80, 4), "pool": (23, 40, 4), "wide": (21, 18, 2),
        "gru/0": (21, 1, 5), "gru/1": (5,), "norm": (21, 1, 5), "fc": (21, 1, 3), "output": (3,),
    }  # fmt: skip
    hop = model.layers["conv"].hop_seconds
    assert model.layers["deep"].hop_seconds == hop
    assert model.layers["pool"].hop_seconds == pytest.approx(5 * hop)
    assert math.isnan(model.layers["wide"].hop_seconds)
    acts = model.activations(examples(), ["gru/0", "gru/1", "fc", "output"])
    assert np.array_equal(acts["gru/0"][:, -1, 0], acts["gru/1"])
    assert acts["fc"].mean(axis=(1, 2)) == pytest.approx(acts["output"], abs=1e-6)


@needs_torch
@pytest.mark.parametrize("first", [True, False])
def test_pytorch_attention_in_either_order(first: bool) -> None:
    def forward(net: Any, x: Any) -> Any:  # [batch, time, mel]
        x = net.enter(x)
        x = x if first else x.transpose(0, 1)
        attended, _ = net.mha(x, x, x)
        x = net.norm(attended + x)
        return net.fc(x.mean(1 if first else 0))

    model = wrap_model(
        torch_of(
            forward, enter=nn.Linear(BANDS, 8), mha=nn.MultiheadAttention(8, 2, batch_first=first),
            norm=nn.LayerNorm(8), fc=nn.Linear(8, 2),
        ),
        frontend(),
    )  # fmt: skip
    shapes = {name: layer.shape for name, layer in model.layers.items()}
    assert shapes == {
        "enter": (115, 1, 8), "mha/0": (115, 1, 8), "mha/1": (115, 1, 115), "norm": (115, 1, 8), "fc": (2,),
    }  # fmt: skip
    acts = model.activations(examples(), list(shapes))
    entered = acts["enter"]
    assert isinstance(model, TorchModel)
    inner = model.module.mha
    turned = torch.from_numpy(entered[:, :, 0] if first else entered[:, :, 0].transpose(1, 0, 2).copy())
    with torch.no_grad():
        expected = inner(turned, turned, turned)[0].numpy()
    assert acts["mha/0"][:, :, 0] == pytest.approx(
        expected if first else expected.transpose(1, 0, 2), abs=1e-5
    )


@needs_torch
def test_a_pytorch_network_stays_as_it_was_and_its_control_keeps_nothing_trained(
    twins: dict[str, Any],
) -> None:
    model = twins["torch"]
    module = model.module
    module.train()
    module.conv.eval()
    before = {name: values.clone() for name, values in module.state_dict().items()}
    state = torch.random.get_rng_state()
    controls = [model.with_random_weights(seed) for seed in (1, 1, 2)]
    one, same, other = (control.activations(examples(), ["tags"])["tags"] for control in controls)
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)
    assert not np.allclose(one, model.activations(examples(), ["tags"])["tags"])
    assert controls[0].weights.seed == 1
    assert torch.equal(state, torch.random.get_rng_state())
    assert [each.training for each in (module, module.conv, module.bn)] == [True, False, True]
    for name, values in module.state_dict().items():
        assert torch.equal(values, before[name]), name
    assert not any(module.conv._forward_hooks)


@needs_torch
def test_weights_without_a_reset_are_random_in_the_control_too() -> None:
    net = torch_of(lambda net, x: net.norm(x @ net.own) * net.scale, norm=nn.LayerNorm(4))
    net.own, net.scale = nn.Parameter(torch.ones(BANDS, 4)), nn.Parameter(torch.full((4,), 7.0))
    control = wrap_model(net, frontend()).with_random_weights(5)
    assert isinstance(control, TorchModel)
    assert control.module.own.std() > 0.05
    assert torch.equal(control.module.scale, torch.ones(4))
    assert net.own.std() == 0


@needs_torch
def test_digest_of_a_pytorch_network_tells_weights_and_modules_apart() -> None:
    def build(kind: Any, fill: float = 1.0) -> Any:
        module = nn.Sequential(nn.Flatten(), nn.Linear(FRAMES * BANDS, 2), kind())
        nn.init.constant_(module[1].weight, fill)
        nn.init.zeros_(module[1].bias)
        return wrap_model(module, frontend()).weights.sha256

    assert build(nn.ReLU) == build(nn.ReLU)
    assert len({build(nn.ReLU), build(nn.Tanh), build(nn.ReLU, 2.0)}) == 3


def test_neurons_are_the_same_in_every_framework(twins: dict[str, Any], tmp_path: Path) -> None:
    write_phantom(tmp_path / "in", recordings=5, seconds=4)
    tables = {}
    for framework, model in twins.items():
        found = actprobe.neurons(
            model, tmp_path / "in", layers=["pool", "fc"], features=["loudness"], figures=0, random_seeds=0,
            output_dir=tmp_path / framework,
        )  # fmt: skip
        assert found.record["weights"]["kind"] == "user model"
        tables[framework] = found.table
    expected = tables.pop("keras")
    assert len(expected) == 10
    for table in tables.values():
        assert list(table.columns) == list(expected.columns)
        for column in expected.columns:
            if expected[column].dtype.kind == "f":
                assert table[column].to_numpy() == pytest.approx(
                    expected[column].to_numpy(), abs=1e-4, nan_ok=True
                ), column
            else:
                assert list(table[column]) == list(expected[column])


def refused(kind: Any) -> Any:
    keras = backend.keras3
    layers = keras.layers
    match kind:
        case "keras3, two inputs":
            given = [layers.Input((40, 12, 1), name=name) for name in ("audio", "score")]
            return keras.Model(given, layers.Add()(given), name="mine")
        case "keras3, subclassed":
            return type("Mine", (keras.Model,), {"call": lambda self, x: x})(name="mine")
        case "keras3, not built":
            return keras.Sequential([layers.Flatten()], name="mine")
        case "keras3, channels first":
            given = layers.Input((40, 12, 1))
            return keras.Model(
                given, layers.Conv2D(2, 1, data_format="channels_first", name="turned")(given), name="mine"
            )
        case "keras3, rank":
            given = layers.Input((12,))
            return keras.Model(given, layers.Dense(2)(given), name="mine")
    return lambda x: x


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("keras3, two inputs", r"mine has 2 inputs \(audio, score\)"),
        (
            "keras3, subclassed",
            "mine is a subclassed model: its layers cannot be found; build it",
        ),
        (
            "keras3, not built",
            "without a known input shape: its layers cannot be found; begin it",
        ),
        ("keras3, channels first", r"channels first \(turned\); channels come last"),
        ("keras3, rank", r'takes \[None, 12\], not \[batch, time, mel\].*axes="samples"'),
        ("function", "function is not a tf_keras model, a Keras 3 model or a torch.nn.Module"),
    ],
)
def test_a_network_that_cannot_be_opened_says_what_to_do(kind: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        wrap_model(refused(kind))
    assert "\n" not in str(error.value)


@needs_torch
def test_pytorch_networks_that_cannot_be_opened_say_what_to_do() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(7, 2))
    two = type("Two", (nn.Module,), {"forward": lambda self, audio, score: audio + score})()
    bare = type("Bare", (nn.Module,), {"forward": lambda self, x: x.sum()})()
    neither = r"takes neither \[batch, time, mel\] nor \[batch, 1, time, mel\] examples of 115"
    for network, given, options, said in (
        (linear, None, {}, "Sequential is a PyTorch network.*give it a front end"),
        (linear, frontend(), {}, neither),
        (two, frontend(), {}, r"Two has 2 inputs \(audio, score\); .*put it into a module"),
        (bare, frontend(), {}, "Bare has no modules"),
        (linear, frontend(), {"axes": "time"}, "no axes 'time'; there are 'time,mel', 'mel,time', 'samples'"),
        (linear, frontend(), {"axes": "samples"}, "samples, but .* gives 80 mel bands.*WaveformFrontEnd"),
    ):
        with pytest.raises(UsageError, match=said) as error:
            wrap_model(network, given, **options)
        assert "\n" not in str(error.value)


@needs_torch
def test_what_needs_gradients_says_so(twins: dict[str, Any], tmp_path: Path) -> None:
    model = twins["torch"]
    with pytest.raises(UsageError, match="mine is a PyTorch network: its gradients are not at hand"):
        _ = model.keras_model
    assert model.dense_refusal(["fc"]) == "it is a PyTorch network"
    with pytest.raises(UsageError, match="cannot be evaluated densely: it is a PyTorch network"):
        model.dense(["fc"])
    with pytest.raises(UsageError, match="gradients"):
        actprobe.export(model, output_dir=tmp_path / "exported")


def test_files_say_which_keras_wrote_them(tmp_path: Path) -> None:
    from actprobe.models.adapters.keras_file import explained

    for framework, word in (("keras", "tf_keras"), ("keras3", "keras")):
        keras = getattr(backend, framework)
        path = tmp_path / f"{framework}.keras"
        keras.Sequential([keras.layers.Input((4, 3)), keras.layers.Flatten()]).save(path)
        with pytest.raises(UsageError, match=rf"written by Keras \d.*load it by {word}\.models\.load_model"):
            wrap_model(path)
    with pytest.raises(UsageError, match="takes an opened network, not a file"):
        wrap_model(str(tmp_path / "none.h5"))
    with pytest.raises(TypeError) as error:
        backend.keras.models.load_model(tmp_path / "keras3.keras")
    assert "written by Keras 3" in (explained(error.value) or "")
    assert explained(TypeError("something else")) is None


@needs_torch
def test_pytorch_may_be_imported_before() -> None:
    code = "import torch; from actprobe import backend; backend.tf; backend.essentia; backend.keras3"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_without_pytorch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(backend._loaded, "torch", raising=False)
    with pytest.raises(actprobe.errors.ActprobeError, match=r"PyTorch needs torch: .*actprobe\[torch\]"):
        _ = backend.torch


@needs_torch
def test_an_inverter_of_a_pytorch_network_learns_from_the_input_loss(
    twins: dict[str, Any], tmp_path: Path
) -> None:
    model = twins["torch"]
    corpus = write_phantom(tmp_path / "in", recordings=4, seconds=4)
    given: dict[str, Any] = {"layer": "pool", "epochs": 2, "steps_per_epoch": 3, "batch_size": 4}
    trained = actprobe.train_inverter(model, corpus, loss="input", output_dir=tmp_path / "out", **given)
    assert trained.table["loss"].iloc[-1] < trained.table["loss"].iloc[0]
    song = actprobe.open_corpus(corpus)[0].path
    inverted = actprobe.invert(model, song, inverters=str(trained.path), output_dir=tmp_path / "inverted")
    assert list(inverted.table["layer"]) == ["pool"]
    assert (inverted.folder / "sounds" / "pool.wav").is_file()
    for refused in (
        lambda out: actprobe.train_inverter(model, corpus, comparator="pool", output_dir=out, **given),
        lambda out: actprobe.invert(model, song, layers=["pool"], method="gradient", output_dir=out),
    ):
        with pytest.raises(UsageError, match="mine is a PyTorch network: its gradients"):
            refused(tmp_path / "refused")


@pytest.mark.parametrize("framework", ["keras", *FRAMEWORKS])
def test_a_network_of_ones_own_and_its_control_are_not_opened_elsewhere(
    twins: dict[str, Any], framework: Any
) -> None:
    from actprobe.batch.handle import ModelHandle

    for model in (twins[framework], twins[framework].with_random_weights(1)):
        handle = pickle.loads(pickle.dumps(ModelHandle(model)))
        with pytest.raises(UsageError, match=r"mine is a model of your own.*--executor=local:N"):
            _ = handle.model
