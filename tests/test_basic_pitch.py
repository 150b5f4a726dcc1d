"""basic-pitch: windows, layers and whole recordings are those of the original program.

Golden data: basic-pitch 0.4.0, run with TensorFlow 2.17.1 on a synthetic signal and on a recording. In single
precision the transform's last bits depend on the processor and on oneDNN. Where the sound is fainter than
they are, 100 dB below the loudest, decibels differ by up to 0.4: the original, with oneDNN or on a processor
with AVX-512, does not give the golden outputs of the synthetic signal to better than 1.3e-3 either. So one
test computes as the golden machine did, with AVX2 and without oneDNN, and the others compare these in the
mean; every output of the recording is within 1e-4.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actprobe import Waveform, backend, load_audio
from actprobe.batch.prepare import prepare_recording
from actprobe.corpora import Recording
from actprobe.errors import UsageError
from actprobe.features import get_feature
from actprobe.frontends import SvdFrontEnd, join_examples
from actprobe.frontends.basic_pitch import TRANSFORM, BasicPitchFrontEnd, scaled_decibels
from actprobe.models import Model, layers_of, load_model, network_named
from actprobe.models.golden import read_golden
from actprobe.models.verify import verify

RATE, WINDOW, HOP, LEAD = 22_050, 43_844, 36_164, 3840
OUTPUTS = ("note", "onset", "contour")


@pytest.fixture(scope="module")
def golden(assets: Path) -> dict[str, NDArray[Any]]:
    with np.load(assets / "golden/packaged/basic_pitch_frontend.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model(packaged: Callable[[str], Path]) -> Model:
    return load_model("basic_pitch", packaged("basic_pitch"))


@pytest.fixture
def frontend() -> BasicPitchFrontEnd:
    return BasicPitchFrontEnd()


def noise(samples: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-0.3, 0.3, samples).astype(np.float32)


# The front end


def test_the_transform_is_the_originals(
    frontend: BasicPitchFrontEnd, golden: dict[str, NDArray[Any]]
) -> None:
    segments = frontend.segments(golden["pcm"].astype(np.float32) / 32768)
    magnitudes = TRANSFORM.graph(backend.tf.constant(segments[golden["windows"]])).numpy()
    expected = golden["cqt_every4"][:2]
    assert np.abs(magnitudes[:, ::4] - expected).max() <= 1e-6 * expected.max()


def test_windows_are_scaled_as_in_the_original(golden: dict[str, NDArray[Any]]) -> None:
    """Of the original's own magnitudes: whole windows, since the faintest and the loudest value decide."""
    magnitudes = golden["cqt_every4"].copy()
    magnitudes[:, 0, :2] = golden["cqt_min_max"]
    scaled = scaled_decibels(backend.tf.constant(magnitudes)).numpy()
    assert np.abs(scaled - golden["normalized_log_every4"])[:, 1:].max() < 1e-6
    assert scaled.max() == 1
    assert scaled.min() == 0


def test_windows_of_a_recording_are_the_originals(
    assets: Path, frontend: BasicPitchFrontEnd, golden: dict[str, NDArray[Any]]
) -> None:
    recording = load_audio(assets / "audio" / str(golden["real_path"]), RATE)
    assert len(recording.samples) == golden["real_samples"]
    windows = frontend(recording)
    assert windows.shape == (2, 172, 309)
    difference = np.abs(windows[0, ::4] - golden["normalized_log_every4"][2])
    magnitudes = golden["cqt_every4"][2]
    assert difference[magnitudes > 0.01 * magnitudes.max()].max() < 1e-5  # within 40 dB of the loudest
    assert difference.mean() < 1e-4


@pytest.mark.parametrize("samples", [1, 1000, HOP - 1, HOP, HOP + 1, WINDOW, 2 * HOP, 100_000])
def test_windows_begin_before_a_recording_and_end_behind_it(
    frontend: BasicPitchFrontEnd, samples: int
) -> None:
    starts = frontend.example_starts(samples)
    assert starts[0] == -LEAD
    assert (np.diff(starts) == HOP).all()
    assert starts[-1] + LEAD < samples <= starts[-1] + WINDOW - LEAD
    sound = noise(samples)
    segments = frontend.segments(sound)
    around = np.pad(sound, (LEAD, WINDOW))
    for start, segment in zip(starts, segments, strict=True):
        assert np.array_equal(segment, around[start + LEAD :][:WINDOW])


def test_an_example_of_given_samples_is_of_these(frontend: BasicPitchFrontEnd) -> None:
    sound = noise(3 * WINDOW)
    start = int(frontend.example_starts(len(sound))[1])
    assert np.allclose(frontend.example_of(sound[start:][:WINDOW]), frontend(sound, RATE)[1], atol=1e-5)


def test_many_windows_are_computed_some_at_a_time() -> None:
    frontend, other = BasicPitchFrontEnd(), BasicPitchFrontEnd()
    other.segments_at_once = 2
    sound = noise(5 * HOP)
    assert np.allclose(frontend(sound, RATE), other(sound, RATE), atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 1e-12])
