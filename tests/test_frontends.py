"""Front ends: the melgram equals the published recipe, and recordings of any length are covered."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from actprobe.audio import Waveform
from actprobe.errors import FrontEndError, UsageError, WeightsError
from actprobe.frontends import FrontEnd, MelgramFrontEnd, MmCnnFrontEnd, SvdFrontEnd, VggishFrontEnd, cover
from actprobe.frontends.absent import NoFrontEnd

EXAMPLE = MelgramFrontEnd.example_samples


def published_recipe(samples: NDArray[Any]) -> NDArray[Any]:
    """The melgram of facts about music-auto_tagging-keras, by librosa; [mel, time]."""
    power = librosa.feature.melspectrogram(
        y=samples, sr=12000, n_fft=512, hop_length=256, n_mels=96, power=2.0, pad_mode="reflect"
    )
    values: NDArray[Any] = librosa.power_to_db(power**2, ref=1.0, amin=1e-10, top_db=80.0)
    return values


def music(seconds: float, seed: int = 0) -> NDArray[Any]:
    """A decaying chord with noise, 12 kHz."""
    time = np.arange(int(seconds * 12000)) / 12000
    tones = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220, 277.2, 329.6, 1760))
    noise = np.random.default_rng(seed).standard_normal(len(time))
    values: NDArray[Any] = (0.1 * tones * np.exp(-(time % 0.5) * 4) + 0.01 * noise).astype(np.float32)
    return values


def test_melgram_equals_the_published_recipe_to_a_ten_thousandth() -> None:
    samples = music(29.12)
    expected = published_recipe(samples)
    melgram = MelgramFrontEnd().decibels(samples[np.newaxis]).numpy()[0].T
    assert melgram.shape == (96, 1366)
    assert np.abs(melgram - expected).max() <= 1e-4 * np.abs(expected).max()


def test_melgram_of_real_music_equals_the_published_recipe(assets: Path) -> None:
    pcm = np.load(assets / "golden/inputs_jazzpiano.npz")["pcm_int16_22050"]
    waveform = Waveform((pcm / 32768).astype(np.float32), 22050).resample(12000)
    padded = np.pad(waveform.samples, (0, EXAMPLE - len(waveform.samples)))
    expected = published_recipe(padded)
    melgram = MelgramFrontEnd().decibels(padded[np.newaxis]).numpy()[0].T
    assert np.abs(melgram - expected).max() <= 1e-4 * np.abs(expected).max()
    example = MelgramFrontEnd()(waveform)[0].T
    assert np.abs(example - (expected - expected.mean()) / expected.std()).max() <= 1e-4


def test_stored_melgrams_of_the_original_come_out_of_its_recordings(assets: Path) -> None:
    """The original's decoder dropped the 529 samples of MP3 delay; the rest is the resampler's."""
    from actprobe.audio import load_audio

    stored = np.load(assets / "golden/cnn_at_inputs.npz")["thejazzpiano"]
    waveform = load_audio(assets / "audio/instrumental/bensound-thejazzpiano.mp3")
    assert waveform.sample_rate == 44100
    shifted = Waveform(np.pad(waveform.samples[529:], (0, 529)), 44100)
    front_end = MelgramFrontEnd()
    melgram = front_end.decibels(front_end.segments(shifted.resample(12000).samples)).numpy()
    assert melgram.shape == (1, 1366, 96)
    difference = np.abs(melgram[0].T - stored)
    assert difference.mean() < 0.06
    assert np.median(difference) < 0.04


def test_dynamic_range_ends_80_db_below_the_peak() -> None:
    melgram = MelgramFrontEnd().decibels(np.pad(music(5), (0, EXAMPLE - 60000))[np.newaxis]).numpy()
    assert melgram.max() - melgram.min() == pytest.approx(80, abs=1e-4)


def test_examples_are_standardised_each_by_itself() -> None:
    quiet = MelgramFrontEnd()(0.5 * music(29.12), 12000)
    loud = MelgramFrontEnd()(music(29.12), 12000)
    assert loud.mean() == pytest.approx(0, abs=1e-5)
    assert loud.std() == pytest.approx(1, abs=1e-5)
    assert np.abs(quiet - loud).max() < 1e-3


def test_constants_from_a_file_keep_level_differences(tmp_path: Path) -> None:
    np.savez(tmp_path / "constants.npz", mean=-20.0, std=14.0)
    front_end = MelgramFrontEnd(tmp_path / "constants.npz")
    loud, quiet = front_end(music(29.12), 12000), front_end(0.5 * music(29.12), 12000)
    assert loud.mean() - quiet.mean() == pytest.approx(40 * np.log10(2) / 14, rel=1e-3)
    assert front_end.describe()["standardisation"] == {"mean": -20.0, "std": 14.0}


@pytest.mark.parametrize(
    ("arrays", "entry"),
    [
        ({"mean": 0.0}, "std"),
        ({"mean": 0.0, "std": 0.0}, "std"),
        ({"mean": np.nan, "std": 1.0}, "mean"),
        ({"mean": np.zeros(3), "std": 1.0}, "mean"),
    ],
)
def test_bad_constants_are_refused_by_name(tmp_path: Path, arrays: dict[str, Any], entry: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(WeightsError) as refused:
        MelgramFrontEnd(tmp_path / "bad.npz")
    assert refused.value.entry == entry


def test_silence_becomes_zeros_not_nan() -> None:
    assert np.array_equal(MelgramFrontEnd()(np.zeros(120000, np.float32), 12000), np.zeros((1, 1366, 96)))


def test_other_rates_are_resampled_and_say_so() -> None:
    front_end = MelgramFrontEnd()
    at_44100 = Waveform(music(29.12), 12000).resample(44100)
    difference = np.abs(front_end(at_44100) - front_end(music(29.12), 12000))
    assert np.median(difference) < 0.01
    assert "soxr" in front_end.describe()["resampler"]


@pytest.mark.parametrize(
    ("samples", "rate", "error"),
    [
        (np.zeros(0, np.float32), 12000, FrontEndError),
        (np.zeros((2, 12000), np.float32), 12000, ValueError),
        (np.full(12000, np.nan, np.float32), 12000, ValueError),
        (np.zeros(12000, np.float32), None, ValueError),
        (np.zeros(12000, np.int16), 12000, ValueError),
    ],
)
def test_unusable_samples_are_refused(samples: Any, rate: int | None, error: Any) -> None:
    with pytest.raises(error):
        MelgramFrontEnd()(samples, rate)


def test_repeating_fills_the_example_with_the_recording() -> None:
    tone = music(5)
    segment = MelgramFrontEnd(padding="repeat").segments(tone)[0]
    assert np.array_equal(segment[: 2 * len(tone)], np.concatenate([tone, tone]))
    assert len(segment) == EXAMPLE
    zeros = MelgramFrontEnd().segments(tone)[0]
    assert np.array_equal(zeros[: len(tone)], tone)
    assert not zeros[len(tone) :].any()
    with pytest.raises(UsageError, match=r"mirror.*zeros, repeat"):
        MelgramFrontEnd(padding="mirror")


def test_clip_a_little_longer_than_an_example_gives_the_published_centre_crop() -> None:
    clip = 32 * 12000 + 12
    assert cover(clip, EXAMPLE).tolist() == [(clip - EXAMPLE) // 2]


@given(st.integers(1, 10_000), st.integers(1, 500))
def test_cover_leaves_at_most_a_fifth_of_an_example_unheard(samples: int, length: int) -> None:
    starts = cover(samples, length)
    heard = np.zeros(max(samples, length), bool)
    for start in starts:
        assert 0 <= start <= max(0, samples - length)
        heard[start : start + length] = True
    assert starts.tolist() == sorted(starts)
    assert (~heard[:samples]).sum() <= 0.2 * length + 1
    assert len(starts) == 1 or len(starts) * length <= samples + length


# What a front end can do


class Bare(FrontEnd):
    """A front end of one's own that has the abstract methods alone."""

    name = "bare"

    def example_starts(self, samples: Any) -> Any:
        return np.zeros(1, np.int64)

    def examples(self, samples: Any) -> Any:
        return np.zeros((1, 2, 3), np.float32)

    def band_edges_hz(self) -> Any:
        return np.arange(5.0)

    def constants(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda front_end: front_end.frames(np.zeros(9)), "common frames: give it `frames`, `hop`"),
        (lambda front_end: front_end.framing(), "no sound can be made; give it `framing` and `to_power`"),
        (lambda front_end: front_end.to_power(np.zeros((2, 3))), "give it `framing` and `to_power`"),
        (lambda front_end: front_end.example_graph(), "TensorFlow operations.*: give it `example_graph`"),
    ],
)
def test_what_a_front_end_cannot_do_says_what_to_give(call: Callable[..., Any], wanted: str) -> None:
    with pytest.raises(UsageError, match=f"front end bare.*{wanted}"):
        call(Bare())
    with pytest.raises(UsageError, match="mine was wrapped without a front end"):
        call(NoFrontEnd("mine", (2, 3)))


