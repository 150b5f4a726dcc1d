"""Every usual mistake in a front end of one's own is one sentence when it is wrapped."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import librosa
import numpy as np
import pytest

from actprobe import backend, wrap_model
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd, LogMelFrontEnd, SvdFrontEnd
from actprobe.frontends.check import check_frontend


class Right(FrontEnd):
    """librosa's log-mel in examples of 64 frames by 40 bands; every test breaks one thing of it."""

    name = "mine"
    sample_rate = 16000
    frame_length, frame_hop = 1024, 512
    first_frame = 0
    example_shape = (64, 40)
    example_samples = 64 * 512

    def example_starts(self, samples: Any) -> Any:
        return np.arange(0, max(samples - self.example_samples, 0) + 1, 64 * 512)

    def mel(self, samples: Any) -> Any:
        """[examples, mel, time]"""
        length = 64 * 512
        samples = librosa.util.fix_length(samples, size=max(len(samples), length))
        starts = np.arange(0, len(samples) - length + 1, length)
        return librosa.feature.melspectrogram(
            y=np.stack([samples[start : start + length] for start in starts]),
            sr=16000, n_fft=1024, hop_length=512, n_mels=40,
        )[..., :64]  # fmt: skip

    def examples(self, samples: Any) -> Any:
        return np.log(self.mel(samples) + 1e-6).transpose(0, 2, 1)

    def band_edges_hz(self) -> Any:
        return librosa.mel_frequencies(n_mels=42, fmin=0, fmax=8000)

    def constants(self) -> dict[str, Any]:
        return {"n_fft": 1024}


class WithWindows(Right):
    """Examples of which windows are said to be true."""

    windows: ClassVar[bool] = True
    hop = 64

    def frames(self, samples: Any) -> Any:
        return np.concatenate(list(self.examples(samples)))


def but(**changed: Any) -> type[FrontEnd]:
    return type("Mine", (Right,), changed)


def test_a_front_end_that_is_right_passes_and_is_run_on_sound_silence_and_something_short() -> None:
    lengths: list[Any] = []

    class Watched(Right):
        def examples(self, samples: Any) -> Any:
            lengths.append(len(samples) if samples.any() else "silence")
            samples[:] *= 2  # what the check keeps is not touched
            return super().examples(samples)

    check_frontend(Watched())
    check_frontend(WithWindows())
    check_frontend(None)
    length = Right.example_samples
    assert "silence" in lengths
    sounds = [each for each in lengths if each != "silence"]
    assert min(sounds) < length <= 2 * length < max(sounds)


def test_warnings_of_numpy_do_not_leave_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError, match="logarithm of zero"):
            check_frontend(but(examples=lambda self, s: np.log(self.mel(s)).transpose(0, 2, 1))())


def test_actprobes_own_are_trusted_and_what_is_derived_from_them_is_not() -> None:
    class Broken(LogMelFrontEnd):
        def examples(self, samples: Any) -> Any:
            return super().examples(samples)[..., :-1]

    check_frontend(SvdFrontEnd())
    with pytest.raises(UsageError, match=r"log_mel gives examples of 100 time frames by 39 mel bands"):
        check_frontend(Broken())


def test_one_without_examples_is_only_looked_at() -> None:
    def nothing(self: FrontEnd, *given: Any) -> None:
        raise NotImplementedError

    check_frontend(but(examples=nothing)())
    with pytest.raises(UsageError, match="40 band edges"):
        check_frontend(but(examples=nothing, band_edges_hz=lambda self: np.arange(40.0))())


def raising(self: Any, samples: Any) -> Any:
    return np.zeros((3, 64)) + np.zeros((3, 40))


def standardised(self: Any, samples: Any) -> Any:
    mel = self.mel(samples).transpose(0, 2, 1)
    return mel / mel.std(axis=(1, 2), keepdims=True)


def short_refused(self: Any, samples: Any) -> Any:
    if len(samples) < 20_000:
        raise ValueError("too short")
    return Right.examples(self, samples)


