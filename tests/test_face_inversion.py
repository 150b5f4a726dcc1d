"""The faces of inversion: one call writes its folder whole and returns what `load_run` opens later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.figure import Figure
from test_face import drawn_as, opened_again, same_bytes, unopened, written
from test_spans import Rows, noise

import actprobe
from actprobe import backend
from actprobe.analyses.inversion.evaluation.result import EvaluationResult
from actprobe.analyses.inversion.inverting.result import InversionResult
from actprobe.analyses.inversion.networks.arrays import get_arrays
from actprobe.analyses.inversion.networks.inverter_file import Origin, save_inverter
from actprobe.errors import ActprobeError, AudioError, CorpusError, UsageError
from actprobe.models.source import ModelSource

RATE = 22050
LAYERS = ["conv5", "fc8"]
WAYS: dict[str, Any] = {
    "layers": ["fc8"], "methods": ["joint", "gradient"], "gradient_steps": 2, "draws": 2,
    "excerpts_per_recording": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> actprobe.Model:
    return actprobe.load_model("svd", seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labelled recordings and one that cannot be read."""
    where = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    for i in range(3):
        time = np.arange(2 * RATE) / RATE
        sound = 0.2 * np.sin(2 * np.pi * 220 * (i + 1) * time) + 0.01 * rng.standard_normal(len(time))
        soundfile.write(where / f"song{i}.wav", sound, RATE)
        (where / f"song{i}.lab").write_text("0 0.9 sing\n0.9 9 nosing\n")
    (where / "broken.wav").write_bytes(b"RIFF")
    (where / "broken.lab").write_text("0 1 sing\n")
    return where


@pytest.fixture(scope="module")
def opened(model: Any) -> list[actprobe.Inverter]:
    return [actprobe.load_inverter(model, layer, seed=2) for layer in LAYERS]


@pytest.fixture(scope="module")
def inverters(opened: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("inverters")
    for each in opened:
        arrays = get_arrays(each.keras_model, each.plan)
        save_inverter(where / f"{each.layer}.npz", arrays, Origin("svd", each.layer))
    return where


# --- invert -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inversion(
    model: Any, folder: Path, inverters: Path, tmp_path_factory: pytest.TempPathFactory
) -> actprobe.Result:
    output_dir = tmp_path_factory.mktemp("inversion")
    return actprobe.invert(
        model, folder / "song0.wav", at=0.1, inverters=inverters, layers=LAYERS, output_dir=output_dir
    )


def test_invert_writes_its_folder_whole(inversion: Any, folder: Path, model: Any) -> None:
    assert written(inversion.folder) == {"inversion.npz", "figures", "sounds", "run.json"}
    record = inversion.record
    assert record["command"] == "actprobe.invert(...)"
    assert record["recording"] == record["flags"]["recording"] == str(folder / "song0.wav")
    assert (record["flags"]["layers"], record["flags"]["at"]) == (LAYERS, 0.1)
    assert [each["layer"] for each in record["inverters"]] == LAYERS
    assert record["weights"]["seed"] == 1
    assert set(inversion.sounds) == {
        "original", "input", "input-own-phase", "conv5", "conv5-own-phase", "fc8", "fc8-own-phase",
    }  # fmt: skip
    assert {path.name for path in (inversion.folder / "sounds").iterdir()} == {
        path.name for path in inversion.sounds.values()
    }


def test_invert_returns_what_load_run_opens(inversion: Any, model: Any, opened: Any) -> None:
    again = opened_again(inversion)
    assert again.sounds == inversion.sounds
    assert list(again.mel_spectrograms) == ["input", *LAYERS]
    x = again.mel_spectrograms["input"]
    assert x.shape == model.frontend.example_shape
    assert list(again.table.columns) == ["layer", "error", "feature_error", "output", "seconds"]
    table = again.table.set_index("layer")
    for inverter in opened:
        layer = inverter.layer
        features = model.activations(x[np.newaxis], [layer, "fc9"])
        expected = inverter(features[layer])
        assert np.allclose(again.mel_spectrograms[layer], expected[0], atol=1e-5)
        error = np.linalg.norm(expected[0] - x) / np.linalg.norm(x)
        assert table["error"][layer] == pytest.approx(error, rel=1e-4)
        inverted = model.activations(expected, [layer, "fc9"])
        feature_error = np.linalg.norm(inverted[layer] - features[layer]) / np.linalg.norm(features[layer])
        assert table["feature_error"][layer] == pytest.approx(feature_error, rel=1e-3)
        assert table["output"][layer] == pytest.approx(inverted["fc9"][0, 0], abs=1e-5)
        assert again.output_original == pytest.approx(features["fc9"][0, 0], abs=1e-5)
    assert (table["seconds"] > 0).all()
    assert again._repr_html_().count("<tr") == 3


