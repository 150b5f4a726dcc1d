"""The phantom corpus: what it claims of itself is true."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from actprobe import features
from actprobe.corpora import composition, singing, synthesis
from actprobe.corpora.composition import KINDS
from actprobe.corpora.mixing import STEMS
from actprobe.corpora.phantom import phantom_recording, write_phantom
from actprobe.errors import CorpusError, UsageError

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def corpora() -> dict[int, Any]:
    """The default corpus and two shorter ones, with the features of each recording."""
    return {
        seed: [
            (recording, features.compute_scalars(recording.waveform, ["onset_rate", "loudness"]))
            for recording in (phantom_recording(seed, index) for index in range(40 if seed == 0 else 20))
        ]
        for seed in SEEDS
    }


def pearson(a: Any, b: Any) -> Any:
    return np.corrcoef(a, b)[0, 1]


class TestTargets:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_the_onset_rate_of_every_percussive_phantom_is_within_10_percent(
        self, corpora: dict[int, Any], seed: Any
    ) -> None:
        checked = 0
        for recording, values in corpora[seed]:
            if recording.kind == "percussive":
                truth = len(recording.onsets["percussive"]) / recording.seconds
                assert values["onset_rate"] == pytest.approx(truth, rel=0.1)
                checked += 1
        assert checked == len(corpora[seed]) / 5

    @pytest.mark.parametrize("seed", SEEDS)
    def test_the_onsets_found_are_the_onsets_rendered(self, corpora: dict[int, Any], seed: Any) -> None:
        recording = corpora[seed][5][0]
        found = features.onset_times(recording.waveform)
        nearest = np.abs(found[:, None] - recording.onsets["percussive"]).min(axis=1)
        assert recording.kind == "percussive"
        assert len(found) > 5
        assert nearest.max() < 0.05

    @pytest.mark.parametrize("seed", SEEDS)
    def test_loudness_follows_the_rendered_gain(self, corpora: dict[int, Any], seed: Any) -> None:
        loudness = np.array([values["loudness"] for _, values in corpora[seed]])
        gain = np.array([recording.row()["true_gain"] for recording, _ in corpora[seed]])
        level = np.array([recording.row()["true_level_db"] for recording, _ in corpora[seed]])
        assert pearson(loudness, gain) > 0.95
        assert pearson(loudness, gain ** (2 * 0.67)) > 0.95
        assert pearson(np.log(loudness), np.log(gain)) > 0.98
        assert pearson(np.log(loudness), level) > 0.98

    @pytest.mark.parametrize("seed", SEEDS)
    def test_gain_and_onset_rate_are_wide_and_not_confounded(
        self, corpora: dict[int, Any], seed: Any
    ) -> None:
        rows = [recording.row() for recording, _ in corpora[seed]]
        gain_db = np.array([row["true_gain_db"] for row in rows])
        rate = np.array([row["true_onset_rate"] for row in rows])
        assert abs(pearson(gain_db, rate)) < 0.25
        assert np.ptp(gain_db) > 0.8 * 24
        assert rate.min() < 2 < 7 < rate.max()


class TestRecording:
    @settings(deadline=None, max_examples=10)
    @given(
        seed=st.integers(0, 2**32),
        index=st.integers(0, 10**6),
        seconds=st.floats(2.0, 4.0),
        sample_rate=st.sampled_from([8000, 16000, 22050, 44100]),
    )
    def test_any_arguments_give_sound_and_a_truth_that_fits(
        self, seed: Any, index: Any, seconds: Any, sample_rate: Any
    ) -> None:
        recording = phantom_recording(seed, index, seconds=seconds, sample_rate=sample_rate)
        samples = recording.samples
        assert (samples.dtype, samples.shape) == (np.dtype(np.float32), (round(seconds * sample_rate),))
        assert np.isfinite(samples).all()
        assert 0 < np.abs(samples).max() <= 0.9901
        np.testing.assert_allclose(sum(recording.stems.values()), samples, atol=1e-6)
        assert recording.kind == KINDS[index % 5]
        for stem in STEMS:
            assert bool(len(recording.onsets[stem])) == bool(np.any(recording.stems[stem]))
            assert (np.diff(recording.onsets[stem]) > 0.09).all()
        assert len(recording.mix_onsets) > 0
        assert 0 < recording.mix_onsets[0] < recording.mix_onsets[-1] < seconds
        assert recording.gain_times[0] == 0
        assert recording.gain_times[-1] == pytest.approx(seconds)
        assert (recording.gain > 0).all()
        assert bool(recording.pitch_classes) == bool(recording.key) == (recording.kind != "percussive")
        json.dumps(recording.truth(), allow_nan=False)

    def test_the_same_arguments_give_the_same_recording(self) -> None:
        first, again = (phantom_recording(3, 4, seconds=3) for _ in range(2))
        np.testing.assert_array_equal(first.samples, again.samples)
        assert first.truth() == again.truth()
        assert not np.array_equal(first.samples, phantom_recording(4, 4, seconds=3).samples)
        assert not np.array_equal(first.samples, phantom_recording(3, 9, seconds=3).samples)

    def test_drums_lie_a_tenth_of_a_second_apart_and_sound_when_they_say(self) -> None:
        recording = phantom_recording(0, 0)
        onsets = recording.onsets["percussive"]
        assert np.diff(onsets).min() > 0.1
        envelope = np.abs(recording.stems["percussive"])
        for onset in onsets:
            start = round(onset * recording.sample_rate)
            assert envelope[start : start + 200].max() > 2 * envelope[start - 100 : start].max()

    def test_the_gain_contour_is_what_was_rendered(self) -> None:
        """Dividing the mix by the contour gives the level-normalised mix."""
        for index in range(5):
            recording = phantom_recording(1, index)
            time = np.arange(len(recording.samples)) / recording.sample_rate
            flat = recording.samples / np.interp(time, recording.gain_times, recording.gain)
            assert 20 * np.log10(np.sqrt(np.mean(flat**2))) == pytest.approx(-26, abs=0.01)

    def test_nothing_clicks_at_the_edges(self) -> None:
        for index in range(10):
            recording = phantom_recording(2, index, seconds=3)
            for samples in recording.stems.values():
                peak = np.abs(samples).max()
                assert np.abs(samples[:100]).max() <= 1e-3 * peak
                assert np.abs(samples[-20:]).max() <= 1e-2 * peak

    @pytest.mark.parametrize(
        ("arguments", "options"),
        [
            ((-1, 0), {}),
            ((0, -1), {}),
            ((0, 0), {"seconds": 1.0}),
            ((0, 0), {"seconds": float("nan")}),
            ((0, 0), {"seconds": float("inf")}),
            ((0, 0), {"sample_rate": 4000}),
        ],
    )
    def test_arguments_out_of_range_are_refused(
        self, arguments: tuple[int, int], options: dict[str, Any]
    ) -> None:
        with pytest.raises(UsageError):
            phantom_recording(*arguments, **options)


class TestVoice:
    def sung(self, vowel: Any, midi: int = 50, seconds: float = 3.0, sample_rate: int = 22050) -> Any:
        syllables = [singing.Syllable(0.1, seconds - 0.1, midi, vowel, consonant=False)]
        length = round(seconds * sample_rate)
        return singing.sing(np.random.default_rng(0), syllables, "tenor", length, sample_rate)

    def spectrum(self, vowel: Any) -> tuple[Any, Any]:
        """Frequency and power after pre-emphasis, which undoes the fall of the glottal source."""
        frequency, power = signal.welch(self.sung(vowel), 22050, nperseg=2048)
        return frequency, power * frequency**2

    @pytest.mark.parametrize("vowel", sorted(singing.VOWELS["tenor"]))
    def test_the_first_formant_stands_out(self, vowel: Any) -> None:
        frequency, power = self.spectrum(vowel)
        strongest = frequency[np.argmax(power)]
        formant = singing.VOWELS["tenor"][vowel][0][0]
        fundamental = float(synthesis.hertz(50))
        assert strongest == pytest.approx(formant, abs=fundamental / 2 + 22050 / 2048)

    @pytest.mark.parametrize(("vowel", "valley"), [("i", 1100), ("e", 1000), ("u", 1500)])
    def test_a_higher_formant_stands_above_the_valley_before_it(self, vowel: str, valley: int) -> None:
        frequency, power = self.spectrum(vowel)
        formant = next(hz for hz, _, _ in singing.VOWELS["tenor"][vowel] if hz > valley)

        def level(center: Any) -> Any:
            return power[np.abs(frequency - center) < 150].mean()

        assert level(formant) > 5 * level(valley)

    def test_vibrato_is_at_5_to_6_hz(self) -> None:
        """The frequency of a high partial, followed by its analytic phase, swings at the singer's rate."""
        voice, rate, midi = self.sung("a", midi=60), 22050, 60
        partial = 3 * float(synthesis.hertz(midi))
        band = signal.butter(4, [partial * 0.9, partial * 1.1], "bandpass", fs=rate, output="sos")
        phase = np.unwrap(np.angle(signal.hilbert(signal.sosfiltfilt(band, voice))))
        frequency = np.diff(phase)[rate : int(2.5 * rate)] * rate / (2 * np.pi)
        swing = np.abs(np.fft.rfft((frequency - frequency.mean()) * np.hanning(len(frequency)), 8 * rate))
        assert 4.8 < np.argmax(swing) / 8 < 6.2

    def test_it_is_silent_between_phrases(self) -> None:
        recording = phantom_recording(0, 3)
        voice, rate = np.abs(recording.stems["voice"]), recording.sample_rate
        intervals = recording.voice_intervals
        assert len(intervals) > 1
        for (_, end), (start, _) in itertools.pairwise(intervals):
            assert start - end > 0.3
            assert voice[round((end + 0.1) * rate) : round(start * rate)].max() < 1e-3 * voice.max()
        for start, end in recording.voiced_intervals:
            assert voice[round((start + 0.05) * rate) : round((end - 0.1) * rate)].max() > 0.05 * voice.max()


