"""CREPE: frames, networks and pitches are those of the original program.

Golden data: crepe 0.0.16, run with TensorFlow 2.17.1 on a synthetic signal and on a recording.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import actprobe
from actprobe import backend
from actprobe.analyses.inversion.inverting.spans import cut_span
from actprobe.errors import UsageError, WeightsError
from actprobe.frontends.crepe import CrepeFrontEnd
from actprobe.models import Model, layers_of, load_model, network_named
from actprobe.models.golden import read_golden
from actprobe.models.networks.crepe import PITCHES, pitch_track, pitches_hz
from actprobe.models.verify import verify
from actprobe.weights.keras2_h5 import read_keras2_h5

RATE = 16_000
Arrays = dict[str, NDArray[Any]]


def arrays_of(path: Path) -> Arrays:
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def pcm(assets: Path) -> NDArray[np.float32]:
    samples = arrays_of(assets / "golden/packaged/musicnn_frontend.npz")["pcm"]
    return samples.astype(np.float32) / 32768


@pytest.fixture(scope="module")
def track(assets: Path) -> Arrays:
    return arrays_of(assets / "golden/packaged/crepe_tiny_track.npz")


@pytest.fixture(scope="module")
def tiny(packaged: Callable[[str], Path]) -> Model:
    return load_model("crepe_tiny", packaged("crepe_tiny"))


def noise(samples: int) -> NDArray[np.float32]:
    return (0.2 + 0.1 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)


def activation(model: Model, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return model.activations(model.frontend(samples, RATE), ["classifier"])["classifier"]


def cents(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.abs(1200 * np.log2(one / other)).max())


# The front end


def test_frames_are_the_originals(pcm: NDArray[np.float32], assets: Path) -> None:
    golden = arrays_of(assets / "golden/packaged/crepe_tiny.npz")
    examples = CrepeFrontEnd()(pcm, RATE)
    assert np.abs(examples[golden["frames"]] - golden["input"]).max() < 1e-6


@pytest.mark.parametrize("samples", [1, 159, 160, 511, 1023, 1024, 5000])
def test_frames_are_centred_every_ten_milliseconds(samples: int) -> None:
    front, sound = CrepeFrontEnd(), noise(samples)
    padded = np.pad(sound, 512).astype(np.float64)
    frames = np.stack([padded[160 * k : 160 * k + 1024] for k in range(1 + samples // 160)])
    frames -= frames.mean(axis=1, keepdims=True)
    frames /= frames.std(axis=1, keepdims=True)
    np.testing.assert_allclose(front(sound, RATE)[..., 0], frames, rtol=1e-5, atol=1e-6)
    centres = front.example_starts(samples) / RATE + layers_of("crepe_tiny")["classifier"].times()
    np.testing.assert_allclose(centres, 0.01 * np.arange(len(frames)), atol=1e-12)


def test_frames_that_are_not_centred_lie_within_the_recording() -> None:
    front = CrepeFrontEnd(center=False)
    assert front.example_starts(5000).tolist() == list(range(0, 5000 - 1023, 160))
    np.testing.assert_array_equal(front(noise(5000), RATE)[3], front.example_of(noise(5000)[480:1504]))
    repeating = CrepeFrontEnd(center=False, padding="repeat")
    twice = np.tile(noise(600), 2)[:1024]
    np.testing.assert_array_equal(repeating(noise(600), RATE), front(twice, RATE))


def test_step_is_in_milliseconds_and_hop_in_frames() -> None:
    every = CrepeFrontEnd().example_starts(8000)
    assert CrepeFrontEnd(step_ms=50).example_starts(8000).tolist() == every[::5].tolist()
    assert CrepeFrontEnd(hop=5).example_starts(8000).tolist() == every[::5].tolist()
    assert np.diff(CrepeFrontEnd(step_ms=0.3).example_starts(100)).tolist() == [4] * 25


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"step_ms": 0}, "step_ms=0: a number above 0"),
        ({"step_ms": -10}, "step_ms=-10: a number above 0"),
        ({"step_ms": float("nan")}, "step_ms=nan: a number"),
        ({"step_ms": 0.05}, r"at least one sample apart, 0\.0625 ms"),
        ({"hop": 0}, "hop=0: a whole number of at least 1"),
        ({"hop": 2.5}, r"hop=2\.5: a whole number"),
        ({"padding": "repeat"}, "no effect.*give center=False"),
        ({"padding": "mirror"}, "no padding 'mirror'"),
        ({"normalization": "mean.npz"}, "without the normalization"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        CrepeFrontEnd(**options)


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_silence_and_a_constant_are_zeros(level: float) -> None:
    examples = CrepeFrontEnd(center=False)(np.full(3000, level, np.float32), RATE)
    assert np.array_equal(examples, np.zeros_like(examples))


@pytest.mark.parametrize("options", [{}, {"step_ms": 7}, {"hop": 3}, {"center": False}])
@pytest.mark.parametrize("samples", [1, 700, 4100])
def test_the_graph_gives_the_same_frames(options: dict[str, Any], samples: int) -> None:
    tf, front = backend.tf, CrepeFrontEnd(**options)
    graph, sound = front.example_graph(), noise(samples)

    @tf.function  # type: ignore[untyped-decorator]
    def examples(waveform: Any) -> Any:
        longer = graph.lengthened(waveform)
        starts = graph.starts(tf.shape(longer)[1])
        return graph.cut(graph.prepare(longer), tf.zeros_like(starts), starts), starts

    found, starts = examples(sound[np.newaxis])
    assert starts.numpy().tolist() == front.example_starts(samples).tolist()
    np.testing.assert_array_equal(found.numpy(), front(sound, RATE))


# The networks


@pytest.mark.parametrize("size", ["tiny", "full"])
def test_every_layer_is_the_originals(size: str, assets: Path, packaged: Callable[[str], Path]) -> None:
    model = load_model(f"crepe_{size}", packaged(f"crepe_{size}"))
    path = assets / f"golden/packaged/crepe_{size}.npz"
    golden = read_golden(path, model.layers, model.frontend.example_shape)
    found = verify(model, golden, relative_tolerance=1e-5)
    assert found.passed
    judged = {each.layer for each in found.layers}
    assert judged == {layer for layer in model.layers if not layer.endswith("/linear")}


def test_layers_lie_where_the_sound_is() -> None:
    layers = layers_of("crepe_tiny")
    assert layers["conv1"].receptive_field_seconds == pytest.approx(512 / RATE)
    assert layers["conv2"].receptive_field_seconds == pytest.approx(1020 / RATE)
    assert layers["conv3"].receptive_field_seconds == pytest.approx(1024 / RATE)
    assert [layers[f"conv{k}"].hop_seconds * RATE for k in (1, 2, 6)] == pytest.approx([4, 8, 128])
    assert layers["transpose"].shape == (1, 4, 64)
    assert layers["transpose"].hop_seconds == layers["transpose"].receptive_field_seconds == 0.064
    # Four positions every 256 samples, the kernels' odd zeros behind.
    assert layers["transpose"].first_seconds == pytest.approx(layers["conv6-maxpool"].times().mean())


@pytest.mark.parametrize(("size", "parameters"), [("tiny", 487_096), ("full", 22_244_328)])
def test_networks_have_the_parameters_of_the_original(size: str, parameters: int) -> None:
    build = network_named(f"crepe_{size}").build
    assert build is not None
    assert build().count_params() == parameters


def test_outputs_are_labelled_in_hertz() -> None:
    outputs = network_named("crepe_full").outputs
    assert outputs is not None
    assert len({output.label for output in outputs}) == len(outputs) == PITCHES
    assert (outputs[0].label, outputs[-1].label) == ("31.70 Hz", "2005.50 Hz")
    assert outputs[0].meaning == "probability of the pitch"


# Pitches


def test_pitch_is_the_mean_of_nine_outputs_around_the_highest() -> None:
    values = np.zeros((5, PITCHES), np.float32)
    values[0, 100] = 0.5
    values[1, [200, 201]] = 0.6, 0.6
    values[2, [200, 205]] = 0.9, 0.8  # the other is too far
    values[3, [0, 4]] = 0.3, 0.1
    hertz, confidence = pitch_track(values)
    scale = pitches_hz()
    expected = [scale[100], np.sqrt(scale[200] * scale[201]), scale[200], scale[1], 0.0]
    np.testing.assert_allclose(hertz, expected)
    np.testing.assert_allclose(confidence, [0.5, 0.6, 0.9, 0.3, 0.0], rtol=1e-6)
    with pytest.raises(UsageError, match=r"\[frames, 360\], not \[360\]"):
        pitch_track(values[0])


def test_pitch_track_is_the_originals(tiny: Model, pcm: NDArray[np.float32], track: Arrays) -> None:
    found = activation(tiny, pcm)
    hertz, confidence = pitch_track(found)
    assert np.array_equal(found.argmax(axis=1), track["argmax"])
    np.testing.assert_allclose(found[::4], track["activation_every4"], atol=1e-5)
    np.testing.assert_allclose(confidence, track["confidence"], atol=1e-5)
    assert cents(hertz, track["frequency"]) < 0.01


def test_frames_without_zeros_around_are_tracked_as_by_the_original(
    tiny: Model, pcm: NDArray[np.float32], track: Arrays
) -> None:
    examples = CrepeFrontEnd(center=False)(pcm[: 3 * RATE], RATE)
    hertz, confidence = pitch_track(tiny.activations(examples, ["classifier"])["classifier"])
    assert cents(hertz, track["frequency_uncentred"][: len(hertz)]) < 0.01
    np.testing.assert_allclose(confidence, track["confidence_uncentred"][: len(hertz)], atol=1e-5)


def test_a_recording_is_tracked_as_by_the_original(tiny: Model, track: Arrays, assets: Path) -> None:
    waveform = actprobe.load_audio(assets / "audio" / str(track["real_path"])).resample(RATE)
    assert len(waveform.samples) == track["real_samples_soxr"]
    found = activation(tiny, waveform.samples)
    hertz, confidence = pitch_track(found)
    assert np.array_equal(found.argmax(axis=1), track["real_argmax_soxr"])
    np.testing.assert_allclose(found[::4], track["real_activation_soxr_every4"], atol=1e-5)
    assert cents(hertz, track["real_frequency_soxr"]) < 0.01
    voiced = confidence > 0.5
    assert cents(hertz[voiced], track["real_frequency_resampy"][voiced]) < 0.1


def test_silence_is_tracked_as_by_the_original(tiny: Model) -> None:
    hertz, confidence = pitch_track(activation(tiny, np.zeros(800, np.float32)))
    np.testing.assert_allclose(hertz, 1964.89, atol=0.01)
    np.testing.assert_allclose(confidence, 0.0139, atol=1e-4)


def test_sung_pitches_are_those_of_the_labels(tiny: Model, assets: Path) -> None:
    """MIR-1K labels every 20 ms, in semitones, 0 without a voice; the right channel is the voice."""
    every = sorted((assets / "audio/MIR-1K/Wavfile").glob("*.ogg"))
    examples, labels = [], []
    for clip in every[:: len(every) // 44][:44]:
        samples, rate = soundfile.read(clip, frames=3 * RATE, dtype="float32")
        semitones = np.loadtxt(assets / f"audio/MIR-1K/PitchLabel/{clip.stem}.pv")[:145:5]
        labels.append(semitones)
        examples.append(tiny.frontend(samples[:, 1], rate)[2::10][: len(semitones)])
    sung = np.concatenate(labels) > 0
    assert 500 < sung.sum() < 1000
    found = tiny.activations(np.concatenate(examples)[sung], ["classifier"])["classifier"]
    off = 100 * (69 + 12 * np.log2(pitch_track(found)[0] / 440) - np.concatenate(labels)[sung])
    assert np.mean(np.abs(off) < 50) >= 0.95


# Weight files


SHAPES = {"conv1": {"kernel": (5, 1, 1, 3), "bias": (3,)}, "classifier": {"kernel": (6, 2), "bias": (2,)}}


def file_of(path: Path, changed: dict[str, NDArray[Any]] | None = None, suffix: str = "_3") -> Path:
    arrays: Arrays = {
        f"{layer}/{layer}{suffix}/{kind}:0": np.full(shape, len(layer), np.float32)
        for layer, kinds in SHAPES.items()
        for kind, shape in kinds.items()
    }
    with h5py.File(path, "w") as file:
        for name, array in (arrays | (changed or {})).items():
            if array.size:
                file[name] = array
    return path


@pytest.mark.parametrize("suffix", ["", "_3", "_12"])
@pytest.mark.parametrize("shape", [(5, 1, 3), (5, 1, 1, 3)])
def test_files_of_every_kind_are_read(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    kernel = np.arange(15, dtype=np.float32)
    changed = {f"conv1/conv1{suffix}/kernel:0": kernel.reshape(shape)}
    found = read_keras2_h5(file_of(tmp_path / "weights.h5", changed, suffix), SHAPES)
    assert set(found.arrays) == {"conv1/kernel", "conv1/bias", "classifier/kernel", "classifier/bias"}
    np.testing.assert_array_equal(found.arrays["conv1/kernel"], kernel.reshape(5, 1, 1, 3))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"conv1/conv1_3/bias:0": np.zeros(0)}, "conv1/bias.*is missing"),
        (
            {"conv1/conv1_4/bias:0": np.zeros(3, np.float32)},
            "conv1_4/bias:0.*is a second array of conv1/bias",
        ),
        ({"conv1/other/bias:0": np.zeros(3, np.float32)}, "conv1/other/bias:0.*not expected"),
        ({"conv2/conv2/bias:0": np.zeros(3, np.float32)}, "conv2/conv2/bias:0.*not expected"),
        ({"conv1/conv1_3/kernel:0": np.zeros((5, 3, 1, 2), np.float32)}, "kernel:0.*has shape"),
        ({"conv1/conv1_3/kernel:0": np.zeros((3, 5), np.float32)}, "kernel:0.*has shape"),
        ({"conv1/conv1_3/bias:0": np.full(3, np.nan, np.float32)}, "bias:0.*NaN"),
        ({"conv1/conv1_3/bias:0": np.zeros(3)}, "conv1/bias.*is missing"),  # float64
    ],
)
def test_files_of_anything_else_are_refused(tmp_path: Path, changed: Arrays, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        read_keras2_h5(file_of(tmp_path / "weights.h5", changed), SHAPES)


def test_weights_of_another_size_are_refused(packaged: Callable[[str], Path]) -> None:
    with pytest.raises(WeightsError, match=r"conv1/kernel.*has shape \(512, 1, 128\)"):
        load_model("crepe_small", packaged("crepe_tiny"))


@pytest.mark.parametrize("file", ["mine.h5", "mine.weights.h5"])
def test_a_network_trained_further_opens_again(tmp_path: Path, file: str) -> None:
    trained = load_model("crepe_tiny", seed=5).keras_model
    trained.save_weights(str(tmp_path / file))
    opened = load_model("crepe_tiny", tmp_path / file)
    assert opened.weights.kind == "unverified"
    for ours, theirs in zip(opened.keras_model.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# Sound


def test_frames_sound_at_the_level_of_the_recording() -> None:
    front, sound = CrepeFrontEnd(), noise(1024)
    example = front.example_of(sound)
    np.testing.assert_allclose(front.sound(example, sound).samples, sound, atol=1e-6)
    alone = front.sound(example).samples
    assert np.abs(alone).max() == pytest.approx(1)
    assert np.corrcoef(alone, sound)[0, 1] == pytest.approx(1)


def test_a_span_of_frames_joins_to_the_recording() -> None:
    """Frames have lost their levels, which differ; joined, they have those of the recording."""
    fading = noise(RATE) * np.linspace(0.1, 1, RATE, dtype=np.float32)
    front = CrepeFrontEnd()
    span = cut_span(front, actprobe.Waveform(fading, RATE), 0.2, seconds=0.5)
    assert len(span.examples) > 5
    joined = span.join(span.examples)
    assert joined.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(front.sound(joined, span.samples).samples, span.samples, atol=1e-5)