def test_a_bare_front_end_is_known_and_an_absent_one_is_not() -> None:
    bare = Bare()
    assert (bare.known, bare.windows, bare.joining_refusal) == (True, False, "")
    assert bare.unit == "front end's units of level"
    assert bare.reference(np.zeros(9, np.float32)) is None
    assert not NoFrontEnd("mine", (2, 3)).known


@pytest.mark.parametrize("kind", [SvdFrontEnd, VggishFrontEnd, MmCnnFrontEnd])
def test_examples_of_a_front_end_with_windows_are_windows_of_its_frames(kind: Any) -> None:
    front_end = kind(hop=7)
    samples = music(6)
    frames, examples = front_end.frames(samples), front_end.examples(samples)
    time = front_end.example_shape[0]
    assert front_end.windows
    assert len(examples) > 2
    for number, example in enumerate(examples):
        assert np.array_equal(example, frames[7 * number : 7 * number + time])


def test_examples_that_something_is_done_to_are_no_windows(tmp_path: Path) -> None:
    class Louder(SvdFrontEnd):
        def examples(self, samples: Any) -> Any:
            return super().examples(samples) + 1

    class Finished(SvdFrontEnd):
        def finished(self, windows: Any) -> Any:
            return windows + 1

    np.save(tmp_path / "mean.npy", np.zeros((96, 128)))
    for front_end in (Louder(), Finished(), MmCnnFrontEnd(tmp_path / "mean.npy"), MelgramFrontEnd()):
        assert not front_end.windows
    shorter = music(6)
    assert np.array_equal(Finished().examples(shorter), SvdFrontEnd().examples(shorter) + 1)


def test_units_are_those_of_the_examples(tmp_path: Path) -> None:
    np.savez(tmp_path / "meanstd.npz", mean=np.zeros(80), std=np.full(80, 2.0))
    np.savez(tmp_path / "neutral.npz", mean=np.zeros(80), std=np.ones(80))
    assert SvdFrontEnd().unit == SvdFrontEnd(tmp_path / "neutral.npz").unit == "log-mel (natural logarithm)"
    assert SvdFrontEnd(tmp_path / "meanstd.npz").unit == "log-mel, deviations from the training mean"
    assert VggishFrontEnd().unit == "ln(mel + 0.01)"


@pytest.mark.parametrize("kind", [SvdFrontEnd, MelgramFrontEnd])
def test_a_detached_front_end_can_be_pickled_after_use(kind: Any) -> None:
    front_end = kind()
    samples = music(30)
    examples = front_end.examples(samples)
    opened = pickle.loads(pickle.dumps(front_end.detached()))
    assert np.array_equal(opened.examples(samples), examples)
    assert np.array_equal(front_end.examples(samples), examples)
