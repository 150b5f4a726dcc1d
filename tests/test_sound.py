"""Sonograms to sound: every front end is undone, and what comes out has the bands it was to have."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import actprobe
from actprobe.audio.writing import write_wav
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd, MelgramFrontEnd, MmCnnFrontEnd, SvdFrontEnd, VggishFrontEnd
from actprobe.frontends.sound import Sonifier

FRONT_ENDS = [SvdFrontEnd, VggishFrontEnd, MelgramFrontEnd, MmCnnFrontEnd]


@pytest.fixture(scope="module")
def meanstd(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Something to standardise by that is not neutral."""
    path = tmp_path_factory.mktemp("norm") / "meanstd.npz"
    np.savez(path, mean=np.linspace(-3, -6, 80), std=np.linspace(1.5, 2.5, 80))
    return str(path)


def open_front_end(kind: type[FrontEnd], meanstd: str) -> FrontEnd:
    return kind(meanstd) if kind is SvdFrontEnd else kind()


def music(front_end: FrontEnd) -> NDArray[Any]:
    """Decaying tones over soft noise, as long as an example."""
    rate, count = front_end.sample_rate, front_end.example_samples
    time = np.arange(count) / rate
    tones = sum(
        np.sin(2 * np.pi * hertz * time + hertz) / (1 + k) for k, hertz in enumerate((220, 440, 1300))
    )
    beats = np.exp(-6 * (time % 0.4))
    noise = np.random.default_rng(0).standard_normal(count)
    values: NDArray[Any] = (0.2 * tones * beats + 0.003 * noise).astype(np.float32)
    return values


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_undoing_a_front_end_gives_the_bands_that_its_sound_has(kind: Any, meanstd: str) -> None:
    front_end = open_front_end(kind, meanstd)
    sound = music(front_end)
    sonifier = Sonifier(front_end)
    bands = sonifier.bands(front_end.examples(sound)[0], front_end.reference(sound))
    analysed = sonifier.analyse(sound)
    assert bands.shape == analysed.shape == front_end.example_shape
    assert sonifier.error_db(bands, sound) < 1e-3


@pytest.mark.parametrize("name", ["mm_cnn", "cnn_at"])
def test_what_a_file_standardises_by_is_given_back(name: str, tmp_path: Path) -> None:
    if name == "mm_cnn":
        np.save(tmp_path / "mean.npy", np.random.default_rng(0).normal(-30, 9, (96, 128)))
        front_end: FrontEnd = MmCnnFrontEnd(tmp_path / "mean.npy")
    else:
        np.savez(tmp_path / "constants.npz", mean=-30.0, std=12.0)
        front_end = MelgramFrontEnd(tmp_path / "constants.npz")
    sound = music(front_end)
    assert front_end.reference(sound) is None
    sonifier = Sonifier(front_end)
    assert sonifier.error_db(sonifier.bands(front_end.examples(sound)[0]), sound) < 1e-3


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_examples_are_undone_many_at_once(kind: Any, meanstd: str) -> None:
    front_end = open_front_end(kind, meanstd)
    sound = music(front_end)
    example, reference = front_end.examples(sound)[0], front_end.reference(sound)
    power = front_end.to_power(np.stack([[example, example]]), reference)
    assert power.dtype == np.float64
    assert power.shape == (1, 2, *front_end.example_shape)
    assert np.array_equal(power[0, 1], Sonifier(front_end).bands(example, reference))


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_spectrum_has_the_bands_that_it_was_made_for(kind: Any, meanstd: str) -> None:
    front_end = open_front_end(kind, meanstd)
    sonifier = Sonifier(front_end)
    framing = sonifier.framing
    bands = sonifier.analyse(music(front_end))[:60]
    magnitudes = sonifier.magnitudes(bands)
    assert magnitudes.shape == (60, framing.n_fft // 2 + 1)
    assert (magnitudes >= 0).all()
    made = magnitudes[:, : len(framing.bank)] ** framing.power @ framing.bank
    heard = bands > bands.max() * 10 ** (-framing.range_db * framing.power / 20)
    ratio_db = 20 / framing.power * np.abs(np.log10(made[heard] / bands[heard]))
    assert np.sqrt(np.mean(ratio_db**2)) < 0.05


# 29 s of Griffin and Lim take long, and mm_cnn's sonograms are of the same kind: only the own phase.
@pytest.mark.parametrize(
    ("kind", "own_phase"),
    [(MelgramFrontEnd, True), *product((SvdFrontEnd, VggishFrontEnd, MmCnnFrontEnd), (False, True))],
)
def test_round_trip_of_a_sound_is_within_two_decibels(kind: Any, own_phase: Any, meanstd: str) -> None:
    front_end = open_front_end(kind, meanstd)
    sound = music(front_end)
    sonifier = Sonifier(front_end)
    bands = sonifier.bands(front_end.examples(sound)[0], front_end.reference(sound))
    made = sonifier.sound(bands, phase_of=sound if own_phase else None)
    assert made.dtype == np.float32
    assert len(made) == sonifier.framing.samples_of(len(bands))
    assert abs(len(made) - len(sound)) < front_end.frame_hop
    assert sonifier.error_db(bands, made) < 2
    assert np.abs(made).max() < 2 * np.abs(sound).max()  # no blow-up, least of all at the ends
    if own_phase:
        count = min(len(made), len(sound))
        assert np.corrcoef(made[:count], sound[:count])[0, 1] > 0.9


def test_error_says_how_far_levels_are_apart(meanstd: str) -> None:
    front_end = SvdFrontEnd(meanstd)
    sonifier = Sonifier(front_end)
    sound = music(front_end)
    bands = sonifier.analyse(sound)
    assert sonifier.error_db(bands, sound) == pytest.approx(0, abs=1e-6)
    white = np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32) * 0.1
    assert sonifier.error_db(sonifier.analyse(white), 0.5 * white) == pytest.approx(
        20 * np.log10(2), abs=0.01
    )
    assert sonifier.error_db(np.zeros((115, 80)), white) == 0