def test_an_inversion_is_drawn_as_in_the_figures(inversion: Any, tmp_path: Path) -> None:
    drawn_as(inversion.plot(), inversion.folder / "figures/inversion.png", tmp_path)
    figure = inversion.plot("fc8", scale="panel")
    assert isinstance(figure, Figure)
    titles = [axes.get_title() for axes in figure.axes]
    outputs = inversion.output_original, inversion.table["output"][1]
    assert titles == [f"input (fc9 {outputs[0]:.2f})", f"fc8 (fc9 {outputs[1]:.2f})"]
    shown = figure.axes[1].images[0]
    picture = shown.get_array()
    assert picture is not None
    assert np.array_equal(picture, inversion.mel_spectrograms["fc8"].T)
    assert shown.get_extent()[0] == pytest.approx(0.1 + (512 - 315 / 2) / RATE, abs=0.5 * 315 / RATE)
    for wrong, said in (({"layers": ["fc7"]}, "fc7 was not inverted"), ({"scale": "dB"}, "no scale 'dB'")):
        with pytest.raises(UsageError, match=said):
            inversion.plot(*wrong.pop("layers", []), **wrong)


def test_binary_of_invert_writes_the_same_bytes(
    inversion: Any, folder: Path, inverters: Path, binary: Any, tmp_path: Path
) -> None:
    ended = binary(
        "actprobe-invert", "--model=svd", "--seed=1", f"--input={folder / 'song0.wav'}", "--at=0.1",
        f"--inverters={inverters}", f"--output_dir={tmp_path}",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    again = actprobe.load_run(tmp_path)
    assert isinstance(again, InversionResult)
    assert ended.stdout.startswith(f"{again.summary}\n{tmp_path}: figures/inversion.png, inversion.npz, 7 s")
    assert again.record["sounds"].keys() == inversion.record["sounds"].keys()
    seedless = [path for path in inversion.sounds if path.endswith("-own-phase") or path == "original"]
    same_bytes(inversion.folder, tmp_path, "inversion.npz", "figures/inversion.png")
    same_bytes(inversion.folder, tmp_path, *(f"sounds/{name}.wav" for name in seedless))


def test_invert_takes_objects(inversion: Any, model: Any, folder: Path, opened: Any, tmp_path: Path) -> None:
    waveform = actprobe.load_audio(folder / "song0.wav")
    found = actprobe.invert(
        ModelSource("svd", seed=1), waveform, at=0.1, inverters=opened, sound=False, output_dir=tmp_path
    )
    for name, values in inversion.mel_spectrograms.items():
        assert np.array_equal(found.mel_spectrograms[name], values)
    assert found.sounds == {}
    assert found.record["inverters"][1]["seed"] == 2
    layers = backend.keras.layers
    given = layers.Input((*model.frontend.example_shape, 1))
    dense = layers.Dense(64, name="fc8")(layers.Flatten()(given))
    other = actprobe.wrap_model(backend.keras.Model(given, dense), model.frontend, "other")
    with pytest.raises(UsageError, match=r"<actprobe inverter of svd fc8, seeded .*> is none of other fc8"):
        actprobe.invert(other, waveform, inverters=opened[1], output_dir=tmp_path)


def test_a_network_with_many_outputs_shows_no_number(tmp_path: Path) -> None:
    layers = backend.keras.layers
    given = layers.Input((4, 2, 1))
    maps = layers.Conv2D(2, 2, name="maps")(given)
    tags = layers.Dense(7, "softmax", name="tags")(layers.Flatten(name="flat")(maps))
    network = actprobe.wrap_model(backend.keras.Model(given, tags), Rows(), "tagger")
    found = actprobe.invert(
        network, noise(1, 100), method="gradient", gradient_steps=2, output_dir=tmp_path / "out"
    )
    assert list(found.table["layer"]) == ["maps"]
    assert found.table["output"].isna().all()
    assert found.output_original is None
    assert [axes.get_title() for axes in found.plot().axes[:2]] == ["input", "maps"]
    assert "maps: error " in found.summary
    assert "output" not in found.summary
    assert found.sounds == {}  # it is not known how to undo the front end


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layers": ["fc10"]}, "no layer 'fc10'"),
        ({"method": "magic"}, "no method 'magic'; there is inverter, gradient"),
        ({"scale": "dB"}, "no scale 'dB'"),
        ({"gradient_steps": 0}, "gradient_steps=0: at least 1"),
        ({"recording": "nowhere.wav"}, "nowhere.wav"),
    ],
)
def test_what_is_wrong_with_invert_is_told_before_the_network_is_opened(
    model: Any, folder: Path, tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    arguments = {"recording": folder / "song0.wav", "output_dir": tmp_path / "out", **wrong}
    with pytest.raises(ActprobeError, match=said):
        actprobe.invert(unopened(model), **arguments)
    assert not (tmp_path / "out").exists()


# --- evaluate_inverters -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluation(
    model: Any, folder: Path, inverters: Path, tmp_path_factory: pytest.TempPathFactory
) -> actprobe.Result:
    output_dir = tmp_path_factory.mktemp("evaluation")
    return actprobe.evaluate_inverters(
        model, folder, inverters=f"joint:{inverters}", output_dir=output_dir, **WAYS
    )