def test_a_window_of_digital_silence_is_zero(frontend: BasicPitchFrontEnd, level: float) -> None:
    assert not frontend(level * noise(60_000), RATE).any()


def test_silence_is_zero_where_a_logarithm_rounds_from_element_to_element(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on the machine of the golden data, where the original made 1 of the last elements of a window."""
    tf, log = backend.tf, backend.tf.math.log

    def rounded(values: Any) -> Any:
        last = tf.constant(np.arange(tf.size(values).numpy()) >= 53_144, tf.float32)
        return log(values) * (1 + 1e-6 * tf.reshape(last, tf.shape(values)))

    monkeypatch.setattr(tf.math, "log", rounded)
    assert not scaled_decibels(tf.zeros((1, 172, 309))).numpy().any()


def test_level_is_lost_but_not_the_spectrum(frontend: BasicPitchFrontEnd) -> None:
    sound = noise(HOP)
    loud, soft = (frontend(gain * sound, RATE)[0] for gain in (1.0, 0.1))
    assert loud.max() == soft.max() == 1
    assert np.corrcoef(loud.ravel(), soft.ravel())[0, 1] > 0.99


def test_a_tone_is_at_the_band_that_the_edges_give(frontend: BasicPitchFrontEnd) -> None:
    edges = frontend.band_edges_hz()
    assert len(edges) == 311
    seconds = np.arange(HOP) / RATE
    for hertz in (55.0, 440.0, 3520.0):
        window = frontend(np.sin(2 * np.pi * hertz * seconds).astype(np.float32), RATE)[0]
        assert edges[1:-1][window[80].argmax()] == pytest.approx(hertz)


def test_repeated_recordings_fill_the_window(frontend: BasicPitchFrontEnd) -> None:
    sound = noise(5000)
    (zeros,), (repeated,) = frontend.segments(sound), BasicPitchFrontEnd(padding="repeat").segments(sound)
    assert np.count_nonzero(zeros) == 5000
    assert np.count_nonzero(repeated) == HOP
    assert np.array_equal(repeated[LEAD + 5000 :][:5000], sound)


@pytest.mark.parametrize("padding", ["zeros", "repeat"])
def test_front_end_in_the_graph_is_the_one_in_python(padding: str) -> None:
    tf, frontend = backend.tf, BasicPitchFrontEnd(padding=padding)
    graph = frontend.example_graph()
    for samples in (700, HOP, WINDOW, 100_000):
        sounds = np.stack([noise(samples), noise(samples)[::-1]])
        longer = graph.lengthened(tf.constant(sounds))
        starts = graph.starts(tf.shape(longer)[1])
        assert list(starts) == list(frontend.example_starts(samples))
        rows = tf.ones(tf.size(starts), tf.int32)
        found = graph.cut(graph.prepare(longer), rows, starts)
        assert np.abs(found - frontend(sounds[1], RATE)).max() < 1e-5


def test_no_sound_can_be_made_and_no_span_be_joined(frontend: BasicPitchFrontEnd) -> None:
    with pytest.raises(UsageError, match="its level is lost"):
        frontend.sound(np.zeros((172, 309)))
    assert frontend.joining_refusal
    with pytest.raises(UsageError, match="without the normalization"):
        BasicPitchFrontEnd("mean.npz")


def test_features_of_a_window_are_those_of_the_sound_within_the_recording(
    frontend: BasicPitchFrontEnd,
) -> None:
    """The first window begins before the recording: its features are those of what there is of it."""
    sound = noise(2 * HOP)
    sound[: WINDOW - LEAD] *= 0.01
    recording = Recording("noise.wav", Path("noise.wav"))
    waveform = Waveform(sound, RATE)
    prepared = prepare_recording(
        recording, frontend, [get_feature("loudness", "scalar")], "excerpt", waveform=waveform
    )
    first, second = prepared.by_example["loudness"]
    assert prepared.starts[0] == -LEAD / RATE
    assert np.isfinite([first, second]).all()
    assert first < second


# The network


def test_every_layer_is_the_originals(model: Model, assets: Path) -> None:
    file = assets / "golden/packaged/basic_pitch.npz"
    golden = read_golden(file, model.layers, model.frontend.example_shape)
    parity = verify(model, golden, relative_tolerance=1e-5)
    assert parity.passed, str(parity)
    assert sum(parameter.size for parameter in model.keras_model.get_weights()) == 16_864


def test_whole_recordings_are_the_originals(
    model: Model, assets: Path, golden: dict[str, NDArray[Any]]
) -> None:
    recording = load_audio(assets / "audio" / str(golden["real_path"]), RATE)
    samples = len(recording.samples)
    found = model.activations(model.frontend(recording), OUTPUTS)
    frames = samples * 86 // RATE  # the original ends here
    for name, step in zip(OUTPUTS, (2, 2, 8), strict=True):
        values, times = join_examples(model.frontend, found[name], samples)
        assert len(values) == len(times) >= frames
        assert np.abs(values[:frames:step, :, 0] - golden[f"real_{name}"]).max() < 1e-4


def test_frames_of_a_long_recording_follow_one_another_at_their_true_times(
    model: Model, golden: dict[str, NDArray[Any]]
) -> None:
    sound = golden["pcm"].astype(np.float32) / 32768
    found = model.activations(model.frontend(sound, RATE), OUTPUTS)
    for name, step in zip(OUTPUTS, (3, 3, 12), strict=True):
        values, times = join_examples(model.frontend, found[name], len(sound))
        assert np.abs(times[:860] - golden["frame_times_true"]).max() < 1e-9
        assert np.diff(times).min() > 0
        assert times[-1] < len(sound) / RATE < times[-1] + 256 / RATE
        difference = np.abs(values[:860:step, :, 0] - golden[name])
        assert difference.mean() < 1e-4
        in_last_window = np.arange(0, 860, step) >= 6 * 142  # where nothing is as faint as said above
        assert difference[in_last_window].max() < 1e-4


AS_ON_THE_GOLDEN_MACHINE = """
import json, sys
import numpy as np
from actprobe.frontends import cqt, join_examples
from actprobe.models import load_model

cqt.HALVED_AT_ONCE = 1  # sums in the original's order
golden = dict(np.load(sys.argv[1]))
model = load_model("basic_pitch", sys.argv[2])
sound = golden["pcm"].astype(np.float32) / 32768
examples = model.frontend(sound, 22050)
windows = golden["normalized_log_every4"][:2]
difference = {"windows": np.abs(examples[golden["windows"]][:, ::4] - windows).max()}
found = model.activations(examples, ["note", "onset", "contour"])
for name, step in (("note", 3), ("onset", 3), ("contour", 12)):
    values, _ = join_examples(model.frontend, found[name], len(sound))
    difference[name] = np.abs(values[:860:step, :, 0] - golden[name]).max()
print(json.dumps({name: float(value) for name, value in difference.items()}))
"""


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="AVX2 is of x86")
def test_every_output_is_the_originals_where_sums_are_rounded_as_on_its_machine(
    packaged: Callable[[str], Path], assets: Path
) -> None:
    file = assets / "golden/packaged/basic_pitch_frontend.npz"
    ended = subprocess.run(
        [sys.executable, "-c", AS_ON_THE_GOLDEN_MACHINE, file, packaged("basic_pitch")],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    difference = json.loads(ended.stdout.splitlines()[-1])
    assert difference["windows"] < 1e-6
    assert max(difference[name] for name in OUTPUTS) < 1e-4


def test_an_a4_is_where_the_outputs_say(model: Model) -> None:
    """A tone in tune: note A4, and the contour bin whose pitch is 440 Hz, not the one below it."""
    seconds = np.arange(2 * RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 440 * k * seconds) / k for k in range(1, 6))
    examples = model.frontend(0.1 * np.asarray(tone, np.float32), RATE)
    found = model.activations(examples[:1], OUTPUTS)
    highest = {name: int(found[name][0, 60:120, :, 0].mean(axis=0).argmax()) for name in ("note", "contour")}
    labels = {
        name: [str(output) for output in model.outputs if output.layer == model.layers[name].name][place]
        for name, place in highest.items()
    }
    assert labels == {"note": "note A4", "contour": "contour 440.0 Hz"}


def test_outputs_are_the_positions_of_three_maps() -> None:
    outputs = network_named("basic_pitch").outputs
    assert outputs is not None
    assert len(outputs) == 264 + 88 + 88
    assert [str(output) for output in (outputs[264], outputs[-1])] == ["note A0", "onset C8"]
    assert (outputs[-1].layer, outputs[-1].unit, outputs[-1].mel) == ("conv2d_5", 0, 87)
    assert layers_of("basic_pitch")["contour"].name == "contours-reduced"


def test_layers_lie_where_their_pitches_are() -> None:
    """The stacking keeps the bin of the fundamental; a stride of three bins begins in the middle of them."""
    layers, frontend = layers_of("basic_pitch"), BasicPitchFrontEnd()
    centres = frontend.band_edges_hz()[1:-1]
    assert layers["harmonic_stacking"].first_hz == pytest.approx(centres[0])
    assert layers["re_lu_1"].first_hz == pytest.approx(centres[0])
    for name in ("conv2d_2", "conv2d_4", "note", "onset"):
        assert layers[name].first_hz == pytest.approx(centres[1])


def test_examples_that_overlap_make_no_track() -> None:
    frontend = SvdFrontEnd(hop=20)
    count = len(frontend.example_starts(RATE * 4))
    with pytest.raises(UsageError, match="overlap"):
        join_examples(frontend, np.zeros((count, 115, 3)), RATE * 4)
    with pytest.raises(UsageError, match="are not those of its frames"):
        join_examples(frontend, np.zeros((count, 25, 3)), RATE * 4)