class TestHarmony:
    @pytest.mark.parametrize("index", [1, 2, 3, 4])
    def test_what_sounds_is_in_the_key(self, index: int) -> None:
        recording = phantom_recording(5, index)
        tonic, mode = recording.key.split()
        scale = {(composition.PITCH_NAMES.index(tonic) + step) % 12 for step in composition.SCALES[mode]}
        assert set(recording.pitch_classes) <= scale

    @pytest.mark.parametrize("name", sorted(synthesis.TIMBRES))
    def test_a_tone_has_its_pitch(self, name: Any) -> None:
        sound = synthesis.tone(synthesis.TIMBRES[name], 69, 1.0, 22050)
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8 * 22050))
        assert np.argmax(spectrum) / 8 == pytest.approx(440, abs=0.5)
        assert np.abs(sound).max() <= 1.5
        assert abs(sound[0]) < 1e-6
        assert abs(sound[-1]) < 1e-3

    def test_nothing_folds_back(self) -> None:
        sound = synthesis.tone(synthesis.TIMBRES["strings"], 100, 1.0, 8000)
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
        frequency = np.fft.rfftfreq(len(sound), 1 / 8000)
        assert spectrum[frequency < 0.9 * float(synthesis.hertz(100))].max() < 1e-3 * spectrum.max()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestWriting:
    def test_a_corpus_is_wavs_truths_and_a_manifest(self, tmp_path: Path) -> None:
        steps = []
        manifest = write_phantom(
            tmp_path / "new" / "corpus",
            recordings=6,
            seconds=2,
            seed=7,
            stems=True,
            progress=lambda *step: steps.append(step),
        )
        folder = manifest.parent
        assert manifest == tmp_path / "new" / "corpus" / "manifest.csv"
        assert steps == [(done, 6) for done in range(1, 7)]
        with manifest.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["kind"] for row in rows] == [*KINDS, KINDS[0]]
        for index, row in enumerate(rows):
            recording = phantom_recording(7, index, seconds=2)
            samples, rate = soundfile.read(folder / row["path"], dtype="float32")
            assert rate == 22050
            np.testing.assert_allclose(samples, recording.samples, atol=2**-15)
            stems = [
                soundfile.read(folder / "stems" / f"{Path(row['path']).stem}_{stem}.wav", dtype="float32")[0]
                for stem in STEMS
            ]
            np.testing.assert_allclose(np.sum(stems, axis=0), samples, atol=3 * 2**-15)
            truth = json.loads((folder / row["truth"]).read_text())
            assert truth == json.loads(json.dumps(recording.truth()))
            assert float(row["true_onset_rate"]) == pytest.approx(len(truth["mix_onsets"]) / 2)
            assert float(row["true_gain_db"]) == pytest.approx(
                20 * np.log10(np.mean(truth["gain"])), abs=0.01
            )

    def test_the_same_arguments_write_the_same_bytes(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            write_phantom(tmp_path / name, recordings=3, seconds=2)
        write_phantom(tmp_path / "b", recordings=3, seconds=2)
        assert contents(tmp_path / "a") == contents(tmp_path / "b")

    def test_what_is_there_already_is_left_as_it_is_and_what_is_damaged_is_rendered_anew(
        self, tmp_path: Path
    ) -> None:
        def states() -> dict[str, tuple[int, int]]:
            files = {path.name: path.stat() for path in tmp_path.glob("phantom_*")}
            return {name: (status.st_mtime_ns, status.st_ino) for name, status in files.items()}

        write_phantom(tmp_path, recordings=3, seconds=2)
        whole, before = contents(tmp_path), states()
        write_phantom(tmp_path, recordings=3, seconds=2)
        assert states() == before
        damaged = bytearray(whole["phantom_00001.wav"])
        damaged[5000] ^= 1  # of the same size
        (tmp_path / "phantom_00001.wav").write_bytes(damaged)
        (tmp_path / "phantom_00002.json").unlink()
        write_phantom(tmp_path, recordings=3, seconds=2)
        assert contents(tmp_path) == whole
        after = states()
        mended = {"phantom_00001.wav", "phantom_00002.json"}
        assert {name for name in before if after[name] != before[name]} == mended

    def test_a_recording_does_not_depend_on_how_many_are_asked_for(self, tmp_path: Path) -> None:
        write_phantom(tmp_path / "few", recordings=2, seconds=2)
        write_phantom(tmp_path / "more", recordings=4, seconds=2)
        few, more = contents(tmp_path / "few"), contents(tmp_path / "more")
        assert more.pop("manifest.csv").startswith(few.pop("manifest.csv"))
        assert few.items() < more.items()

    def test_a_smaller_corpus_replaces_a_larger_one_and_nothing_else(self, tmp_path: Path) -> None:
        write_phantom(tmp_path / "c", recordings=3, seconds=2, stems=True)
        (tmp_path / "c" / "song.wav").write_bytes(b"mine")
        write_phantom(tmp_path / "c", recordings=2, seconds=2)
        assert set(contents(tmp_path / "c")) == {
            "manifest.csv",
            "phantom_00000.wav",
            "phantom_00000.json",
            "phantom_00001.wav",
            "phantom_00001.json",
            "song.wav",
        }

    def test_an_interrupted_corpus_has_no_manifest(self, tmp_path: Path) -> None:
        write_phantom(tmp_path, recordings=3, seconds=2)

        def interrupt(done: Any, total: Any) -> None:
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_phantom(tmp_path, recordings=3, seconds=2, seed=1, progress=interrupt)
        assert not (tmp_path / "manifest.csv").exists()
        assert not [name for name in contents(tmp_path) if name.startswith(".")]

    def test_a_folder_that_cannot_be_written_is_a_corpus_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        for target in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(CorpusError, match="cannot be written"):
                write_phantom(target, recordings=1, seconds=2)

    def test_bad_arguments_are_refused_before_anything_is_touched(self, tmp_path: Path) -> None:
        write_phantom(tmp_path, recordings=1, seconds=2)
        before = contents(tmp_path)
        for options in ({"recordings": 0}, {"seconds": 0.1}, {"sample_rate": 1}, {"seed": -1}):
            with pytest.raises(UsageError):
                write_phantom(tmp_path, **options)
        assert contents(tmp_path) == before
