"""Feature maps: harmonic and percussive part, HPCP, chroma, and maps of one's own."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actprobe import backend, features
from actprobe.audio import Waveform
from actprobe.corpora.phantom import phantom_recording
from actprobe.errors import FeatureError, UsageError
from actprobe.features import FeatureMap, compute_maps, feature_map, registry, separation

es = backend.essentia
ROOT = Path(__file__).resolve().parents[1]
RATE = 44100
SHORTEST = {  # samples at 44.1 kHz
    "chroma": 70559, "harmonic": 4095, "hpcp": 4096, "onset_strength": 4095, "percussive": 4095,
}  # fmt: skip
MAPS = tuple(SHORTEST)


def noise(seconds: float, sample_rate: int = RATE, seed: int = 0) -> Waveform:
    rng = np.random.default_rng(seed)
    return Waveform((0.1 * rng.standard_normal(round(seconds * sample_rate))).astype("f4"), sample_rate)


def tone(hertz: float, seconds: float = 2.0, partials: int = 1, sample_rate: int = RATE) -> Waveform:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    samples = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, partials + 1))
    return Waveform((0.3 * samples).astype("f4"), sample_rate)


def hits(times: list[float], seconds: float, sample_rate: int = 22050) -> Waveform:
    samples = np.zeros(round(seconds * sample_rate), "f4")
    samples[[round(time * sample_rate) for time in times]] = 0.9
    return Waveform(samples, sample_rate)


def level(found: FeatureMap) -> NDArray[Any]:
    return np.power(10.0, found.values / 10)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the registry, so that features made in a test do not outlive it."""
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))


