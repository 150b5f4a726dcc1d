"""The face: one call an analysis writes its folder whole and returns what `load_run` opens later."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import actprobe
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import ActprobeError, CorpusError, UsageError
from actprobe.models import load_model
from actprobe.plotting import save_figure

LAYERS = ["conv5", "fc8"]
Found = TypeVar("Found", bound=actprobe.Result)
FLAGS = ["--model=svd", "--hop=40", f"--layers={','.join(LAYERS)}"]


@pytest.fixture(scope="module")
def model() -> actprobe.Model:
    return load_model("svd", seed=0, hop=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings, one with markup in its name, and one that cannot be used."""
    folder = tmp_path_factory.mktemp("in")
    write_phantom(folder, recordings=5, seconds=2)
    (folder / "phantom_00004.wav").rename(folder / "<b>.wav")
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def same_bytes(one: Path, other: Path, *names: str) -> None:
    assert names
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def opened_again(found: Found, *frames: str) -> Found:
    """Open the folder of a run and hold every table against what the call returned."""
    again = actprobe.load_run(found.folder)
    assert type(again) is type(found)
    assert again.record == found.record
    assert repr(again) == repr(found)
    for name in ("table", "recordings", *frames):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name))
    return again


def drawn_as(figure: object, path: Path, tmp_path: Path) -> None:
    """A figure is that of a file, pixel for pixel."""
    assert isinstance(figure, Figure)
    save_figure(figure, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == path.read_bytes()
    assert (tmp_path / "again.pdf").read_bytes() == path.with_suffix(".pdf").read_bytes()


# --- neurons ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def neuron_run(model: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> actprobe.Result:
    return actprobe.neurons(
        model, folder, layers=LAYERS, output_dir=tmp_path_factory.mktemp("neurons"), permutations=20,
        random_seeds=1, figures=1, playlists=1, playlist_neurons=["fc8/3"], executor="local:1",
    )  # fmt: skip


def test_neurons_writes_its_folder_whole(neuron_run: Any, folder: Path) -> None:
    assert written(neuron_run.folder) == {
        "neurons.csv", "neurons.parquet", "neurons_detail.csv", "layers.csv", "recordings.csv", "run.json",
        "figures", "playlists", "merged", "shards",
    }  # fmt: skip
    record = neuron_run.record
    assert record["command"] == "actprobe.neurons(...)"
    assert (record["flags"]["layers"], record["flags"]["permutations"]) == (LAYERS, 20)
    assert record["corpus"] == record["flags"]["corpus"] == str(folder)
    assert record["recordings"] == {"usable": 5, "failed": 1, "with_warning": 0}
    assert len(list((neuron_run.folder / "figures").glob("*.png"))) == 2
    assert neuron_run.playlists["file"].tolist() == [
        path.name for path in sorted((neuron_run.folder / "playlists").glob("*.flac"), reverse=True)
    ]
    assert "recordings: 5 usable, 1 failed, 0 with a warning" in neuron_run.summary


def test_neurons_returns_what_load_run_opens(neuron_run: Any, model: Any) -> None:
    again = opened_again(neuron_run, "detail", "layers", "playlists")
    assert again.summary == neuron_run.summary
    assert (
        again.table["r"].tolist()
        == pd.read_csv(neuron_run.folder / "neurons.csv", float_precision="round_trip")["r"].tolist()
    )
    assert set(again.activity) == set(LAYERS)
    assert again.activity["fc8"].shape == (5, model.layers["fc8"].neurons)
    assert len(again.features["loudness"]) == 5
    ledger = again.recordings.set_index("path")
    assert ledger["reason"]["<b>.wav"] == ""
    assert ledger["reason"]["broken.wav"] != ""
    assert pd.isna(ledger["examples"]["broken.wav"])
    assert again.layers["above_random"].dtype == "Int64"


def test_a_neuron_is_drawn_as_in_the_figures(neuron_run: Any, tmp_path: Path) -> None:
    for path in (neuron_run.folder / "figures").glob("*.png"):
        feature, _, layer, neuron = path.stem.split("-")
        drawn_as(neuron_run.plot(f"{layer}/{neuron}", feature), path, tmp_path)
        drawn_as(neuron_run.plot(feature=feature), path, tmp_path)
    for wrong in [("fc8/64", "loudness"), ("fc9/0", "loudness"), ("fc8/0", "pitch")]:
        with pytest.raises(UsageError, match=r"neuron|no feature 'pitch'; it has onset_rate, loudness"):
            neuron_run.plot(*wrong)


def test_results_show_themselves_in_a_notebook(neuron_run: Any, stored: Any) -> None:
    page = neuron_run._repr_html_()
    assert page.count("<table") == 1
    assert f"neurons of svd in {neuron_run.folder}: {len(neuron_run.table)} rows" in page
    assert "<b>.wav" not in stored._repr_html_()
    assert "&lt;b&gt;.wav" in stored._repr_html_()


def test_binary_of_neurons_writes_the_same_bytes(
    neuron_run: Any, folder: Path, binary: Any, tmp_path: Path
) -> None:
    ended = binary(
        "actprobe-neurons", *FLAGS, f"--input={folder}", f"--output_dir={tmp_path}", "--permutations=20",
        "--random_seeds=1", "--figures=1", "--playlists=1", "--playlist_neurons=fc8/3", "--executor=local:1",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{neuron_run.summary}\n{tmp_path}: neurons.csv, ")
    assert ended.stdout.endswith("run.json, 2 figures, ...\n")
    names = [f"figures/{path.name}" for path in (neuron_run.folder / "figures").iterdir()]
    names += ["neurons.csv", "neurons.parquet", "neurons_detail.csv", "layers.csv", "recordings.csv"]
    same_bytes(neuron_run.folder, tmp_path, "playlists/playlists.csv", *names)
    again = actprobe.load_run(tmp_path)
    assert again.record["command"].endswith("--executor=local:1")
    assert again.record["run_key"] == neuron_run.record["run_key"]


def test_without_a_corpus_neurons_takes_the_phantom(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = functools.partial(write_phantom, recordings=4, seconds=2)
    monkeypatch.setattr("actprobe.batch.opening.write_phantom", small)
    found = actprobe.neurons(
        model, layers=["fc8"], output_dir=tmp_path, random_seeds=0, permutations=0, figures=0,
        executor="local:1",
    )  # fmt: skip
    assert len(found.recordings) == 4
    assert found.record["corpus"].startswith(str(tmp_path / "phantom"))


def unopened(model: actprobe.Model) -> Any:
    """Stand in for a network whose opening takes a minute."""

    def refuse() -> None:
        raise AssertionError("the network was opened before the cheap checks")

    return SimpleNamespace(name=model.name, layers=model.layers, open=refuse)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layers": ["fc10"]}, "fc10"),
        ({"features": ["brightness"]}, "no feature or label column is called 'brightness'"),
        ({"given": "bpm"}, "given=bpm is not among the features"),
        ({"group_by": "album"}, "no recording has a label 'album'"),
        ({"unit": "song"}, "no unit 'song'"),
        ({"permutations": -1}, "permutations=-1"),
        ({"executor": "slurm:3"}, "local:N, dask:N"),
        ({"playlist_neurons": ["fc8/64"]}, "fc8 has neurons 0 to 63"),
        ({"features_from": "nowhere.py"}, r"nowhere\.py"),
        ({"corpus": "nowhere"}, "does not exist"),
    ],
)
def test_what_is_wrong_is_told_before_the_network_is_opened(
    model: Any, folder: Path, tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    arguments = {"corpus": folder, "layers": ["fc8"], "output_dir": tmp_path / "out", **wrong}
    with pytest.raises(ActprobeError, match=said):
        actprobe.neurons(unopened(model), **arguments)
    if wrong.keys() <= {"layers", "executor", "corpus"}:
        with pytest.raises(ActprobeError, match=said):
            actprobe.activations(unopened(model), **arguments)
    assert not (tmp_path / "out").exists()


def test_output_that_is_a_file_is_told_before_the_network_is_opened(
    model: Any, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    for call in (actprobe.neurons, actprobe.activations):
        with pytest.raises(FileExistsError, match="out"):
            call(unopened(model), folder, layers=["fc8"], output_dir=tmp_path / "out")


# --- compare ------------------------------------------------------------------------------------------


def test_compare_takes_results_and_folders_and_the_binary_writes_the_same(
    neuron_run: Any, model: Any, folder: Path, binary: Any, tmp_path: Path
) -> None:
    control = actprobe.neurons(
        model.with_random_weights(3), folder, layers=["fc8"], output_dir=tmp_path / "control", figures=0,
        random_seeds=0, permutations=0, executor="local:1",
    )  # fmt: skip
    found = actprobe.compare(neuron_run, control, output_dir=tmp_path / "one")
    assert written(found.folder) == {"alignment.csv", "cka.csv", "run.json", "figures"}
    again = opened_again(found, "cka")
    assert again.summary == found.summary
    drawn_as(again.plot(), found.folder / "figures/cka.png", tmp_path)
    assert list(found.cka["layer_a"]) == LAYERS
    assert found.table["neuron_b"].dtype == "Int64"
    assert "svd" in repr(found)
    assert found.record["compared"] == [str(neuron_run.folder), str(control.folder)]
    by_folder = actprobe.compare(str(neuron_run.folder), control.folder, output_dir=tmp_path / "two")
    same_bytes(found.folder, by_folder.folder, "alignment.csv", "cka.csv", "figures/cka.png")
    runs = f"--compare={neuron_run.folder},{control.folder}"
    ended = binary("actprobe-neurons", runs, f"--output_dir={tmp_path / 'three'}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{found.summary}\n")
    same_bytes(found.folder, tmp_path / "three", "alignment.csv", "cka.csv", "figures/cka.png")


# --- activations --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(model: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> actprobe.Result:
    output_dir = tmp_path_factory.mktemp("activations")
    return actprobe.activations(model, folder, layers=LAYERS, output_dir=output_dir, executor="local:1")


def test_activations_are_opened_by_the_name_of_a_recording(stored: Any, model: Any, folder: Path) -> None:
    assert written(stored.folder) == {"recordings.csv", "run.json", *stored.table["file"][lambda f: f != ""]}
    examples = model.frontend(actprobe.load_audio(folder / "<b>.wav"))
    again = opened_again(stored)
    for layer, values in model.activations(examples, LAYERS).items():
        assert np.allclose(again["<b>.wav"][layer], values, rtol=1e-4, atol=1e-6)
    with pytest.raises(UsageError, match=r"no activations of 'broken\.wav'"):
        again["broken.wav"]
    assert again.summary.splitlines()[0].startswith("failed: broken.wav: ")
    assert "5 npz files of <actprobe model svd, seeded random weights (seed 0), " in again.summary
    figure = again.plot("<b>.wav", "conv5")
    assert isinstance(figure, Figure)
    shown = figure.axes[0].collections[0].get_array()
    assert shown is not None
    assert np.allclose(shown, again["<b>.wav"]["conv5"].mean(axis=(1, 2)).T)
    assert isinstance(again.plot(), Figure)
    with pytest.raises(UsageError, match="no layer 'fc7'; it has conv5, fc8"):
        again.plot("<b>.wav", "fc7")


def test_binary_of_activations_writes_the_same_bytes(
    stored: Any, folder: Path, binary: Any, tmp_path: Path
) -> None:
    ended = binary(
        "actprobe-activations", *FLAGS, f"--input={folder}", f"--output_dir={tmp_path}", "--executor=local:1"
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == stored.summary.replace(str(stored.folder), str(tmp_path)) + "\n"
    same_bytes(stored.folder, tmp_path, *(written(stored.folder) - {"run.json"}))


# --- load_run -----------------------------------------------------------------------------------------


def test_a_folder_without_a_finished_run_is_refused(neuron_run: Any, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        actprobe.load_run(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match=r"no run\.json"):
        actprobe.load_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(CorpusError, match="damaged"):
        actprobe.load_run(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(CorpusError, match=r"holds none of neurons\.parquet, "):
        actprobe.load_run(tmp_path)
    (tmp_path / "neurons.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorpusError, match="is not a readable table"):
        _ = actprobe.load_run(tmp_path).table
