"""The singing voice detector: front end and network equal the original, dense evaluation equals both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import convolve2d

from actprobe.audio import Waveform
from actprobe.errors import WeightsError
from actprobe.frontends import SvdFrontEnd
from actprobe.frontends.logmel import filter_bank, log_mel, magnitudes
from actprobe.models import Model, layers_of, load_model
from actprobe.models.networks import svd
from actprobe.weights import LasagneWeights

EVERY_LAYER = list(svd.LAYERS)


def sound(seconds: float, seed: int = 0) -> NDArray[Any]:
    """Decaying tones, noise and a stretch of digital silence, 22.05 kHz."""
    time = np.arange(int(seconds * 22050)) / 22050
    tones = sum(np.sin(2 * np.pi * hertz * time) for hertz in (110, 220, 440.5, 3000, 7900))
    noise = np.random.default_rng(seed).standard_normal(len(time))
    samples = 0.1 * tones * np.exp(-(time % 0.7) * 5) + 0.003 * noise
    samples[len(samples) // 2 :][:4000] = 0
    values: NDArray[Any] = samples.astype(np.float32)
    return values


# Front end


def test_filter_bank_is_that_of_the_original_bit_by_bit(golden_sound: Any) -> None:
    assert np.array_equal(filter_bank(), golden_sound["filterbank"])


def test_every_stage_of_the_front_end_equals_the_original(golden_sound: Any, golden_svd: Model) -> None:
    pcm = (golden_sound["pcm_int16"] / 32768).astype(np.float32)
    spectrogram = magnitudes(pcm).numpy()
    assert np.abs(spectrogram[:3] - golden_sound["spect_first3"]).max() <= 1e-6
    bands = log_mel(spectrogram, filter_bank()).numpy()
    assert np.abs(bands - golden_sound["logmel"]).max() <= 1e-6
    assert isinstance(golden_svd.frontend, SvdFrontEnd)
    assert np.array_equal(golden_svd.frontend.mean, golden_sound["mean"])
    assert np.array_equal(golden_svd.frontend.inverse_std, golden_sound["istd"])
    frames = golden_svd.frontend.frames(pcm)
    assert np.abs(frames - golden_sound["normmel"]).max() <= 1e-6


def test_excerpts_equal_the_original(golden_sound: Any, golden_svd: Model) -> None:
    pcm = (golden_sound["pcm_int16"] / 32768).astype(np.float32)
    examples = golden_svd.frontend(pcm, int(golden_sound["sample_rate"]))
    assert examples.shape == (697 - 114, 115, 80)
    picked = examples[golden_sound["excerpts_index"]]
    assert np.abs(picked - golden_sound["excerpts"]).max() <= 1e-6


def test_front_end_without_the_original_data_is_the_published_recipe() -> None:
    """audio.py of f0k/ismir2015, frame by frame."""
    samples = sound(3)
    window = np.hanning(1024)
    starts = range(0, len(samples) - 1023, 315)
    spectra = np.abs([np.fft.rfft(samples[start : start + 1024] * window) for start in starts])
    bands = np.log(np.maximum(spectra[:, :372] @ filter_bank(), 1e-7))
    frames = SvdFrontEnd().frames(samples)
    assert frames.dtype == np.float32
    assert frames.shape == ((len(samples) - 1024) // 315 + 1, 80)
    assert np.abs(frames - bands).max() <= 1e-5
    assert frames.min() == np.float32(np.log(1e-7))  # silence


def test_excerpt_k_is_frames_k_to_k_plus_114_and_begins_where_it_says() -> None:
    samples = sound(2.5)
    front_end = SvdFrontEnd()
    frames, examples = front_end.frames(samples), front_end(samples, 22050)
    starts = front_end.example_starts(len(samples))
    assert len(examples) == len(starts) == len(frames) - 114
    assert starts[7] == 7 * 315
    assert np.array_equal(examples[7], frames[7:122])
    alone = front_end(samples[starts[-1] :][: front_end.example_samples], 22050)
    assert np.array_equal(alone[0], examples[-1])
    every_tenth = SvdFrontEnd(hop=10)(samples, 22050)
    assert np.array_equal(every_tenth, examples[::10])


def test_long_recordings_have_no_seams() -> None:
    samples = sound(2 * 2048 * 315 / 22050 + 3)
    front_end = SvdFrontEnd()
    frames = front_end.frames(samples)
    assert len(frames) == front_end.frames_in(len(samples)) > 2 * 2048
    assert np.array_equal(frames, front_end.graph(samples).numpy())


@pytest.mark.parametrize("more", [0, 1, 314, 315, 1023])
def test_a_recording_around_the_length_of_a_block_has_every_frame(more: int) -> None:
    front_end = SvdFrontEnd()
    samples = np.ones(2048 * 315 + 709 + more, np.float32)
    assert len(front_end.frames(samples)) == front_end.frames_in(len(samples))


def test_short_recordings_are_one_excerpt_and_silence_is_the_floor() -> None:
    samples = sound(0.5)
    assert np.all(SvdFrontEnd()(samples, 22050)[0, 60:] == np.float32(np.log(1e-7)))
    repeated = SvdFrontEnd(padding="repeat")(samples, 22050)
    assert repeated.shape == (1, 115, 80)
    assert repeated[0, 60:].max() > -10


def test_without_normalization_the_provenance_says_so(tmp_path: Path) -> None:
    assert "none" in SvdFrontEnd().describe()["normalization"]
    np.savez(tmp_path / "meanstd.npz", mean=np.full(80, -3.0), std=np.full(80, 2.0))
    front_end = SvdFrontEnd(tmp_path / "meanstd.npz")
    assert "sha256" in front_end.describe()["normalization"]
    expected = (SvdFrontEnd().frames(sound(2)) + 3) / 2
    assert np.abs(front_end.frames(sound(2)) - expected).max() <= 1e-6


def test_mel_edges_run_from_27_5_to_8000_hz() -> None:
    edges = SvdFrontEnd().band_edges_hz()
    assert edges.shape == (82,)
    assert edges[[0, -1]] == pytest.approx([27.5, 8000])
    assert np.allclose(filter_bank().sum(axis=0), 1, atol=1e-6)
    peaks_hz = filter_bank().argmax(axis=0) * 22050 / 1024
    assert np.abs(peaks_hz - edges[1:-1]).max() <= 22050 / 1024


# Network


@pytest.fixture(scope="session")
def golden(assets: Path) -> dict[str, NDArray[Any]]:
    with np.load(assets / "golden/a_svd_activations_small.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden_run(golden: Any, golden_svd: Model) -> dict[str, NDArray[Any]]:
    return golden_svd.activations(golden["input"], EVERY_LAYER)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "mp3", "conv4", "conv5", "mp6", "fc7", "fc8", "fc9"])
def test_layer_equals_the_original(layer: str, golden: Any, golden_run: Any) -> None:
    ours = golden_run[layer]
    if ours.ndim == 4:
        ours = ours.transpose(0, 3, 1, 2)  # the original's order is channel, time, mel
    checks = {layer: ours[: len(golden.get(layer, ours))]}
    if ours.ndim == 4:
        maps = ours.astype(np.float64)
        checks[f"{layer}_chan_mean"] = maps.mean((2, 3))
        checks[f"{layer}_chan_std"] = maps.std((2, 3))
        checks[f"{layer}_chan_max"] = maps.max((2, 3))
        checks |= {f"{layer}_item0_every{n}th_channel": ours[0, ::n] for n in (8, 16)}
    found = [name for name in checks if name in golden]
    assert len(found) >= (4 if ours.ndim == 4 else 1)
    for name in found:
        assert checks[name].shape == golden[name].shape
        assert np.abs(checks[name] - golden[name]).max() <= 1e-5 * np.abs(golden[name]).max()


def test_an_input_of_the_original_gives_probabilities(assets: Path, golden_svd: Model) -> None:
    with np.load(assets / "golden/inputs_svd.npz") as arrays:
        run = golden_svd.activations(arrays["input"], ["fc7", "fc9"])
    assert run["fc9"].shape == (4, 1)
    assert ((run["fc9"] > 0) & (run["fc9"] < 1)).all()


def weights_of(model: Model) -> dict[str, list[NDArray[Any]]]:
    return {layer.name: layer.get_weights() for layer in model.keras_model.layers if layer.weights}


def test_kernels_are_convolved_not_correlated(random_svd: Model) -> None:
    """Lasagne's Conv2DLayer flips its kernels (flip_filters=True), as scipy's convolution does."""
    original = svd.to_lasagne(weights_of(random_svd))
    excerpt = np.random.default_rng(0).standard_normal((115, 80)).astype(np.float32)
    ours = random_svd.activations(excerpt[np.newaxis], ["conv1/linear", "conv1", "conv2/linear"])
    for channel in (0, 40):
        expected = convolve2d(excerpt, original["param0"][channel, 0], "valid")
        assert np.abs(ours["conv1/linear"][0, :, :, channel] - expected).max() <= 1e-5
    entering = ours["conv1"][0]
    expected = sum(convolve2d(entering[..., i], original["param2"][5, i], "valid") for i in range(64))
    assert np.abs(ours["conv2/linear"][0, :, :, 5] - expected).max() <= 1e-4


def test_fc7_takes_the_maps_channel_by_channel() -> None:
    shapes = svd.arrays_in_file()
    arrays = [np.random.default_rng(i).standard_normal(s).astype(np.float32) for i, s in enumerate(shapes)]
    channel, time, mel = 5, 9, 3
    arrays[8][:, 0] = 0
    arrays[8][(channel * 11 + time) * 7 + mel, 0] = 1
    model = load_model("svd")
    for name, values in svd.port(LasagneWeights(tuple(arrays))).items():
        model.keras_model.get_layer(name).set_weights(values)
    excerpt = np.random.default_rng(99).standard_normal((1, 115, 80)).astype(np.float32)
    run = model.activations(excerpt, ["mp6", "fc7/linear"])
    assert run["fc7/linear"][0, 0] == pytest.approx(
        run["mp6"][0, time, mel, channel] + arrays[9][0], rel=1e-5
    )


def test_layout_is_that_of_the_published_files(random_svd: Model) -> None:
    assert svd.arrays_in_file() == (
        (64, 1, 3, 3), (64,), (32, 64, 3, 3), (32,), (128, 32, 3, 3), (128,), (64, 128, 3, 3), (64,),
        (4928, 256), (256,), (256, 64), (64,), (64, 1), (1,),
    )  # fmt: skip
    assert random_svd.keras_model.count_params() == 1_408_225


def test_weights_survive_the_way_to_the_original_layout_and_back(tmp_path: Path, random_svd: Model) -> None:
    before = weights_of(random_svd)
    arrays = svd.to_lasagne(before)
    assert list(arrays) == [f"param{i}" for i in range(14)]
    np.savez(tmp_path / "w.npz", **arrays)
    after = svd.port(svd.read(tmp_path / "w.npz"))
    assert after.keys() == before.keys()
    for name, values in before.items():
        for ours, theirs in zip(after[name], values, strict=True):
            assert np.array_equal(ours, theirs)
    opened = load_model("svd", tmp_path / "w.npz")
    assert opened.weights.kind == "unverified"
    excerpt = np.random.default_rng(1).standard_normal((2, 115, 80)).astype(np.float32)
    for name, activity in opened.activations(excerpt, ["mp3", "fc9"]).items():
        assert np.array_equal(activity, random_svd.activations(excerpt, [name])[name])


def test_file_of_another_network_is_refused(tmp_path: Path, random_svd: Model) -> None:
    arrays = svd.to_lasagne(weights_of(random_svd))
    np.savez(tmp_path / "w.npz", **{**arrays, "param8": arrays["param8"].T})
    with pytest.raises(WeightsError, match=r"w\.npz: param8.*\(256, 4928\), not \(4928, 256\)"):
        load_model("svd", tmp_path / "w.npz")


def test_layer_table_of_the_published_architecture(random_svd: Model) -> None:
    layers = layers_of("svd")
    assert {name: row.shape for name, row in layers.items() if not row.is_pre_activation} == {
        "conv1": (113, 78, 64),
        "conv2": (111, 76, 32),
        "mp3": (37, 25, 32),
        "conv4": (35, 23, 128),
        "conv5": (33, 21, 64),
        "mp6": (11, 7, 64),
        "flatten": (4928,),
        "fc7": (256,),
        "fc8": (64,),
        "fc9": (1,),
    }
    run = random_svd.activations(np.zeros((1, 115, 80), np.float32), EVERY_LAYER)
    assert {name: values.shape[1:] for name, values in run.items()} == {
        name: layer.shape for name, layer in layers.items()
    }
    # By hand: mp3 sees 7 frames, conv4 7 + 2 * 3, conv5 19, mp6 19 + 2 * 3; hops are 3 and 9 frames.
    for name, field, hop in (("mp3", 7, 3), ("conv4", 13, 3), ("conv5", 19, 3), ("mp6", 25, 9)):
        assert layers[name].receptive_field_seconds == pytest.approx((315 * (field - 1) + 1024) / 22050)
        assert layers[name].hop_seconds == pytest.approx(hop * 315 / 22050)
    centre = (57 * 315 + 512) / 22050  # the frame that the original labels an excerpt by
    assert layers["fc9"].first_seconds == pytest.approx(centre)


def test_leaky_units_and_the_sigmoid_follow_their_pre_activations(random_svd: Model) -> None:
    excerpt = np.random.default_rng(2).standard_normal((1, 115, 80)).astype(np.float32)
    run = random_svd.activations(excerpt, EVERY_LAYER)
    for name in ("conv1", "conv2", "conv4", "conv5", "fc7", "fc8"):
        linear = run[f"{name}/linear"]
        assert linear.min() < 0 < linear.max()
        assert np.allclose(run[name], np.where(linear > 0, linear, 0.01 * linear), rtol=1e-6, atol=0)
    assert np.allclose(run["fc9"], 1 / (1 + np.exp(-run["fc9/linear"])), atol=1e-6)


def test_dropout_is_before_the_dense_layers_and_off_at_inference(random_svd: Model) -> None:
    excerpt = np.random.default_rng(3).standard_normal((1, 115, 80)).astype(np.float32)
    once, again = (random_svd.activations(excerpt, ["fc7", "fc9"]) for _ in range(2))
    assert all(np.array_equal(once[name], again[name]) for name in once)
    training = {name: random_svd.keras_model(excerpt, training=True)[name].numpy() for name in EVERY_LAYER}
    assert np.allclose(
        training["flatten"], random_svd.activations(excerpt, ["flatten"])["flatten"], rtol=1e-5
    )
    assert np.abs(training["fc7"] - once["fc7"]).max() > 0.1
    rates = [layer.rate for layer in random_svd.keras_model.layers if "dropout" in layer.name]
    assert rates == [0.5, 0.5, 0.5]


def test_random_weights_are_finite_and_far_from_saturation(random_svd: Model) -> None:
    examples = random_svd.frontend(sound(4), 22050)[::40]
    normalised = (examples - examples.mean((0, 1))) / examples.std((0, 1))
    linear = random_svd.activations(normalised, ["fc9/linear"])["fc9/linear"]
    assert np.isfinite(linear).all()
    assert np.abs(linear).max() < 10
    assert linear.std() > 0.01


def test_a_recording_at_another_rate_goes_all_the_way(random_svd: Model) -> None:
    waveform = Waveform(sound(3), 22050).resample(44100)
    run = random_svd.activations(random_svd.frontend(waveform)[:2], ["fc8"])
    expected = random_svd.activations(random_svd.frontend(sound(3), 22050)[:2], ["fc8"])
    assert np.abs(run["fc8"] - expected["fc8"]).max() < 0.2 * np.abs(expected["fc8"]).max()
