"""Hand-crafted features: the registry, and each scalar against its library and against known signals."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from actprobe import backend, features
from actprobe.audio import Waveform
from actprobe.corpora.phantom import phantom_recording
from actprobe.errors import FeatureError, UsageError
from actprobe.features import registry

es = backend.essentia
ROOT = Path(__file__).resolve().parents[1]
RATE = 44100


def noise(seconds: float, sample_rate: int = RATE, seed: int = 0) -> Waveform:
    rng = np.random.default_rng(seed)
    return Waveform((0.1 * rng.standard_normal(round(seconds * sample_rate))).astype("f4"), sample_rate)


def clicks(times: list[float], seconds: float, sample_rate: int = RATE) -> Waveform:
    """Bursts of noise that decay within some 20 ms."""
    rng = np.random.default_rng(0)
    samples = np.zeros(round(seconds * sample_rate))
    burst = np.exp(-np.arange(round(0.05 * sample_rate)) / (0.008 * sample_rate))
    for time in times:
        start = round(time * sample_rate)
        samples[start : start + len(burst)] += 0.3 * burst * rng.standard_normal(len(burst))
    return Waveform(samples.astype("f4"), sample_rate)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the registry, so that features made in a test do not outlive it."""
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))


class TestRegistry:
    def test_the_built_in_features_are_there(self) -> None:
        assert {"loudness", "onset_rate"} <= set(features.available())
        assert features.get_feature("onset_rate").unit == "1/s"
        assert features.get_feature("loudness").sample_rate == RATE

    def test_an_unknown_name_lists_those_there_are(self) -> None:
        with pytest.raises(UsageError, match=r"'colour'.*loudness, onset_rate"):
            features.get_feature("colour")
        with pytest.raises(UsageError, match="colour"):
            features.compute_scalars(noise(1), ["loudness", "colour"])

    def test_numbers_and_maps_are_in_one_registry_by_kind(self) -> None:
        scalars, maps = features.available("scalar"), features.available("map")
        assert {"chroma", "harmonic", "hpcp", "percussive"} <= set(maps)
        assert sorted(scalars + maps) == features.available()
        with pytest.raises(UsageError, match=r"harmonic is a map, not a scalar.*loudness"):
            features.compute_scalars(noise(1), ["harmonic"])
        with pytest.raises(UsageError, match="no kind of feature is called 'image'"):
            features.available("image")
        with pytest.raises(UsageError, match="hpcp is a map"):
            features.compute_scalars(noise(1), [features.get_feature("hpcp")])

    def test_one_decorated_function_is_a_feature(self, own_registry: None) -> None:
        @features.feature("mean_square", unit="", sample_rate=8000)
        def mean_square(waveform: Any) -> Any:
            """Mean of the squared samples.

            More about it.
            """
            assert waveform.sample_rate == 8000
            return np.mean(waveform.samples**2)

        values = features.compute_scalars(noise(1), ["mean_square", "loudness"])
        assert list(values) == ["mean_square", "loudness"]
        assert type(values["mean_square"]) is float
        assert values["mean_square"] == pytest.approx(0.01 * 8000 / RATE, rel=0.1)
        assert features.get_feature("mean_square").description == "Mean of the squared samples."
        assert features.compute_scalars(noise(1), [features.get_feature("mean_square")]) == {
            "mean_square": values["mean_square"]
        }
        assert mean_square(Waveform(np.ones(4, "f4"), 8000)) == 1  # the function itself is left as it was

    def test_a_feature_without_a_rate_gets_the_recordings_own(self, own_registry: None) -> None:
        features.feature("rate", unit="Hz")(lambda waveform: waveform.sample_rate)
        assert features.compute_scalars(noise(1, 11025), ["rate"]) == {"rate": 11025.0}

    def test_features_at_one_rate_share_one_resampling(
        self, own_registry: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        features.feature("loud_twin", unit="", sample_rate=RATE)(lambda waveform: waveform.peak)
        rates: list[int] = []
        resample = Waveform.resample

        def watched(self: Waveform, rate: int) -> Waveform:
            if self.sample_rate != rate:
                rates.append(rate)
            return resample(self, rate)

        monkeypatch.setattr(Waveform, "resample", watched)
        features.compute_scalars(noise(1, 16000), ["onset_rate", "loudness", "loud_twin"])
        assert rates == [RATE]

    def test_a_name_belongs_to_one_function(self, own_registry: None) -> None:
        def make(value: Any) -> None:
            @features.feature("mine", unit="")
            def function(waveform: Any) -> Any:
                return value

        make(1.0)
        make(2.0)  # the same definition again, as when a notebook cell is run twice
        assert features.compute_scalars(noise(1), ["mine"]) == {"mine": 2.0}
        with pytest.raises(UsageError, match="loudness is already registered"):
            features.feature("loudness", unit="")(lambda waveform: 0.0)

    @pytest.mark.parametrize(("name", "rate"), [("two words", None), ("", None), ("fine", 0), ("fine", -1)])
    def test_a_name_and_a_rate_must_make_sense(self, own_registry: None, name: str, rate: int | None) -> None:
        with pytest.raises(UsageError):
            features.feature(name, unit="", sample_rate=rate)

    @pytest.mark.parametrize(
        ("result", "reason"),
        [
            (np.nan, "nan"),
            (np.inf, "inf"),
            (None, "TypeError"),
            (np.zeros(2), "TypeError"),
            (ZeroDivisionError("by nothing"), "ZeroDivisionError: by nothing"),
        ],
    )
    def test_no_finite_number_is_a_feature_error(self, own_registry: None, result: Any, reason: str) -> None:
        @features.feature("broken", unit="")
        def broken(waveform: Any) -> Any:
            if isinstance(result, Exception):
                raise result
            return result

        with pytest.raises(FeatureError, match=f"feature broken: .*{reason}"):
            features.compute_scalars(noise(1), ["broken"])

    def test_describe_says_what_made_the_values(self, own_registry: None) -> None:
        features.feature("mine", unit="dB")(lambda waveform: 0.0)
        features.feature("elsewhere", unit="", backend="no-such-distribution")(lambda waveform: 0.0)
        table: dict[str, Any] = features.describe(["onset_rate", "mine", "elsewhere"])
        assert table["onset_rate"] == {
            "kind": "scalar",
            "description": "Onsets per second, as essentia's OnsetRate finds them at its defaults.",
            "unit": "1/s",
            "sample_rate": 44100,
            "resampler": table["onset_rate"]["resampler"],
            "backend": "essentia-tensorflow",
            "backend_version": table["onset_rate"]["backend_version"],
        }
        assert table["onset_rate"]["resampler"].startswith("soxr ")
        assert table["onset_rate"]["backend_version"][0].isdigit()
        assert table["mine"]["unit"] == "dB"
        assert (table["mine"]["sample_rate"], table["mine"]["resampler"]) == (None, "")
        assert table["elsewhere"]["backend_version"] == "not installed"

    def test_importing_loads_no_backend_and_computing_no_tensorflow(self) -> None:
        code = (
            "import sys, numpy as np\n"
            "from actprobe.audio import Waveform\n"
            "from actprobe import features\n"
            "assert not {'essentia', 'librosa', 'tensorflow'} & set(sys.modules)\n"
            "waveform = Waveform(np.sin(np.arange(4 * 44100) ** 1.2).astype('f4'), 44100)\n"
            "features.compute_scalars(waveform, features.available('scalar'))\n"
            "features.compute_maps(waveform, features.available('map'))\n"
            "assert 'essentia' in sys.modules and 'tensorflow' not in sys.modules\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


SHORTEST = {  # samples at 44.1 kHz below which a feature is not defined
    "harmonic_ratio": 4095,
    "hpcp_entropy": 4096,
    "loudness": 2048,
    "onset_rate": 3072,
    "pitch": 11025,
    "pitch_confidence": 2048,
    "pitch_salience": 2048,
    "rms": 1,
    "spectral_bandwidth": 4095,
    "spectral_centroid": 4095,
    "spectral_flux": 5119,
    "tempo": 3 * RATE,
    "zero_crossing_rate": 1,
}
UNDEFINED = {  # features that a constant of this level does not have
    0.0: (
        "harmonic_ratio",
        "hpcp_entropy",
        "pitch",
        "spectral_bandwidth",
        "spectral_centroid",
        "spectral_flux",
        "tempo",
    ),
    0.25: ("pitch",),
    1e-20: ("pitch",),
    1e18: ("loudness", "pitch"),
}


class TestMelodyAndFlux:
    def test_pitch_is_that_of_a_tone_in_semitones_at_any_level(self) -> None:
        for hertz, midi in ((440.0, 69.0), (220.0, 57.0), (261.626, 60.0)):
            one = tone(hertz, seconds=1.0)
            assert features.compute_scalars(one, ["pitch"])["pitch"] == pytest.approx(midi, abs=0.1)
            soft = Waveform(np.float32(1e-3) * one.samples, RATE)
            assert features.compute_scalars(soft, ["pitch"])["pitch"] == pytest.approx(midi, abs=0.1)

    def test_a_tone_is_more_certain_than_the_same_in_noise(self) -> None:
        one = tone(440.0, seconds=1.0)
        mixed = Waveform(one.samples + 3 * noise(1.0).samples, RATE)
        sure, unsure = (
            features.compute_scalars(each, ["pitch_confidence"])["pitch_confidence"] for each in (one, mixed)
        )
        assert 0 <= unsure < 0.7 * sure <= 1

    def test_flux_is_nothing_for_a_steady_tone_and_rises_with_every_hit(self) -> None:
        steady = features.compute_scalars(tone(440.0, seconds=2.0), ["spectral_flux"])["spectral_flux"]
        clicks = tone(440.0, seconds=2.0).samples.copy()
        found = [steady]
        for count in (1, 4):
            clicks[:: RATE // count] = 1.0
            found.append(
                features.compute_scalars(Waveform(clicks.copy(), RATE), ["spectral_flux"])["spectral_flux"]
            )
        assert steady < 1e-3
        assert found[0] < found[1] < found[2]

    def test_bandwidth_is_librosas_and_grows_with_it(self) -> None:
        wide = features.compute_scalars(noise(1.0), ["spectral_bandwidth"])["spectral_bandwidth"]
        narrow = features.compute_scalars(tone(440.0, seconds=1.0), ["spectral_bandwidth"])[
            "spectral_bandwidth"
        ]
        assert wide == pytest.approx(
            22_050 / 2 / np.sqrt(12), rel=0.06
        )  # white, but for what the resampler takes
        assert narrow < 100


class TestBadInput:
    def test_every_feature_is_tried(self) -> None:
        assert sorted(SHORTEST) == features.available("scalar")

    @pytest.mark.parametrize(
        ("name", "samples"),
        [(name, n) for name, least in SHORTEST.items() for n in (0, least // 2, least - 1)],
    )
    def test_too_short_is_a_feature_error(self, name: Any, samples: Any) -> None:
        with pytest.raises(FeatureError, match=rf"feature {name}: .*(too short|shorter|no samples)"):
            features.compute_scalars(noise(samples / RATE), [name])

    def test_each_says_what_it_needs(self) -> None:
        half_way = noise(0.05)
        assert features.loudness(half_way) > 0
        with pytest.raises(FeatureError, match=r"0\.050 s of audio are too short.*0\.070 s"):
            features.onset_rate(half_way)
        features.onset_rate(noise(3072 / RATE))

    @pytest.mark.parametrize(("name", "samples"), sorted(SHORTEST.items()))
    def test_just_long_enough_is_enough(self, name: Any, samples: Any) -> None:
        assert np.isfinite(features.compute_scalars(noise(samples / RATE), [name])[name])

    @pytest.mark.parametrize("name", sorted(SHORTEST))
    @pytest.mark.parametrize("level", [0.0, 0.25, 1e-20, 1e18])
    def test_silence_and_a_constant_have_a_value_or_a_reason(self, name: Any, level: float) -> None:
        waveform = Waveform(np.full(4 * RATE, level, "f4"), RATE)
        if name in UNDEFINED.get(level, ()):
            with pytest.raises(FeatureError, match=f"feature {name}: "):
                features.compute_scalars(waveform, [name])
        else:
            assert np.isfinite(features.compute_scalars(waveform, [name])[name])

    @pytest.mark.parametrize("name", sorted(SHORTEST))
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_samples_that_are_not_finite_are_refused(self, name: Any, value: Any) -> None:
        waveform = noise(1)
        waveform.samples[1000] = value
        with pytest.raises(FeatureError, match="NaN or infinity"):
            features.compute_scalars(waveform, [name])

    def test_any_layout_and_float_type_give_the_same(self) -> None:
        samples = noise(1).samples
        strided = np.stack([samples, samples], axis=1)[:, 0]
        names = [name for name in features.available("scalar") if name != "tempo"]
        for variant in (strided, samples.astype("f8")):
            values = features.compute_scalars(Waveform(variant, RATE), names)
            assert values == pytest.approx(features.compute_scalars(noise(1), names), rel=1e-6)


class TestOnsetRate:
    @pytest.mark.parametrize("sample_rate", [44100, 22050, 16000])
    def test_clicks_at_known_times_are_found(self, sample_rate: int) -> None:
        times = [0.3, 0.55, 0.9, 1.02, 1.5, 1.9, 2.6, 2.75, 3.3]
        waveform = clicks(times, 4.0, sample_rate)
        found = features.onset_times(waveform)
        assert len(found) == len(times)
        np.testing.assert_allclose(found, times, atol=0.03)
        assert features.compute_scalars(waveform, ["onset_rate"])["onset_rate"] == pytest.approx(9 / 4)

    def test_silence_has_none(self) -> None:
        assert features.onset_rate(Waveform(np.zeros(RATE, "f4"), RATE)) == 0

    def test_a_call_leaves_nothing_behind_for_the_next(self) -> None:
        first, second = clicks([0.5, 1.1], 2.0), clicks([0.2, 0.7, 1.4], 2.0)
        before = features.onset_times(second)
        assert len(before) == 3
        features.onset_times(first)
        np.testing.assert_array_equal(features.onset_times(second), before)

    def test_it_does_not_depend_on_level(self) -> None:
        waveform = clicks([0.3, 0.8, 1.5], 2.0)
        quieter = Waveform(waveform.samples * np.float32(2**-5), RATE)
        np.testing.assert_allclose(features.onset_times(quieter), features.onset_times(waveform))


class TestLoudness:
    def test_it_is_the_mean_of_energy_to_the_power_of_067(self) -> None:
        samples = noise(1.03).samples.astype("f8")
        frames = np.lib.stride_tricks.sliding_window_view(samples, 2048)[::1024]
        expected = np.mean(np.sum(frames**2, axis=1) ** 0.67)
        assert features.loudness(noise(1.03)) == pytest.approx(expected, rel=1e-5)

    def test_an_incomplete_last_frame_is_left_out(self) -> None:
        samples = noise(1).samples[: 2048 + 5 * 1024 + 1000]
        whole = features.loudness(Waveform(samples[: 2048 + 5 * 1024], RATE))
        assert features.loudness(Waveform(samples, RATE)) == whole

    def test_silence_is_0(self) -> None:
        assert features.loudness(Waveform(np.zeros(RATE, "f4"), RATE)) == 0

    @settings(deadline=None, max_examples=25)
    @given(gain_db=st.floats(-40, 10), sample_rate=st.sampled_from([44100, 22050]))
    def test_a_gain_multiplies_it_by_the_power_law(self, gain_db: Any, sample_rate: Any) -> None:
        gain = 10 ** (gain_db / 20)
        waveform = noise(0.5, sample_rate)
        scaled = Waveform((gain * waveform.samples).astype("f4"), sample_rate)
        assert features.loudness(scaled) == pytest.approx(
            features.loudness(waveform) * gain ** (2 * 0.67), rel=1e-4
        )


def tone(hertz: float, seconds: float = 2.0, sample_rate: int = RATE, partials: int = 1) -> Waveform:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    samples = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, partials + 1))
    return Waveform((0.3 * samples).astype("f4"), sample_rate)


class TestRms:
    @pytest.mark.parametrize("amplitude", [1.0, 0.1, 1e-3])
    def test_a_sine_lies_3_db_under_its_amplitude(self, amplitude: float) -> None:
        waveform = Waveform((amplitude / 0.3 * tone(1000).samples).astype("f4"), RATE)
        assert features.rms(waveform) == pytest.approx(20 * np.log10(amplitude) - 3.0103, abs=1e-3)

    def test_silence_is_the_floor(self) -> None:
        assert features.rms(Waveform(np.zeros(10, "f4"), RATE)) == -100
        assert features.rms(Waveform(np.full(10, 1e-20, "f4"), RATE)) == -100


class TestSpectralCentroid:
    @pytest.mark.parametrize("hertz", [200.0, 1000.0, 5000.0])
    @pytest.mark.parametrize("sample_rate", [44100, 22050])
    def test_that_of_a_sine_is_its_frequency(self, hertz: float, sample_rate: int) -> None:
        value = features.compute_scalars(tone(hertz, sample_rate=sample_rate), ["spectral_centroid"])
        assert value["spectral_centroid"] == pytest.approx(hertz, rel=0.01)

    def test_that_of_white_noise_is_half_the_bandwidth(self) -> None:
        assert features.spectral_centroid(noise(3, 22050)) == pytest.approx(22050 / 4, rel=0.02)

    def test_it_is_librosas(self) -> None:
        samples = noise(1, 22050).samples
        expected = librosa.feature.spectral_centroid(y=samples, sr=22050, center=False)
        assert features.spectral_centroid(noise(1, 22050)) == pytest.approx(
            float(np.mean(expected)), rel=1e-5
        )

    @pytest.mark.parametrize("name", ["spectral_centroid", "spectral_bandwidth", "spectral_flux"])
    def test_a_sound_outside_all_whole_frames_is_silence(self, name: str) -> None:
        samples = np.zeros(2660, np.float32)
        samples[-1] = 0.5
        with pytest.raises(FeatureError, match="silence"):
            features.compute_scalars(Waveform(samples, 22050), [name])

    def test_silent_frames_are_left_out_and_level_does_not_matter(self) -> None:
        waveform = tone(1000, sample_rate=22050)
        gap = Waveform(np.concatenate([waveform.samples, np.zeros(22050, "f4")]), 22050)
        assert features.spectral_centroid(gap) == pytest.approx(1000, rel=0.03)
        loud = Waveform(waveform.samples * np.float32(2.0**60), 22050)
        assert features.spectral_centroid(loud) == pytest.approx(features.spectral_centroid(waveform))


class TestZeroCrossingRate:
    @pytest.mark.parametrize("hertz", [100.0, 440.0, 3000.0])
    @pytest.mark.parametrize("sample_rate", [44100, 16000])
    def test_that_of_a_sine_is_twice_its_frequency(self, hertz: float, sample_rate: int) -> None:
        value = features.compute_scalars(tone(hertz, sample_rate=sample_rate), ["zero_crossing_rate"])
        assert value["zero_crossing_rate"] == pytest.approx(2 * hertz, abs=1.0)

    def test_white_noise_crosses_every_other_sample(self) -> None:
        assert features.zero_crossing_rate(noise(3, 22050)) == pytest.approx(22050 / 2, rel=0.02)


class TestPitchSalience:
    def test_it_is_essentias(self) -> None:
        waveform = tone(220, 0.5, partials=20)
        window, spectrum = es.Windowing(type="blackmanharris62"), es.Spectrum()
        peak = np.float32(waveform.peak)
        values = [
            es.PitchSalience()(spectrum(window(frame / peak)))
            for frame in es.FrameGenerator(
                waveform.samples, frameSize=2048, hopSize=1024, startFromZero=True,
                lastFrameToEndOfFile=False, validFrameThresholdRatio=1,
            )
        ]  # fmt: skip
        assert len(values) == (RATE // 2 - 2048) // 1024 + 1
        assert features.pitch_salience(waveform) == pytest.approx(np.mean(values), rel=1e-6)

    def test_harmonics_have_more_than_a_sine_and_noise_fools_it(self) -> None:
        sine, saw = features.pitch_salience(tone(220)), features.pitch_salience(tone(220, partials=29))
        assert sine < 0.02 < 0.5 < saw
        assert features.pitch_salience(noise(2)) > saw


class TestHpcpEntropy:
    def test_one_tone_has_less_than_a_chord_and_noise_nearly_the_most(self) -> None:
        one = features.hpcp_entropy(tone(440))
        chord = np.sum([tone(hertz).samples for hertz in (261.63, 329.63, 392.0)], axis=0) / 3
        three = features.hpcp_entropy(Waveform(chord, RATE))
        most = np.log2(36)
        assert 0 < one < three < features.hpcp_entropy(noise(2)) < most
        assert features.hpcp_entropy(noise(2)) > 0.97 * most

    def test_it_is_scipys_mean_entropy_of_the_map(self) -> None:
        waveform = clicks([0.4, 0.9], 1.5)
        values = features.compute_maps(waveform, ["hpcp"])["hpcp"].values
        heard = values[values.sum(axis=1) > 0]
        expected = np.mean(stats.entropy(heard.astype("f8"), base=2, axis=1))
        assert len(heard) < len(values)
        assert features.hpcp_entropy(waveform) == pytest.approx(expected, rel=1e-9)


class TestHarmonicRatio:
    def test_tones_are_harmonic_hits_percussive_and_noise_neither(self) -> None:
        assert features.harmonic_ratio(tone(440, partials=8)) > 0.99
        assert features.harmonic_ratio(clicks([0.2, 0.7, 1.2, 1.7], 2.0)) < 0.05
        assert features.harmonic_ratio(noise(2)) == pytest.approx(0.5, abs=0.05)

    def test_it_orders_the_stems_of_the_phantom_corpus(self) -> None:
        band = phantom_recording(0, 4)
        rate = band.sample_rate
        harmonic = features.harmonic_ratio(Waveform(band.stems["harmonic"], rate))
        percussive = features.harmonic_ratio(Waveform(band.stems["percussive"], rate))
        assert percussive < 0.2 < features.harmonic_ratio(band.waveform) < harmonic
        assert harmonic > 0.8


class TestTempo:
    @pytest.mark.parametrize("bpm", [80.0, 100.0, 126.0])
    def test_clicks_have_their_tempo(self, bpm: float) -> None:
        waveform = clicks(list(np.arange(0.2, 9.7, 60 / bpm)), 10.0)
        assert features.tempo(waveform) == pytest.approx(bpm, rel=0.02)

    def test_that_of_the_phantom_corpus_is_found_up_to_its_double_and_half(self) -> None:
        found = 0
        for index in range(10):
            recording = phantom_recording(0, index)
            ratio = features.compute_scalars(recording.waveform, ["tempo"])["tempo"] / recording.tempo_bpm
            found += any(ratio == pytest.approx(factor, rel=0.04) for factor in (0.5, 1, 2))
        assert found >= 9

    def test_where_there_are_no_beats_it_says_so(self) -> None:
        with pytest.raises(FeatureError, match="no beats were found"):
            features.tempo(Waveform(np.zeros(4 * RATE, "f4"), RATE))


def test_a_feature_goes_into_another_process(own_registry: None, tmp_path: Path) -> None:
    """By pickle when it is ours, by cloudpickle with its code when it comes from a file of the user."""
    own = tmp_path / "mine.py"
    own.write_text(
        "from actprobe.features import feature\n"
        "FACTOR = 3\n"
        "@feature('triple_peak', unit='')\n"
        "def triple_peak(waveform):\n"
        "    return FACTOR * waveform.peak\n"
    )
    assert features.import_features(own) == ["triple_peak"]
    assert features.import_features(own) == ["triple_peak"]  # once more is no contradiction
    entries = [features.get_feature("loudness"), features.get_feature("triple_peak")]
    code = (
        "import pickle, sys, numpy as np\n"
        "from actprobe.audio import Waveform\n"
        "entries = pickle.load(sys.stdin.buffer)\n"
        "from actprobe import features\n"
        "assert 'triple_peak' not in features.available()\n"
        "print(features.compute_scalars(Waveform(np.full(4096, 0.5, 'f4'), 44100), entries)['triple_peak'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=cloudpickle.dumps(entries),
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.stdout, done.returncode) == (b"1.5\n", 0), done.stderr
    assert pickle.loads(pickle.dumps(entries[0])) == entries[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("x = 1", "registers no feature"),
        ("def (", "SyntaxError"),
        (None, "does not exist"),
    ],
)
def test_a_file_without_features_is_refused_with_its_reason(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    own = tmp_path / "mine.py"
    if content is not None:
        own.write_text(content)
    with pytest.raises(UsageError, match=f"mine.py: {reason}"):
        features.import_features(own)


def test_threads_get_the_same_bits() -> None:
    waveforms = [noise(0.6, seed=seed) for seed in range(12)]
    names = [name for name in features.available("scalar") if name != "tempo"]
    serial = [features.compute_scalars(waveform, names) for waveform in waveforms]
    assert all(value for values in serial for value in values.values())
    with ThreadPoolExecutor(6) as pool:
        threaded = list(pool.map(lambda waveform: features.compute_scalars(waveform, names), waveforms * 3))
    assert threaded == serial * 3


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory from /proc")
def test_calls_leak_no_memory() -> None:
    waveform = noise(0.1)

    def resident_mib_after(calls: int) -> float:
        for _ in range(calls):
            features.compute_scalars(waveform, ["onset_rate", "loudness"])
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    before = resident_mib_after(200)
    assert resident_mib_after(1500) - before < 4