def test_evaluate_inverters_writes_its_folder_whole(evaluation: Any, folder: Path) -> None:
    assert written(evaluation.folder) == {
        "nre.csv", "nre_detail.csv", "recordings.csv", "run.json", "figures", "shards",
    }  # fmt: skip
    record = evaluation.record
    assert record["command"] == "actprobe.evaluate_inverters(...)"
    assert (record["flags"]["corpus"], record["corpus"]) == (str(folder), "folder")
    assert record["settings"]["comparator"] == "conv5"  # the network's own
    assert record["settings"]["threshold"] == 0.5
    assert record["layers"] == ["fc8"]
    assert set(record["seconds_per_excerpt"]) == {"joint fc8", "gradient fc8"}
    assert evaluation.recordings["status"].tolist().count("failed") == 1


def test_evaluate_inverters_returns_what_load_run_opens(evaluation: Any) -> None:
    again = opened_again(evaluation, "detail")
    assert again.table[["layer", "method", "draws"]].to_numpy().tolist() == [
        ["fc8", "joint", 2], ["fc8", "gradient", 1]
    ]  # fmt: skip
    assert again.summary == evaluation.summary
    assert "left out: broken.wav: " in again.summary
    detail = again.detail
    whole = detail[(detail["against"] == "") & (detail["class"] == "all") & (detail["measure"] == "nre")]
    assert {"zero", "elu floor"} == set(whole[whole["layer"] == ""]["method"]) & {"zero", "elu floor"}
    one = whole[(whole["method"] == "joint") & (whole["layer"] == "fc8")]
    assert one["value"].item() == pytest.approx(again.table["nre"][0])


def test_an_evaluation_is_drawn_as_in_the_figures(evaluation: Any, tmp_path: Path) -> None:
    drawn_as(evaluation.plot(), evaluation.folder / "figures/nre.png", tmp_path)
    drawn_as(evaluation.plot(differences=True), evaluation.folder / "figures/differences.png", tmp_path)


