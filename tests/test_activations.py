"""The activation run: one npz per recording, bounded memory, resume, and a ledger of what failed."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

import actprobe
from actprobe import load_audio
from actprobe.analyses.activations.result import ActivationResult
from actprobe.errors import CorpusError, UsageError
from actprobe.models import Model, load_model

LAYERS = ["pool3", "conv5/linear", "output"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short and a long recording of one name in two folders, and two that cannot be used."""
    folder = tmp_path_factory.mktemp("in")
    noise = np.random.default_rng(0).standard_normal(75 * 12000) * 0.1
    (folder / "sub").mkdir()
    soundfile.write(folder / "song.wav", noise[: 5 * 12000], 12000)
    soundfile.write(folder / "sub/song.wav", noise, 12000)
    (folder / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(folder / "silent.wav", np.zeros(12000), 12000)
    return folder


def run(model: Model, folder: Path, output_dir: Path, layers: Any = LAYERS) -> ActivationResult:
    return actprobe.activations(model, folder, layers=layers, output_dir=output_dir)


@pytest.fixture(scope="module")
def finished(
    random_cnn_at: Model, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ActivationResult, Path]:
    output_dir = tmp_path_factory.mktemp("out")
    return run(random_cnn_at, folder, output_dir), output_dir


def load(run: ActivationResult, output_dir: Path, name: str) -> dict[str, NDArray[Any]]:
    file = run.recordings.set_index("path").file[name]
    with np.load(output_dir / file, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize(("name", "examples"), [("song.wav", 1), ("sub/song.wav", 3)])
def test_file_holds_what_the_model_gives(
    finished: tuple[ActivationResult, Path], random_cnn_at: Model, folder: Path, name: str, examples: int
) -> None:
    arrays = load(*finished, name)
    inputs = random_cnn_at.frontend(load_audio(folder / name))
    expected = random_cnn_at.activations(inputs, LAYERS, batch_size=1)
    for layer in LAYERS:
        assert arrays[layer].dtype == np.float32
        assert arrays[layer].shape == (examples, *random_cnn_at.layers[layer].shape)
        assert np.array_equal(arrays[layer], expected[layer])


def test_times_say_where_every_position_is(
    finished: tuple[ActivationResult, Path], random_cnn_at: Model
) -> None:
    arrays = load(*finished, "sub/song.wav")
    assert set(arrays) == {*LAYERS, "pool3/times", "conv5/linear/times", "times", "examples", "facts"}
    # Three examples of 29.12 s cover 75 s evenly, the last to the end.
    assert arrays["times"] == pytest.approx([0, 22.94, 45.88], abs=1e-3)
    assert np.array_equal(arrays["pool3/times"], random_cnn_at.layers["pool3"].times())
    assert load(*finished, "song.wav")["times"].tolist() == [0]


def test_ledger_names_every_recording_its_file_and_its_fault(finished: tuple[ActivationResult, Path]) -> None:
    found, output_dir = finished
    ledger = pd.read_csv(output_dir / "recordings.csv", keep_default_na=False).set_index("path")
    assert list(ledger.status[["broken.wav", "silent.wav"]]) == ["failed", "failed"]
    assert "silent" in ledger.reason["silent.wav"]
    assert list(ledger.file[["broken.wav", "silent.wav"]]) == ["", ""]
    assert ledger.examples["sub/song.wav"] == "3"
    assert "17% of its 29.12 s example" in ledger.warning["song.wav"]
    assert sorted(path.name for path in output_dir.glob("*.npz")) == sorted(set(ledger.file) - {""})
    assert sorted(path.name for path in found.files.values()) == sorted(set(ledger.file) - {""})
    facts = json.loads(str(load(*finished, "song.wav")["facts"]))
    assert facts["run_key"] == found.record["run_key"]


def test_second_run_computes_only_what_is_missing_or_damaged(
    finished: tuple[ActivationResult, Path],
    random_cnn_at: Model,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = shutil.copytree(finished[1], tmp_path / "out")
    (before / "run.json").unlink()
    whole = {path.name: path.read_bytes() for path in before.iterdir()}
    names = finished[0].recordings.set_index("path").file
    (before / names["song.wav"]).write_bytes(whole[names["song.wav"]][:1000])
    (before / ".leftover.layers").mkdir()
    (before / ".leftover.layers/0").touch()
    (before / ".x.npz.1-2.tmp").touch()
    asked = []
    original = Model.iter_activations

    def watched(self: Any, examples: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(len(examples))
        return original(self, examples, *args, **kwargs)

    monkeypatch.setattr(Model, "iter_activations", watched)
    run(random_cnn_at, folder, before)
    assert asked == [1]
    (before / "run.json").unlink()
    assert {path.name: path.read_bytes() for path in before.iterdir()} == whole


def test_other_layers_or_another_recording_are_computed_anew(random_cnn_at: Model, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(12000) * 0.1
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/a.wav", noise, 12000)
    first = run(random_cnn_at, tmp_path / "in", tmp_path / "out", ["output"])
    run(random_cnn_at, tmp_path / "in", tmp_path / "out", ["pool5"])
    with np.load(next(iter(first.files.values()))) as arrays:
        assert set(arrays) == {"pool5", "pool5/times", "times", "examples", "facts"}
        before = arrays["pool5"]
    soundfile.write(tmp_path / "in/a.wav", noise[::-1], 12000)
    run(random_cnn_at, tmp_path / "in", tmp_path / "out", ["pool5"])
    with np.load(next(iter(first.files.values()))) as arrays:
        assert not np.allclose(arrays["pool5"], before)


def test_memory_does_not_grow_with_the_recording(random_cnn_at: Model, folder: Path, tmp_path: Path) -> None:
    """conv1 of one example is 17 MB; what is held at once is the same for one and for five of them."""
    noise = np.random.default_rng(0).standard_normal(140 * 12000) * 0.1
    soundfile.write(tmp_path / "long.wav", noise, 12000)
    peaks = {}
    for path, size in ((folder / "song.wav", 16e6), (tmp_path / "long.wav", 80e6)):
        tracemalloc.start()
        try:
            found = run(random_cnn_at, path, tmp_path / "out", ["conv1"])
            peaks[path.name] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert next(iter(found.files.values())).stat().st_size > size
    assert peaks["long.wav"] < peaks["song.wav"] + 10e6


def test_too_little_space_is_a_fault_of_that_recording(
    random_cnn_at: Model, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=70_000_000))
    found = run(random_cnn_at, folder, tmp_path, ["conv1"])
    ledger = found.recordings.set_index("path")
    assert ledger.status["song.wav"] == "ok"
    assert "0.1 GB are needed" in ledger.reason["sub/song.wav"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("hop", [1, 7])
def test_detector_is_evaluated_densely_with_the_same_result(tmp_path: Path, hop: int) -> None:
    model = load_model("svd", seed=0, hop=hop)
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).standard_normal(50_000) * 0.1, 22050)
    found = run(model, tmp_path, tmp_path / "out", ["mp6", "fc8", "fc9"])
    assert found.record["evaluation"] == "dense"
    arrays = load(found, tmp_path / "out", "a.wav")
    examples = model.frontend(load_audio(tmp_path / "a.wav"))
    expected = model.activations(examples, ["mp6", "fc8", "fc9"])
    for layer, values in expected.items():
        assert arrays[layer].shape == values.shape
        assert np.abs(arrays[layer] - values).max() <= 1e-5 * np.abs(values).max()
    assert np.diff(arrays["times"]) == pytest.approx(hop * 315 / 22050)


def test_nothing_usable_is_an_error_and_the_ledger_is_written(random_cnn_at: Model, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.wav").touch()
    with pytest.raises(CorpusError, match=r"none of 1 recordings.*x\.wav: .*empty"):
        run(random_cnn_at, tmp_path / "in", tmp_path / "out")
    assert pd.read_csv(tmp_path / "out/recordings.csv").status.tolist() == ["failed"]


def test_unknown_layer_is_named_before_anything_is_decoded(
    random_cnn_at: Model, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="pool9"):
        run(random_cnn_at, folder, tmp_path, ["pool9"])


def test_name_of_a_recording_cannot_lead_out_of_the_folder(random_cnn_at: Model, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).standard_normal(12000) * 0.1, 12000)
    (tmp_path / "in/list.csv").write_text(f"path\n../a.wav\n{tmp_path / 'a.wav'}\n")
    found = run(random_cnn_at, tmp_path / "in/list.csv", tmp_path / "out", ["output"])
    assert len(set(found.files.values())) == 2
    assert {path.parent for path in found.files.values()} == {tmp_path / "out"}


def test_binary_goes_on_past_what_fails_and_exits_1_only_for_nothing(
    binary: Any, folder: Path, tmp_path: Path
) -> None:
    flags = ["--model=cnn_at", "--layers=output", f"--output_dir={tmp_path}"]
    ended = binary("actprobe-activations", *flags, f"--input={folder}")
    assert ended.returncode == 0, ended.stderr
    assert "failed: silent.wav" in ended.stdout
    assert len(list(tmp_path.glob("*.npz"))) == 2
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["recordings"], record["failed"]) == (4, 2)
    assert record["weights"]["kind"] == "seeded random"
    assert record["layers"] == ["output"]
    nothing = binary("actprobe-activations", *flags, f"--input={folder / 'broken.wav'}")
    assert nothing.returncode == 1
    assert "none of 1 recordings could be used" in nothing.stderr
