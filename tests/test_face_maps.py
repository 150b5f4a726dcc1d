"""The face of maps: one call writes its folder whole and returns what `load_run` opens later."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from test_face import unopened

import actprobe
from actprobe.analyses.maps.figures import pair_figure
from actprobe.analyses.maps.gallery import read_gallery
from actprobe.analyses.maps.result import MapResult
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import ActprobeError, CorpusError, UsageError
from actprobe.models import load_model
from actprobe.plotting import colour_table, save_figure

OPTIONS: dict[str, Any] = {
    "layers": ["mp6"], "features": ["harmonic", "chroma"], "null_partners": 2, "executor": "local:1",
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> actprobe.Model:
    return load_model("svd", seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings, and one that cannot be used."""
    folder = tmp_path_factory.mktemp("in")
    write_phantom(folder, recordings=3, seconds=3)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def found(model: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> MapResult:
    output_dir = tmp_path_factory.mktemp("maps")
    return actprobe.maps(model, folder, output_dir=output_dir, figures=1, all_matches=True, **OPTIONS)


def test_one_call_writes_the_folder_whole(found: MapResult, folder: Path) -> None:
    assert {path.name for path in found.folder.iterdir()} == {
        "maps.csv", "maps.parquet", "recordings.csv", "matches.csv", "matches.parquet", "run.json", "figures",
        "gallery", "shards",
    }  # fmt: skip
    record = found.record
    assert record["command"] == "actprobe.maps(...)"
    assert (record["flags"]["layers"], record["flags"]["null_partners"]) == (["mp6"], 2)
    assert record["corpus"] == record["flags"]["corpus"] == str(folder)
    assert (record["recordings"], record["failed"], list(record["beating_null"])) == (
        4, 1, ["harmonic", "chroma"],
    )  # fmt: skip
    assert record["stages"]["network"] > 0
    assert record["stages"]["features"] > 0
    drawn = {path.name for path in (found.folder / "figures").iterdir()}
    assert len(drawn) == 6
    assert {"histograms-mp6.png", "histograms-mp6.pdf"} <= drawn
    assert found.summary.startswith("failed: broken.wav: ")
    assert "harmonic: maps that beat other recordings' features" in found.summary


def test_load_run_opens_what_the_call_returned(found: MapResult) -> None:
    again = actprobe.load_run(found.folder)
    assert type(again) is MapResult
    assert (again.record, again.summary, repr(again)) == (found.record, found.summary, repr(found))
    for name in ("table", "recordings", "matches"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name))
    pd.testing.assert_frame_equal(again.table, again.frame("maps.csv"), check_dtype=False)
    assert set(again.matches["feature"]) == {"harmonic", "chroma"}
    assert len(again.table) == 64 * 2
    assert f"maps of svd in {found.folder}: 128 rows" in again._repr_html_()


