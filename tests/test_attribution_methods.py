"""Methods of attribution: values by hand, planted truth, refusals, and what they know of themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import actprobe
from actprobe import backend, wrap_model
from actprobe.analyses.attribution.excerpts import Excerpts, Places, plan_excerpts
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.components import Components, shapley_values
from actprobe.analyses.attribution.methods.grad_cam import GradCam
from actprobe.analyses.attribution.methods.guided_backprop import GuidedBackprop
from actprobe.analyses.attribution.methods.lime import Lime
from actprobe.analyses.attribution.methods.method import MethodSettings
from actprobe.analyses.attribution.methods.occlusion import Occlusion
from actprobe.analyses.attribution.methods.registry import METHODS
from actprobe.audio import Waveform
from actprobe.batch.opening import chosen_names
from actprobe.errors import UsageError
from actprobe.features.separation import harmonic_and_percussive
from actprobe.frontends import LogMelFrontEnd
from actprobe.models import Model
from actprobe.models.target import Target, read_target

Array = NDArray[Any]

FRONTEND = LogMelFrontEnd(
    sample_rate=8000, n_fft=256, hop_length=100, n_mels=8, frames=12, hop=6, log="log10_1p"
)
FRAMES, BANDS = FRONTEND.example_shape
SECONDS = FRONTEND.example_samples / FRONTEND.sample_rate
RNG = np.random.default_rng(0)
HIDDEN, OUT = RNG.standard_normal((FRAMES * BANDS, 5)), RNG.standard_normal((5, 1))


@pytest.fixture(scope="module")
def layers() -> Any:
    return backend.keras.layers


def wrapped(
    *stack: Any, weights: list[Array] | None = None, shape: tuple[int, ...] = (FRAMES, BANDS, 1)
) -> Model:
    """A network of a user's own from a stack of layers."""
    network = backend.keras.Sequential([backend.keras.layers.Input(shape), *stack])
    if weights is not None:
        network.set_weights([np.asarray(each, np.float32) for each in weights])
    return wrap_model(network, FRONTEND)


def linear(layers: Any) -> Model:
    weights = [HIDDEN[:, :1], np.array([0.5])]
    return wrapped(layers.Flatten(name="flat"), layers.Dense(1, name="out"), weights=weights)


def two_layers(layers: Any, nonlinearity: Any, *, activation: Any = None) -> Model:
    """Five rectified units of all bins, and their weighted sum."""
    between = [] if nonlinearity is None else [nonlinearity]
    stack = [layers.Flatten(name="flat"), layers.Dense(5, activation, name="hidden"), *between]
    return wrapped(*stack, layers.Dense(1, name="out"), weights=[HIDDEN, np.zeros(5), OUT, np.zeros(1)])


def excerpts(count: int = 3, **parts: Array) -> Excerpts:
    """Examples and sounds that have nothing to do with each other."""
    rng = np.random.default_rng(1)
    examples = rng.standard_normal((count, FRAMES, BANDS)).astype(np.float32)
    sounds = 0.1 * rng.standard_normal((count, FRONTEND.example_samples)).astype(np.float32)
    filled = np.full_like(examples, 0.25)
    filled[:, 3] += 1  # a fill need not be one number
    return Excerpts("", FRONTEND, np.zeros(count), examples, sounds, examples, "given", filled, parts)


def explained(model: Model, target: str | None = None, **options: Any) -> Explained:
    return Explained(model, read_target(model, target), **options)


def attribute(name: str, model: Model, given: Excerpts, target: str | None = None, **settings: Any) -> Array:
    method = METHODS[name](explained(model, target), MethodSettings(**settings))
    values: Array = method(given).values
    return values


def flat(values: Array) -> Array:
    return values.reshape(len(values), -1)


