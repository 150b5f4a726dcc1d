"""Networks of waveforms: what inverts their layers, and what comes out, to see and to hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import actprobe
from actprobe import backend
from actprobe.analyses.inversion.inverting.gradient import GradientInverter, GradientSettings
from actprobe.analyses.inversion.inverting.spans import cut_span
from actprobe.analyses.inversion.networks.arrays import at_level, initial_arrays, set_arrays
from actprobe.analyses.inversion.networks.build import build_inverter
from actprobe.analyses.inversion.networks.design import design
from actprobe.analyses.inversion.networks.inverter import load_inverter
from actprobe.analyses.inversion.pictures import FLOOR_DB, picture, pictures_of
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import UsageError
from actprobe.frontends import WaveformFrontEnd
from actprobe.frontends.stored import StoredExamples

RATE, SAMPLES = 8000, 1600


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> actprobe.Corpus:
    return actprobe.open_corpus(write_phantom(tmp_path_factory.mktemp("corpus"), recordings=4, seconds=3.0))


@pytest.fixture(scope="module")
def model() -> actprobe.Model:
    keras = backend.keras
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((SAMPLES, 1)),
            layers.Conv1D(16, 32, strides=4, padding="same", activation="elu", name="filters"),
            layers.MaxPooling1D(4, name="coarse"),
            layers.GlobalAveragePooling1D(name="means"),
            layers.Dense(1, activation="sigmoid", name="answer"),
        ],
        name="waves",
    )
    return actprobe.wrap_model(network, WaveformFrontEnd(RATE, SAMPLES, SAMPLES // 2), axes="samples")


def excerpt(seconds: float = 1.0) -> actprobe.Waveform:
    times = np.arange(round(seconds * RATE)) / RATE
    return actprobe.Waveform((0.3 * np.sin(2 * np.pi * 400 * times)).astype(np.float32), RATE)


# The inverter


@pytest.mark.parametrize(
    ("features", "strides"),
    [
        ((100, 1, 64), (160, 1)),
        ((2000, 1, 32), (8, 1)),
        ((16000, 1, 8), (1, 1)),
        ((7, 1, 12), None),
        ((32,), None),
    ],
)
def test_samples_are_doubled_along_time_by_small_kernels(
    features: tuple[int, int, int] | tuple[int], strides: tuple[int, int] | None
) -> None:
    plan = design(features, (16000, 1), "linear", strides)
    assert plan.map_shape[0] >= 16000
    assert plan.map_shape[0] < 1.1 * 16000
    for _, step, _, after in plan.walk():
        if step.kind != "dense":
            assert step.kernel in ((3, 1), (4, 1))
            assert after[1] == 1
        assert np.prod(after) <= 64 * 16000
    assert sum(np.prod(shape) for shape in plan.arrays_in_file()) < 300_000


def test_a_long_map_is_resampled_without_a_matrix_of_its_length() -> None:
    plan = design((8000, 1, 2), (8000, 1), "linear", (1, 1))
    inverter = build_inverter(plan)
    run = backend.tf.function(inverter).get_concrete_function(backend.tf.TensorSpec((1, 8000, 1, 2)))
    assert run.graph.as_graph_def().ByteSize() < 1_000_000  # the matrix has 256 MB


def test_filters_laid_out_as_mel_positions_all_count() -> None:
    """A network of waveforms may make a picture of its first layer: [time, filter, 1]."""
    plan = design((50, 8, 1), (800, 1), "linear")
    inverter = build_inverter(plan)
    set_arrays(inverter, initial_arrays(plan, 0), plan)
    features = np.zeros((2, 50, 8, 1), np.float32)
    features[1, :, -1] = 1.0
    one, other = inverter(features).numpy()
    assert one.shape == (800, 1)
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("features", [(100, 1, 8), (60,)])
def test_an_inverter_begins_at_the_level_of_the_excerpts(features: tuple[int, int, int] | tuple[int]) -> None:
    """Samples of 0.01, or the -10 of log-mel bands that nobody standardised, need not be learned."""
    plan = design(features, (800, 1), "linear")
    inverter = build_inverter(plan)
    set_arrays(inverter, at_level(initial_arrays(plan, 0), plan, -10.0, 0.01), plan)
    given = np.random.default_rng(0).standard_normal((16, *features)).astype(np.float32)
    found = inverter(given, training=True).numpy()
    assert found.mean() == pytest.approx(-10.0, abs=0.05)
    assert 0.002 < found.std() < 0.05


def test_an_ending_in_elu_begins_as_published() -> None:
    plan = design((100, 1, 8), (800, 1), "elu")
    arrays = initial_arrays(plan, 0)
    assert at_level(arrays, plan, -10.0, 0.01) is arrays


# Pictures


def test_samples_are_drawn_as_a_spectrogram() -> None:
    values = np.zeros((RATE, 1), np.float32)
    values[: RATE // 2, 0] = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE // 2) / RATE)
    arrays = {"input": values, "times": 3.0 + np.arange(RATE) / RATE, "bands_hz": np.array([RATE / 4])}
    found = pictures_of(arrays, ["input"], "sample value")
    shown = found.panels["input"]
    assert shown.shape == (len(found.times), len(found.bands_hz))
    assert found.unit.startswith("dB")
    loud, silent = shown[found.times < 3.4], shown[found.times > 3.6]
    assert found.bands_hz[loud.mean(0).argmax()] == pytest.approx(1000, abs=1)
    assert loud.max() == pytest.approx(20 * np.log10(0.5), abs=0.1)
    assert (silent == FLOOR_DB).all()
    assert 3.0 < found.times[0] < found.times[-1] < 4.0


def test_mel_spectrograms_are_drawn_as_they_are() -> None:
    values = np.random.default_rng(0).standard_normal((30, 20)).astype(np.float32)
    assert np.array_equal(picture(values, 100.0), values)


# Sound


def test_samples_are_their_own_sound() -> None:
    frontend = WaveformFrontEnd(RATE, SAMPLES)
    samples = excerpt().samples[:SAMPLES]
    sound = frontend.sound(frontend.examples(samples)[0])
    assert np.array_equal(sound.samples, samples)
    assert sound.error_db is None
    with pytest.raises(UsageError, match=r"shape \[time, 1\], not \[1600, 2\]"):
        frontend.sound(np.zeros((SAMPLES, 2)))
    with pytest.raises(UsageError, match="NaN or infinity"):
        frontend.sound(np.full((SAMPLES, 1), np.nan))


def test_a_span_of_samples_joins_to_the_recording(model: Any) -> None:
    waveform = excerpt(1.0)
    span = cut_span(model.frontend, waveform, 0.1, seconds=0.7)
    assert len(span.examples) > 3
    assert np.allclose(span.join(span.examples)[:, 0], waveform.samples[800:6400], atol=1e-6)


def test_sonify_gives_the_samples_back(model: Any) -> None:
    example = model.frontend(excerpt())[0]
    sound = actprobe.sonify(model, example)
    assert sound.sample_rate == RATE
    assert np.array_equal(sound.samples, example[:, 0])


def test_stored_examples_sound_as_the_front_end_they_are_of(tmp_path: Path) -> None:
    examples = np.zeros((2, SAMPLES, 1), np.float32)
    np.savez(tmp_path / "song.npz", examples=examples, times=np.array([0.0, 0.2]))
    frontend = StoredExamples(tmp_path, described_by=WaveformFrontEnd(RATE, SAMPLES))
    assert frontend.keeps_phase
    assert frontend.sound(examples[0]).samples.shape == (SAMPLES,)


# From training to sound


@pytest.fixture(scope="module")
def trained(model: Any, corpus: Any, tmp_path_factory: pytest.TempPathFactory) -> actprobe.Result:
    return actprobe.train_inverter(
        model,
        corpus,
        layer="filters",
        loss="input",
        epochs=2,
        steps_per_epoch=20,
        learning_rate=3e-3,
        batch_size=8,
        schedule="constant",
        output_dir=tmp_path_factory.mktemp("trained"),
    )


@pytest.fixture(scope="module")
def inverted(model: Any, trained: Any, tmp_path_factory: pytest.TempPathFactory) -> actprobe.Result:
    return actprobe.invert(
        model, excerpt(), at=0.1, seconds=0.5, inverters=str(trained.path),
        output_dir=tmp_path_factory.mktemp("inverted"),
    )  # fmt: skip


def test_an_inverter_of_samples_learns(model: Any, trained: Any, corpus: Any) -> None:
    """It leaves the mean behind it within some steps, the error of silence."""
    samples = actprobe.load_audio(corpus[0].path, RATE).samples
    examples = model.frontend.examples(samples)
    found = trained.inverter(model)(model.activations(examples, ["filters"])["filters"])
    assert np.square(found - examples).mean() < 0.3 * np.square(examples - examples.mean()).mean()


def test_the_card_does_not_count_frames_between_samples(trained: Any) -> None:
    card = (trained.folder / "README.md").read_text()
    assert "frames apart" not in " ".join(card.split())
    assert "as the front end cuts them" in " ".join(card.split())


def test_an_inversion_is_heard_as_it_is(inverted: Any) -> None:
    """The input is the recording, and an inversion has a phase of its own: there is nothing to estimate."""
    assert set(inverted.sounds) == {"original", "filters"}
    original, rate = soundfile.read(inverted.sounds["original"])
    found, _ = soundfile.read(inverted.sounds["filters"])
    assert rate == RATE
    assert len(found) == len(original) == 4000
    assert np.abs(found - inverted.mel_spectrograms["filters"][:, 0]).max() < 1e-4
    assert np.corrcoef(found, original)[0, 1] > 0.8
    assert "error_db" not in inverted.record["sounds"]["filters.wav"]


def test_arrays_and_figure_of_an_inversion(inverted: Any) -> None:
    arrays = inverted.arrays
    assert arrays["input"].shape == arrays["filters"].shape == (4000, 1)
    assert np.allclose(arrays["times"], 0.1 + np.arange(4000) / RATE)
    (shown,) = inverted.plot("filters").axes[1].images
    assert min(shown.get_array().shape) > 20
    assert (inverted.folder / "figures/inversion.png").exists()


def test_the_report_shows_the_same_pictures(inverted: Any, tmp_path: Path) -> None:
    page = actprobe.report(inverted, output_dir=tmp_path)
    data = "".join(path.read_text("utf-8") for path in page.path.parent.rglob("*.js"))
    frames, bins = inverted.pictures.panels["input"].shape
    assert f'"shape": [{frames}, {bins}]' in data or f'"shape":[{frames},{bins}]' in data


def test_inversion_by_optimisation_takes_samples(model: Any) -> None:
    examples = model.frontend(excerpt())[:1]
    features = model.activations(examples, ["filters"])["filters"]
    search = GradientInverter(model, "filters", GradientSettings(steps=60))
    found, least, begin = search.search(features)
    assert least[0] < 0.2 * begin[0]
    assert np.corrcoef(found[0, :, 0], examples[0, :, 0])[0, 1] > 0.8


def test_inverters_are_evaluated_beside_silence(
    model: Any, trained: Any, corpus: Any, tmp_path: Path
) -> None:
    found = actprobe.evaluate_inverters(
        model, corpus, inverters=str(trained.path), draws=1, excerpts_per_recording=2, output_dir=tmp_path
    )
    nre = found.detail[(found.detail["measure"] == "nre") & (found.detail["class"] == "all")]
    by_method = dict(zip(nre["method"], nre["value"], strict=True))
    assert by_method["input"] < 0.6 * by_method["zero"]


def test_random_inverters_give_samples(model: Any) -> None:
    for layer in ("coarse", "means"):
        shape = model.layers[layer].shape
        found = load_inverter(model, layer, seed=1)(np.zeros((1, *shape), np.float32))
        assert found.shape == (1, SAMPLES, 1)
