"""Ground truth as features: numeric and category columns of a manifest, and voice activity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import logging

from actprobe.corpora import Recording, open_corpus, voice_activity
from actprobe.errors import CorpusError, UsageError
from actprobe.features import label_values, resolve
from actprobe.features.labels import MOST_CLASSES

MANIFEST = """path,genre,bpm,loudness,class_id,players,note
a.wav,rock,120,0.5,1,gel;voi,
b.wav,jazz,96.5,0.25,2,pia,
c.wav,,nan,,1,,
d.wav,rock, 88 ,1e-3,2, pia ; sax,
"""


@pytest.fixture
def recordings(tmp_path: Path) -> Any:
    (tmp_path / "corpus.csv").write_text(MANIFEST, "utf-8")
    return open_corpus(tmp_path / "corpus.csv")


def of(**columns: Any) -> list[Any]:
    """Recordings with these columns of cells."""
    rows = zip(*columns.values(), strict=True)
    return [
        Recording(f"{i}.wav", Path(f"{i}.wav"), dict(zip(columns, cells, strict=True)))
        for i, cells in enumerate(rows)
    ]


class TestNumbers:
    def test_a_column_of_numbers_is_a_feature_with_nan_where_unknown(self, recordings: Any) -> None:
        np.testing.assert_array_equal(label_values("bpm", recordings), [120, 96.5, np.nan, 88])
        assert label_values("bpm", recordings).dtype == np.float64

    @pytest.mark.parametrize("unknown", ["", " ", "nan", "NaN", "NA", "n/a", "None", "-"])
    def test_words_for_unknown_are_unknown(self, unknown: str) -> None:
        values = label_values("level", of(level=["-3.5", unknown, "2"]))
        np.testing.assert_array_equal(values, [-3.5, np.nan, 2])

    def test_infinity_is_refused(self) -> None:
        with pytest.raises(UsageError, match="column level holds infinity"):
            resolve(["level"], of(level=["1", "inf"]))

    def test_a_column_that_says_nothing_is_refused(self, recordings: Any) -> None:
        with pytest.raises(UsageError, match="column note is unknown for every recording"):
            resolve(["note"], recordings)


class TestCategories:
    def test_a_category_is_one_indicator_per_class_and_nan_where_unknown(self, recordings: Any) -> None:
        plan = resolve(["genre"], recordings)
        assert plan.names == ("genre=jazz", "genre=rock")
        np.testing.assert_array_equal(plan.labels["genre=rock"], [1, 0, np.nan, 1])
        np.testing.assert_array_equal(plan.labels["genre=jazz"], [0, 1, np.nan, 0])

    def test_one_class_may_be_asked_for(self, recordings: Any) -> None:
        plan = resolve(["genre=rock"], recordings)
        assert plan.names == ("genre=rock",)
        with pytest.raises(UsageError, match=r"column genre has no class 'polka'; there are: jazz, rock"):
            resolve(["genre=polka"], recordings)

    def test_a_cell_may_name_several(self, recordings: Any) -> None:
        plan = resolve(["players"], recordings)
        assert plan.names == ("players=gel", "players=pia", "players=sax", "players=voi")
        np.testing.assert_array_equal(plan.labels["players=pia"], [0, 1, np.nan, 1])
        np.testing.assert_array_equal(plan.labels["players=voi"], [1, 0, np.nan, 0])

    def test_a_class_that_is_written_as_a_number_may_be_asked_for(self, recordings: Any) -> None:
        assert resolve(["class_id"], recordings).names == ("class_id",)
        np.testing.assert_array_equal(label_values("class_id=2", recordings), [0, 1, 0, 1])

    def test_an_equals_sign_in_a_column_is_part_of_its_name(self) -> None:
        np.testing.assert_array_equal(label_values("a=b", of(**{"a=b": ["1", "2"]})), [1, 2])

    def test_words_are_no_numbers(self, recordings: Any) -> None:
        with pytest.raises(
            UsageError, match=r"genre holds categories, not numbers: ask for genre=jazz, genre=rock"
        ):
            label_values("genre", recordings)

    def test_titles_are_no_category(self) -> None:
        many = of(title=[f"song {i}" for i in range(MOST_CLASSES + 1)])
        with pytest.raises(
            UsageError, match=r"column title has 101 classes: name those you want, such as title=song 0"
        ):
            resolve(["title"], many)
        assert resolve(["title=song 7"], many).labels["title=song 7"].sum() == 1
        assert len(resolve(["title"], many[:MOST_CLASSES]).names) == MOST_CLASSES


class TestPlan:
    def test_features_and_columns_stay_in_the_order_asked(self, recordings: Any) -> None:
        plan = resolve(["bpm", "onset_rate", "genre", "rms", "bpm", "onset_rate"], recordings)
        assert plan.names == ("bpm", "onset_rate", "genre=jazz", "genre=rock", "rms")
        assert plan.scalars == ("onset_rate", "rms")
        assert plan.of(1, {"onset_rate": 2.0, "rms": -20.0}) == {
            "bpm": 96.5,
            "onset_rate": 2.0,
            "genre=jazz": 1.0,
            "genre=rock": 0.0,
            "rms": -20.0,
        }

    def test_it_says_what_made_the_values(self, recordings: Any) -> None:
        table = resolve(["bpm", "rms"], recordings).describe()
        assert table["bpm"] == {"kind": "label", "known": 3}
        assert table["rms"]["unit"] == "dBFS"

    def test_a_column_called_like_a_feature_is_reached_by_its_prefix(self, recordings: Any) -> None:
        plan = resolve(["loudness", "label:loudness"], recordings)
        assert (plan.names, plan.scalars) == (("loudness", "label:loudness"), ("loudness",))
        np.testing.assert_array_equal(plan.labels["label:loudness"], [0.5, 0.25, np.nan, 1e-3])
        assert resolve(["label:genre"], recordings).names == ("label:genre=jazz", "label:genre=rock")

    def test_an_unknown_name_lists_features_and_columns(self, recordings: Any) -> None:
        with pytest.raises(UsageError) as refused:
            resolve(["onset_rate", "colour"], recordings)
        assert "'colour'; features: harmonic_ratio" in str(refused.value)
        assert "label columns: bpm, class_id, genre, loudness, note, players" in str(refused.value)
        with pytest.raises(UsageError, match="there are no label columns"):
            resolve(["colour"], [Recording("a.wav", Path("a.wav"))])

    def test_a_map_is_no_number(self, recordings: Any) -> None:
        with pytest.raises(UsageError, match="harmonic is a map, not a scalar"):
            resolve(["harmonic"], recordings)


def labelled_tree(folder: Path) -> Any:
    """MIR-1K, Jamendo and files beside the audio, each with one recording; and one without labels."""
    places = {
        "mir1k/Wavfile/x_1_01.wav": ("mir1k/vocal-nonvocalLabel/x_1_01.vocal", "0\n1\n1\n0\n1\n"),
        "jamendo/audio/train/song.ogg": (
            "jamendo/jamendo_lab/song.lab",
            "0 5 nosing\n5 6 sing\n6 8 nosing\n",
        ),
        "mine/beside.flac": ("mine/beside.lab", "0.0 1.0 sing\n3.0 4.0 nosing\n"),
        "mine/none.flac": None,
    }
    for audio, label in places.items():
        for name, text in [(audio, ""), *([label] if label else [])]:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return open_corpus(folder)


class TestVoiceActivity:
    def test_it_is_the_share_of_singing_in_the_label_file(self, tmp_path: Path) -> None:
        recordings = labelled_tree(tmp_path)
        values = dict(
            zip([one.name for one in recordings], label_values("voice_activity", recordings), strict=True)
        )
        assert values.pop("mir1k/Wavfile/x_1_01.wav") == pytest.approx(3 / 5)
        assert values.pop("jamendo/audio/train/song.ogg") == pytest.approx(1 / 8)
        assert values.pop("mine/beside.flac") == pytest.approx(1 / 4)
        assert np.isnan(values.pop("mine/none.flac"))
        assert not values

    def test_a_column_of_that_name_comes_first(self, tmp_path: Path) -> None:
        found = labelled_tree(tmp_path)
        first, *others = found
        recordings = [Recording(first.name, first.path, {"voice_activity": "0.9"}), *others]
        values = label_values("voice_activity", recordings)
        assert values[0] == 0.9
        assert np.isfinite(values[1:]).sum() == 2

    def test_a_damaged_label_file_is_unknown_and_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = []
        monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
        recordings = labelled_tree(tmp_path)
        (tmp_path / "mine/beside.lab").write_text("C:maj 0 1\n")
        values = label_values("voice_activity", recordings)
        assert np.isnan(values).sum() == 2
        assert len(said) == 1
        assert "beside.lab: line 1 is not: start end label" in said[0]

    def test_labels_of_no_time_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.lab").write_text("0 0 sing\n")
        with pytest.raises(CorpusError, match="labels nothing longer than 0 s"):
            voice_activity.sung_share(tmp_path / "x.lab")

    def test_without_any_it_is_refused(self) -> None:
        with pytest.raises(
            UsageError, match="voice_activity: no recording has a column of that name or a label file"
        ):
            resolve(["voice_activity"], of(genre=["rock"]))

    def test_on_mir1k_most_of_the_time_somebody_sings(self, assets: Path) -> None:
        recordings = open_corpus(assets / "audio/MIR-1K")
        values = resolve(["voice_activity"], recordings).labels["voice_activity"]
        assert np.isfinite(values).all()
        assert 0.7 < values.mean() < 0.85
        assert ((values > 0) & (values <= 1)).all()
