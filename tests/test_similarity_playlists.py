"""Playlists: the excerpts that drive a neuron highest and lowest, listed and cut out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from actprobe.analyses.neurons.playlists import PLAYLIST_COLUMNS, Extremes, cut_playlist, playlist
from actprobe.corpora import Recording
from actprobe.errors import UsageError

PATHS = ["a.wav", "sub/b.wav", "c.wav", "d.wav"]


NAN = np.nan
HIGHEST = Extremes(
    np.array([[1.0, 5.0], [3.0, 5.0], [2.0, NAN], [0.0, 1.0]]), np.array([[0, 1], [2, 3], [4, 5], [6, 7]])
)
LOWEST = Extremes(
    np.array([[-1.0, 0.0], [-3.0, 0.5], [-2.0, NAN], [0.0, 0.2]]), np.array([[8, 7], [6, 5], [4, 3], [2, 1]])
)


def listed(paths: Any = PATHS, **options: Any) -> pd.DataFrame:
    options = {"example_seconds": 1.5, "start_seconds": lambda recording, example: float(example), **options}
    return playlist("fc", HIGHEST, LOWEST, paths, **options)


def test_top_and_bottom_with_their_times() -> None:
    table = listed(count=2)
    assert tuple(table.columns) == PLAYLIST_COLUMNS
    first = table[(table.neuron == 0) & (table.end == "top")]
    assert first["path"].tolist() == ["sub/b.wav", "c.wav"]
    assert first["rank"].tolist() == [1, 2]
    assert first["value"].tolist() == [3.0, 2.0]
    assert first["start_seconds"].tolist() == [2.0, 4.0]
    assert first["end_seconds"].tolist() == [3.5, 5.5]
    bottom = table[(table.neuron == 0) & (table.end == "bottom")]
    assert bottom["path"].tolist() == ["sub/b.wav", "c.wav"]
    assert bottom["value"].tolist() == [-3.0, -2.0]
    assert bottom["start_seconds"].tolist() == [6.0, 4.0]


def test_equal_values_keep_the_order_of_the_corpus_and_unknown_ones_are_left_out() -> None:
    table = listed(neurons=[1])
    assert table[table.end == "top"]["path"].tolist() == ["a.wav", "sub/b.wav", "d.wav"]
    assert set(table["neuron"]) == {1}


def test_of_several_excerpts_of_a_recording_only_the_best_is_listed() -> None:
    table = listed(["a.wav", "a.wav", "b.wav", "b.wav"], recordings=[0, 0, 1, 1], neurons=[0])
    assert table[table.end == "top"]["value"].tolist() == [3.0, 2.0]
    assert table[table.end == "top"]["path"].tolist() == ["a.wav", "b.wav"]


def test_times_are_asked_for_by_recording_and_example() -> None:
    table = listed(neurons=[0], count=1, start_seconds=lambda recording, example: 100.0 * recording + example)
    assert table["start_seconds"].tolist() == [102.0, 106.0]


def test_an_excerpt_ends_with_its_recording() -> None:
    table = listed(example_seconds=9, seconds=[9, 7, 9, 9], count=1, neurons=[0])
    assert table["end_seconds"].tolist() == [7.0, 7.0]


def test_neurons_come_in_the_order_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actprobe.analyses.neurons.playlists.NEURONS_AT_ONCE", 1)
    table = listed(neurons=[1, 0], count=1)
    found = list(zip(table["neuron"], table["end"], strict=True))
    assert found == [(1, "top"), (1, "bottom"), (0, "top"), (0, "bottom")]
    with pytest.raises(UsageError, match="neurons 0 to 1"):
        listed(neurons=[2])
    with pytest.raises(ValueError, match="do not fit"):
        listed(PATHS[:3])
    assert tuple(listed(neurons=[]).columns) == PLAYLIST_COLUMNS


def moments(paths: list[str], starts: list[float], layer: str = "fc", seconds: float = 0.5) -> pd.DataFrame:
    """A playlist of one neuron with an excerpt of each recording, at its own time."""
    one = Extremes(np.zeros((len(paths), 1)), np.zeros((len(paths), 1), int))
    return playlist(
        layer, one, one, paths, example_seconds=seconds, start_seconds=lambda recording, _: starts[recording]
    )


def files(folder: Path, *names: str) -> dict[str, Recording]:
    return {name: Recording(name, folder / name) for name in names}


@pytest.mark.parametrize("audio_format", ["flac", "wav"])
def test_excerpts_are_what_was_heard_there(tmp_path: Path, audio_format: str) -> None:
    rng = np.random.default_rng(0)
    samples = rng.uniform(-0.9, 0.9, (44100, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 22050, subtype="FLOAT")
    table = moments(["a.wav"], [0.5], "conv1/linear")
    table.loc[1, ["start_seconds", "end_seconds"]] = [1.8, 2.3]
    found = cut_playlist(table, files(tmp_path, "a.wav"), tmp_path / "cut", audio_format=audio_format)
    assert found["reason"].tolist() == ["", ""]
    assert found["file"].tolist() == [
        f"conv1_linear-0-{end}-01-a.{audio_format}" for end in ("top", "bottom")
    ]
    heard, rate = soundfile.read(tmp_path / "cut" / found["file"][0])
    assert (rate, len(heard)) == (22050, 11025)
    expected = samples[11025:22050].mean(axis=1)
    middle = slice(300, -300)
    assert np.allclose(heard[middle], expected[middle], atol=2 / 32768)
    assert abs(heard[0]) < 0.01
    assert abs(heard[-1]) < 0.01
    assert soundfile.info(tmp_path / "cut" / found["file"][1]).frames == 4410  # what the recording still has


def test_what_cannot_be_cut_is_listed_and_stops_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", np.full(8000, 0.5), 8000)
    (tmp_path / "text.wav").write_text("no audio")
    hostile = "../../etc/pass wd\n; rm -rf $HOME ../ö.wav"
    soundfile.write(tmp_path / "hostile.wav", np.full(8000, 0.5), 8000)
    recordings = {
        **files(tmp_path, "gone.wav", "text.wav"),
        "late.wav": Recording("late.wav", tmp_path / "good.wav"),
        hostile: Recording(hostile, tmp_path / "hostile.wav"),
    }
    names = [*recordings, "stranger.wav"]
    table = moments(names, [0.0, 0.0, 5.0, 0.0, 0.0])
    found = cut_playlist(table, recordings, tmp_path / "cut").set_index(["path", "end"])
    cut, reasons = found["file"], found["reason"]
    assert reasons[hostile, "top"] == ""
    written = sorted(path.name for path in (tmp_path / "cut").iterdir())
    assert written == sorted(cut[hostile])
    assert all(letter.isalnum() or letter in "._-" for name in written for letter in name)
    for name in ("gone.wav", "text.wav", "stranger.wav", "late.wav"):
        assert cut[name, "top"] == ""
        assert reasons[name, "top"] != ""
    assert "begins at 5.00 s" in reasons["late.wav", "top"]
    with pytest.raises(UsageError, match="flac or wav"):
        cut_playlist(table, recordings, tmp_path, audio_format="mp3")


def test_two_layers_whose_names_come_out_alike_overwrite_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(8000, 0.5), 8000)
    both = pd.concat([moments(["a.wav"], [0.0], layer) for layer in ("c/l", "c l")])
    found = cut_playlist(both, files(tmp_path, "a.wav"), tmp_path / "cut")
    assert found["file"].nunique() == 4
    assert len(list((tmp_path / "cut").iterdir())) == 4