def test_binary_of_evaluate_inverters_writes_the_same_bytes(
    folder: Path, inverters: Path, binary: Any, tmp_path: Path
) -> None:
    ended = binary(
        "actprobe-evaluate-inverters", "--model=svd", "--seed=1", f"--inverters=joint:{inverters}",
        f"--input={folder}", "--layers=fc8", "--methods=joint,gradient", "--draws=2",
        "--excerpts_per_recording=2", "--gradient_steps=2", f"--output_dir={tmp_path}",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    again = actprobe.load_run(tmp_path)
    assert isinstance(again, EvaluationResult)
    assert ended.stdout.startswith(f"{again.summary}\n{tmp_path}: nre.csv, nre_detail.csv, recordings.csv, ")
    # The seed of the flags is that of the evaluation, too.
    same = actprobe.evaluate_inverters(
        ModelSource("svd", seed=1), f"folder:{folder}", inverters=f"joint:{inverters}", seed=1,
        output_dir=tmp_path / "again", **WAYS,
    )  # fmt: skip
    same_bytes(same.folder, tmp_path, "nre.csv", "nre_detail.csv", "recordings.csv", "figures/nre.png")


def test_evaluate_inverters_takes_objects(
    evaluation: Any, model: Any, opened: Any, folder: Path, tmp_path: Path
) -> None:
    corpus = actprobe.open_corpus(f"labelled:{folder}")
    found = actprobe.evaluate_inverters(
        model, corpus, inverters=opened, layers=["fc8"], draws=2, excerpts_per_recording=2,
        output_dir=tmp_path,
    )  # fmt: skip
    assert found.table["method"].tolist() == ["inverter"]
    assert found.table["nre"][0] == pytest.approx(evaluation.table["nre"][0], rel=1e-6)
    others = [actprobe.load_inverter(model, "fc8", seed=seed) for seed in (2, 3)]
    with pytest.raises(UsageError, match="fc8 is there more than once"):
        actprobe.evaluate_inverters(model, corpus, inverters=others, output_dir=tmp_path)
    again = actprobe.evaluate_inverters(
        model, corpus, inverters=others[1], draws=2, excerpts_per_recording=2, output_dir=tmp_path
    )  # the shards of another inverter are not taken
    assert again.table["nre"][0] != found.table["nre"][0]


def test_trainings_with_several_seeds_have_one_row_and_a_line_that_says_so(
    model: Any, folder: Path, inverters: Path, tmp_path: Path
) -> None:
    other = actprobe.load_inverter(model, "fc8", seed=3)
    save_inverter(tmp_path / "fc8.npz", get_arrays(other.keras_model, other.plan), Origin("svd", "fc8"))
    named = f"joint:{inverters},joint:fc8={tmp_path / 'fc8.npz'}"
    found = actprobe.evaluate_inverters(
        model, folder, inverters=named, layers=["fc8"], draws=1, excerpts_per_recording=2,
        output_dir=tmp_path / "both",
    )  # fmt: skip
    assert found.table["method"].tolist().count("joint") == 1
    assert "joint of fc8 is the mean of 2 inverters" in found.summary
    assert [each["training"] for each in found.record["inverters"]] == [1, 2]
    one_by_one = [
        actprobe.evaluate_inverters(
            model, folder, inverters=each, layers=["fc8"], draws=1, excerpts_per_recording=2,
            output_dir=tmp_path / str(number),
        ).table["nre"][0]
        for number, each in enumerate(named.split(","))
    ]  # fmt: skip
    assert found.table["nre"][0] == pytest.approx(np.mean(one_by_one), rel=1e-9)


def test_a_part_of_a_corpus_is_evaluated(model: Any, opened: Any, folder: Path, tmp_path: Path) -> None:
    splits = ["train", "test", "test"]
    table = pd.DataFrame({"path": [folder / f"song{i}.wav" for i in range(3)], "split": splits})
    found = actprobe.evaluate_inverters(
        model, table, inverters=opened[1], split="test", draws=1, excerpts_per_recording=2,
        output_dir=tmp_path / "out",
    )  # fmt: skip
    assert [Path(path).name for path in found.recordings["path"]] == ["song1.wav", "song2.wav"]
    assert found.table["corpus"].tolist() == ["data frame test"]
    with pytest.raises(CorpusError, match="holds no recordings for valid"):
        actprobe.evaluate_inverters(model, table, split="valid", output_dir=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layers": ["fc10"]}, "no layer 'fc10'"),
        ({"comparator": "fc10"}, "no layer 'fc10'"),
        ({"draws": 0}, "draws=0: at least 1"),
        ({"short": "cut"}, "short='cut' is none of skip, pad"),
        ({"threshold": 2.0}, "threshold=2.0"),
        ({"corpus": "nowhere"}, "nowhere"),
    ],
)
def test_what_is_wrong_with_an_evaluation_is_told_before_the_network_is_opened(
    model: Any, folder: Path, tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    arguments = {"corpus": folder, "output_dir": tmp_path / "out", **wrong}
    with pytest.raises(ActprobeError, match=said):
        actprobe.evaluate_inverters(unopened(model), **arguments)
    assert not (tmp_path / "out").exists()


def test_output_that_is_a_file_is_told_before_the_network_is_opened(
    model: Any, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(FileExistsError, match="out"):
        actprobe.invert(unopened(model), folder / "song0.wav", output_dir=tmp_path / "out")
    with pytest.raises(FileExistsError, match="out"):
        actprobe.evaluate_inverters(unopened(model), folder, output_dir=tmp_path / "out")


def test_a_file_name_that_is_not_utf8_is_shown_with_escapes(
    model: Any, folder: Path, opened: Any, tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(b"lat\xe9n.wav")
    path.write_bytes((folder / "song0.wav").read_bytes())
    found = actprobe.invert(model, path, inverters=opened, sound=False, output_dir=tmp_path / "out")
    assert found.record["recording"] == str(tmp_path / "lat\\xe9n.wav")


def test_a_recording_that_ends_too_early_is_told(model: Any, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="99 s is too late"):
        actprobe.invert(model, folder / "song0.wav", at=99, method="gradient", output_dir=tmp_path)
    assert not (tmp_path / "run.json").exists()