def test_phase_is_seeded(meanstd: str) -> None:
    front_end = SvdFrontEnd(meanstd)
    sonifier = Sonifier(front_end)
    bands = sonifier.analyse(music(front_end))[:40]
    one = sonifier.sound(bands, iterations=4, seed=1)
    assert np.array_equal(one, sonifier.sound(bands, iterations=4, seed=1))
    assert not np.array_equal(one, sonifier.sound(bands, iterations=4, seed=2))


def test_an_absurd_sonogram_neither_blows_up_nor_clips(meanstd: str, tmp_path: Path) -> None:
    """Inverters may give anything: exp(1000) must not be heard."""
    front_end = SvdFrontEnd(meanstd)
    sonifier = Sonifier(front_end)
    absurd = np.full((20, 80), 1000.0)
    samples = sonifier.sound(sonifier.bands(absurd), iterations=2)
    assert np.isfinite(samples).all()
    gain = write_wav(tmp_path / "loud.wav", samples, 22050)
    written, rate = soundfile.read(tmp_path / "loud.wav")
    assert gain < 1
    assert rate == 22050
    assert 0.98 < np.abs(written).max() < 0.9999
    soft = (0.1 * np.sin(np.arange(1000))).astype(np.float32)
    assert write_wav(tmp_path / "soft.wav", soft, 22050) == 1
    assert np.abs(soundfile.read(tmp_path / "soft.wav")[0] - soft).max() < 1e-4


def test_silence_stays_silent(meanstd: str) -> None:
    front_end = SvdFrontEnd(meanstd)
    silent = front_end.examples(np.zeros(front_end.example_samples, np.float32))[0]
    sonifier = Sonifier(front_end)
    bands = sonifier.bands(silent)
    assert bands.max() < 2e-7  # the floor of the logarithm, give or take its rounding
    assert np.abs(sonifier.sound(bands, iterations=2)).max() < 1e-6


def test_what_cannot_be_undone_is_said(meanstd: str) -> None:
    class Strange(FrontEnd):
        name = "strange"

        def example_starts(self, samples: Any) -> Any:
            return np.zeros(1)

        def examples(self, samples: Any) -> Any:
            return samples

        def band_edges_hz(self) -> Any:
            return np.zeros(1)

        def constants(self) -> dict[str, Any]:
            return {}

    with pytest.raises(UsageError, match="how to undo the front end strange"):
        Sonifier(Strange())
    with pytest.raises(UsageError, match="own mean and deviation"):
        Sonifier(MelgramFrontEnd()).bands(np.zeros((1366, 96)))
    sonifier = Sonifier(SvdFrontEnd(meanstd))
    with pytest.raises(UsageError, match=r"shape \[time, 80\]"):
        sonifier.bands(np.zeros((115, 81)))
    with pytest.raises(UsageError, match="NaN or infinity"):
        sonifier.bands(np.full((115, 80), np.nan))
    with pytest.raises(UsageError, match="not as long"):
        sonifier.sound(np.ones((30, 80)), phase_of=np.zeros(22050, np.float32))


@pytest.mark.parametrize("name", ["svd", "cnn_at"])
def test_sonify_gives_a_sound_with_the_bands_of_the_example(name: str) -> None:
    model = actprobe.load_model(name, normalization=None)
    front_end = model.frontend
    recording = actprobe.Waveform(music(front_end), front_end.sample_rate)
    example = model.frontend(recording)[0]
    sound = actprobe.sonify(model, example, recording)
    assert sound.sample_rate == front_end.sample_rate
    sonifier = Sonifier(front_end)
    bands = sonifier.bands(example, front_end.reference(recording.samples))
    assert sonifier.error_db(bands, sound.samples) < 2.0


def test_sonify_says_what_a_standardised_example_lacks() -> None:
    model = actprobe.load_model("cnn_at")
    with pytest.raises(UsageError, match="mean and deviation"):
        actprobe.sonify(model, np.zeros((1366, 96)))
