"""Corpora with labels of singing: what they list, where they say somebody sings, what they miss."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import actprobe
from actprobe.corpora import Recording, jamendo, labelled, mir1k, rwc
from actprobe.corpora.label_files import read_lab
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_corpus import open_labelled
from actprobe.corpora.labelled_folders import open_labelled_folder, open_voiceless_folder
from actprobe.corpora.splits import hold_out, open_splits
from actprobe.corpora.voice_activity import label_file
from actprobe.errors import ActprobeError, AudioError, CorpusError

RATE = 16_000


def write_clip(folder: Path, name: Any, frames: Any, labels: Any = None) -> None:
    """A clip whose voice sounds exactly where the labels say, as MIR-1K centres its frames."""
    rng = np.random.default_rng(len(name))
    labels = np.asarray([0] * 20 + [1] * (frames - 40) + [0] * 20 if labels is None else labels)
    samples = (len(labels) + 1) * RATE // 50
    voice = np.zeros(samples)
    for i in np.flatnonzero(labels):
        voice[(2 * i + 1) * RATE // 100 : (2 * i + 3) * RATE // 100] = 0.5
    stereo = np.stack([0.1 * rng.standard_normal(samples), voice], 1)
    (folder / "Wavfile").mkdir(parents=True, exist_ok=True)
    (folder / "vocal-nonvocalLabel").mkdir(exist_ok=True)
    soundfile.write(folder / "Wavfile" / f"{name}.wav", stereo, RATE)
    (folder / "vocal-nonvocalLabel" / f"{name}.vocal").write_text("".join(f"{i}\n" for i in labels))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for name in ("amy_1_01", "khair_2_03", "ariel_1_02", "heycat_5_01"):
        write_clip(tmp_path, name, 100)
    return tmp_path


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Three songs in the layout of the Jamendo corpus."""
    for split, name in (("train", "a song"), ("valid", "b"), ("test", "c")):
        (tmp_path / split).mkdir()
        (tmp_path / "jamendo_lab").mkdir(exist_ok=True)
        soundfile.write(tmp_path / split / f"{name}.ogg", 0.1 * np.ones((22_050, 2)), 22_050)
        lab = tmp_path / "jamendo_lab" / f"{name}.lab"
        lab.write_text("0 0.25 nosing\n0.25 0.75 sing\n0.75 1 nosing\n")
    return tmp_path


# Labels at times


def recording(*sung: Any) -> LabelledRecording:
    return LabelledRecording("x", Path("x"), np.array(sung, float).reshape(-1, 2))


def test_an_interval_holds_its_beginning_and_not_its_end() -> None:
    assert recording((1, 2), (3, 4)).labels_at([0.5, 1, 1.9, 2, 2.5, 3, 4]).tolist() == [0, 1, 1, 0, 0, 1, 0]


def test_no_interval_no_singing() -> None:
    assert not recording().labels_at(np.arange(5.0)).any()


def test_short_gaps_are_closed_and_long_ones_kept() -> None:
    closed = recording((0, 1), (1.1, 2), (2.2, 3)).close_gaps(0.2)
    assert closed.sung.tolist() == [[0, 2], [2.2, 3]]