MISTAKES = {
    "librosa's order": (
        but(examples=lambda self, s: np.log(self.mel(s) + 1e-6)),
        r"gives examples \[examples, mel, time\] \(40 by 64\): turn them: \.transpose\(0, 2, 1\)$",
    ),
    "librosa's order, and a frame too many": (
        but(examples=lambda self, s: np.pad(self.mel(s), ((0, 0), (0, 0), (0, 1)))),
        r"\(40 by 65\): turn them: \.transpose\(0, 2, 1\); and example_shape has 64 frames, not 65",
    ),
    "a frame too many": (
        but(examples=lambda self, s: np.pad(Right.examples(self, s), ((0, 0), (0, 1), (0, 0)))),
        r"65 time frames by 40 mel bands, but its example_shape is \(64, 40\)",
    ),
    "a channel axis": (
        but(examples=lambda self, s: Right.examples(self, s)[..., np.newaxis]),
        r"gives examples \[examples, time, mel, 1\]: leave the last axis away",
    ),
    "one example": (
        but(examples=lambda self, s: Right.examples(self, s)[0]),
        r"shape \[64, 40\], not \[examples, time, mel\]: if it is one example, examples\[np.newaxis\]",
    ),
    "a list": (but(examples=lambda self, s: list(Right.examples(self, s))), r"as list: give a NumPy array"),
    "numbers of another kind": (
        but(examples=lambda self, s: Right.examples(self, s).astype(int)),
        r"gives int64 examples: give float32",
    ),
    "centres for edges": (
        but(band_edges_hz=lambda self: librosa.mel_frequencies(n_mels=40, fmin=0, fmax=8000)),
        r"gives 40 band edges, one for each band: .*n_mels \+ 2 = 42.*mel_frequencies\(n_mels=42",
    ),
    "other edges": (
        but(band_edges_hz=lambda self: np.arange(50.0)),
        r"gives 50 band edges for 40 bands: .*42 of them",
    ),
    "edges that fall": (
        but(band_edges_hz=lambda self: np.arange(42.0)[::-1]),
        r"band edges that do not increase",
    ),
    "edges that stay": (
        but(band_edges_hz=lambda self: np.maximum(np.arange(42.0), 5)),
        r"band edges that do not increase",
    ),
    "no edges": (but(band_edges_hz=lambda self: None), r"band edges of shape \[\]"),
    "a turned example_shape": (
        but(example_shape=(40, 64), example_samples=40 * 512),
        r"example_shape is \(time, mel\), so turn it: \(64, 40\)",
    ),
    "an example_shape of three": (but(example_shape=(64, 40, 1)), r"\(time, mel\), two whole numbers"),
    "too few samples in an example": (
        but(example_samples=32),
        r"example_samples=32, which do not fit: 64 frames of 1024 samples every 512 span 33280",
    ),
    "too many samples in an example": (
        but(example_samples=64 * 1024),
        r"example_samples=65536, which do not",
    ),
    "seconds": (but(example_samples=2.048), r"example_samples=2.048: the samples that an example spans"),
    "more examples than starts": (
        but(example_starts=lambda self, samples: np.zeros(1, int)),
        r"gives 2 examples of noise \(81921 samples\), but 1 start in example_starts: one start for each",
    ),
    "fewer examples than starts": (
        but(examples=lambda self, s: Right.examples(self, s)[:1]),
        r"gives 1 example of noise \(81921 samples\), but 2 starts in",
    ),
    "starts without end": (
        but(example_starts=lambda self, samples: np.arange(0, max(samples, 1), 64 * 512)),
        r"an example that begins at sample 65536 .* beyond the 81921 samples of noise",
    ),
    "starts in no order": (
        but(example_starts=lambda self, samples: np.array([32768, 0])),
        r"starts of examples that do not ascend: \[32768, 0\]",
    ),
    "no starts for a short recording": (
        but(example_starts=lambda self, n: np.arange(0, n - 64 * 512 + 1, 64 * 512)),
        r"gives no starts of examples for a recording shorter than an example \(16384 samples\)",
    ),
    "starts in seconds": (
        but(example_starts=lambda self, samples: np.arange(0, samples - 32768 + 1, 32768) / 16000),
        r"example_starts gives whole numbers",
    ),
    "a recording that is too short": (
        but(examples=short_refused),
        r"fails in examples of a recording shorter than an example: ValueError: too short",
    ),
    "numpy": (but(examples=raising), r"fails in examples of noise: ValueError: operands could not be"),
    "log of zero": (
        but(examples=lambda self, s: np.log(self.mel(s)).transpose(0, 2, 1)),
        r"gives minus infinity for digital silence, the logarithm of zero: np\.log\(np\.maximum\(mel",
    ),
    "zero by zero": (
        but(
            examples=lambda self, s: (m := self.mel(s).transpose(0, 2, 1)) / m.std(axis=(1, 2), keepdims=True)
        ),
        r"gives NaN or infinity for digital silence, as zero divided by zero does",
    ),
    "NaN": (
        but(examples=lambda self, s: np.log(self.mel(s) - 1).transpose(0, 2, 1)),
        r"gives NaN or infinity for noise: every value has to be finite",
    ),
    "constants": (but(constants=lambda self: {"mean": np.zeros(3)}), r"constants that are no JSON .*tolist"),
    "constants of one kind": (but(constants=lambda self: 1), r"constants as int: a dict is needed"),
    "no super().__init__": (but(__init__=lambda self: None), r"no `padding`: call super\(\).__init__\(\)"),
    "windows that are none": (
        type("Mine", (WithWindows,), {"hop": 32}),
        r"has windows, but its example k is not frames\(samples\)\[32 \* k : 32 \* k \+ 64\]",
    ),
    "windows without hop": (type("Mine", (WithWindows,), {"hop": None}), r"has windows, but hop=None"),
    "windows without frames": (but(windows=True, hop=64), r"does not cut its examples out of common frames"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_one_sentence(mistake: Any) -> None:
    kind, sentence = MISTAKES[mistake]
    with pytest.raises(UsageError, match=sentence) as refused:
        check_frontend(kind())
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("the front end mine ")


@pytest.mark.parametrize(
    ("attribute", "meaning"),
    [
        ("name", "what it is called"),
        ("sample_rate", "the rate in Hz"),
        ("example_samples", "the samples that an example spans"),
        ("frame_hop", "the samples between frames"),
        ("frame_length", "the samples that a frame sees"),
        ("first_frame", "the centre of an example's first frame"),
        ("example_shape", r"\(time, mel\) of an example"),
    ],
)
def test_a_missing_attribute_is_named(attribute: str, meaning: str) -> None:
    kept = {key: value for key, value in vars(Right).items() if key != attribute and key[0] != "_"}
    kind = type("Mine", (FrontEnd,), kept)
    with pytest.raises(UsageError, match=f"has no `{attribute}`, .*{meaning}"):
        check_frontend(kind())


def test_a_class_or_a_function_is_no_front_end() -> None:
    with pytest.raises(UsageError, match=r"frontend=Right is a class: give an instance, Right\(\)"):
        check_frontend(Right)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"frontend=function is not a front end: derive its class from"):
        check_frontend(lambda samples: samples)  # type: ignore[arg-type]


def network(shape: tuple[int, int]) -> Any:
    keras = backend.keras
    return keras.Sequential([keras.layers.Input((*shape, 1)), keras.layers.Conv2D(2, 3, name="conv")])


def test_wrapping_checks_it_once() -> None:
    runs = []

    class Counted(Right):
        def example_starts(self, samples: Any) -> Any:
            runs.append(samples)
            return super().example_starts(samples)

    model = wrap_model(network((64, 40)), frontend=Counted())
    checked = len(runs)
    assert 3 <= checked <= 5
    samples = np.zeros(70_000, np.float32)
    examples = model.frontend(samples, 16000)
    assert len(runs) == checked
    assert examples.dtype == np.float32
    with pytest.raises(UsageError, match="turn them"):
        wrap_model(network((64, 40)), frontend=MISTAKES["librosa's order"][0]())
    with pytest.raises(UsageError, match=r"is a class: give an instance, LogMelFrontEnd\(\)"):
        wrap_model(network((100, 40)), frontend=LogMelFrontEnd)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="so turn it"):
        wrap_model(network((40, 64)), frontend=MISTAKES["a turned example_shape"][0]())


def test_double_precision_is_cast_quietly() -> None:
    class Double(Right):
        def examples(self, samples: Any) -> Any:
            return super().examples(samples).astype(np.float64)

    model = wrap_model(network((64, 40)), frontend=Double())
    examples = model.frontend(np.ones(40_000, np.float32) / 2, 16000)
    assert examples.dtype == np.float32
    double = model.frontend.examples(np.ones(40_000, np.float32) / 2)
    assert model.activations(double, ["conv"])["conv"].dtype == np.float32