class TestEveryMap:
    def test_all_of_them_are_tried(self) -> None:
        assert tuple(features.available("map")) == MAPS == tuple(SHORTEST)

    @pytest.mark.parametrize("sample_rate", [44100, 22050, 16000])
    def test_it_has_axes_and_finite_values(self, sample_rate: int) -> None:
        found = compute_maps(noise(2.0, sample_rate), MAPS)
        assert tuple(found) == MAPS
        for name, one in found.items():
            assert (one.name, one.axis) == (
                name,
                "pitch class" if name in ("chroma", "hpcp") else "hertz",
            )
            assert (one.values.dtype, one.times_seconds.dtype, one.bins.dtype) == (
                np.dtype("float32"),
                np.dtype("float64"),
                np.dtype("float64"),
            )
            assert one.values.shape == (len(one.times_seconds), len(one.bins))
            assert np.isfinite(one.values).all()
            assert one.times_seconds[0] == 0
            assert 2.0 - 0.03 < one.times_seconds[-1] <= 2.0
            np.testing.assert_allclose(np.diff(one.times_seconds), one.times_seconds[1])
            assert one.bins[0] >= 0
            assert one.bins[-1] < (12 if one.axis == "pitch class" else 8000)

    @pytest.mark.parametrize("name", MAPS)
    def test_too_short_is_an_error_that_names_it(self, name: Any) -> None:
        for samples in (0, 1, SHORTEST[name] // 2, SHORTEST[name] - 1):
            with pytest.raises(FeatureError, match=rf"feature {name}: .*(shorter than|no samples)"):
                compute_maps(noise(samples / RATE), [name])
        compute_maps(noise((SHORTEST[name] + 1) / RATE), [name])

    @pytest.mark.parametrize("name", MAPS)
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_samples_that_are_not_finite_are_refused(self, name: Any, value: Any) -> None:
        waveform = noise(2)
        waveform.samples[1000] = value
        with pytest.raises(FeatureError, match=f"feature {name}: .*NaN or infinity"):
            compute_maps(waveform, [name])

    @pytest.mark.parametrize("name", MAPS)
    def test_silence_is_the_floor_throughout(self, name: Any) -> None:
        values = compute_maps(Waveform(np.zeros(2 * RATE, "f4"), RATE), [name])[name].values
        assert (values == (-80 if name in ("harmonic", "percussive") else 0)).all()

    @pytest.mark.parametrize("name", MAPS)
    @settings(deadline=None, max_examples=10)
    @given(exponent=st.integers(-90, 90))
    def test_a_gain_changes_nothing(self, name: Any, exponent: Any) -> None:
        waveform = noise(1.7, 22050)
        scaled = Waveform(waveform.samples * np.float32(2.0**exponent), 22050)
        np.testing.assert_allclose(
            compute_maps(scaled, [name])[name].values, compute_maps(waveform, [name])[name].values, atol=1e-4
        )

    @pytest.mark.parametrize("name", MAPS)
    def test_a_constant_and_a_call_before_leave_no_trace(self, name: Any) -> None:
        assert np.isfinite(
            compute_maps(Waveform(np.full(2 * RATE, 0.3, "f4"), RATE), [name])[name].values
        ).all()
        first = compute_maps(noise(2), [name])[name].values
        compute_maps(tone(440), [name])
        np.testing.assert_array_equal(compute_maps(noise(2), [name])[name].values, first)


class TestHarmonicPercussive:
    def test_it_is_librosas_hpss_to_the_bit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Across blocks, at their edges, for recordings shorter than a kernel, and with silence inside."""
        monkeypatch.setattr(separation, "BLOCK_FRAMES", 64)
        whole = phantom_recording(0, 4).waveform.samples
        for samples in (2048, 5000, 512 * 62, 512 * 66 + 100, 512 * 200):
            waveform = Waveform(whole[:samples].copy(), 22050)
            waveform.samples[samples // 3 : samples // 2] = 0
            magnitude = np.abs(librosa.stft(waveform.samples / np.float32(waveform.peak or 1)))
            expected = librosa.decompose.hpss(magnitude)
            blocks = zip(*separation.separate(waveform), strict=True)
            for part, one in zip(expected, blocks, strict=True):
                np.testing.assert_array_equal(np.concatenate(one).T, part)

    def test_one_separation_serves_both_maps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []
        separate = separation.separate

        def counted(waveform: Any) -> Any:
            calls.append(waveform)
            return separate(waveform)

        monkeypatch.setattr(separation, "separate", counted)
        both = compute_maps(noise(1), ["percussive", "harmonic"])
        assert (list(both), len(calls)) == (["percussive", "harmonic"], 1)
        np.testing.assert_array_equal(
            compute_maps(noise(1), ["harmonic"])["harmonic"].values, both["harmonic"].values
        )

    def test_tones_are_in_one_and_hits_in_the_other_at_their_places(self) -> None:
        times = [0.5, 1.2, 1.9]
        mix = Waveform(tone(1000, 2.5, sample_rate=22050).samples + hits(times, 2.5).samples, 22050)
        found = compute_maps(mix, ["harmonic", "percussive"])
        harmonic, percussive = level(found["harmonic"]), level(found["percussive"])
        assert found["harmonic"].bins[harmonic.mean(axis=0).argmax()] == pytest.approx(1000, rel=0.03)
        away = np.abs(found["percussive"].bins - 1000) > 300
        envelope = percussive[:, away].sum(axis=1)
        for time in times:
            near = np.abs(found["percussive"].times_seconds - time) < 0.2
            peak = found["percussive"].times_seconds[near][envelope[near].argmax()]
            assert peak == pytest.approx(time, abs=512 / 22050)
        assert harmonic[:, away].sum() < 0.05 * percussive[:, away].sum()
        assert found["harmonic"].values.max() <= 0 == pytest.approx(found["harmonic"].values.max(), abs=0.1)

    def test_the_bins_are_the_centres_of_the_mel_bands(self) -> None:
        for index in (3, 40, 90):
            hertz = compute_maps(noise(1), ["harmonic"])["harmonic"].bins[index]
            found = compute_maps(tone(hertz, 1.0, sample_rate=22050), ["harmonic"])["harmonic"]
            assert level(found).mean(axis=0).argmax() == index

    def test_it_tells_the_stems_of_the_phantom_corpus_apart(self) -> None:
        band = phantom_recording(1, 4)
        mix = Waveform(band.stems["harmonic"] + band.stems["percussive"], band.sample_rate)
        found = compute_maps(mix, ["harmonic", "percussive"])
        maps = {
            part: compute_maps(Waveform(band.stems[part], band.sample_rate), [part])[part].values
            for part in ("harmonic", "percussive")
        }
        for part, other in (("harmonic", "percussive"), ("percussive", "harmonic")):
            right = np.corrcoef(found[part].values.ravel(), maps[part].ravel())[0, 1]
            wrong = np.corrcoef(found[part].values.ravel(), maps[other].ravel())[0, 1]
            assert right > 0.7 > wrong + 0.2


class TestHpcp:
    def test_it_is_essentias(self) -> None:
        waveform = phantom_recording(0, 1, seconds=2).waveform.resample(RATE)
        window, spectrum = es.Windowing(type="blackmanharris62"), es.Spectrum()
        peaks = es.SpectralPeaks(
            minFrequency=100, maxFrequency=5000, magnitudeThreshold=1e-5, maxPeaks=100, orderBy="magnitude"
        )
        profile = es.HPCP(size=36, minFrequency=100, harmonics=8, windowSize=4 / 3, bandPreset=False)
        samples = waveform.samples / np.float32(waveform.peak)
        frames = es.FrameGenerator(samples, frameSize=4096, hopSize=1024, startFromZero=False)
        expected = np.array([profile(*peaks(spectrum(window(frame)))) for frame in frames])
        found = compute_maps(waveform, ["hpcp"])["hpcp"].values
        np.testing.assert_array_equal(np.roll(found, 9, axis=1), expected[: len(found)])
        assert len(found) in (len(expected), len(expected) - 1)

    @pytest.mark.parametrize(("hertz", "pitch_class"), [(261.63, 0), (440.0, 9), (466.16, 10), (493.88, 11)])
    @pytest.mark.parametrize("name", ["hpcp", "chroma"])
    def test_a_tone_has_its_pitch_class(self, name: str, hertz: float, pitch_class: int) -> None:
        for octave in (1, 2):
            found = compute_maps(tone(hertz * octave, partials=4), [name])[name]
            inside = (found.times_seconds > 0.3) & (found.times_seconds < 1.7)
            strongest = found.bins[found.values[inside].argmax(axis=1)]
            assert (strongest == pitch_class).all()

    def test_it_tells_a_third_of_a_semitone(self) -> None:
        found = compute_maps(tone(440 * 2 ** (1 / 36)), ["hpcp"])["hpcp"]
        assert found.bins[found.values.mean(axis=0).argmax()] == pytest.approx(9 + 1 / 3)

    @pytest.mark.parametrize(("name", "least"), [("hpcp", 0.85), ("chroma", 0.9)])
    def test_the_strongest_pitch_class_of_phantoms_is_one_that_sounds(self, name: str, least: float) -> None:
        right = []
        for index in (1, 2, 6, 7):
            recording = phantom_recording(0, index)
            found = compute_maps(recording.waveform, [name])[name]
            sounding = np.zeros((len(found.times_seconds), 12), bool)
            for note in (note for notes in recording.notes.values() for note in notes):
                held = (found.times_seconds >= note.onset) & (found.times_seconds < note.offset)
                sounding[held, note.midi % 12] = True
            strongest = np.round(found.bins[found.values.argmax(axis=1)]).astype(int) % 12
            heard = sounding.any(axis=1)
            right.append(sounding[np.arange(len(sounding)), strongest][heard].mean())
        assert np.mean(right) > least


@pytest.mark.parametrize(("seconds", "tolerance"), [(4, 0), (2, 1e-4)])  # the shorter is padded with zeros
@pytest.mark.filterwarnings("ignore:n_fft=1024 is too large")  # librosa's own, for the shorter one
def test_chroma_is_librosas(seconds: int, tolerance: float) -> None:
    waveform = phantom_recording(0, 1, seconds=seconds).waveform
    samples = waveform.samples / np.float32(waveform.peak)
    expected = librosa.feature.chroma_cqt(y=samples, sr=22050, tuning=0.0)
    found = compute_maps(waveform, ["chroma"])["chroma"].values
    np.testing.assert_allclose(found, expected.T, rtol=0, atol=tolerance)


class TestOwnMaps:
    def make(self, result: Any, *names: Any, **options: Any) -> Any:
        @feature_map(*(names or ("mine",)), **{"axis": "hertz", "unit": "", **options})
        def mine(waveform: Any) -> Any:
            """A map of one's own.

            More about it.
            """
            if isinstance(result, Exception):
                raise result
            return result(waveform) if callable(result) else result

        return mine

    def test_one_decorated_function_is_a_map(self, own_registry: None) -> None:
        function = self.make(
            lambda waveform: (np.full((3, 2), waveform.sample_rate), [0, 1, 2], [10, 20]),
            unit="dB",
            sample_rate=8000,
        )
        found = compute_maps(noise(1), ["mine", "hpcp"])
        assert list(found) == ["mine", "hpcp"]
        assert (found["mine"].values == 8000).all()
        assert (found["mine"].unit, found["mine"].axis, found["mine"].name) == ("dB", "hertz", "mine")
        assert features.describe(["mine"])["mine"] == {
            "kind": "map",
            "description": "A map of one's own.",
            "unit": "dB",
            "axis": "hertz",
            "sample_rate": 8000,
            "resampler": features.describe(["hpcp"])["hpcp"]["resampler"],
            "backend": "",
            "backend_version": "",
        }
        assert len(function(noise(1))) == 3  # the function itself is left as it was

    def test_a_name_is_a_number_or_a_map_and_never_both(self, own_registry: None) -> None:
        with pytest.raises(UsageError, match=r"loudness is already registered by .*, a scalar"):
            self.make(None, "loudness")
        with pytest.raises(UsageError, match=r"hpcp is already registered by .*, a map"):
            features.feature("hpcp", unit="")(lambda waveform: 0.0)
        with pytest.raises(UsageError, match=r"loudness is a scalar, not a map; map features: chroma"):
            compute_maps(noise(1), ["loudness"])
        with pytest.raises(UsageError, match=r"no map feature is called 'colour'"):
            compute_maps(noise(1), ["hpcp", "colour"])

    @pytest.mark.parametrize(
        ("names", "options"),
        [((), {}), (("two words",), {}), (("fine",), {"axis": "metre"}), (("fine",), {"sample_rate": 0})],
    )
    def test_names_axis_and_rate_must_make_sense(
        self, own_registry: None, names: tuple[Any, ...] | tuple[str], options: dict[str, Any]
    ) -> None:
        with pytest.raises(UsageError):
            feature_map(*names, **{"axis": "hertz", "unit": "", **options})

    @pytest.mark.parametrize(
        ("result", "reason"),
        [
            ((np.zeros((3, 2)), [0, 1], [1, 2]), "values of shape [3, 2] do not fit 2 times, 2 bins"),
            ((np.zeros(3), [0, 1, 2], [1]), "do not fit"),
            ((np.zeros((0, 2)), [], [1, 2]), "is empty"),
            ((np.full((2, 2), np.nan), [0, 1], [1, 2]), "NaN or infinity"),
            ((np.zeros((2, 2)), [1, 0], [1, 2]), "the times are not finite and ascending"),
            ((np.zeros((2, 2)), [0, 1], [2, 2]), "the bins are not finite and ascending"),
            ((np.zeros((2, 2)), [0, 1], [1, np.inf]), "the bins are not finite"),
            ((np.zeros((2, 2)), [[0, 1]], [1, 2]), "one axis each"),
            (None, "TypeError"),
            (ZeroDivisionError("by nothing"), "ZeroDivisionError: by nothing"),
        ],
    )
    def test_what_is_no_map_is_a_feature_error(self, own_registry: None, result: Any, reason: str) -> None:
        self.make(result)
        with pytest.raises(FeatureError) as refused:
            compute_maps(noise(1), ["mine"])
        assert refused.value.feature == "mine"
        assert reason in refused.value.reason

    def test_several_maps_of_one_function_need_an_array_each(self, own_registry: None) -> None:
        self.make(((np.zeros((2, 2)),), [0, 1], [1, 2]), "one", "two")
        with pytest.raises(FeatureError, match="feature two: ValueError"):
            compute_maps(noise(1), ["two"])


def test_a_map_of_a_users_file_goes_into_another_process_without_tensorflow(
    own_registry: None, tmp_path: Path
) -> None:
    own = tmp_path / "mine.py"
    own.write_text(
        "import numpy as np\n"
        "from actprobe.features import feature_map\n"
        "@feature_map('envelope', axis='hertz', unit='')\n"
        "def envelope(waveform):\n"
        "    return np.abs(waveform.samples[:100, None]), np.arange(100), [1.0]\n"
    )
    assert features.import_features(own) == ["envelope"]
    entries = [features.get_feature(name) for name in ("envelope", "harmonic", "hpcp")]
    code = (
        "import pickle, sys, numpy as np\n"
        "entries = pickle.load(sys.stdin.buffer)\n"
        "from actprobe.audio import Waveform\n"
        "from actprobe.features import compute_maps\n"
        "found = compute_maps(Waveform(np.full(8192, 0.5, 'f4'), 44100), entries)\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print(*(one.values.shape for one in found.values()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=cloudpickle.dumps(entries),
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.stdout, done.returncode) == (b"(100, 1) (9, 96) (8, 36)\n", 0), done.stderr
    assert pickle.loads(pickle.dumps(entries[1])) == entries[1]


class TestOnsetStrength:
    def test_its_mean_over_bands_is_librosas(self) -> None:
        from actprobe.backend import librosa

        sound = noise(1.0, 22_050)
        ours = compute_maps(sound, ["onset_strength"])["onset_strength"].values
        mel = librosa.feature.melspectrogram(
            y=sound.samples / sound.peak,
            sr=22_050,
            n_fft=2048,
            hop_length=512,
            n_mels=96,
            fmin=27.5,
            fmax=8000,
        )
        level = librosa.power_to_db(mel, ref=np.max, amin=1e-20)
        theirs = librosa.onset.onset_strength(S=level, sr=22_050, center=False)
        np.testing.assert_allclose(ours.mean(axis=1)[1:], theirs[1:], rtol=1e-4, atol=1e-4)

    def test_it_is_at_the_hits_and_nowhere_else(self) -> None:
        times = [0.5, 1.2, 1.9]
        one = compute_maps(hits(times, 2.5), ["onset_strength"])["onset_strength"]
        strength = one.values.mean(axis=1)
        peaks = one.times_seconds[strength > 0.5 * strength.max()]
        assert all(np.abs(peaks - time).min() < 0.06 for time in times)
        assert all(min(abs(peak - time) for time in times) < 0.06 for peak in peaks)