def test_binary_writes_the_same_bytes(found: MapResult, folder: Path, binary: Any, tmp_path: Path) -> None:
    ended = binary(
        "actprobe-maps", "--model=svd", f"--input={folder}", f"--output_dir={tmp_path}", "--layers=mp6",
        "--features=harmonic,chroma", "--null_partners=2", "--executor=local:1", "--figures=1",
        "--all_matches",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    last = f"{tmp_path}: maps.csv, maps.parquet, recordings.csv, run.json, 3 figures\n"
    assert ended.stdout == f"{found.summary}\n{last}"
    names = ["maps.csv", "maps.parquet", "recordings.csv", "matches.csv", "matches.parquet"]
    for part in ("gallery", "figures"):
        names += [f"{part}/{path.name}" for path in (found.folder / part).iterdir()]
    for name in names:
        assert (tmp_path / name).read_bytes() == (found.folder / name).read_bytes(), name
    again = actprobe.load_run(tmp_path)
    assert again.record["command"].endswith("--all_matches")
    assert again.record["run_key"] == found.record["run_key"]


def drawn_of(found: MapResult, feature: str) -> tuple[str, Path]:
    """The best map for a feature, and its figure in the folder."""
    (path,) = (found.folder / "figures").glob(f"match-{feature}-1-*.png")
    _, _, _, layer, channel = path.stem.split("-")
    return f"{layer}/{channel}", path


def same_picture(figure: object, path: Path, tmp_path: Path) -> None:
    assert isinstance(figure, Figure)
    save_figure(figure, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == path.read_bytes()


def test_a_drawn_map_is_plotted_from_the_folder_as_in_the_figures(
    found: MapResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actprobe.analyses.maps.result.open_viewer", lambda *_: pytest.fail("looked again"))
    for feature in ("harmonic", "chroma"):
        channel, path = drawn_of(found, feature)
        same_picture(found.plot(channel, feature), path, tmp_path)
        same_picture(found.plot(feature=feature), path, tmp_path)
    channel, path = drawn_of(found, "harmonic")
    same_picture(found.plot(), path, tmp_path)
    beside = found.plot(channel, "chroma")
    assert beside.axes[0].get_title(loc="left").startswith("chroma")
    assert beside.axes[0].get_ylabel() == "pitch class (twice)"


def test_any_map_is_plotted_with_the_model(
    found: MapResult, model: Any, folder: Path, tmp_path: Path
) -> None:
    channel, path = drawn_of(found, "harmonic")
    same_picture(found.plot(channel, "harmonic", model=model), path, tmp_path)
    drawn = {item.channel for item in read_gallery(found.folder)}
    other = next(number for number in range(64) if number not in drawn)
    figure = found.plot(f"mp6/{other}", "chroma", model=model, corpus=folder)
    assert f"mp6, channel {other}" in figure.axes[1].get_title(loc="left")
    picture = figure.axes[0].images[0].get_array()
    assert picture is not None
    assert np.ptp(picture) > 100


def test_what_cannot_be_plotted_is_refused_in_a_sentence(
    found: MapResult, model: Any, tmp_path: Path
) -> None:
    drawn = {item.channel for item in read_gallery(found.folder)}
    other = next(number for number in range(64) if number not in drawn)
    for wrong, said in {
        (f"mp6/{other}", "harmonic"): "was not drawn by this run: give model=, its network",
        ("mp6/64", "harmonic"): "mp6 has channels 0 to 63",
        ("mp3/0", "harmonic"): "not LAYER/NUMBER with a layer of mp6",
        ("mp6", "harmonic"): "not LAYER/NUMBER with a layer of mp6",
        ("mp6/0", "hpcp"): "no feature 'hpcp'; it has harmonic, chroma",
    }.items():
        with pytest.raises(UsageError, match=said):
            found.plot(*wrong)
    with pytest.raises(UsageError, match="was not made with"):
        found.plot(f"mp6/{other}", model=model.with_random_weights(1))
    write_phantom(tmp_path, recordings=1, seconds=3)
    with pytest.raises(UsageError, match="does not hold the 3 usable recordings of the run"):
        found.plot(f"mp6/{other}", model=model, corpus=tmp_path)


def test_a_corpus_that_was_a_list_has_to_be_given_again(model: Any, folder: Path, tmp_path: Path) -> None:
    recordings = sorted(folder.glob("phantom*.wav"))[:2]
    found = actprobe.maps(model, recordings, output_dir=tmp_path, figures=0, **OPTIONS)
    assert found.matches.empty
    with pytest.raises(UsageError, match=r"was a list of 2 recordings: give it again, corpus="):
        found.plot("mp6/0", model=model)
    assert isinstance(found.plot("mp6/0", model=model, corpus=recordings), Figure)


def test_a_map_that_is_constant_is_grey_and_not_black(found: MapResult) -> None:
    item = read_gallery(found.folder)[0]
    blank = [replace(side, map_picture=np.full((2, 2), 128, np.uint8), matches=[]) for side in item.sides]
    figure = pair_figure(found.record, found.table, replace(item, sides=blank), item.feature)
    image = figure.axes[1].images[0]
    picture = image.get_array()
    assert picture is not None
    assert np.allclose(image.to_rgba(picture)[..., :3], colour_table()[128] / 255, atol=0.01)
    assert np.ptp(colour_table()[128].astype(int)) < 10


def test_a_damaged_gallery_is_told(found: MapResult, tmp_path: Path) -> None:
    (tmp_path / "gallery").mkdir()
    for damaged in ("{", '[{"sides": []}]', '[{"sides": [{"feature_picture": "none.png"}]}]'):
        (tmp_path / "gallery/gallery.json").write_text(damaged)
        with pytest.raises(CorpusError, match="is not a readable gallery"):
            read_gallery(tmp_path)
    index = json.loads((found.folder / "gallery/gallery.json").read_text("utf-8"))
    for side in index[0]["sides"]:
        for picture in ("feature_picture", "map_picture"):
            (tmp_path / "gallery" / side[picture]).write_bytes(b"PNG")
    (tmp_path / "gallery/gallery.json").write_text(json.dumps(index[:1]))
    with pytest.raises(CorpusError, match="is not a picture"):
        read_gallery(tmp_path)


def test_without_a_corpus_maps_takes_the_phantom(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = functools.partial(write_phantom, recordings=2, seconds=2)
    monkeypatch.setattr("actprobe.batch.opening.write_phantom", small)
    found = actprobe.maps(model, output_dir=tmp_path, figures=0, **OPTIONS)
    assert len(found.recordings) == 2
    assert found.record["corpus"].startswith(str(tmp_path / "phantom"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layers": ["conv10"]}, "conv10"),
        ({"layers": ["fc7"]}, "fc7 is a vector"),
        ({"features": ["loudness"]}, "loudness is a scalar"),
        ({"features": []}, "name at least one feature"),
        ({"unit": "second"}, "no unit 'second'"),
        ({"longest_seconds": -1.0}, "longest_seconds=-1"),
        ({"null_partners": -1}, "null_partners=-1"),
        ({"threads": 0}, "threads=0: a number, at least 1"),
        ({"figures": -1}, "figures=-1"),
        ({"executor": "slurm:3"}, "local:N, dask:N"),
        ({"features_from": "nowhere.py"}, r"nowhere\.py"),
        ({"corpus": "nowhere"}, "does not exist"),
    ],
)
def test_what_is_wrong_is_told_before_the_network_is_opened(
    model: Any, folder: Path, tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    arguments = {"corpus": folder, "output_dir": tmp_path / "out", **OPTIONS, **wrong}
    with pytest.raises(ActprobeError, match=said):
        actprobe.maps(unopened(model), **arguments)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").touch()
    with pytest.raises(FileExistsError, match="out"):
        actprobe.maps(unopened(model), folder, output_dir=tmp_path / "out", **OPTIONS)
