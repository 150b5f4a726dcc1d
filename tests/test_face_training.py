"""Trainings by the face: one call writes its folder whole, and the binary writes the same weights."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from absl import logging
from matplotlib.figure import Figure
from numpy.typing import NDArray

import actprobe
from actprobe.analyses.inversion.training.result import TrainingResult
from actprobe.analyses.inversion.training.task import choose_comparator
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.mir1k import open_mir1k
from actprobe.detection.result import DetectorResult
from actprobe.errors import CorpusError, UsageError
from actprobe.models import load_model
from actprobe.models.source import ModelSource

RATE = 22_050
OF_ANY_TRAINING = {
    "README.md", "metrics.json", "history.json", "training.json", "run.json", "backup", "logs"
}  # fmt: skip


def sound(seconds: float, seed: int) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 220 * (1 + seed) * times) * (0.5 + 0.5 * np.sin(9 * times))
    values: NDArray[Any] = (0.2 * tone + 0.02 * rng.standard_normal(len(times))).astype(np.float32)
    return values


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def opened_again(found: actprobe.Result) -> None:
    again = actprobe.load_run(found.folder)
    assert type(again) is type(found)
    assert again.record == found.record
    pd.testing.assert_frame_equal(again.table, found.table)
    assert "Examples" not in repr(again)
    assert f"{len(found.table)} rows" in repr(again)


# Feature inverters


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four songs, the last of which is for testing and would be an error to read."""
    folder = tmp_path_factory.mktemp("songs")
    for seed in range(3):
        soundfile.write(folder / f"{seed}.wav", sound(3.0, seed), RATE)
    (folder / "3.wav").write_bytes(b"RIFF")
    (folder / "splits.csv").write_text("path,split\n0.wav,train\n1.wav,train\n2.wav,valid\n3.wav,test\n")
    return folder


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The lines that a binary shows."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    yield caplog
    logging.set_verbosity(before)


@pytest.fixture(scope="module")
def model() -> actprobe.Model:
    return load_model("svd", seed=2)


