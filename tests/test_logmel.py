"""LogMelFrontEnd equals librosa's recipe, in Python and in a graph, and is undone for sound."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from collections.abc import Callable
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import FrontEndError, UsageError
from actprobe.frontends import LogMelFrontEnd, MmCnnFrontEnd, SvdFrontEnd, VggishFrontEnd
from actprobe.frontends.frame_by_frame import FrameByFrameFrontEnd, span
from actprobe.frontends.frames import FrameFrontEnd
from actprobe.frontends.musicnn import MusicnnFrontEnd
from actprobe.frontends.sound import Sonifier

RATE = 8000


def music(count: int, seed: int = 0, rate: int = RATE) -> NDArray[Any]:
    """A decaying chord with noise and a silent fifth."""
    time = np.arange(count) / rate
    tones = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220, 277.2, 1760))
    noise = np.random.default_rng(seed).standard_normal(count)
    samples = 0.1 * tones * np.exp(-(time % 0.5) * 4) + 0.01 * noise
    samples[count // 5 : 2 * count // 5] = 0
    values: NDArray[Any] = samples.astype(np.float32)
    return values


def recipe(samples: NDArray[Any], chosen: dict[str, Any]) -> NDArray[Any]:
    """The frames by librosa in double precision, [frames, mel]; not standardised by example."""
    named: dict[str, Any] = {
        "sample_rate": 16000, "n_fft": 512, "hop_length": 160, "win_length": None, "window": "hann",
        "n_mels": 40, "fmin": 0.0, "fmax": None, "power": 2.0, "log": "ln", "amin": None, "offset": None,
        "ref": 1.0, "top_db": 80.0, "c": 10_000.0, "center": True, "pad_mode": "constant",
        "mel_scale": "slaney", "norm": "slaney", "mean": None, "std": None,
    } | chosen  # fmt: skip
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float64), sr=named["sample_rate"], htk=named["mel_scale"] == "htk",
        **{key: named[key] for key in (
            "n_fft", "hop_length", "win_length", "window", "n_mels", "fmin", "fmax", "power", "center",
            "pad_mode", "norm",
        )},
    )  # fmt: skip
    amin = named["amin"] or 1e-10
    if named["log"] == "db":
        ref = np.max if named["ref"] == "max" else named["ref"]
        levels = librosa.power_to_db(mel, ref=ref, amin=amin, top_db=named["top_db"])
    elif named["log"] == "log10_1p":
        levels = np.log10(1 + named["c"] * mel)
    elif named["log"] == "none":
        levels = mel
    else:
        log: Any = {"ln": np.log, "log10": np.log10}[named["log"]]
        levels = log(mel + named["offset"]) if named["offset"] else log(np.maximum(mel, amin))
    mean, std = named["mean"], named["std"]
    levels = levels.T - (0 if mean is None or isinstance(mean, str) else mean)
    values: NDArray[Any] = levels / (1 if std is None or isinstance(std, str) else std)
    return values


def assert_equal(found: NDArray[Any], expected: NDArray[Any]) -> None:
    """To 1e-5, relative to the largest value where all are smaller than 1."""
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5 * min(1, np.abs(expected).max()))


@st.composite
def chosen_settings(draw: Any) -> dict[str, Any]:
    log = draw(st.sampled_from(["ln", "log10", "db", "log10_1p", "none"]))
    n_fft = draw(st.sampled_from([128, 255, 256, 400, 512]))
    n_mels = draw(st.integers(1, 24))
    fmin = draw(st.floats(0, 1000))
    found = {
        "sample_rate": RATE,
        "n_fft": n_fft,
        "hop_length": draw(st.integers(20, 600)),
        "win_length": draw(st.none() | st.integers(16, n_fft)),
        "window": draw(st.sampled_from(["hann", "hamming", "boxcar", ("kaiser", 6.0)])),
        "n_mels": n_mels,
        "fmin": fmin,
        "fmax": draw(st.none() | st.floats(fmin + 500, RATE / 2)),
        "power": draw(st.sampled_from([1.0, 2.0, 1.5])),
        "log": log,
        "center": draw(st.booleans()),
        "pad_mode": draw(st.sampled_from(["constant", "reflect"])),
        "mel_scale": draw(st.sampled_from(["slaney", "htk"])),
        "norm": draw(st.sampled_from(["slaney", None])),
    }
    if log == "db":
        found["ref"] = draw(st.sampled_from([1.0, 0.02, "max"]))
        found["top_db"] = draw(st.none() | st.floats(0, 100))
    if log == "log10_1p":
        found["c"] = draw(st.floats(1, 1e6))
    if log in ("ln", "log10", "db"):
        found["amin"] = draw(st.none() | st.floats(1e-10, 1e-2))
    if log in ("ln", "log10") and found["amin"] is None:
        found["offset"] = draw(st.none() | st.floats(1e-6, 1.0))
    bands = st.lists(st.floats(0.5, 20), min_size=n_mels, max_size=n_mels)
    found["mean"] = draw(st.none() | st.floats(-30, 3) | bands)
    found["std"] = draw(st.none() | st.floats(0.5, 20) | bands)
    return found


@pytest.mark.filterwarnings("ignore:Empty filters")
@settings(max_examples=80, deadline=None)
@given(chosen=chosen_settings(), count=st.integers(4000, 7000), seed=st.integers(0, 9))
def test_frames_equal_librosa_whatever_the_settings(chosen: Any, count: Any, seed: Any) -> None:
    front_end = LogMelFrontEnd(**chosen, frames=2 + 512 // chosen["hop_length"], hop=1)
    samples = music(count, seed)
    expected = recipe(samples, chosen)
    assert_equal(front_end.graph(backend.tf.constant(samples)).numpy(), expected)
    assert front_end.frames_in(count) == len(expected)
    assert front_end.example_samples <= count
    assert front_end.frames_in(front_end.example_samples) == front_end.example_shape[0]
    assert front_end.frames_in(max(1, front_end.example_samples - 1)) < front_end.example_shape[0] + (
        front_end.example_samples == 1
    )
    edges = librosa.mel_frequencies(
        chosen["n_mels"] + 2, fmin=chosen["fmin"], fmax=chosen["fmax"] or RATE / 2,
        htk=chosen["mel_scale"] == "htk",
    )  # fmt: skip
    np.testing.assert_allclose(front_end.band_edges_hz(), edges)
    json.dumps(front_end.describe(), allow_nan=False)


USUAL: dict[str, dict[str, Any]] = {
    "defaults": {},
    "decibels": {"log": "db"},
    "decibels under the peak": {"log": "db", "ref": "max", "top_db": 60.0},
    "magnitudes": {"power": 1.0, "log": "log10", "offset": 1e-3, "center": False},
    "compressed": {"log": "log10_1p", "norm": None, "mel_scale": "htk", "pad_mode": "reflect"},
    "by constants": {"mean": -7.0, "std": [0.5 + band / 20 for band in range(40)]},
    "by example": {"log": "db", "mean": "example", "std": "example"},
    "less its mean": {"mean": "example"},
    "window of its own": {"window": tuple, "win_length": 400, "center": False},
}


def usual(name: str, **more: Any) -> LogMelFrontEnd:
    chosen = dict(USUAL[name])
    if "window" in chosen:
        chosen["window"] = np.hanning(400)
    return LogMelFrontEnd(**chosen, **more)


@pytest.mark.parametrize("padding", ["zeros", "repeat"])
@pytest.mark.parametrize("name", USUAL)
def test_examples_are_cut_from_librosas_frames_in_python_and_in_a_graph(name: Any, padding: str) -> None:
    front_end = usual(name, frames=50, hop=20, padding=padding)
    chosen = dict(USUAL[name])
    if "window" in chosen:
        chosen["window"] = np.hanning(400)
    graph = front_end.example_graph()
    tf = backend.tf

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.float32)])  # type: ignore[untyped-decorator]
    def run(waveform: Any) -> Any:
        longer = graph.lengthened(waveform)
        starts = graph.starts(tf.shape(longer)[1])
        return graph.cut(graph.prepare(longer), tf.zeros_like(starts), starts)

    for count in (3000, front_end.example_samples, 33_333):
        samples = music(count, rate=16000)
        longer = np.pad(
            samples,
            (0, max(0, front_end.example_samples - count)),
            mode="wrap" if padding == "repeat" else "constant",
        )
        frames = recipe(longer, chosen)
        examples = front_end.examples(samples)
        starts = front_end.example_starts(count) // 160
        expected = np.stack([frames[start : start + 50] for start in starts])
        own = (1, 2)
        if chosen.get("mean") == "example":
            spread = expected.std(own, keepdims=True)
            expected = expected - expected.mean(own, keepdims=True)
            expected = expected / spread if "std" in chosen else expected
        assert_equal(np.ascontiguousarray(examples), expected)
        np.testing.assert_allclose(run(samples[np.newaxis]).numpy(), examples, atol=2e-5)
        assert len(examples) == len(starts)


def test_single_precision_of_librosa_is_within_a_thousandth_of_a_decibel_where_there_is_sound() -> None:
    samples = music(40_000, rate=16000)
    single = librosa.power_to_db(
        librosa.feature.melspectrogram(y=samples, sr=16000, n_fft=512, hop_length=160, n_mels=40)
    )
    assert np.abs(LogMelFrontEnd(log="db").frames(samples) - single.T).max() < 1e-3


def test_decibels_of_magnitudes_are_those_of_amplitude_to_db() -> None:
    samples = music(40_000, rate=16000)
    mel = librosa.feature.melspectrogram(
        y=samples.astype(float), sr=16000, n_fft=512, hop_length=160, n_mels=40, power=1.0
    )
    front_end = LogMelFrontEnd(power=1, log="db", amin=1e-5, top_db=40, std=0.5)
    assert_equal(front_end.frames(samples), librosa.amplitude_to_db(mel).T)


@pytest.mark.parametrize("name", USUAL)
def test_examples_are_windows_unless_standardised_by_themselves(name: Any) -> None:
    front_end = usual(name, frames=50, hop=20)
    assert front_end.windows == ("example" not in str(USUAL[name].get("mean")))
    assert bool(front_end.joining_refusal) != front_end.windows
    if front_end.windows:
        samples = music(30_000, rate=16000)
        frames = front_end.frames(samples)
        for number, example in enumerate(front_end.examples(samples)):
            assert np.array_equal(example, frames[20 * number : 20 * number + 50])

    class Louder(LogMelFrontEnd):
        def finished(self, windows: Any) -> Any:
            return windows + 1

    assert not Louder().windows


def test_digital_silence_is_finite_and_zeros_where_standardised_by_example() -> None:
    silence = np.zeros(20_000, np.float32)
    for name in USUAL:
        examples = usual(name).examples(silence)
        assert np.isfinite(examples).all()
        if "example" in str(USUAL[name].get("mean")):
            assert not examples.any()


PIECES: dict[str, Callable[[], FrameByFrameFrontEnd]] = {
    "centred": lambda: LogMelFrontEnd(n_fft=2048, hop_length=64, log="db"),
    "mirrored": lambda: LogMelFrontEnd(n_fft=2048, hop_length=64, log="db", ref="max", pad_mode="reflect"),
    "within": lambda: LogMelFrontEnd(n_fft=2048, hop_length=64, center=False, mean=-3.0),
    "by example": lambda: LogMelFrontEnd(n_fft=400, hop_length=160, mean="example", std="example"),
    "musicnn": MusicnnFrontEnd,
    "mm_cnn": MmCnnFrontEnd,
    "svd": SvdFrontEnd,
    "vggish": VggishFrontEnd,
}


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("way", ["frames", "graph"])
def test_long_recordings_take_bounded_memory_and_pieces_change_nothing(name: str, way: str) -> None:
    front_end = PIECES[name]()
    samples = music(60_000, rate=16000)

    def found() -> NDArray[np.float32]:
        if way == "frames":
            return front_end.frames(samples)
        return np.asarray(front_end.graph(backend.tf.constant(samples)))

    front_end.frames_at_once = 10_000
    whole = found()
    front_end.frames_at_once = 50
    spectrum, pieces = front_end.spectrum, []

    def counted(part: Any) -> Any:
        frames = spectrum(part)
        pieces.append(frames.shape[0])
        return frames

    vars(front_end).update(spectrum=counted, _traced_spectrum=counted)
    np.testing.assert_allclose(found(), whole, atol=1e-5)
    assert max(pieces) <= 50
    assert len(pieces) == -(-len(whole) // 50)
    assert len(whole) == front_end.frames_in(len(samples))


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("length", [33, 64, 1000])
def test_part_of_a_padded_recording_is_that_of_the_whole(length: int, pad_mode: Any) -> None:
    samples, around = np.arange(1, length + 1, dtype=np.float32), 32
    padded = np.pad(samples, around, mode=pad_mode)
    for start in range(0, len(padded), 7):
        for stop in range(start + 1, len(padded) + 1, 5):
            found = span(samples, start - around, stop - around, pad_mode)
            assert np.array_equal(found, padded[start:stop]), (start, stop)


@pytest.mark.parametrize("name", USUAL)
def test_what_is_undone_are_the_bands_of_the_sound(name: Any) -> None:
    front_end = usual(name, frames=60)
    samples: NDArray[Any] = 5 * music(front_end.example_samples, rate=16000)
    example, reference = front_end.examples(samples)[0], front_end.reference(samples)
    bands = front_end.to_power(example, reference)
    around = np.pad(samples, front_end.around, mode=front_end.mel.pad_mode)
    expected = front_end.mel.spectrogram(around).numpy()[:60]
    assert (reference is None) == (not front_end.joining_refusal and front_end.level.ref != "max")
    top_db = {"decibels": 80, "by example": 80, "decibels under the peak": 60}.get(name)
    floor = 1e-6 if top_db is None else max(1e-9, 1.001 * expected.max() * 10 ** (-top_db / 10))
    audible = expected > floor
    assert audible.mean() > 0.5
    np.testing.assert_allclose(bands[audible], expected[audible], rtol=2e-3)
    assert bands[~audible].max() < 1.1 * floor + 2e-6
    sonifier = Sonifier(front_end)
    assert sonifier.error_db(sonifier.bands(example, reference), samples) < 0.01


def test_a_sound_can_be_made_that_has_the_example() -> None:
    front_end = LogMelFrontEnd(log="db", frames=60)
    samples: NDArray[Any] = 5 * music(front_end.example_samples, rate=16000)
    sonifier = Sonifier(front_end)
    bands = sonifier.bands(front_end.examples(samples)[0])
    made = sonifier.sound(bands, phase_of=samples)
    assert len(made) == len(samples)
    assert np.abs(made).max() < 10 * np.abs(samples).max()
    assert sonifier.error_db(bands, made) < 0.4 * sonifier.error_db(bands, 0.1 * samples)


def test_a_range_is_that_of_the_settings() -> None:
    assert LogMelFrontEnd(log="db", top_db=30).framing().range_db == 30
    assert LogMelFrontEnd(log="db", top_db=30, power=1).framing().range_db == 60
    assert LogMelFrontEnd().framing().range_db == 60


def test_what_is_at_its_floor_is_silent() -> None:
    front_end = LogMelFrontEnd(mean=-3.3, std=2.7)
    silence = front_end.examples(np.zeros(20_000, np.float32))
    assert not front_end.to_power(silence).any()


def test_an_example_of_its_own_mean_or_peak_needs_the_recording() -> None:
    example = np.zeros((100, 40))
    with pytest.raises(UsageError, match=r"own mean or deviation: give the recording"):
        LogMelFrontEnd(std="example").to_power(example)
    with pytest.raises(UsageError, match=r"peak of the recording: give the recording"):
        LogMelFrontEnd(log="db", ref="max").to_power(example)


@pytest.mark.parametrize(
    ("chosen", "unit"),
    [
        ({}, "ln(mel power)"),
        ({"power": 1, "offset": 0.01}, "ln(mel magnitude + 0.01)"),
        ({"log": "log10"}, "log10(mel power)"),
        ({"log": "db"}, "mel power, dB"),
        ({"log": "db", "ref": np.max}, "mel power, dB under the recording's peak"),
        ({"log": "log10_1p"}, "log10(1 + 10000 mel power)"),
        ({"log": "none", "power": 1.5}, "mel magnitude^1.5"),
        ({"mean": 1.0}, "ln(mel power), standardised"),
        ({"mean": 0.0, "std": 1.0}, "ln(mel power)"),
        ({"std": "example"}, "ln(mel power), standardised by example"),
    ],
)
def test_the_unit_says_what_the_values_are(chosen: dict[str, Any], unit: str) -> None:
    assert LogMelFrontEnd(**chosen).unit == unit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"n_fft": 256}),
        ({}, {"hop_length": 128}),
        ({}, {"win_length": 400}),
        ({}, {"window": "hamming"}),
        ({"window": np.hanning(512)}, {"window": np.hamming(512)}),
        ({}, {"n_mels": 20}),
        ({}, {"fmin": 50.0}),
        ({}, {"fmax": 4000.0}),
        ({}, {"power": 1.0}),
        ({}, {"log": "log10"}),
        ({}, {"amin": 1e-5}),
        ({"offset": 1e-2}, {"offset": 1e-3}),
        ({"log": "db"}, {"log": "db", "ref": 0.1}),
        ({"log": "db"}, {"log": "db", "top_db": 40.0}),
        ({"log": "db"}, {"log": "db", "top_db": None}),
        ({"log": "log10_1p"}, {"log": "log10_1p", "c": 1.0}),
        ({}, {"center": False}),
        ({}, {"pad_mode": "reflect"}),
        ({}, {"mel_scale": "htk"}),
        ({}, {"norm": None}),
        ({}, {"mean": 1.0}),
        ({}, {"std": [2.0] * 40}),
        ({}, {"std": "example"}),
        ({}, {"frames": 99}),
        ({}, {"hop": 10}),
        ({}, {"padding": "repeat"}),
        ({}, {"sample_rate": 8000}),
    ],
)
def test_every_setting_is_in_the_provenance(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (LogMelFrontEnd(**chosen).describe() for chosen in (one, other))
    assert first != second
    json.dumps([first, second], allow_nan=False)


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"log": "loud"}, r"no log 'loud'; there is ln, log10, db, log10_1p, none"),
        ({"n_fft": 512.0}, r"n_fft=512.0: a whole number of at least 1"),
        ({"hop_length": 0}, r"hop_length=0: a whole number"),
        ({"hop": 0}, r"hop=0: a whole number"),
        ({"frames": 0}, r"frames=0: a whole number"),
        ({"sample_rate": "16k"}, r"sample_rate='16k': a whole number"),
        ({"win_length": 1024}, r"win_length=1024: at most n_fft=512"),
        ({"window": "hanning2"}, r"window='hanning2': [A-Za-z]"),
        ({"window": np.hanning(100)}, r"window has shape \[100\].*512 finite numbers"),
        ({"fmax": 9000.0}, r"between 0 and half the sample rate, 8000 Hz"),
        ({"fmin": 900.0, "fmax": 800.0}, r"fmin=900 and fmax=800"),
        ({"power": 0}, r"power=0: a number above 0"),
        ({"center": "yes"}, r"center='yes': True or False"),
        ({"pad_mode": "edge"}, r"no pad_mode 'edge'; there is constant, reflect"),
        ({"mel_scale": "mel"}, r"no mel_scale 'mel'; there is slaney, htk"),
        ({"norm": 2}, r"no norm 2; there is slaney, None"),
        ({"amin": 0.0}, r"amin=0.0: a number above 0"),
        ({"amin": 1e-5, "offset": 1e-5}, r"give one of them"),
        ({"log": "none", "amin": 1e-5}, r"amin belongs to log='ln' and log='log10' and log='db', not to"),
        ({"top_db": 60.0}, r"top_db belongs to log='db', not to log='ln'"),
        ({"ref": "max"}, r"ref belongs to log='db'"),
        ({"log": "db", "ref": "peak"}, r"ref='peak': a number is needed"),
        ({"c": 1.0}, r"c belongs to log='log10_1p'"),
        ({"log": "db", "top_db": -1.0}, r"top_db=-1.0: a number above 0"),
        ({"mean": [1.0, 2.0]}, r"mean has shape \[2\]: a number, or 40"),
        ({"mean": "recording"}, r"mean='recording': a number, 40 of them, or 'example'"),
        ({"std": 0.0}, r"std has to be positive"),
        ({"mean": np.nan}, r"mean holds NaN"),
        ({"padding": "mirror"}, r"no padding 'mirror'"),
        ({"pad_mode": "reflect", "frames": 2}, r"an example of 160 samples, too short to be mirrored"),
    ],
)
def test_settings_that_are_none_are_refused_in_one_sentence(chosen: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refused:
        LogMelFrontEnd(**chosen)
    assert "\n" not in str(refused.value)


def test_it_can_be_pickled_after_use() -> None:
    front_end = LogMelFrontEnd()
    samples = music(40_000, rate=16000)
    examples = front_end.examples(samples)
    assert np.array_equal(pickle.loads(pickle.dumps(front_end.detached())).examples(samples), examples)
    assert isinstance(front_end, FrameFrontEnd)


def test_overlapping_examples_cost_no_memory() -> None:
    front_end = LogMelFrontEnd(hop=1)
    front_end.frames_at_once = 50
    samples = music(160_000, rate=16000)
    front_end.examples(samples)
    tracemalloc.start()
    examples = front_end.examples(samples)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert examples.nbytes > 10 * peak


@pytest.mark.parametrize("frames", [149, 2148])
def test_silence_under_its_own_peak_is_zero_in_python_and_in_a_graph(frames: int) -> None:
    """Logarithms of equal values may differ in the last bit, in the last elements of a piece."""
    front_end = LogMelFrontEnd(n_mels=41, log="db", ref="max", mean="example", std="example")
    samples = np.zeros(frames * 160, np.float32)
    assert not front_end(samples, 16000).any()
    graph = front_end.example_graph()
    starts = front_end.example_starts(len(samples))
    prepared = graph.prepare(backend.tf.constant(samples[None]))
    rows = backend.tf.zeros(len(starts), backend.tf.int32)
    assert not graph.cut(prepared, rows, backend.tf.constant(starts, backend.tf.int32)).numpy().any()


@pytest.mark.parametrize("kind", [LogMelFrontEnd, SvdFrontEnd, VggishFrontEnd, MmCnnFrontEnd])
def test_a_graph_of_ones_own_decides_the_examples(kind: Any) -> None:
    class Own(kind):  # type: ignore[misc]
        def graph(self, samples: Any) -> Any:
            return 0 * super().graph(samples) - 3.0

    assert (Own().examples(music(60_000)) == -3).all()


def test_a_graph_of_ones_own_leaves_the_reference_of_an_example_as_it_is() -> None:
    class Own(LogMelFrontEnd):
        def graph(self, samples: Any) -> Any:
            return 0 * super().graph(samples)

    settings: dict[str, Any] = {"log": "db", "ref": "max", "mean": "example", "std": "example"}
    own, samples = Own(**settings), music(20_000)
    own.examples(samples)
    assert own.reference(samples) == LogMelFrontEnd(**settings).reference(samples)


def test_a_spectrum_of_another_shape_or_type_is_refused() -> None:
    class OneFrame(SvdFrontEnd):
        def spectrum(self, samples: Any) -> Any:
            return super().spectrum(samples)[:1]

    class Double(SvdFrontEnd):
        def spectrum(self, samples: Any) -> Any:
            return backend.tf.cast(super().spectrum(samples), backend.tf.float64)

    with pytest.raises(FrontEndError, match=r"`spectrum` gives float32 of shape \[1, 80\]"):
        OneFrame().examples(music(60_000))
    with pytest.raises(FrontEndError, match=r"gives float64 .* not float32"):
        Double().examples(music(60_000))
