"""Folders, manifests and single files as lists of recordings."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import actprobe
from actprobe.corpora import Corpus, Recording, named, open_corpus
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_corpus import open_labelled
from actprobe.errors import CorpusError, UsageError


def names(source: Any) -> list[str]:
    return [recording.name for recording in open_corpus(source)]


def test_folder_is_walked_in_a_stable_order_and_sidecars_are_not_recordings(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("c.WAV", "b/a.flac", "a.mp3", "a.lab", "notes.csv", ".hidden.wav", "b/.x.ogg"):
        (tmp_path / name).touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "d.wav").touch()
    assert names(tmp_path) == ["a.mp3", "b/a.flac", "c.WAV"]


def test_manifest_keeps_its_order_its_labels_and_what_is_missing(tmp_path: Path) -> None:
    manifest = tmp_path / "corpus.csv"
    manifest.write_text("genre,path\nrock,z.wav\njazz,sub/a.wav\n", "utf-8")
    recordings = open_corpus(manifest)
    assert [recording.name for recording in recordings] == ["z.wav", "sub/a.wav"]
    assert recordings[1].path == tmp_path / "sub/a.wav"
    assert recordings[0].labels == {"genre": "rock"}


def test_single_file_is_a_corpus_of_one(tmp_path: Path) -> None:
    (tmp_path / "one.wav").touch()
    assert names(tmp_path / "one.wav") == ["one.wav"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"file\na.wav\n", "no column named path"),
        (b"path\n", "names no recording"),
        (b"", "no column named path"),
        (b"path\na.wav\na.wav\n", "line 3: a.wav is named twice"),
        (b"path,genre\n,rock\n", "line 2: empty path"),
        (b"path\n\xff\xfe\x00\n", "not a readable CSV"),
        (b'path\n"' + b"x" * 200_000 + b'"\n', "not a readable CSV"),
        (b"path\na\x00b.wav\n", "NUL"),
    ],
)
def test_bad_manifest_says_what_is_wrong(tmp_path: Path, content: Any, reason: str) -> None:
    manifest = tmp_path / "corpus.csv"
    manifest.write_bytes(content)
    with pytest.raises(CorpusError, match=reason) as refused:
        open_corpus(manifest)
    assert refused.value.path == str(manifest)


def test_nothing_there_and_nothing_in_it(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        open_corpus(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="holds no audio file"):
        open_corpus(tmp_path)


@pytest.mark.parametrize("folder", ["annotated", "percussive"])
def test_real_folders(assets: Path, folder: str) -> None:
    found = names(assets / "audio" / folder)
    assert len(found) == {"annotated": 44, "percussive": 31}[folder]
    assert not [name for name in found if name.endswith((".lab", ".beats", ".csv"))]


class TestCorpus:
    """A sequence of recordings that knows its source and cannot be changed."""

    @pytest.fixture
    def corpus(self, tmp_path: Path) -> Corpus:
        rows = "".join(f"{number:02}.wav,{'<b>' if number else 'jazz'}\n" for number in range(12))
        (tmp_path / "songs.csv").write_text("path,genre\n" + rows)
        return open_corpus(tmp_path / "songs.csv")

    def test_it_is_a_sequence_and_a_part_of_it_is_a_corpus(self, corpus: Corpus, tmp_path: Path) -> None:
        assert actprobe.Corpus is Corpus
        assert len(corpus) == 12
        assert corpus[-1] == Recording("11.wav", tmp_path / "11.wav")
        assert [one.name for one in corpus[2:4]] == ["02.wav", "03.wav"]
        assert isinstance(corpus[:2], Corpus)
        assert corpus[:2].source == corpus.source == str(tmp_path / "songs.csv")
        assert corpus[3] in corpus
        with pytest.raises(FrozenInstanceError):
            corpus.items = ()  # type: ignore[misc]

    def test_a_notebook_shows_its_first_rows_with_labels_as_text(self, corpus: Corpus) -> None:
        shown = corpus._repr_html_()
        assert f"{corpus.source}: 12 recordings" in shown
        assert "&lt;b&gt;" in shown
        assert "<b>" not in shown
        assert "09.wav" in shown
        assert "10.wav" not in shown

    def test_its_labels_are_a_table(self, corpus: Corpus) -> None:
        assert corpus.labels["path"].tolist()[:2] == ["00.wav", "01.wav"]
        assert corpus.labels["genre"].tolist()[:2] == ["jazz", "<b>"]

    def test_a_corpus_is_passed_through(self, corpus: Corpus) -> None:
        assert open_corpus(corpus) is corpus


class TestWhatACorpusIsMadeOf:
    def test_a_list_of_paths_and_recordings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        known = Recording("other", Path("/elsewhere/b.wav"), {"genre": "rock"})
        found = open_corpus(["a.wav", tmp_path / "c.wav", known])
        assert [one.name for one in found] == ["a.wav", (tmp_path / "c.wav").as_posix(), "other"]
        assert found[0].path == tmp_path / "a.wav"
        assert found[2] is known
        assert found.source == "list of 3 recordings"

    def test_a_data_frame_whose_further_columns_are_labels(self) -> None:
        table = pd.DataFrame({"path": ["a.wav", "b.wav"], "bpm": [120, 90], "genre": ["jazz", None]})
        fast, slow = open_corpus(table)
        assert fast.labels == {"bpm": "120", "genre": "jazz"}
        assert slow.labels == {"bpm": "90", "genre": ""}
        assert [one.name for one in open_corpus(table[table["bpm"] > 100])] == ["a.wav"]

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ([], "the list holds no recording: a corpus needs at least one"),
            (["a.wav", "a.wav"], "a.wav is named twice: every recording needs a path of its own"),
            (["a.wav", 3], "recording 2 of the corpus is 3, not a path"),
            (["a\0.wav"], r"recording 1 of the corpus is 'a\\x00.wav', not a path"),
            ([""], "recording 1 of the corpus is '', not a path"),
            (pd.DataFrame({"file": ["a.wav"]}), "the data frame has no column named path; it has file"),
            (pd.DataFrame({"path": []}), "the data frame holds no recording: a corpus needs at least one"),
            (pd.DataFrame({"path": ["a.wav"] * 2}), "a.wav is named twice"),
            (pd.DataFrame({"path": [float("nan")]}), "recording 1 of the corpus is nan, not a path"),
            (7, "a corpus is a folder, a CSV, a list or a data frame, not int"),
            ({"a": "b"}, "a corpus is a folder, a CSV, a list or a data frame, not dict"),
            ("gtzan:/data", "no corpus is called 'gtzan'; there are: fcvid, folder"),
        ],
    )
    def test_anything_else_is_refused_in_a_sentence(self, source: Any, message: str) -> None:
        with pytest.raises(UsageError, match=f"^{message}"):
            open_corpus(source)


class TestRegistry:
    """A corpus is one module and one line."""

    @pytest.fixture(autouse=True)
    def one_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opener = f"{__name__}:open_ours"
        monkeypatch.setitem(named.CORPORA, "ours", named.NamedCorpus(opener, singing=True))

    def test_its_name_opens_it(self, tmp_path: Path) -> None:
        found = open_corpus(f"ours/train:{tmp_path}")
        assert [one.name for one in found] == ["x"]
        assert found.source == f"ours/train:{tmp_path}"
        assert found.name == "ours train"
        assert found[0].labels["split"] == "train"
        assert found[0].labels["singer"] == "amy"

    def test_trainings_and_evaluations_open_it_too(self, tmp_path: Path) -> None:
        found = open_labelled(f"ours:{tmp_path}")
        assert found.known
        assert found.name == "ours"
        assert [one.name for one in found.split("train")] == ["x"]
        with pytest.raises(CorpusError, match="holds no recordings for test"):
            open_labelled(f"ours/test:{tmp_path}")

    def test_a_plain_list_has_no_labels_of_singing(self) -> None:
        with pytest.raises(CorpusError, match=r"does not say where somebody sings in a\.wav"):
            open_labelled(["a.wav"])
        assert not open_labelled(["a.wav"], "optional").known


def open_ours(folder: Path, split: Any = None) -> Any:
    """Stand in for the module of a corpus."""
    unsung: Any = []
    return [LabelledRecording("x", Path(folder) / "x.wav", unsung, singer="amy")] if split != "test" else []
