"""FCVID, IRMAS and corpora by name, on small trees of the same layout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from absl import logging

from actprobe.corpora import Recording, fcvid, irmas, open_corpus
from actprobe.corpora.named import NAMES, open_named
from actprobe.errors import CorpusError, UsageError
from actprobe.models.networks import cnn_at_fcvid

FCVID_ROWS = (
    "./violinPerformance/_iiwx8skEBs,6\n"
    "./pianoPerformance/omZpjv5KZ9Q,11\n"
    "./chamberMusic/E1SMeknbZTk,3\n"
    "./trumpetPerformance/-wVXdHHIjsc,1\n"
)


def touch(folder: Path, *names: Any) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    (tmp_path / fcvid.TABLE).write_text(FCVID_ROWS)
    touch(
        tmp_path,
        "violinPerformance/_iiwx8skEBs.mp4",
        "violinPerformance/_iiwx8skEBs.json",
        "pianoPerformance/omZpjv5KZ9Q..wav",
        "trumpetPerformance/another.wav",
    )
    return tmp_path


class TestFcvid:
    def test_the_class_is_that_of_the_path(self, videos: Path) -> None:
        recordings = fcvid.open_fcvid(videos)
        assert [one.labels["instrument"] for one in recordings] == [
            "violin",
            "piano",
            "chamberMusic",
            "trumpet",
        ]
        assert recordings[3].labels["youtube_id"] == "-wVXdHHIjsc"

    def test_the_ids_are_not_those_of_the_alphabetical_list(self) -> None:
        """`FCVID.categories` of the original repository is sorted by name; its second is the cello."""
        assert fcvid.CLASSES == cnn_at_fcvid.CLASSES  # type: ignore[attr-defined]
        assert fcvid.CLASSES[1] == "trumpet" != sorted(fcvid.CLASSES)[1] == "cello"

    def test_files_are_found_by_any_suffix_and_missing_ones_are_listed(self, videos: Path) -> None:
        assert [one.name for one in fcvid.open_fcvid(videos)] == [
            "violinPerformance/_iiwx8skEBs.mp4",
            "pianoPerformance/omZpjv5KZ9Q..wav",
            "chamberMusic/E1SMeknbZTk.wav",
            "trumpetPerformance/-wVXdHHIjsc.wav",
        ]
        assert [one.path.exists() for one in fcvid.open_fcvid(videos / fcvid.TABLE)] == [
            True,
            True,
            False,
            False,
        ]

    def test_the_splits_are_drawn_as_the_original_drew_them(self) -> None:
        """By scikit-learn, on the whole table of 5147."""
        split = pytest.importorskip("sklearn.model_selection").train_test_split
        rows = list(range(fcvid.VIDEOS))
        train, held_out = split(rows, test_size=0.3, random_state=10)
        valid, test = split(held_out, test_size=0.5, random_state=10)
        splits = fcvid._splits(fcvid.VIDEOS)
        for name, expected in (("train", train), ("valid", valid), ("test", test)):
            assert [i for i in rows if splits[i] == name] == sorted(expected)

    def test_only_the_whole_table_has_splits(self, tmp_path: Path) -> None:
        rows = [
            f"./{name}Performance/id{i}_{name},{k}"
            for k, name in enumerate(fcvid.CLASSES)
            for i in range(430)
        ]
        (tmp_path / fcvid.TABLE).write_text("\n".join(rows[: fcvid.VIDEOS]))
        touch(tmp_path, "accordionPerformance/id0_accordion.wav")
        counts = Counter(one.labels["split"] for one in fcvid.open_fcvid(tmp_path))
        assert counts == {"train": 3602, "valid": 772, "test": 773}
        assert len(fcvid.open_fcvid(tmp_path, "test")) == 773
        (tmp_path / fcvid.TABLE).write_text("\n".join(rows[:100]))
        assert "split" not in fcvid.open_fcvid(tmp_path)[0].labels
        with pytest.raises(CorpusError, match="holds nothing for test"):
            fcvid.open_fcvid(tmp_path, "test")

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            ("./violinPerformance/x,11", "line 5: class id 11 is not that of violinPerformance, 6"),
            ("./kazooPerformance/x,1", "line 5 is not: ./CLASS/YOUTUBE_ID,CLASS_ID"),
            ("violin,6", "line 5 is not"),
            ("./violinPerformance/x", "line 5 is not"),
            ("./violinPerformance/x,six", "line 5 is not"),
            ("./violinPerformance/_iiwx8skEBs,6", "line 5: violinPerformance/_iiwx8skEBs is named twice"),
        ],
    )
    def test_a_row_that_is_none_is_refused(self, videos: Path, row: str, reason: str) -> None:
        (videos / fcvid.TABLE).write_text(FCVID_ROWS + row + "\n")
        with pytest.raises(CorpusError, match=reason):
            fcvid.open_fcvid(videos)

    def test_no_table_an_empty_one_and_no_file_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match=r"fcvid_dataset\.csv: no such file"):
            fcvid.open_fcvid(tmp_path)
        (tmp_path / fcvid.TABLE).write_text("\n")
        with pytest.raises(CorpusError, match="names no video"):
            fcvid.open_fcvid(tmp_path)
        (tmp_path / fcvid.TABLE).write_text(FCVID_ROWS)
        with pytest.raises(CorpusError, match="holds none of the 4 files"):
            fcvid.open_fcvid(tmp_path)


@pytest.fixture
def excerpts(tmp_path: Path) -> Path:
    touch(
        tmp_path,
        "IRMAS-TrainingData/cla/[cla][cla]0160__3.wav",
        "IRMAS-TrainingData/pia/[pia][nod][jaz_blu]1234__1.wav",
        "IRMAS-TrainingData/voi/[voi][dru][pop_roc]0001__2.wav",
        "IRMAS-TrainingData/gel/118__[gel][dru][pop_roc]0829__1.wav",
        "IRMAS-TrainingData/README.txt",
        "IRMAS-TestingData-Part1/Part1/(02) song-1.wav",
        "IRMAS-TestingData-Part2/IRTestingData-Part2/b.wav",
        "IRMAS-TestingData-Part2/IRTestingData-Part2/no labels.wav",
    )
    (tmp_path / "IRMAS-TestingData-Part1/Part1/(02) song-1.txt").write_text("gel\t\nvoi\t\ngel\n")
    (tmp_path / "IRMAS-TestingData-Part2/IRTestingData-Part2/b.txt").write_text("kazoo\n")
    return tmp_path


class TestIrmas:
    def test_training_data_is_labelled_by_folder_and_name(self, excerpts: Path) -> None:
        found = {one.name.split("/")[1]: one.labels for one in irmas.open_irmas(excerpts, "train")}
        assert found["pia"] == {"instrument": "pia", "genre": "jaz_blu", "drums": "no", "split": "train"}
        assert found["voi"] == {"instrument": "voi", "genre": "pop_roc", "drums": "yes", "split": "train"}
        assert found["gel"] == {"instrument": "gel", "genre": "pop_roc", "drums": "yes", "split": "train"}

    def test_cla_is_a_clarinet_as_a_folder_and_classical_as_a_second_mark(self, excerpts: Path) -> None:
        touch(excerpts, "IRMAS-TrainingData/cla/[cla][nod][jaz_blu]0473__1.wav")
        classical, jazz = (one.labels for one in irmas.open_irmas(excerpts, "train")[:2])
        assert classical == {"instrument": "cla", "genre": "cla", "drums": "", "split": "train"}
        assert jazz == {"instrument": "cla", "genre": "jaz_blu", "drums": "no", "split": "train"}

    def test_testing_data_names_several_instruments(
        self, excerpts: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = []
        monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
        first, second = irmas.open_irmas(excerpts, "test")
        assert first.labels["instrument"] == "gel;voi"
        assert second.labels["instrument"] == ""
        assert len(said) == 1
        assert "b.txt: 'kazoo' is no instrument" in said[0]

    def test_both_and_either_folder_alone(self, excerpts: Path) -> None:
        assert len(irmas.open_irmas(excerpts)) == 6
        assert len(irmas.open_irmas(excerpts / "IRMAS-TrainingData")) == 4
        assert len(irmas.open_irmas(excerpts / "IRMAS-TestingData-Part1")) == 1

    def test_the_eleven_codes(self) -> None:
        assert "".join(irmas.INSTRUMENTS) == "celclaflugacgelorgpiasaxtruviovoi"

    def test_another_folder_is_refused(self, tmp_path: Path, excerpts: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(CorpusError, match="holds no IRMAS excerpts"):
            irmas.open_irmas(tmp_path / "empty")
        with pytest.raises(CorpusError, match="holds no IRMAS excerpts for valid"):
            irmas.open_irmas(excerpts, "valid")
        with pytest.raises(CorpusError, match="is not a folder"):
            irmas.open_irmas(tmp_path / "nowhere")


class TestByName:
    def test_each_is_opened_by_its_name(self, videos: Path, excerpts: Path, tmp_path: Path) -> None:
        with_singing = ("jamendo", "labelled", "mir1k", "phantom", "rwc", "voices", "voiceless")
        assert ("fcvid", "folder", "irmas", *with_singing) == NAMES
        assert len(open_named("fcvid", videos)) == 4
        assert len(open_named("irmas", excerpts, "train")) == 4
        assert all(isinstance(one, Recording) for one in open_named("folder", tmp_path))

    def test_singing_is_a_label(self, tmp_path: Path) -> None:
        touch(tmp_path, "Wavfile/amy_1_01.wav", "Wavfile/heycat_1_01.wav")
        (tmp_path / "vocal-nonvocalLabel").mkdir()
        for name, text in (("amy_1_01", "1\n1\n1\n0\n"), ("heycat_1_01", "0\n0\n")):
            (tmp_path / f"vocal-nonvocalLabel/{name}.vocal").write_text(text)
        amy, heycat = open_named("mir1k", tmp_path)
        assert amy.labels == {"split": "train", "singer": "amy", "voice_activity": "0.750000"}
        assert heycat.labels == {"split": "test", "singer": "heycat", "voice_activity": "0.000000"}
        assert [one.name for one in open_named("mir1k", tmp_path, "test")] == ["heycat_1_01"]

    def test_a_manifest_is_split_by_its_column(self, tmp_path: Path) -> None:
        (tmp_path / "m.csv").write_text("path,split\na.wav,train\nb.wav,test\n")
        assert [one.name for one in open_named("folder", tmp_path / "m.csv", "test")] == ["b.wav"]
        with pytest.raises(CorpusError, match="no recording whose column split says valid"):
            open_named("folder", tmp_path / "m.csv", "valid")

    def test_a_name_before_the_folder_is_enough_for_every_input_flag(self, excerpts: Path) -> None:
        assert list(open_corpus(f"irmas:{excerpts}")) == irmas.open_irmas(excerpts)
        assert list(open_corpus(f"irmas/test:{excerpts}")) == irmas.open_irmas(excerpts, "test")
        with pytest.raises(UsageError, match="no corpus is called 'gtzan'"):
            open_corpus(f"gtzan:{excerpts}")
        with pytest.raises(CorpusError, match="does not exist"):
            open_corpus("nowhere")

    def test_a_folder_with_a_colon_is_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        touch(tmp_path, "irmas:songs/a.wav")
        monkeypatch.chdir(tmp_path)
        assert [one.name for one in open_corpus("irmas:songs")] == ["a.wav"]

    def test_another_name_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no corpus is called 'gtzan'; there are: fcvid, folder"):
            open_named("gtzan", tmp_path)
