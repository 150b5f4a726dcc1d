"""Training examples without end: stems on disk, changes of tempo and pitch, mixes and their labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_folders import open_voices_folder
from actprobe.corpora.mir1k import open_mir1k
from actprobe.corpora.phantom import write_phantom
from actprobe.corpora.phantom_singing import open_phantom
from actprobe.corpora.voice_activity import active_intervals
from actprobe.errors import CorpusError
from actprobe.training.mixed import mixed_recordings
from actprobe.training.mixer import AS_RECORDED, FOR_INVERTERS, Mixer, Recipe
from actprobe.training.sounds import SoundStore
from actprobe.training.variation import Pace, filtered, played

RATE = 22_050
SEED = 5
SECOND = np.arange(RATE) / RATE


def tone(hz: float, seconds: float, level: float = 0.3) -> Any:
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def recording(name: str, stems: dict[str, Any], sung: Any = (), known: bool = True) -> LabelledRecording:
    intervals = np.asarray(sung, float).reshape(-1, 2)
    return LabelledRecording(name, Path(name), intervals, load=lambda self, rate: stems, known=known)


def sung_at_300(name: str = "clip", accompaniment_hz: float = 2000.0) -> LabelledRecording:
    """4 s: a voice of 300 Hz from 1 to 3 s over an accompaniment of a higher tone."""
    voice = tone(300, 4)
    voice[:RATE], voice[3 * RATE :] = 0, 0
    return recording(name, {"accompaniment": tone(accompaniment_hz, 4), "voice": voice}, [(1, 3)])


def store_of(folder: Path, *recordings: LabelledRecording) -> SoundStore:
    return SoundStore(folder / "sounds", recordings, RATE)


def strongest_hz(samples: Any) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE / len(samples))


def level_at(samples: Any, hz: float) -> float:
    """RMS of a tone in samples."""
    times = np.arange(len(samples)) / RATE
    return float(np.abs(np.mean(samples * np.exp(-2j * np.pi * hz * times))) * np.sqrt(2))


# Stems on disk


def test_stems_are_kept_to_16_bits_and_silent_beyond_their_ends(tmp_path: Path) -> None:
    each = sung_at_300()
    store = store_of(tmp_path, each)
    (sound,) = store.sounds
    whole = store.read(sound, "accompaniment", 0, sound.samples)
    assert whole == pytest.approx(each.stems(RATE)["accompaniment"], abs=1 / 32767)
    around = store.read(sound, "voice", -100, sound.samples + 200)
    assert not around[:100].any()
    assert not around[-100:].any()
    assert np.array_equal(around[100:-100], store.read(sound, "voice", 0, sound.samples))


def test_stems_are_read_once(tmp_path: Path) -> None:
    store_of(tmp_path, sung_at_300())
    again = store_of(tmp_path, replace(sung_at_300(), load=lambda self, rate: {}))
    assert again.sounds[0].samples == 4 * RATE


def test_a_recording_that_cannot_be_read_costs_itself(tmp_path: Path) -> None:
    gone = LabelledRecording("gone", tmp_path / "gone.wav", np.zeros((0, 2)))
    assert [each.recording.name for each in store_of(tmp_path / "a", gone, sung_at_300()).sounds] == ["clip"]
    with pytest.raises(CorpusError, match="none of the recordings"):
        store_of(tmp_path / "b", gone)


# Tempo, pitch, timbre


@pytest.mark.parametrize(("time", "pitch"), [(1.0, 1.0), (1.25, 1.0), (0.8, 1.0), (1.0, 1.3), (0.7, 1.3)])
def test_tempo_and_pitch_change_each_by_itself(time: float, pitch: float) -> None:
    """A tone of 440 Hz that begins after 2 of 4 s."""
    samples = np.concatenate([np.zeros(2 * RATE, np.float32), tone(440, 2)])
    found = played(samples, Pace(time, pitch), RATE)
    assert len(found) == pytest.approx(len(samples) / time, rel=0.02)
    begins = int(np.argmax(np.abs(found) > 0.1)) / RATE
    assert begins == pytest.approx(2 / time, abs=0.03 / time)
    assert strongest_hz(found[len(found) * 6 // 10 :][:RATE]) == pytest.approx(440 * pitch, abs=2)


def test_a_filter_changes_a_band_by_at_most_its_decibels() -> None:
    noise = np.random.default_rng(SEED).standard_normal(4 * RATE).astype(np.float32)
    before = np.abs(np.fft.rfft(noise)) + 1e-9
    changes = []
    for seed in range(20):
        after = np.abs(np.fft.rfft(filtered(noise, np.random.default_rng(seed), 10.0, RATE)))
        smooth = np.sqrt([np.mean(part**2) for part in np.array_split(after, 200)])
        smooth /= np.sqrt([np.mean(part**2) for part in np.array_split(before, 200)])
        changes.append(20 * np.log10(smooth))
    assert np.abs(changes).max() <= 10.2
    assert np.max(changes) > 7
    assert np.min(changes) < -7
    assert np.array_equal(filtered(noise, np.random.default_rng(0), 0.0, RATE), noise)


# Mixes


def test_a_mix_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    store = store_of(tmp_path, sung_at_300(), sung_at_300("other", 3000))
    one, same, other = (Mixer(store, Recipe(), seed) for seed in (SEED, SEED, SEED + 1))
    seventh = one.mix(7, RATE).samples
    one.mix(3, RATE)
    assert np.array_equal(seventh, one.mix(7, RATE).samples)
    assert np.array_equal(seventh, same.mix(7, RATE).samples)
    assert not np.array_equal(seventh, other.mix(7, RATE).samples)
    assert not np.array_equal(seventh, one.mix(8, RATE).samples)


def test_as_recorded_a_mix_is_a_part_of_the_recording_with_its_labels(tmp_path: Path) -> None:
    each = sung_at_300()
    mixer = Mixer(store_of(tmp_path, each), AS_RECORDED, SEED)
    padded = np.pad(each.mixture(RATE), RATE)
    for number in range(10):
        mix = mixer.mix(number, 2 * RATE)
        found = [
            start
            for start in range(len(padded) - 2 * RATE)
            if np.abs(padded[start : start + 2 * RATE : 501] - mix.samples[::501]).max() < 1e-3
        ]
        assert found
        begin = found[len(found) // 2] / RATE - 1
        times = np.linspace(0, 2, 50)
        expected = each.labels_at(times + begin)
        assert np.mean(mix.sung_at(times) == expected) > 0.9


def test_labels_follow_the_voice_through_tempo_and_pitch(tmp_path: Path) -> None:
    """The voice is the only sound under 450 Hz, so the samples say what the labels should."""
    store = store_of(tmp_path, sung_at_300(), sung_at_300("other", 3000))
    mixer = Mixer(store, replace(Recipe(), voiceless=0, filter_db=0, level_db=0, voice_level_db=1), SEED)
    agree = []
    for number in range(40):
        mix = mixer.mix(number, 3 * RATE)
        for centre in np.arange(0.1, 2.9, 0.1):
            around = mix.samples[int((centre - 0.05) * RATE) : int((centre + 0.05) * RATE)]
            spectrum = np.abs(np.fft.rfft(around * np.hanning(len(around))))
            heard = spectrum[: int(450 * 0.1)].max() > 0.01 * len(around)
            agree.append(heard == bool(mix.sung_at(np.array([centre]))[0]))
    assert np.mean(agree) > 0.95


def test_a_voice_sounds_over_the_accompaniment_of_another_recording(tmp_path: Path) -> None:
    one, other = sung_at_300("one", 2000), sung_at_300("other", 5000)
    one.stems(RATE)["voice"][:] = tone(300, 4)
    other.stems(RATE)["voice"][:] = tone(600, 4)
    mixer = Mixer(store_of(tmp_path, one, other), replace(AS_RECORDED, own=0, alone=0), SEED)
    pairs = set()
    for number in range(40):
        samples = mixer.mix(number, 2 * RATE).samples[RATE // 2 : 3 * RATE // 2]
        voice = max((300, 600), key=lambda hz: level_at(samples, hz))
        pairs.add((voice, max((2000, 5000), key=lambda hz: level_at(samples, hz))))
    assert pairs == {(300, 2000), (300, 5000), (600, 2000), (600, 5000)}


def test_the_level_of_the_voice_varies_as_the_recipe_says(tmp_path: Path) -> None:
    each = sung_at_300()
    each.stems(RATE)["voice"][:] = tone(300, 4)
    mixer = Mixer(store_of(tmp_path, each), replace(AS_RECORDED, voice_level_db=5.0), SEED)
    levels = []
    for number in range(200):
        samples = mixer.mix(number, 2 * RATE).samples[RATE // 2 : 3 * RATE // 2]
        levels.append(20 * np.log10(level_at(samples, 300) / level_at(samples, 2000)))
    assert np.mean(levels) == pytest.approx(0, abs=1.5)
    assert np.std(levels) == pytest.approx(5, abs=1)


def test_without_voice_nobody_sings(tmp_path: Path) -> None:
    mixer = Mixer(store_of(tmp_path, sung_at_300()), replace(Recipe(), recorded=0, voiceless=1 - 0.12), SEED)
    for number in range(20):
        mix = mixer.mix(number, 2 * RATE)
        assert not mix.sung_at(np.linspace(0, 2, 30)).any()
        assert level_at(mix.samples, 300) < 1e-3


def test_instruments_stand_where_a_voice_would(tmp_path: Path) -> None:
    """At the level of a voice over the accompaniment of another recording, or alone; nobody sings."""
    store = store_of(tmp_path, recording("quiet", {"mixture": tone(700, 3)}), sung_at_300())
    recipe = replace(AS_RECORDED, songs=0, voiceless=1, solos=1, alone=0.3, instruments=0)
    mixes = [Mixer(store, recipe, SEED).mix(number, 2 * RATE) for number in range(40)]
    middles = [mix.samples[RATE // 2 : 3 * RATE // 2] for mix in mixes]
    assert all(level_at(samples, 700) > 0.01 for samples in middles)
    accompanied = [samples for samples in middles if level_at(samples, 2000) > 0.001]
    assert 20 < len(accompanied) < 36
    assert not any(mix.sung_at(np.linspace(0, 2, 30)).any() for mix in mixes)
    assert max(level_at(samples, 300) for samples in middles) < 1e-3


def test_inverters_see_no_silence_around_a_recording(tmp_path: Path) -> None:
    """Its edges are for the labels of a detector; in log-mel units they lie far from all that sounds."""
    sounding = recording("long", {"voice": tone(300, 6), "accompaniment": tone(2000, 6)}, sung=[(0, 6)])
    mixer = Mixer(store_of(tmp_path, sounding), FOR_INVERTERS, SEED)
    for number in range(30):
        pieces = np.split(mixer.mix(number, 2 * RATE).samples, 20)
        assert min(np.abs(piece).max() for piece in pieces) > 1e-3


def test_a_share_of_the_mixes_is_as_recorded(tmp_path: Path) -> None:
    store = store_of(tmp_path, sung_at_300(), sung_at_300("other", 3000))
    as_recorded = Mixer(store, AS_RECORDED, SEED)
    mixer = Mixer(store, replace(Recipe(), recorded=0.5), SEED)
    same = [
        np.array_equal(mixer.mix(number, RATE).samples, as_recorded.mix(number, RATE).samples)
        for number in range(60)
    ]
    assert 18 < sum(same) < 42


def test_short_recordings_without_singing_follow_each_other(tmp_path: Path) -> None:
    notes = [recording(f"{hz}", {"mixture": tone(hz, 0.5)}) for hz in (500.0, 700.0, 900.0)]
    mixer = Mixer(store_of(tmp_path, *notes), replace(AS_RECORDED, songs=0, voiceless=1), SEED)
    heard = [strongest_hz(part) for part in np.split(mixer.mix(1, 3 * RATE).samples, 6)]
    assert len({round(hz, -1) for hz in heard}) > 1
    assert set(np.round(heard, -1)) <= {500, 700, 900}


def test_recordings_of_which_nothing_is_known_are_examples_too(tmp_path: Path) -> None:
    unknown = recording("unknown", {"mixture": tone(700, 3)}, known=False)
    mixer = Mixer(store_of(tmp_path, unknown), Recipe(), SEED)
    assert mixer.describe()["recordings"] == {"accompanied": 0, "voices": 0, "songs": 1, "voiceless": 0}
    assert np.abs(mixer.mix(0, RATE).samples).max() > 0.01


def test_as_recorded_recordings_without_singing_are_examples_too(tmp_path: Path) -> None:
    store = store_of(tmp_path, recording("quiet", {"mixture": tone(700, 3)}), sung_at_300())
    mixes = [Mixer(store, AS_RECORDED, SEED).mix(number, 2 * RATE) for number in range(40)]
    without = [mix for mix in mixes if level_at(mix.samples, 700) > 0.01]
    assert 4 < len(without) < 20
    assert all(level_at(mix.samples, 2000) < 1e-3 for mix in without)
    assert not any(mix.sung_at(np.linspace(0, 2, 30)).any() for mix in without)


def test_a_recipe_that_no_recording_serves_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, recording("quiet", {"mixture": tone(700, 3)}))
    with pytest.raises(CorpusError, match="nothing can be mixed"):
        Mixer(store, replace(AS_RECORDED, voiceless=0), SEED)


def test_mixes_as_recordings_give_the_same_samples_every_time(tmp_path: Path) -> None:
    store = store_of(tmp_path, sung_at_300())
    one, again = (mixed_recordings(Mixer(store, Recipe(), SEED), 3, 2.0) for _ in range(2))
    other = mixed_recordings(Mixer(store, Recipe(), SEED + 1), 3, 2.0)
    assert [len(each.mixture(RATE)) for each in one] == [2 * RATE] * 3
    assert np.array_equal(one[2].mixture(RATE), again[2].mixture(RATE))
    assert not np.array_equal(one[2].mixture(RATE), one[1].mixture(RATE))
    assert [each.path for each in one] == [each.path for each in again]
    assert one[0].path != other[0].path


# What is mixed


def test_a_voice_alone_is_sung_where_it_sounds() -> None:
    voice = np.concatenate([np.zeros(RATE), tone(300, 1), 1e-4 * tone(300, 1), tone(300, 0.5)])
    assert active_intervals(voice.astype(np.float32), RATE) == pytest.approx(
        np.array([[1, 2], [3, 3.5]]), abs=0.03
    )
    assert active_intervals(voice[:10].astype(np.float32), RATE).shape == (0, 2)
    assert active_intervals(np.zeros(RATE, np.float32), RATE).shape == (0, 2)


def test_where_voices_sound_agrees_with_the_labels_of_mir_1k(assets: Path) -> None:
    """Measured on every eighth clip of the training singers: 93.5 %."""
    agree = []
    for clip in open_mir1k(assets / "audio/MIR-1K", "train")[::40]:
        voice = clip.stems(RATE)["voice"]
        found = replace(clip, sung=active_intervals(voice, RATE))
        times = np.arange(0.05, len(voice) / RATE - 0.05, 0.01)
        agree.append(np.mean(found.labels_at(times) == clip.labels_at(times)))
    assert np.mean(agree) == pytest.approx(0.935, abs=0.02)


def test_a_folder_of_voices_has_labels_of_its_own_or_from_the_level(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(RATE), tone(300, 1)])
    for name in ("labelled", "plain"):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
    (tmp_path / "labelled.lab").write_text("0 0.5 sing\n0.5 2 nosing\n")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    found = {each.name: each for each in open_voices_folder(tmp_path)}
    assert sorted(found) == ["labelled.wav", "plain.wav"]
    assert found["labelled.wav"].sung.tolist() == [[0, 0.5]]
    assert found["plain.wav"].sung == pytest.approx(np.array([[1, 2]]), abs=0.03)
    assert list(found["plain.wav"].stems(RATE)) == ["voice"]


def test_the_phantom_corpus_knows_where_it_is_sung_and_has_stems(tmp_path: Path) -> None:
    write_phantom(tmp_path, recordings=5, seconds=3.0, seed=SEED, stems=True)
    found = {each.labels["kind"]: each for each in open_phantom(tmp_path)}
    assert len(found) == 5
    assert list(found["voice"].stems(RATE)) == ["voice"]
    assert list(found["percussive"].stems(RATE)) == ["mixture"]
    assert not len(found["harmonic"].sung)
    full = found["full_band"]
    assert sorted(full.stems(RATE)) == ["accompaniment", "voice"]
    assert full.mixture(RATE) == pytest.approx(full.waveform(RATE).samples, abs=1e-3)
    assert len(full.sung)


def test_a_folder_that_is_no_phantom_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"manifest\.csv"):
        open_phantom(tmp_path)
    (tmp_path / "manifest.csv").write_text("path\na.wav\n")
    with pytest.raises(CorpusError, match="not that of a phantom corpus"):
        open_phantom(tmp_path)
    (tmp_path / "manifest.csv").write_text("path,truth\na.wav,a.json\n")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(CorpusError, match="not the truth"):
        open_phantom(tmp_path)