@pytest.fixture(scope="module")
def trained(model: actprobe.Model, songs: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return actprobe.train_inverter(
        model,
        songs,
        layer="mp6",
        output_dir=tmp_path_factory.mktemp("trained"),
        epochs=2,
        steps_per_epoch=2,
        batch_size=4,
        seed=2,
    )


def test_a_training_writes_its_folder_whole(trained: TrainingResult, model: actprobe.Model) -> None:
    assert written(trained.folder) == OF_ANY_TRAINING | {"cache", "svd-inverter-mp6.npz"}
    assert trained.record["model"] == "svd"
    assert trained.record["command"] == "actprobe.train_inverter(...)"
    assert trained.metrics["command"] == trained.record["command"]
    assert trained.metrics["comparator"]["layer"] == model.default_comparator
    assert trained.metrics["recordings"] == {"train": 2, "valid": 1, "left_out": []}
    assert trained.table["epoch"].tolist() == [1, 2]
    assert trained.table["valid_input"].min() == trained.metrics["valid_input"]
    assert f"epoch {trained.metrics['best_epoch']}" in trained.summary
    opened_again(trained)


def test_a_training_gives_its_inverter(trained: TrainingResult, model: actprobe.Model) -> None:
    features = np.zeros((2, *model.layers["mp6"].shape), np.float32)
    by_name, by_model = trained.inverter()(features), trained.inverter(model)(features)
    assert by_name.shape == (2, 115, 80)
    assert np.array_equal(by_name, by_model)


def test_a_training_draws_its_curves(trained: TrainingResult) -> None:
    figure = trained.plot()
    assert isinstance(figure, Figure)
    above, below = figure.axes
    assert [line.get_label() for line in above.lines] == ["loss", "input", "feature", "l2"]
    drawn: Any = below.lines[0].get_ydata()
    assert drawn.tolist() == trained.table["valid_input"].tolist()


def test_the_binary_trains_the_same_inverter(
    trained: TrainingResult, songs: Path, tmp_path: Path, binary: Any
) -> None:
    done = binary(
        "actprobe-train-inverter", "--model=svd", "--seed=2", "--layer=mp6", f"--input={songs}",
        f"--output_dir={tmp_path}", "--epochs=2", "--steps_per_epoch=2",
        "--batch_size=4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        trained.summary,
        f"{tmp_path}: svd-inverter-mp6.npz, README.md, metrics.json",
    ]
    assert (tmp_path / trained.path.name).read_bytes() == trained.path.read_bytes()
    card = (tmp_path / "README.md").read_text()
    assert "\n    actprobe-train-inverter --model=svd --seed=2 --layer=mp6 " in card
    opened_again(actprobe.load_run(tmp_path))


def test_further_recordings_are_those_whose_names_match(
    model: actprobe.Model, songs: Path, tmp_path: Path
) -> None:
    found = actprobe.train_inverter(
        model,
        [songs / "0.wav"],
        songs=songs,
        songs_match="[12].wav",
        valid=[songs / "0.wav", songs / "1.wav"],
        layer="mp6",
        loss="input",
        output_dir=tmp_path,
        epochs=1,
        steps_per_epoch=1,
        batch_size=2,
    )
    assert found.metrics["recordings"] == {"train": 2, "valid": 2, "left_out": []}
    assert found.metrics["comparator"] is None


def test_without_a_split_some_recordings_are_held_out_and_named(
    model: actprobe.Model, songs: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "music/sub").mkdir(parents=True)
    for i in range(3):
        shutil.copy(songs / f"{i}.wav", tmp_path / "music/sub")
    options: dict[str, Any] = {"layer": "mp6", "loss": "input", "epochs": 1, "steps_per_epoch": 1}
    options["batch_size"] = 2
    found = actprobe.train_inverter(model, tmp_path / "music", output_dir=tmp_path / "out", **options)
    (name,) = found.metrics["held_out"]
    assert found.record["held_out"] == [name]
    assert name in {"sub/0.wav", "sub/1.wav", "sub/2.wav"}
    assert found.metrics["recordings"] == {"train": 2, "valid": 1, "left_out": []}
    assert f"1 of 3 are held out by seed 0: {name}" in told.text
    assert re.search(r"epoch 1 of 1: .*, validation \d\.\d{4} \(best\), ", told.text)
    assert "held out by the seed" in (found.folder / "README.md").read_text()
    table = pd.DataFrame({"path": [songs / f"{i}.wav" for i in range(3)]})
    again = actprobe.train_inverter(model, table, output_dir=tmp_path / "again", **options)
    assert len(again.metrics["held_out"]) == 1


def test_of_one_recording_nothing_is_held_out_and_the_last_epoch_is_taken(
    model: actprobe.Model, songs: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    found = actprobe.train_inverter(
        model, [songs / "0.wav"], layer="mp6", loss="input", output_dir=tmp_path, epochs=2, steps_per_epoch=1,
        batch_size=2,
    )  # fmt: skip
    assert told.text.count("none can be held out: the last epoch is taken") == 1
    assert re.search(r"epoch 2 of 2: loss [\d.]+, input [\d.]+, l2 [\d.]+, \d+ examples/s", told.text)
    assert "nan" not in told.text
    assert found.metrics["held_out"] == found.record["held_out"] == []
    assert found.metrics["best_epoch"] == 2


def test_what_cannot_be_trained_is_refused_before_the_network_is_opened(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(self: ModelSource) -> None:
        raise AssertionError("the network was opened")

    monkeypatch.setattr(ModelSource, "open", opened)
    (tmp_path / "test").mkdir()
    soundfile.write(tmp_path / "test/0.wav", sound(3.0, 0), RATE)
    (tmp_path / "test/splits.csv").write_text("path,split\n0.wav,test\n")
    for wrong, error, message in (
        ({"layer": "fc99"}, UsageError, "has no layer 'fc99'"),
        ({"loss": "mse"}, UsageError, "there is no loss 'mse'"),
        ({"comparator": "fc99"}, UsageError, "has no layer 'fc99'"),
        ({"comparator": "cnn_at:elu3"}, UsageError, "--comparator_checkpoint is needed"),
        ({"schedule": "linear"}, UsageError, "there is no schedule 'linear'"),
        ({"precision": "float16"}, UsageError, "there is no precision 'float16'"),
        ({"epochs": 0}, UsageError, "epochs=0: at least 1"),
        ({"corpus": tmp_path / "gone"}, CorpusError, "is not a folder|does not exist"),
        ({"corpus": tmp_path / "test"}, CorpusError, "has no recordings to train on"),
    ):
        options: dict[str, Any] = {"corpus": songs, "layer": "mp6", "output_dir": tmp_path / "out"} | wrong
        with pytest.raises(error, match=message):
            actprobe.train_inverter(ModelSource("svd"), **options)
    assert not (tmp_path / "out").exists()


def test_a_comparator_is_a_layer_a_name_or_a_pair(model: actprobe.Model) -> None:
    source, other = ModelSource("svd"), ModelSource("cnn_at")
    assert choose_comparator(source, "fc8", "joint") == (source, "conv5")
    assert choose_comparator(source, "fc8", "input") == (source, "fc8")
    assert choose_comparator(source, "fc8", "joint", "conv2") == (source, "conv2")
    assert choose_comparator(source, "fc8", "joint", "svd:conv2") == (source, "conv2")
    assert choose_comparator(source, "fc8", "joint", (model, "conv2")) == (model, "conv2")
    weights = ModelSource("svd", "other.npz")
    assert choose_comparator(source, "fc8", "joint", "svd:conv2", "other.npz") == (weights, "conv2")
    assert choose_comparator(other, "elu3", "input") == (other, "elu3")
    with pytest.raises(UsageError, match="--comparator=MODEL:LAYER is needed for cnn_at"):
        choose_comparator(other, "elu3", "joint")


# The singing voice detector


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of a voice and noise in the layout of MIR-1K: for training, validation and testing."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "Wavfile").mkdir()
    (folder / "vocal-nonvocalLabel").mkdir()
    labels = (np.arange(149) >= 49).astype(int)
    for seed, name in enumerate(("amy_1_01", "stool_1_01", "annar_1_01")):
        both = np.stack([0.1 * sound(3.0, 5), sound(3.0, seed)], 1)
        soundfile.write(folder / "Wavfile" / f"{name}.wav", both, RATE)
        (folder / "vocal-nonvocalLabel" / f"{name}.vocal").write_text("\n".join(map(str, labels)))
    return folder


@pytest.fixture(scope="module")
def detector(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> DetectorResult:
    return actprobe.train_detector(
        f"mir1k:{clips}",
        output_dir=tmp_path_factory.mktemp("detector"),
        epochs=2,
        steps_per_epoch=1,
        batch_size=2,
        excerpts=2,
    )


def test_a_detector_is_trained_and_its_folder_written_whole(detector: DetectorResult) -> None:
    assert written(detector.folder) == OF_ANY_TRAINING | {"sounds", "figures", "svd.npz", "meanstd.npz"}
    assert detector.table["epoch"].tolist() == [1, 2]
    assert set(detector.figures["recordings"]) == {"valid", "mir1k test"}
    assert detector.summary.splitlines()[0].startswith("valid: AUC 0.")
    assert [axes.get_ylabel() for axes in detector.plot().axes] == ["training loss", "validation AUC"]
    assert json.loads((detector.folder / "history.json").read_text())["epochs"][0]["valid_auc"] > 0
    opened_again(detector)
    opened = load_model(detector.model, detector.path, detector.normalization)
    assert opened.threshold == detector.metrics["figures"]["valid"]["labels as they are"]["threshold"]


def test_the_binary_trains_the_same_detector(clips: Path, tmp_path: Path, binary: Any) -> None:
    """Each in a process of its own; what TensorFlow did before, or a busy machine, can decide last bits."""
    call = (
        "import sys, actprobe\n"
        "found = actprobe.train_detector(f'mir1k:{sys.argv[1]}', output_dir=sys.argv[2], epochs=2, "
        "steps_per_epoch=1, batch_size=2, excerpts=2)\n"
        "print(found.summary)"
    )
    python, command = tmp_path / "python", tmp_path / "command"
    called = subprocess.run(
        [sys.executable, "-c", call, clips, python], capture_output=True, text=True, check=False
    )
    assert called.returncode == 0, called.stderr
    done = binary(
        "actprobe-train-detector", f"--input=mir1k:{clips}", f"--output_dir={command}",
        "--epochs=2", "--steps_per_epoch=1", "--batch_size=2", "--excerpts=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    last = f"{command}: svd.npz, meanstd.npz, README.md, metrics.json"
    assert done.stdout.splitlines() == [*called.stdout.splitlines(), last]
    for name in ("svd.npz", "meanstd.npz"):
        with np.load(command / name) as one, np.load(python / name) as other:
            assert one.files == other.files
            for key in one.files:
                np.testing.assert_allclose(one[key], other[key], rtol=0, atol=1e-6, err_msg=f"{name}: {key}")


def test_a_detector_without_a_split_is_judged_by_recordings_held_out(tmp_path: Path) -> None:
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", sound(3.0, i), RATE)
        (tmp_path / f"{i}.lab").write_text("0 1 nosing\n1 3 sing\n")
    table = pd.DataFrame({"path": sorted(tmp_path.glob("*.wav")), "song": ["one", "two", "two"]})
    found = actprobe.train_detector(
        table, output_dir=tmp_path / "out", epochs=1, steps_per_epoch=1, batch_size=2, excerpts=1
    )
    assert found.metrics["held_out"] == found.record["held_out"] == [(tmp_path / "0.wav").as_posix()]
    assert found.metrics["recordings"] == {"train": 2, "valid": 1}
    assert found.table["valid_auc"].notna().all()
    assert "train 2, valid 1 (valid: held out by the seed)" in (found.folder / "README.md").read_text()


def test_a_detector_learns_from_labelled_recordings_of_any_kind(clips: Path, tmp_path: Path) -> None:
    recordings = open_mir1k(clips)
    assert all(isinstance(each, LabelledRecording) for each in recordings)
    found = actprobe.train_detector(
        recordings, output_dir=tmp_path, epochs=1, steps_per_epoch=None, batch_size=20, excerpts=1
    )
    seconds = sum(found.metrics["data"]["seconds"].values())
    assert found.metrics["steps_per_epoch"] == max(1, int(seconds * 70) // 9 // 20)