class TestLinearNetwork:
    """T = w x + 1/2: every method gives w, or what w makes of the difference to the fill."""

    @pytest.fixture
    def model(self, layers: Any) -> Model:
        return linear(layers)

    @pytest.mark.parametrize("name", ["gradient", "smoothgrad", "guided_backprop"])
    def test_gradients_are_the_weights(self, name: str, model: Model) -> None:
        for found in flat(attribute(name, model, excerpts())):
            np.testing.assert_allclose(found, HIDDEN[:, 0], rtol=1e-5)

    @pytest.mark.parametrize("name", ["gradient_x_input", "integrated_gradients"])
    def test_what_is_multiplied_with_the_input_counts_from_the_fill(self, name: str, model: Model) -> None:
        given = excerpts()
        expected = flat(given.examples - given.fill) * HIDDEN[:, 0]
        np.testing.assert_allclose(flat(attribute(name, model, given)), expected, rtol=1e-4, atol=1e-6)

    def test_occlusion_is_the_mean_drop_of_the_patches_that_cover_a_bin(self, model: Model) -> None:
        given = excerpts()
        bins = (given.examples - given.fill) * HIDDEN[:, 0].reshape(FRAMES, BANDS)
        hop_seconds = FRONTEND.frame_hop / FRONTEND.sample_rate
        settings = MethodSettings(patch_seconds=4 * hop_seconds)  # 4 frames every 2, and a band
        found = Occlusion(explained(model), settings)(given).values
        expected = np.zeros_like(bins)
        for frame in range(FRAMES):
            starts = [start for start in (0, 2, 4, 6, 8) if start <= frame < start + 4]
            expected[:, frame] = np.mean([bins[:, start : start + 4].sum(axis=1) for start in starts], axis=0)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    def test_lime_is_the_ridge_regression_on_tiles(self, model: Model) -> None:
        given = excerpts(1)
        method = Lime(explained(model), MethodSettings(tiles_time=3, tiles_frequency=2, lime_seeds=1))
        bins = ((given.examples - given.fill) * HIDDEN[:, 0].reshape(FRAMES, BANDS))[0]
        tiles = bins.reshape(3, FRAMES // 3, 2, BANDS // 2).sum(axis=(1, 3)).ravel()
        on = method.patterns[0].astype(np.float64)
        near = np.exp(-(((1 - np.sqrt(on.mean(axis=1))) / 0.25) ** 2))
        centred = on - np.average(on, axis=0, weights=near)
        gram = (centred * near[:, None]).T @ centred
        weights = np.linalg.solve(gram + np.eye(6), gram @ tiles)  # alpha 1
        found = method(given)
        expected = weights.reshape(3, 1, 2, 1) / (FRAMES // 3 * BANDS // 2)
        np.testing.assert_allclose(
            found.values.reshape(3, FRAMES // 3, 2, BANDS // 2),
            np.broadcast_to(expected, (3, FRAMES // 3, 2, BANDS // 2)),
            rtol=1e-4,
        )
        assert on[0].all()
        assert found.facts == {}  # of one fit nothing is known

    def test_components_share_what_they_have_in_common(self, model: Model) -> None:
        """By hand: with two parts, the mean of what one adds to silence and to the other."""
        a, b = (excerpts(2).sounds * gain for gain in (1.0, 0.3))
        found = Components(explained(model), MethodSettings())(excerpts(2, a=a, b=b[::-1]))
        for number in range(2):
            sounds = [np.zeros_like(a[0]), a[number], b[::-1][number], a[number] + b[::-1][number]]
            heard = [FRONTEND.example_of(each).ravel() @ HIDDEN[:, 0] for each in sounds]
            worth = (heard[1] - heard[0] + heard[3] - heard[2]) / 2
            assert found.facts["component_a"][number] == pytest.approx(worth, rel=1e-4)
            both = found.facts["component_a"][number] + found.facts["component_b"][number]
            assert both == pytest.approx(heard[3] - heard[0], rel=1e-4)
            assert found.values[number].sum() == pytest.approx(both, rel=1e-4)


class TestTwoLayers:
    """T = v relu(W x): by hand in NumPy."""

    @pytest.fixture
    def model(self, layers: Any) -> Model:
        return two_layers(layers, layers.ReLU(name="relu"))

    @staticmethod
    def slope(examples: Array) -> Array:
        return np.asarray(((flat(examples) @ HIDDEN > 0) * OUT[:, 0]) @ HIDDEN.T)

    def test_gradients(self, model: Model) -> None:
        given = excerpts()
        slope = self.slope(given.examples)
        np.testing.assert_allclose(flat(attribute("gradient", model, given)), slope, rtol=1e-4, atol=1e-6)
        product = flat(given.examples - given.fill) * slope
        found = flat(attribute("gradient_x_input", model, given))
        np.testing.assert_allclose(found, product, rtol=1e-4, atol=1e-6)

    def test_smoothgrad_adds_noise_of_a_share_of_the_range(self, model: Model) -> None:
        given = excerpts(2)
        found = attribute("smoothgrad", model, given, noisy_samples=4, noise=0.5, seed=7)
        noises = [
            np.random.default_rng([7, each]).standard_normal((FRAMES, BANDS), np.float32) for each in range(4)
        ]
        scale = 0.5 * np.ptp(given.examples, axis=(1, 2))[:, None, None]
        expected = np.mean([self.slope(given.examples + scale * noise) for noise in noises], axis=0)
        np.testing.assert_allclose(flat(found), expected, rtol=1e-4, atol=1e-6)

    def test_integrated_gradients(self, model: Model) -> None:
        given = excerpts()
        difference = given.examples - given.fill
        places = (np.arange(10) + 0.5) / 10
        mean = np.mean([self.slope(given.fill + place * difference) for place in places], axis=0)
        found = attribute("integrated_gradients", model, given, steps=10)
        np.testing.assert_allclose(flat(found), flat(difference) * mean, rtol=1e-4, atol=1e-6)


GUIDED: dict[str, Callable[[Any], Model]] = {
    "ReLU": lambda layers: two_layers(layers, layers.ReLU(name="r")),
    "ReLU with a slope": lambda layers: two_layers(layers, layers.ReLU(negative_slope=0.2, name="r")),
    "LeakyReLU": lambda layers: two_layers(layers, layers.LeakyReLU(0.3, name="r")),
    "ELU": lambda layers: two_layers(layers, layers.ELU(name="r")),
    "ELU with alpha": lambda layers: two_layers(layers, layers.ELU(0.5, name="r")),
    "an activation of a layer": lambda layers: two_layers(layers, None, activation="relu"),
    "a function": lambda layers: two_layers(layers, layers.Lambda(backend.tf.nn.elu, name="r")),
    "nested": lambda layers: two_layers(
        layers, backend.keras.Sequential([layers.Input((5,)), layers.LeakyReLU(name="r")], name="within")
    ),
}
REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "sigmoid": (lambda layers: layers.Activation("sigmoid", name="bent"), "layer bent computes Sigmoid"),
    "softmax": (lambda layers: layers.Softmax(name="bent"), "layer bent computes Softmax"),
    "tanh": (lambda layers: layers.Activation("tanh", name="bent"), "layer bent computes Tanh"),
    "PReLU": (lambda layers: layers.PReLU(name="bent"), "layer bent computes Neg"),
    "a threshold": (lambda layers: layers.ReLU(threshold=0.5, name="bent"), "layer bent computes Mul"),
    "a limit": (lambda layers: layers.ReLU(max_value=6, name="bent"), "layer bent computes Relu6"),
    "a hand-made ReLU": (
        lambda layers: layers.Lambda(lambda x: backend.tf.maximum(x, 0.0), name="bent"),
        "layer bent computes Maximum",
    ),
    "a hand-made square": (lambda layers: layers.Lambda(lambda x: x * x, name="bent"), "layer bent computes"),
    "recurrent": (
        lambda layers: backend.keras.Sequential(
            [layers.Input((5,)), layers.Reshape((5, 1)), layers.GRU(5, name="bent")]
        ),
        "layer bent computes",
    ),
}


class TestGuidedBackprop:
    @pytest.mark.parametrize("kind", GUIDED)
    def test_what_is_positive_passes_a_rectifier(self, kind: str, layers: Any) -> None:
        given = excerpts()
        passes = (flat(given.examples) @ HIDDEN > 0) & (OUT[:, 0] > 0)
        expected = (passes * OUT[:, 0]) @ HIDDEN.T
        model = GUIDED[kind](layers)
        np.testing.assert_allclose(
            flat(attribute("guided_backprop", model, given)), expected, rtol=1e-4, atol=1e-6
        )
        plain = flat(attribute("gradient", model, given))
        assert np.abs(plain - expected).max() > 0.1  # the rule is no one else's

    @pytest.mark.parametrize("kind", REFUSED)
    def test_another_nonlinearity_is_refused(self, kind: str, layers: Any) -> None:
        make, message = REFUSED[kind]
        flat_, hidden, out = layers.Flatten(), layers.Dense(5), layers.Dense(1, name="out")
        model = wrapped(flat_, hidden, make(layers), out)
        with pytest.raises(UsageError, match=f"guided_backprop: {message}.* ReLU, LeakyReLU and ELU alone"):
            GuidedBackprop(explained(model), MethodSettings())

    def test_the_value_before_the_nonlinearity_is_named(self, random_svd: Model) -> None:
        with pytest.raises(UsageError, match=r"layer fc9_sigmoid computes Sigmoid .*; take fc9/linear/0$"):
            GuidedBackprop(explained(random_svd, "fc9/0"), MethodSettings())
        GuidedBackprop(explained(random_svd), MethodSettings())  # of fc9/linear


class TestGradCam:
    """T = v relu(K x): the weight of channel k is the mean of v_k over the positions of the map."""

    KERNELS = np.random.default_rng(2).standard_normal((3, 2, 1, 4))
    OUT = np.random.default_rng(6).standard_normal((5, 4, 4))

    def model(self, layers: Any) -> Model:
        weights = [self.KERNELS, np.zeros(4), self.OUT.reshape(-1, 1), np.zeros(1)]
        return wrapped(*self.stack(layers), weights=weights)

    @staticmethod
    def stack(layers: Any) -> list[Any]:
        conv = layers.Conv2D(4, (3, 2), (2, 2), name="conv")
        return [conv, layers.ReLU(name="relu"), layers.Flatten(name="flat"), layers.Dense(1, name="out")]

    def maps(self, examples: Array) -> Array:
        """[excerpts, 5, 4]: positions every 2 frames and bands, rectified, weighted and rectified again."""
        windows = np.lib.stride_tricks.sliding_window_view(examples, (1, 3, 2))[:, ::2, ::2, 0]
        maps = np.maximum(np.einsum("etmij,ijk->etmk", windows, self.KERNELS[:, :, 0]), 0)
        return np.asarray(np.maximum(maps @ self.OUT.mean(axis=(0, 1)), 0))

    @pytest.mark.parametrize("layer", [None, "relu"])
    def test_positions_by_hand(self, layer: str | None, layers: Any) -> None:
        given = excerpts()
        method = GradCam(explained(self.model(layers)), MethodSettings(cam_layer=layer))
        assert method.layer.name == "relu"
        np.testing.assert_allclose(
            method.at_positions(given.examples)[0], self.maps(given.examples), rtol=1e-4
        )

    def test_positions_lie_at_the_centres_of_their_fields(self, layers: Any) -> None:
        """Three frames and two bands wide: frames 1, 3, ... and the middle of bands 0 and 1, 2 and 3, ..."""
        given = excerpts()
        maps, found = self.maps(given.examples), attribute("grad_cam", self.model(layers), given)
        frames, bands = np.arange(1, 11, 2), np.arange(0.5, BANDS, 2)
        for each, expected in zip(found, maps, strict=True):
            in_time = np.stack(
                [np.interp(np.arange(FRAMES), frames, column) for column in expected.T], axis=1
            )
            in_mel = np.stack([np.interp(np.arange(BANDS), bands, row) for row in in_time])
            np.testing.assert_allclose(each, in_mel, rtol=1e-3, atol=1e-6)

    def test_a_layer_of_one_position_along_mel_is_constant_in_frequency(self, layers: Any) -> None:
        conv = layers.Conv1D(3, 3, activation="relu", name="conv")
        pooled = layers.GlobalAveragePooling1D(name="mean")
        model = wrapped(conv, pooled, layers.Dense(1, name="out"), shape=(FRAMES, BANDS))
        part = backend.keras.Model(model.keras_model.input, model.keras_model.output["conv"])
        given = excerpts()
        kernel = next(w for w in model.keras_model.weights if w.shape.as_list() == [3, 1]).numpy()[:, 0]
        maps = part(given.examples).numpy()[:, :, 0] @ kernel / (FRAMES - 2)
        expected = np.pad(np.maximum(maps, 0), ((0, 0), (1, 1)), mode="edge")
        found = attribute("grad_cam", model, given)
        np.testing.assert_allclose(
            found, np.repeat(expected[:, :, None], BANDS, axis=2), rtol=1e-4, atol=1e-6
        )

    @pytest.mark.parametrize(
        ("layer", "target", "message"),
        [
            ("flat", "out/0", "it is a vector, not a map"),
            ("relu/linear", "out/0", "it is what enters a nonlinearity; take relu"),
            ("relu", "conv/1", "conv/1 does not follow from layer relu"),
            (None, "conv/1", "no layer before conv/1 is a map of several positions"),
            ("absent", "out/0", "has no layer 'absent'"),
        ],
    )
    def test_refusals(self, layer: str | None, target: str, message: str, layers: Any) -> None:
        with pytest.raises(UsageError, match=message):
            GradCam(explained(self.model(layers), target), MethodSettings(cam_layer=layer))

    def test_the_map_before_a_transposition_is_taken(self) -> None:
        """CREPE's last map has time where mel is elsewhere."""
        crepe = actprobe.load_model("crepe_tiny")
        assert (
            GradCam(explained(crepe, "classifier/linear/0"), MethodSettings()).layer.name == "conv6-maxpool"
        )
        with pytest.raises(UsageError, match="layer transpose: its second axis is not mel"):
            GradCam(explained(crepe, "classifier/linear/0"), MethodSettings(cam_layer="transpose"))


class TestPlanted:
    """A network that looks at two bands in three frames alone, where one part of the sound is."""

    AT, ELSEWHERE = (slice(5, 8), slice(4, 6)), 1  # frames and bands; another band, all the time

    @pytest.fixture
    def model(self, layers: Any) -> Model:
        (first, end), (low, high) = ((each.start, each.stop) for each in self.AT)
        outside = ((first, FRAMES - end), (low, BANDS - high))
        return wrapped(
            layers.Cropping2D(outside, name="looks_here"),
            layers.ZeroPadding2D(outside, name="nothing_around"),
            layers.Conv2D(1, 1, name="conv"),
            layers.ReLU(name="relu"),
            layers.GlobalAveragePooling2D(name="mean"),
            weights=[np.ones((1, 1, 1, 1)), np.zeros(1)],
        )

    @pytest.fixture
    def given(self) -> Excerpts:
        """A tone there, and another everywhere in a lower band."""
        centres = FRONTEND.band_edges_hz()[1:-1]
        seconds = np.arange(FRONTEND.example_samples) / FRONTEND.sample_rate
        frames = seconds * FRONTEND.sample_rate / FRONTEND.frame_hop
        there = (frames > self.AT[0].start - 0.5) & (frames < self.AT[0].stop - 0.5)
        tone = np.sin(2 * np.pi * centres[self.AT[1]].mean() * seconds) * there
        other = np.sin(2 * np.pi * centres[self.ELSEWHERE] * seconds)
        sounds = {
            name: each.astype(np.float32)[None] for name, each in {"tone": tone, "other": other}.items()
        }
        both = sounds["tone"] + sounds["other"]
        example = FRONTEND.example_of(both[0])[None]
        return Excerpts(
            "", FRONTEND, np.zeros(1), example, both, example, "minimum", np.zeros_like(example), sounds
        )

    @pytest.mark.parametrize("name", METHODS)
    def test_every_method_points_there(self, name: str, model: Model, given: Excerpts) -> None:
        found = attribute(name, model, given, tiles_time=4, tiles_frequency=4, lime_samples=200)[0]
        inside = np.zeros_like(found, bool)
        inside[self.AT] = True
        assert inside[np.unravel_index(found.argmax(), found.shape)]
        positive = np.maximum(found, 0)
        chance = inside.mean()
        assert positive[inside].sum() / positive.sum() > 5 * chance
        assert found[inside].mean() > 5 * np.abs(found[~inside]).mean()

    def test_components_are_worth_what_the_network_looks_at(self, model: Model, given: Excerpts) -> None:
        facts = Components(explained(model), MethodSettings())(given).facts
        assert facts["component_tone"][0] > 20 * abs(facts["component_other"][0])


class TestAnyNetwork:
    @pytest.mark.parametrize("name", METHODS)
    def test_an_excerpt_is_explained_alone_as_among_others(self, name: str, layers: Any) -> None:
        model = two_layers(layers, layers.ReLU(name="relu"))
        if name == "grad_cam":
            model = TestGradCam().model(layers)
        given, settings = excerpts(3), MethodSettings(lime_samples=50, steps=7, noisy_samples=5)
        together = METHODS[name](explained(model), settings)(given)
        one = Excerpts(
            "", FRONTEND, np.zeros(1), given.examples[1:2], given.sounds[1:2], given.background, "given",
            given.fill[1:2],
        )  # fmt: skip
        alone = METHODS[name](explained(model, batch_size=2), settings)(one)
        np.testing.assert_allclose(together.values[1:2], alone.values, rtol=1e-3, atol=1e-6)
        assert together.values.dtype == np.float32
        assert together.facts.keys() == alone.facts.keys()
        for fact, values in alone.facts.items():
            np.testing.assert_allclose(together.facts[fact][1:2], values, rtol=1e-3, atol=1e-5)

    def test_three_methods_need_no_gradients(self, layers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        model = linear(layers)
        expected = {name: attribute(name, model, excerpts(1)) for name in ("occlusion", "lime", "components")}
        monkeypatch.setattr(model, "has_gradients", False, raising=False)
        monkeypatch.setattr(model, "what", "a PyTorch network", raising=False)
        for name, method in METHODS.items():
            if name in expected:
                np.testing.assert_array_equal(attribute(name, model, excerpts(1)), expected[name])
            else:
                with pytest.raises(
                    UsageError, match=f"method {name}: .* is a PyTorch network.*: use occlusion, lime or comp"
                ):
                    method(explained(model), MethodSettings())

    @pytest.mark.parametrize(
        "name", ["gradient", "guided_backprop", "integrated_gradients", "grad_cam", "occlusion"]
    )
    def test_a_control_computes_with_its_random_weights_and_the_network_with_its_own(
        self, name: str, layers: Any
    ) -> None:
        """The weights of a user's own network are lent to its control while it computes."""
        own = TestGradCam().model(layers)
        control = own.with_random_weights(5)
        with control.computing():
            random = [weight.numpy() for weight in control.keras_model.weights]
        same = wrapped(*TestGradCam.stack(layers), weights=random)
        before = attribute(name, own, excerpts())
        open_control = METHODS[name](explained(control), MethodSettings())
        np.testing.assert_allclose(
            open_control(excerpts()).values, attribute(name, same, excerpts()), rtol=1e-4, atol=1e-7
        )
        np.testing.assert_array_equal(attribute(name, own, excerpts()), before)

    def test_methods_are_named_once_and_exist(self) -> None:
        assert list(METHODS) == [
            "gradient", "gradient_x_input", "smoothgrad", "guided_backprop", "integrated_gradients",
            "grad_cam", "occlusion", "lime", "components",
        ]  # fmt: skip
        for names, message in (
            ([], "name at least one"),
            (["magic"], "no method 'magic'"),
            (["lime"] * 2, "once"),
        ):
            with pytest.raises(UsageError, match=message):
                chosen_names("method", names, METHODS)


class TestIntegratedGradients:
    def test_complete_to_a_percent_on_the_singing_voice_detector(self) -> None:
        model = actprobe.load_model("svd", checkpoint="svd-open")
        rng = np.random.default_rng(3)
        rate = model.frontend.sample_rate
        seconds = np.arange(2 * rate) / rate
        voice = sum(np.sin(2 * np.pi * 220 * k * seconds + np.sin(30 * seconds)) / k for k in range(1, 9))
        sound = (0.1 * voice + 0.01 * rng.standard_normal(2 * rate)).astype(np.float32)
        for fill in ("mean_spectrum", "training_mean"):
            given = plan_excerpts(model.frontend, sound, Places(excerpts=1), fill=fill).cut()
            method = METHODS["integrated_gradients"](explained(model), MethodSettings(steps=200))
            found = method(given)
            target = explained(model)
            change = float((target.values(given.examples) - target.values(given.fill))[0])
            assert abs(change) > 1
            assert found.values.sum() == pytest.approx(change, rel=0.01)
            assert found.facts["completeness_error"][0] < 0.01

    def test_the_rest_is_reported(self, layers: Any) -> None:
        given, model = excerpts(), two_layers(layers, layers.ReLU(name="relu"))
        found = METHODS["integrated_gradients"](explained(model), MethodSettings(steps=2))(given)
        values = [np.maximum(flat(each) @ HIDDEN, 0) @ OUT[:, 0] for each in (given.examples, given.fill)]
        change = values[0] - values[1]
        expected = np.abs(flat(found.values).sum(axis=1) - change) / np.abs(change)
        assert expected.max() > 0.01
        np.testing.assert_allclose(found.facts["completeness_error"], expected, rtol=1e-3)


class TestOcclusion:
    def test_a_patch_in_hertz_covers_the_bands_whose_centres_it_has(self, layers: Any) -> None:
        centres = FRONTEND.band_edges_hz()[1:-1]
        method = Occlusion(explained(linear(layers)), MethodSettings(patch_hz=1000.0))
        spans = sorted({mel for _, mel in method.patches})
        assert all(centres[high - 1] - centres[low] < 1000 for low, high in spans)
        assert {band for low, high in spans for band in range(low, high)} == set(range(BANDS))
        widths = [high - low for low, high in spans]
        assert widths[0] > widths[-1]  # high bands are wider

    @pytest.mark.parametrize("setting", [{"patch_seconds": 0.0}, {"patch_hz": float("nan")}])
    def test_sizes_that_are_none(self, setting: dict[str, float], layers: Any) -> None:
        with pytest.raises(UsageError, match=next(iter(setting))):
            Occlusion(explained(linear(layers)), MethodSettings(**setting))  # type: ignore[arg-type]


class TestLime:
    def test_the_fits_agree_where_tiles_do_not_interact(self, layers: Any) -> None:
        model = linear(layers)
        of = MethodSettings(tiles_time=3, tiles_frequency=4, lime_samples=300, lime_seeds=3)
        assert (Lime(explained(model), of)(excerpts()).facts["stability"] > 0.99).all()

    @pytest.mark.parametrize("tiles", [(1, 2), (2, 2), (6, 4), (12, 8)])
    def test_the_kernel_does_not_collapse_however_many_tiles_there_are(
        self, tiles: tuple[int, int], layers: Any
    ) -> None:
        method = Lime(
            explained(linear(layers)), MethodSettings(tiles_time=tiles[0], tiles_frequency=tiles[1])
        )
        similarities = method.similarities[0]
        assert similarities.sum() ** 2 / (similarities**2).sum() > 0.3 * len(similarities)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"tiles_time": 13}, "13 x 4 tiles of examples of 12 frames and 8 bands"),
            ({"tiles_frequency": 0}, "tiles_frequency=0: a positive number is needed"),
            ({"kernel_width": 0.02}, "of 500 samples 1 count, for 24 tiles .*take more samples"),
            ({"lime_samples": 20}, "of 20 samples 1. count, for 24 tiles"),
        ],
    )
    def test_what_cannot_be_fitted_is_refused(
        self, settings: dict[str, Any], message: str, layers: Any
    ) -> None:
        with pytest.raises(UsageError, match=message):
            Lime(explained(linear(layers)), MethodSettings(**settings))


class TestComponents:
    def test_shapley_values_by_hand(self) -> None:
        """The glove game: one left glove (part 0) and two right ones; 2/3, 1/6 and 1/6."""
        worth = [[float(bool(each & 1) and bool(each & 6)) for each in range(8)]]
        np.testing.assert_allclose(shapley_values(np.array(worth)), [[2 / 3, 1 / 6, 1 / 6]])

    def test_without_known_parts_there_are_harmonic_and_percussive_sound(self, layers: Any) -> None:
        found = Components(explained(linear(layers)), MethodSettings())(excerpts(1))
        assert set(found.facts) == {"component_harmonic", "component_percussive"}

    def test_harmonic_and_percussive_sound_add_up_to_the_recording(self) -> None:
        rate = 16000
        seconds = np.arange(rate) / rate
        tone = (0.2 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
        clicks = np.zeros(rate, np.float32)
        clicks[2000::4000] = 0.8
        harmonic, percussive = harmonic_and_percussive(Waveform(tone + clicks, rate))
        np.testing.assert_allclose(harmonic + percussive, tone + clicks, atol=1e-6)
        inner = slice(2000, -2000)
        assert np.corrcoef(harmonic[inner], tone[inner])[0, 1] > 0.99
        assert np.corrcoef(percussive[inner], clicks[inner])[0, 1] > 0.9

    def test_at_most_six_parts(self, layers: Any) -> None:
        parts = {f"part{number}": excerpts(1).sounds for number in range(7)}
        with pytest.raises(UsageError, match="7 parts; at most 6"):
            Components(explained(linear(layers)), MethodSettings())(excerpts(1, **parts))


def test_the_target_can_be_a_channel_of_a_map(layers: Any) -> None:
    """The mean of a channel over its map: each bin by how many windows have it, and where in them."""
    conv = layers.Conv2D(2, (3, 1), name="conv")
    kernel = np.random.default_rng(4).standard_normal((3, 1, 1, 2))
    model = wrapped(conv, weights=[kernel, np.zeros(2)])
    found = METHODS["gradient"](Explained(model, Target("conv", 1)), MethodSettings())(excerpts(1)).values[0]
    expected = np.convolve(np.ones(FRAMES - 2), kernel[:, 0, 0, 1]) / ((FRAMES - 2) * BANDS)
    np.testing.assert_allclose(found, np.repeat(expected[:, None], BANDS, axis=1), rtol=1e-5)
