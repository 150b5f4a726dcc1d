"""Sounds for tuning curves: what a dose sets, what stays, and what is done to recordings."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from actprobe import features
from actprobe.analyses.causal.tuning import interventions
from actprobe.analyses.causal.tuning.factors import FACTORS, chosen_factors
from actprobe.analyses.causal.tuning.interventions import Passage
from actprobe.analyses.causal.tuning.job import changed_excerpt
from actprobe.audio import Waveform
from actprobe.corpora.stimuli import LEVEL_DBFS, Scene
from actprobe.errors import AudioError
from actprobe.frontends import WaveformFrontEnd

RATE = 16_000
STIMULI = [name for name, factor in FACTORS.items() if factor.stimulus]
INTERVENTIONS = [name for name, factor in FACTORS.items() if factor.intervention]
Samples = NDArray[np.float64]


def sounds_of(name: str, variant: int = 0, seconds: float = 1.0, rate: int = RATE) -> list[Samples]:
    factor = FACTORS[name]
    assert factor.stimulus is not None
    scene = Scene(int(seconds * rate), rate, (0, variant))
    return [factor.stimulus(scene, dose) for dose in factor.doses if not factor.hertz or dose < 0.45 * rate]


def decibels(sound: NDArray[Any]) -> float:
    return float(10 * np.log10(np.mean(np.square(sound, dtype=np.float64))))


def test_every_factor_is_either_a_stimulus_or_an_intervention() -> None:
    for name, factor in FACTORS.items():
        assert (factor.stimulus is None) != (factor.intervention is None), name
        assert all(low < high for low, high in pairwise(factor.doses)), name
        assert factor.checked(factor.doses, RATE) == factor.doses
        assert not factor.feature or factor.feature in features.available("scalar"), name
        assert not factor.intervention or 0 in factor.doses, name


@pytest.mark.parametrize("name", STIMULI)
def test_the_level_stays_and_nothing_clips(name: str) -> None:
    for variant in range(3):
        for dose, sound in zip(FACTORS[name].doses, sounds_of(name, variant), strict=False):
            expected = dose if name == "level" else LEVEL_DBFS
            assert decibels(sound) == pytest.approx(expected, abs=0.1)
            assert np.abs(sound).max() < 1
            assert len(sound) == RATE


@pytest.mark.parametrize("name", STIMULI)
def test_a_seed_gives_the_same_bytes_and_another_variant_another_sound(name: str) -> None:
    one, again, other = sounds_of(name), sounds_of(name), sounds_of(name, 1)
    assert [each.tobytes() for each in one] == [each.tobytes() for each in again]
    assert not any(np.array_equal(*pair) for pair in zip(one, other, strict=True))
    assert not any(np.allclose(*pair) for pair in pairwise(one))


@pytest.mark.parametrize("rate", [8000, 22050])
@pytest.mark.parametrize("name", STIMULI)
def test_stimuli_are_made_at_any_rate(name: str, rate: int) -> None:
    assert all(np.isfinite(sound).all() and sound.any() for sound in sounds_of(name, rate=rate))


@pytest.mark.parametrize(
    "name", ["level", "onset_rate", "harmonic_ratio", "bandwidth", "centroid"]
)  # fmt: skip
def test_a_dose_moves_its_feature(name: str) -> None:
    feature = FACTORS[name].feature
    values = [
        features.compute_scalars(Waveform(sound.astype(np.float32), RATE), [feature])[feature]
        for sound in sounds_of(name, 1, seconds=4.0)
    ]
    assert all(low < high for low, high in pairwise(values)), values


def test_pitch_is_the_fundamental_frequency() -> None:
    for name in ("pitch", "sung_pitch"):
        for dose, sound in zip(FACTORS[name].doses, sounds_of(name), strict=True):
            power = np.abs(np.fft.rfft(sound * np.hanning(RATE))) ** 2
            peaks = signal.find_peaks(power, height=power.max() / 1e5, distance=0.5 * dose)[0]
            assert peaks[0] == pytest.approx(dose, abs=1.1)  # bins are 1 Hz apart
            assert np.diff(peaks).min() == pytest.approx(dose, abs=2)


def test_formants_stay_where_they_are_while_a_vowel_is_sung_higher() -> None:
    centroids = []
    for name in ("pitch", "sung_pitch"):
        scene = Scene(RATE, RATE, (0, 0))
        make = FACTORS[name].stimulus
        assert make is not None
        values = [
            features.compute_scalars(
                Waveform(make(scene, dose).astype(np.float32), RATE), ["spectral_centroid"]
            )
            for dose in (110.0, 220.0)
        ]
        centroids.append(values[1]["spectral_centroid"] / values[0]["spectral_centroid"])
    assert centroids[0] > 1.5 > 1.3 > centroids[1]


def test_modulation_and_ratio_are_what_the_dose_says() -> None:
    make = FACTORS["modulation_rate"].stimulus
    assert make is not None
    envelope = np.abs(make(Scene(4 * RATE, RATE, (3,)), 8.0))
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    assert np.argmax(spectrum[: 4 * 50]) == 4 * 8
    make = FACTORS["snr"].stimulus
    assert make is not None
    tone, noisy = make(Scene(RATE, RATE, (3,)), 80.0), make(Scene(RATE, RATE, (3,)), 0.0)
    assert np.corrcoef(tone, noisy)[0, 1] ** 2 == pytest.approx(0.5, abs=0.02)


def test_default_doses_that_a_rate_cannot_hold_are_left_out() -> None:
    chosen = {
        factor.name: doses for factor, doses in chosen_factors(["pitch"], None, 2000, corpus=False).items()
    }
    assert max(chosen["pitch"]) < 900


def test_all_takes_interventions_where_there_is_a_corpus() -> None:
    names = [factor.name for factor in chosen_factors("all", None, RATE, corpus=False)]
    assert names == STIMULI
    assert len(chosen_factors("all", None, RATE, corpus=True)) == len(FACTORS)


@pytest.fixture(scope="module")
def passage() -> Passage:
    """Two seconds of a tone of 440 Hz, as the voice, over clicks and noise."""
    time = np.arange(2 * RATE) / RATE
    voice = 0.2 * np.sin(2 * np.pi * 440 * time)
    rest = 0.01 * np.random.default_rng(0).standard_normal(len(time))
    rest[:: RATE // 4] += 0.9
    parts = {name: part.astype(np.float32) for name, part in (("voice", voice), ("rest", rest))}
    return Passage(parts["voice"] + parts["rest"], RATE, (0,), parts)


def changed(name: str, passage: Passage, dose: float) -> NDArray[np.float32]:
    make = FACTORS[name].intervention
    assert make is not None
    found = make(passage, dose)
    assert found.dtype == np.float32
    return found


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_a_dose_of_zero_gives_the_recording_back(name: str, passage: Passage) -> None:
    assert changed(name, passage, 0.0).tobytes() == passage.samples.tobytes()
    assert not np.array_equal(changed(name, passage, FACTORS[name].doses[-1])[:RATE], passage.samples[:RATE])


def strongest(samples: NDArray[np.float32]) -> float:
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return float(np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle)))))) * RATE / len(middle)


def test_what_interventions_do(passage: Passage) -> None:
    assert decibels(changed("gain", passage, -6)) == pytest.approx(decibels(passage.samples) - 6, abs=1e-3)
    assert strongest(changed("pitch_shift", passage, 12)) == pytest.approx(880, rel=0.01)
    faster = changed("time_stretch", passage, 25)
    assert len(faster) == pytest.approx(len(passage.samples) / 1.25, rel=0.01)
    assert strongest(faster) == pytest.approx(440, rel=0.01)
    added = changed("added_noise", passage, 10) - passage.samples
    assert decibels(added) == pytest.approx(decibels(passage.samples) - 20, abs=0.2)


def test_filters_take_octaves_away(passage: Passage) -> None:
    noise = np.random.default_rng(1).standard_normal(4 * RATE).astype(np.float32)
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    for name, dose, kept, lost in (
        ("low_pass", 2.0, hertz < 1500, hertz > 4000),  # at 2 kHz
        ("high_pass", 5.0, hertz > 1500, hertz < 500),  # at 1 kHz
    ):
        after = np.abs(np.fft.rfft(changed(name, Passage(noise, RATE, (0,)), dose))) ** 2
        before = np.abs(np.fft.rfft(noise)) ** 2
        assert after[kept].sum() > 0.9 * before[kept].sum()
        assert after[lost].sum() < 1e-4 * before[lost].sum()


def test_a_remix_raises_one_part_over_the_other(passage: Passage) -> None:
    louder = changed("voice_to_accompaniment", passage, 12.0)
    expected = passage.parts["voice"] * 10**0.3 + passage.parts["rest"] * 10**-0.3
    np.testing.assert_allclose(louder, expected, atol=1e-6)
    ratios = [
        features.compute_scalars(Waveform(changed("harmonic_remix", passage, dose), RATE), ["harmonic_ratio"])
        for dose in (-12.0, 0.0, 12.0)
    ]
    assert all(low["harmonic_ratio"] < high["harmonic_ratio"] for low, high in pairwise(ratios))


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_the_level_of_an_excerpt_stays_unless_it_is_the_factor(name: str, passage: Passage) -> None:
    frontend = WaveformFrontEnd(RATE, samples=RATE // 2)
    levels = [decibels(changed_excerpt(name, dose, passage, RATE, frontend)) for dose in FACTORS[name].doses]
    if name == "gain":
        np.testing.assert_allclose(np.diff(levels), np.diff(FACTORS["gain"].doses), atol=1e-3)
    else:
        assert np.ptp(levels) < 0.01


def test_an_excerpt_keeps_its_centre_when_it_is_played_faster() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(2 * RATE) / RATE) * signal.windows.gaussian(2 * RATE, RATE / 20)
    frontend = WaveformFrontEnd(RATE, samples=RATE // 2)
    passage = Passage(tone.astype(np.float32), RATE, (0,))
    for dose in (-20.0, 0.0, 20.0):
        found = changed_excerpt("time_stretch", dose, passage, RATE, frontend)
        assert len(found) == RATE // 2
        centre = np.average(np.arange(len(found)), weights=np.square(found))
        assert centre == pytest.approx(RATE / 4, abs=256)  # half a hop of the vocoder
    with pytest.raises(AudioError, match=r"too short to be played faster by 200 %"):
        changed_excerpt(
            "time_stretch", 200.0, Passage(passage.samples[:RATE], RATE, (0,)), RATE // 2, frontend
        )


def test_why_a_voice_cannot_be_raised_is_told() -> None:
    one = np.zeros(3, np.float32)
    assert "no known parts" in interventions.without_parts({})
    assert "its known parts are drums, bass" in interventions.without_parts({"drums": one, "bass": one})
    assert not interventions.without_parts({"voice": one, "bass": one})