@given(st.lists(st.floats(0.01, 5), min_size=2, max_size=20), st.floats(0, 1))
def test_closing_gaps_only_adds_singing(steps: Any, shortest: Any) -> None:
    edges = np.cumsum(steps[: len(steps) // 2 * 2])
    before = recording(*edges.reshape(-1, 2))
    times = np.linspace(0, edges[-1] + 1, 500)
    assert not (before.labels_at(times) & ~before.close_gaps(shortest).labels_at(times)).any()
    assert np.array_equal(before.close_gaps(0).labels_at(times), before.labels_at(times))


# MIR-1K


def test_mir1k_is_split_by_singer(clips: Path) -> None:
    splits = {clip.name: clip.split for clip in mir1k.open_mir1k(clips)}
    assert splits == {
        "amy_1_01": "train",
        "ariel_1_02": "valid",
        "heycat_5_01": "test",
        "khair_2_03": "train",
    }
    assert [clip.name for clip in mir1k.open_mir1k(clips, "test")] == ["heycat_5_01"]


def test_a_label_of_mir1k_is_centred_20_ms_later_than_its_number_says(tmp_path: Path) -> None:
    write_clip(tmp_path, "amy_1_01", 0, [0, 1, 0, 0, 1, 1, 0])
    (clip,) = mir1k.open_mir1k(tmp_path)
    assert clip.sung == pytest.approx(np.array([[0.03, 0.05], [0.09, 0.13]]))
    centres = 0.02 * (np.arange(7) + 1)
    assert clip.labels_at(centres).tolist() == [0, 1, 0, 0, 1, 1, 0]


def test_left_is_the_accompaniment_and_right_the_voice(clips: Path) -> None:
    clip = mir1k.open_mir1k(clips)[0]
    stems = clip.stems(RATE)
    times = (np.arange(len(stems["voice"])) + 0.5) / RATE
    assert np.array_equal(stems["voice"] > 0.25, clip.labels_at(times))
    assert clip.mixture(RATE) == pytest.approx((stems["accompaniment"] + stems["voice"]) / 2)


def test_the_real_corpus_agrees_with_its_labels(assets: Path) -> None:
    """The energy of the voice channel tells sung frames, best where the labels are put."""
    from actprobe.statistics.roc import auc

    clips = mir1k.open_mir1k(assets / "audio/MIR-1K", "test")[::12]
    agreement = {}
    for offset in (-0.02, 0.0, 0.02):
        levels, labels = [], []
        for clip in clips:
            power = np.cumsum(clip.stems(RATE)["voice"].astype(float) ** 2)
            times = np.arange(0.05, len(power) / RATE - 0.05, 0.01)
            starts = ((times + offset - 0.01) * RATE).astype(int)
            levels.append(power[starts + RATE // 50] - power[starts])
            labels.append(clip.labels_at(times))
        agreement[offset] = auc(np.concatenate(labels), np.concatenate(levels))
    assert agreement[0.0] > 0.96
    assert agreement[0.0] == max(agreement.values())


def test_validate_names_what_is_missing_and_damaged_in_mir1k(clips: Path) -> None:
    (clips / "Wavfile/amy_1_01.wav").unlink()
    (clips / "Wavfile/khair_2_03.wav").write_bytes(b"RIFF no audio")
    soundfile.write(clips / "Wavfile/ariel_1_02.wav", np.zeros(1000), RATE)
    (clips / "Wavfile/new_1_01.wav").write_bytes(b"")
    problems = mir1k.validate(clips)
    assert [problem.split("Wavfile/")[1].split(":")[0] for problem in problems] == [
        "amy_1_01.wav",
        "ariel_1_02.wav",
        "khair_2_03.wav",
        "new_1_01.wav",
    ]
    assert "does not exist" in problems[0]
    assert "1 channel" in problems[1]
    assert "no labels" in problems[3]


def test_validate_finds_nothing_wrong_with_a_sound_corpus(clips: Path, tmp_path: Path) -> None:
    assert mir1k.validate(clips) == []


@pytest.mark.parametrize("text", ["", "0\n2\n", "0 1 x", "\x00"])
def test_labels_that_are_none_are_refused(clips: Path, text: str) -> None:
    (clips / "vocal-nonvocalLabel/amy_1_01.vocal").write_text(text)
    with pytest.raises(CorpusError, match=r"amy_1_01\.vocal"):
        mir1k.open_mir1k(clips)


def test_another_folder_is_not_mir1k(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is not MIR-1K"):
        mir1k.open_mir1k(tmp_path)


# Folders with .lab files


def test_a_folder_lists_only_what_has_labels(songs: Path) -> None:
    (songs / "train/a song.lab").write_text("0.5 0.75 sing\n0.1 0.6 sing\n")
    soundfile.write(songs / "train/unlabelled.wav", np.zeros(100), RATE)
    (found,) = open_labelled_folder(songs / "train")
    assert found.name == "a song.ogg"
    assert found.sung.tolist() == [[0.1, 0.75]]
    assert found.stems(22_050)["mixture"].shape == (22_050,)


def test_the_manifest_above_a_folder_gives_the_splits(songs: Path) -> None:
    (songs / "MANIFEST.csv").write_text("path,split\ntrain/a song.ogg,test\nother/a song.ogg,valid\n")
    assert open_labelled_folder(songs / "train")[0].split == "test"
    assert open_voiceless_folder(songs / "train", "train") == []
    assert not len(open_voiceless_folder(songs / "train", "test")[0].sung)


def test_a_manifest_with_another_split_is_refused(songs: Path) -> None:
    (songs / "train/splits.csv").write_text("path,split\na song.ogg,dev\n")
    with pytest.raises(CorpusError, match="split 'dev'"):
        open_labelled_folder(songs / "train")


def test_a_row_of_a_manifest_is_of_the_file_that_it_names(tmp_path: Path) -> None:
    for name in ("a.wav", "sub/a.wav", "sub/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "splits.csv").write_text("path,split\nsub/a.wav,valid\n./sub/b.wav,test\n")
    found = open_labelled(tmp_path, "unused").recordings
    assert {each.name: each.split for each in found} == {
        "a.wav": "train",
        "sub/a.wav": "valid",
        "sub/b.wav": "test",
    }


# Whatever holds recordings, for trainings and evaluations


@pytest.fixture
def albums(tmp_path: Path) -> Path:
    """Two songs with labels, one of them in a subfolder, and one song without."""
    (tmp_path / "live").mkdir()
    for name in ("a.wav", "live/b.wav", "live/c.wav"):
        soundfile.write(tmp_path / name, np.zeros(100), RATE)
    (tmp_path / "a.lab").write_text("0 1 sing\n")
    (tmp_path / "live/b.lab").write_text("1 2 sing\n")
    return tmp_path


def test_a_folder_is_the_same_recordings_to_trainings_as_to_open_corpus(albums: Path) -> None:
    everything = [one.name for one in actprobe.open_corpus(albums)]
    assert everything == ["a.wav", "live/b.wav", "live/c.wav"]
    for labels in ("optional", "unused"):
        assert [one.name for one in open_labelled(albums, labels).recordings] == everything
    assert [one.name for one in open_labelled(f"folder:{albums}", "unused").recordings] == everything


@pytest.mark.parametrize("kind", ["folder", "named", "manifest", "data frame", "list"])
def test_labels_are_found_beside_recordings_however_they_are_named(albums: Path, kind: str) -> None:
    paths = [albums / "a.wav", albums / "live/b.wav"]
    (albums / "corpus.csv").write_text("path,split\na.wav,train\nlive/b.wav,test\n")
    sources: dict[str, Any] = {
        "folder": albums,
        "named": f"labelled:{albums}",
        "manifest": albums / "corpus.csv",
        "data frame": pd.DataFrame({"path": paths, "split": ["train", "test"]}),
        "list": paths,
    }
    one, other = open_labelled(sources[kind]).recordings
    assert (one.sung.tolist(), other.sung.tolist()) == ([[0, 1]], [[1, 2]])
    assert [one.split, other.split] == ["train", "test" if kind in ("manifest", "data frame") else "train"]


def test_where_labels_are_needed_recordings_without_are_left_out_and_that_is_said(
    albums: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert [one.name for one in open_labelled(albums).recordings] == ["a.wav", "live/b.wav"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("nothing says where somebody sings in 1 of 3 recordings, live/c.wav the first")


def test_where_no_recording_has_labels_the_refusal_says_what_to_give(albums: Path) -> None:
    with pytest.raises(CorpusError, match=r"somebody sings in .*c\.wav: put a \.lab file.*or give a label"):
        open_splits([albums / "live/c.wav"], read=str)


def test_where_labels_are_optional_each_recording_knows_whether_it_has_any(
    albums: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (albums / "live/b.lab").write_text("0 1 C:maj\n")
    found = open_labelled(albums, "optional")
    assert [one.known for one in found.recordings] == [True, False, False]
    assert found.known
    assert "where somebody sings in live/b.wav is unknown" in caplog.text
    with pytest.raises(CorpusError, match=r"b\.lab.*'c:maj'"):
        open_labelled(albums)


# Held out for validation


def of_names(names: Any, **known: Any) -> list[Any]:
    return [
        LabelledRecording(name, name, np.array([[0.0, 1.0]]), **{key: each[i] for key, each in known.items()})
        for i, name in enumerate(names)
    ]


def held(recordings: Any, seed: int = 0, read: Any = str) -> list[Any]:
    return [each.name for each in hold_out(recordings, seed, read)]


@given(st.integers(2, 60), st.integers(0, 5))
def test_a_tenth_is_held_out_at_least_one_and_never_all(count: Any, seed: Any) -> None:
    names = [f"{i}.wav" for i in range(count)]
    found = held(of_names(names), seed)
    assert len(found) == max(1, round(count / 10))
    assert set(found) < set(names)


def test_the_seed_and_the_names_choose(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "absl")
    names = [f"{i}.wav" for i in range(40)]
    found = held(of_names(names))
    assert f"4 of 40 are held out by seed 0: {', '.join(found)}" in caplog.text
    assert set(held(of_names(names[::-1]))) == set(found)
    assert set(held(of_names(names), seed=1)) != set(found)
    for i in range(20):
        more = set(held(of_names([*names, f"new {i}.wav"])))
        assert len(more - set(found)) <= 1


def test_recordings_of_one_singer_or_song_stay_together() -> None:
    names = [f"{i:02d}.wav" for i in range(40)]
    singers = [f"singer {i % 13}" for i in range(40)]
    songs = [{"song": f"song {i // 2}"} if i < 4 else {} for i in range(40)]  # each joins two singers
    for seed in range(20):
        found = set(held(of_names(names, singer=singers, labels=songs), seed))
        assert 1 <= len(found) <= 4
        for group in range(4, 13):
            assert len({names[i] in found for i in range(group, 40, 13)}) == 1
        assert not found & set(names[:4])  # seven and six recordings are more than a tenth


def test_of_large_groups_the_smallest_is_held_out() -> None:
    names = [f"{i}.wav" for i in range(10)]
    singers = ["a"] * 5 + ["b"] * 2 + ["c"] * 3
    assert {*held(of_names(names, singer=singers))} == {"5.wav", "6.wav"}


def test_what_cannot_be_read_is_not_held_out() -> None:
    names = [f"{i}.wav" for i in range(10)]
    (first,) = held(of_names(names))

    def read(recording: Any) -> None:
        if recording.name == first:
            raise AudioError(recording.path, "is damaged")

    assert held(of_names(names), read=read) not in ([], [first])


@pytest.mark.parametrize(
    ("names", "damaged", "singer"), [("a", "", ""), ("ab", "b", ""), ("ab", "a", ""), ("abc", "", "amy")]
)
def test_nothing_is_held_out_where_nothing_would_be_left_and_that_is_said_once(
    names: str, damaged: str, singer: str, caplog: pytest.LogCaptureFixture
) -> None:
    def read(recording: Any) -> None:
        if recording.name in damaged:
            raise AudioError(recording.path, "is damaged")

    assert held(of_names(names, singer=[singer] * len(names)), read=read) == []
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "no recording is for validation and none can be held out: the last epoch is taken"


def test_a_corpus_with_validation_keeps_its_split(songs: Path) -> None:
    found = open_splits(f"jamendo:{songs}", read=str)
    assert [[one.name for one in part] for part in (found.train, found.valid)] == [["a song"], ["b"]]
    assert found.held_out == []


def test_of_a_corpus_without_validation_only_what_is_sung_is_held_out(albums: Path) -> None:
    (albums / "a.lab").write_text("0 1 nosing\n")
    (albums / "live/c.lab").write_text("0 1 sing\n")
    found = open_splits(albums, voiceless=open_voiceless_folder(albums / "live"), read=str)
    assert found.held_out == [one.name for one in found.valid]
    assert found.held_out in (["live/b.wav"], ["live/c.wav"])
    assert len(found.train) == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 1\n", "line 1"),
        ("0 1 sing\n2 x sing\n", "line 2"),
        ("1 0 sing\n", "no interval"),
        ("0 inf sing\n", "no interval"),
        ("0 1 hum\n", "'hum'"),
        ("", "no labels"),
    ],
)
def test_label_files_that_are_none_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "x.lab"
    path.write_text(text)
    with pytest.raises(CorpusError, match=reason):
        read_lab(path)


def test_a_label_file_that_is_audio_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.lab"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(CorpusError, match="not a text file"):
        read_lab(path)


def test_validate_says_when_labels_outlast_the_audio(songs: Path) -> None:
    (songs / "jamendo_lab/b.lab").write_text("0 9 sing\n")
    (problem,) = labelled.validate(jamendo.open_jamendo(songs))
    assert problem.endswith("b.ogg: labels go on to 9.00 s, the audio ends at 1.00 s")


# Jamendo


def test_jamendo_takes_its_splits_from_folders_or_lists(songs: Path) -> None:
    by_folder = {song.name: song.split for song in jamendo.open_jamendo(songs)}
    assert by_folder == {"a song": "train", "b": "valid", "c": "test"}
    (songs / "audio").mkdir()
    (songs / "filelists").mkdir()
    for split in ("train", "valid", "test"):
        (path,) = (songs / split).iterdir()
        (songs / "filelists" / split).write_text(f"{path.name}\n")
        path.rename(songs / "audio" / path.name)
        (songs / split).rmdir()
    assert {song.name: song.split for song in jamendo.open_jamendo(songs)} == by_folder


@pytest.mark.parametrize("name", ["labels", "jamendo_others_labels"])
def test_jamendo_finds_its_labels_by_what_their_folder_is_called(songs: Path, name: str) -> None:
    (songs / "jamendo_lab").rename(songs / name)
    assert len(jamendo.open_jamendo(songs)) == 3
    assert label_file(Recording("b", songs / "valid/b.ogg")) == songs / name / "b.lab"
    (songs / name).rename(songs / "other")
    with pytest.raises(CorpusError, match="is not the Jamendo corpus: it has no jamendo_lab/ or labels/"):
        jamendo.open_jamendo(songs)


def test_validate_names_what_is_missing_in_jamendo(songs: Path) -> None:
    (songs / "test/c.ogg").unlink()
    (songs / "jamendo_lab/a song.lab").unlink()
    problems = jamendo.validate(songs)
    assert any("a song.ogg: has no labels" in problem for problem in problems)
    assert any("c.lab: its song is missing" in problem for problem in problems)
    assert len(problems) == 2


def test_the_label_files_of_jamendo_are_all_readable(assets: Path) -> None:
    files = sorted((assets / "audio/jamendo_svd_labels").glob("*.lab"))
    assert len(files) == sum(jamendo.SONGS.values())
    sung = [read_lab(path) for path in files]
    assert all((intervals[1:, 0] > intervals[:-1, 1]).all() for intervals in sung)
    assert 2 < sum(np.diff(intervals).sum() for intervals in sung) / 3600 < 5


# RWC


def a_mirdata(tmp_path: Path, events: Any) -> Any:
    """As much of mirdata as is used."""
    labels = tmp_path / "labels.txt"
    labels.write_text("x")
    activity = types.SimpleNamespace(
        intervals=np.array([[float(i), i + 1.0] for i in range(len(events))]), events=events
    )
    tracks = {
        f"RM-P{i:03d}": types.SimpleNamespace(
            track_id=f"RM-P{i:03d}",
            audio_path=str(tmp_path / f"{i}.wav"),
            voca_inst_path=str(labels) if i != 2 else None,
            vocal_instrument_activity=activity,
            artist="somebody",
        )
        for i in range(1, 7)
    }
    dataset = types.SimpleNamespace(track_ids=list(tracks), track=tracks.__getitem__)
    return types.SimpleNamespace(initialize=lambda name, data_home: dataset)


def test_rwc_comes_through_mirdata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = ["b", "m:withm", "f:solo", "s:gt", "g:a"]
    monkeypatch.setitem(sys.modules, "mirdata", a_mirdata(tmp_path, events))
    songs = rwc.open_rwc(tmp_path)
    assert songs[0].sung.tolist() == [[1, 3], [4, 5]]
    assert [(song.name, song.split) for song in songs] == [
        ("RM-P001", "train"),
        ("RM-P003", "train"),
        ("RM-P004", "valid"),
        ("RM-P005", "test"),
        ("RM-P006", "train"),
    ]
    assert len(rwc.validate(tmp_path)) == 5


def test_without_mirdata_rwc_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mirdata", None)
    with pytest.raises(ActprobeError, match=r"actprobe\[corpora\]"):
        rwc.open_rwc(tmp_path)


def test_a_missing_recording_is_an_audio_error(clips: Path) -> None:
    (clips / "Wavfile/amy_1_01.wav").unlink()
    with pytest.raises(AudioError, match="does not exist"):
        mir1k.open_mir1k(clips)[0].stems(RATE)
