"""Runs: durable shards, resume, the ledger, and tables that are the same byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import actprobe
from actprobe import features as hand_crafted
from actprobe.analyses.neurons.merged import open_merged
from actprobe.analyses.neurons.playlists import best_of_layers, write_playlists
from actprobe.analyses.neurons.result import NeuronResult
from actprobe.analyses.neurons.similarity import neuron_similarity
from actprobe.audio import load_audio
from actprobe.batch.ledger import LedgerRow, ledger_frame
from actprobe.batch.shards import Shard, ShardStore
from actprobe.corpora import open_corpus
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import CorpusError, UsageError
from actprobe.models import Model, load_model, wrap_model

TABLES = ("neurons.csv", "neurons.parquet", "neurons_detail.csv", "layers.csv", "recordings.csv")
FEATURES = ["onset_rate", "loudness"]


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve phantom recordings and one each of the ways to fail."""
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, recordings=12, seconds=5)
    (folder / "a_text.wav").write_text("this is not audio")
    (folder / "b_empty.wav").touch()
    soundfile.write(folder / "c_silent.wav", np.zeros(22050), 22050)
    soundfile.write(folder / "d_nan.wav", np.full(22050, np.nan), 22050, subtype="FLOAT")
    return folder


def run(
    model: Model, folder: Path, output_dir: Path, layers: Sequence[str] = ("pool4", "pool5"), **options: Any
) -> NeuronResult:
    options = {"features": FEATURES, "random_seeds": 1, "permutations": 20, "executor": "local:1", **options}
    return actprobe.neurons(model, folder, layers=layers, output_dir=output_dir, figures=0, **options)


@pytest.fixture(scope="session")
def finished(
    random_cnn_at: Model, phantom: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[NeuronResult, Path]:
    output_dir = tmp_path_factory.mktemp("out")
    return run(random_cnn_at, phantom, output_dir), output_dir


def test_ledger_names_every_failure_and_the_rest_goes_on(finished: tuple[NeuronResult, Path]) -> None:
    ledger = finished[0].recordings.set_index("path")
    assert list(ledger.columns) == [
        "status", "reason", "warning", "seconds", "sample_rate", "examples", *FEATURES,
    ]  # fmt: skip
    failed = ledger[ledger.status == "failed"]
    assert set(failed.index) == {"a_text.wav", "b_empty.wav", "c_silent.wav", "d_nan.wav"}
    assert "silent" in failed.reason["c_silent.wav"]
    assert "NaN" in failed.reason["d_nan.wav"]
    assert (failed.reason != "").all()
    assert failed.seconds.isna().all()
    usable = ledger[ledger.status == "ok"]
    assert len(usable) == 12
    assert (usable.reason == "").all()
    assert usable.seconds.to_numpy(float) == pytest.approx(5)
    assert usable.warning.str.contains("17% of its 29.12 s example").all()


def test_table_is_what_the_public_functions_give(
    finished: tuple[NeuronResult, Path], random_cnn_at: Model, phantom: Path
) -> None:
    found = finished[0]
    usable = [recording for recording in open_corpus(phantom) if recording.name.startswith("phantom")] or [
        recording
        for recording, status in zip(open_corpus(phantom), found.recordings.status, strict=True)
        if status == "ok"
    ]
    rows = []
    for recording in usable:
        examples = random_cnn_at.frontend(load_audio(recording.path))
        rows.append(random_cnn_at.activations(examples, ["pool4"])["pool4"].mean(axis=(0, 1, 2)))
    loudness = [hand_crafted.compute_scalars(load_audio(r.path), ["loudness"])["loudness"] for r in usable]
    expected = neuron_similarity(np.array(rows), np.array(loudness))
    table = found.table[(found.table.layer == "pool4") & (found.table.feature == "loudness")]
    assert table.n.unique().tolist() == [12]
    assert np.allclose(table.r, expected.r, atol=1e-4, equal_nan=True)
    assert np.allclose(table.q, expected.q, rtol=1e-2, equal_nan=True)


def test_files_hold_what_was_returned(finished: tuple[NeuronResult, Path]) -> None:
    found, output_dir = finished
    assert len(pd.read_csv(output_dir / "neurons.csv")) == len(found.table) == (192 + 256) * 2
    pd.testing.assert_frame_equal(pd.read_parquet(output_dir / "neurons.parquet"), found.table)
    assert not list(output_dir.rglob("*.tmp"))


def test_second_run_computes_nothing_and_writes_the_same_bytes(
    finished: tuple[NeuronResult, Path], random_cnn_at: Model, phantom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_dir = finished[1]
    before = {name: (output_dir / name).read_bytes() for name in TABLES}
    stamps = {path: path.stat().st_mtime_ns for path in output_dir.glob("shards/*/*.npz")}
    assert len(stamps) == 12

    def forbidden(*_: Any) -> None:
        raise AssertionError("a finished recording went through the network again")

    monkeypatch.setattr(Model, "activations", forbidden)
    run(random_cnn_at, phantom, output_dir)
    assert {path: path.stat().st_mtime_ns for path in output_dir.glob("shards/*/*.npz")} == stamps
    assert {name: (output_dir / name).read_bytes() for name in TABLES} == before


def test_any_subset_of_finished_shards_leads_to_the_same_bytes(
    finished: tuple[NeuronResult, Path], random_cnn_at: Model, phantom: Path, tmp_path: Path
) -> None:
    run(random_cnn_at, phantom, tmp_path)
    for path in sorted(tmp_path.glob("shards/*/*.npz"))[::3]:
        path.unlink()
    shard = sorted(tmp_path.glob("shards/*/*.npz"))[0]
    shard.write_bytes(shard.read_bytes()[:100])  # damaged on disk
    run(random_cnn_at, phantom, tmp_path)
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (finished[1] / name).read_bytes()


def test_other_settings_never_meet_in_one_folder(
    finished: tuple[NeuronResult, Path], random_cnn_at: Model, phantom: Path
) -> None:
    output_dir = finished[1]
    keys = {path.name for path in (output_dir / "shards").iterdir()}
    run(random_cnn_at, phantom, output_dir, layers=("pool5",))
    assert keys < {path.name for path in (output_dir / "shards").iterdir()}
    run(random_cnn_at, phantom, output_dir)


def test_changed_recording_is_computed_again(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"one")
    recording = open_corpus(tmp_path)[0]
    store = ShardStore(tmp_path / "shards", "key")
    store.save(recording, Shard({"seconds": 1.5}, {"pool4": np.arange(3.0)}))
    loaded = store.load(recording)
    assert loaded is not None
    assert loaded.facts == {"seconds": 1.5}
    assert loaded.arrays["pool4"].tolist() == [0, 1, 2]
    (tmp_path / "a.wav").write_bytes(b"other")
    assert store.load(recording) is None
    (tmp_path / "a.wav").unlink()
    assert store.load(recording) is None


def test_recordings_of_like_names_have_shards_of_their_own(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ü a.wav").touch()
    store = ShardStore(tmp_path / "shards", "key")
    paths = [store.path(recording) for recording in open_corpus(tmp_path)]
    assert len(set(paths)) == 2
    assert all(path.name.isascii() for path in paths)


def test_nothing_usable_is_an_error_and_the_ledger_is_written(random_cnn_at: Model, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.wav").touch()
    with pytest.raises(CorpusError, match=r"none of 1 recordings.*x\.wav: .*empty"):
        run(random_cnn_at, tmp_path / "in", tmp_path / "out")
    assert pd.read_csv(tmp_path / "out/recordings.csv").status.tolist() == ["failed"]


def test_long_recording_is_covered_by_several_examples(random_cnn_at: Model, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((75 * 12000,)) * 0.1
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/long.wav", noise, 12000)
    found = run(random_cnn_at, tmp_path / "in", tmp_path / "out", layers=("pool5",))
    assert found.recordings.examples.tolist() == [3]
    examples = random_cnn_at.frontend(load_audio(tmp_path / "in/long.wav"))
    expected = random_cnn_at.activations(examples, ["pool5"])["pool5"].mean(axis=(0, 1, 2))
    assert np.allclose(found.activity["pool5"][0], expected, rtol=1e-4, atol=1e-5)


def test_ledger_keeps_empty_numbers_empty() -> None:
    frame = ledger_frame(
        [LedgerRow("a.wav", "failed", reason="why"), LedgerRow("b.wav", "ok", seconds=2.0)], []
    )
    assert frame.to_csv(index=False).splitlines()[1:] == ["a.wav,failed,why,,,,", "b.wav,ok,,,2.0,,"]


def test_controls_get_the_same_examples(finished: tuple[NeuronResult, Path], phantom: Path) -> None:
    """Control i is the network that load_model gives for its seed, and none has the model's own seed."""
    found = finished[0]
    assert found.record["random_seeds"] == [1]
    name = found.merged.recordings.path[3]
    control = load_model("cnn_at", seed=1)
    examples = control.frontend(load_audio(phantom / name))
    expected = control.activations(examples, ["pool5"])["pool5"].mean(axis=(0, 1, 2))
    assert np.allclose(found.merged.random_activity[0]["pool5"][3], expected, rtol=1e-4, atol=1e-5)
    rows = found.layers[(found.layers.layer == "pool5") & (found.layers.feature == "loudness")]
    assert rows.weights.tolist() == ["model", "random 0"]
    assert found.table.r_random.notna().any()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loud and a soft part, and a second song of noise."""
    folder = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    times = np.arange(22050 * 6) / 22050
    loud = np.where(times < 3, 0.02, 0.5) * np.sin(2 * np.pi * 300 * times)
    soundfile.write(folder / "a.wav", loud + rng.standard_normal(len(times)) * 1e-3, 22050)
    soundfile.write(folder / "b.wav", rng.standard_normal(22050 * 4) * 0.1, 22050)
    return folder


@pytest.mark.parametrize("hop", [10, 40])
def test_excerpts_are_units_with_features_of_their_own_segment(song: Path, tmp_path: Path, hop: int) -> None:
    model = load_model("svd", seed=0, hop=hop)
    found = run(model, song, tmp_path, ["fc8"], unit="excerpt", random_seeds=0, features=["loudness"])
    assert found.record["evaluation"] == {10: "dense", 40: "batches"}[hop]
    waveform = load_audio(song / "a.wav")
    examples = model.frontend(waveform)
    units = found.merged.units
    mine = units[units.path == "a.wav"]
    assert mine.example.tolist() == list(range(len(examples)))
    assert np.diff(mine.start_seconds) == pytest.approx(hop * 315 / 22050)
    rows = found.activity["fc8"][: len(examples)]
    assert np.abs(rows - model.activations(examples, ["fc8"])["fc8"]).max() < 1e-5 * np.abs(rows).max()
    start = int(mine.start_seconds.iloc[-1] * 44100 + 0.5)
    segment = waveform.resample(44100).samples[start : start + round(mine.seconds.iloc[-1] * 44100)]
    from actprobe.audio import Waveform

    expected = hand_crafted.compute_scalars(Waveform(segment, 44100), ["loudness"])["loudness"]
    assert mine.loudness.iloc[-1] == pytest.approx(expected, rel=1e-6)
    assert mine.loudness.iloc[-1] > 10 * mine.loudness.iloc[0]
    assert found.merged.groups.tolist() == [0] * len(mine) + [1] * (len(units) - len(mine))
    assert found.table.n.unique().tolist() == [len(units)]
    assert found.layers.recordings.unique().tolist() == [2]


def test_extremes_say_which_example_drove_a_neuron(song: Path, tmp_path: Path) -> None:
    model = load_model("svd", seed=0, hop=10)
    merged = run(model, song, tmp_path, ["conv5", "fc8"], random_seeds=0).merged
    examples = model.frontend(load_audio(song / "a.wav"))
    for layer, values in model.activations(examples, ["conv5", "fc8"]).items():
        values = values if values.ndim == 2 else values.mean(axis=(1, 2))
        ends = merged.extremes(layer)
        assert np.allclose(ends.highest[0], values.max(axis=0), rtol=1e-4, atol=1e-6)
        assert np.allclose(ends.lowest[0], values.min(axis=0), rtol=1e-4, atol=1e-6)
        reached = values[ends.highest_examples[0], np.arange(values.shape[1])]
        assert np.allclose(reached, values.max(axis=0), rtol=1e-4, atol=1e-6)
        assert np.allclose(ends.highest_seconds[0], ends.highest_examples[0] * 10 * 315 / 22050)
        assert merged.start_seconds(1, 2) == pytest.approx(20 * 315 / 22050)


def test_playlists_are_written_and_can_be_heard(song: Path, tmp_path: Path) -> None:
    model = load_model("svd", seed=0, hop=10)
    found = run(model, song, tmp_path, ["fc8"], random_seeds=0)
    table = write_playlists(found.merged, open_corpus(song), tmp_path / "lists", [("fc8", 3)], 2)
    ends = found.merged.extremes("fc8")
    top = table[table.end == "top"]
    assert top.value.tolist() == pytest.approx(sorted(ends.highest[:, 3], reverse=True))
    row: Any
    for row in table.itertuples():
        assert soundfile.info(tmp_path / "lists" / row.file).duration == pytest.approx(
            row.end_seconds - row.start_seconds, abs=1e-3
        )
    assert found.merged.neuron("fc8/63") == ("fc8", 63)
    for wrong in ("fc8/64", "fc9/0", "fc8", "fc8/x"):
        with pytest.raises(UsageError, match="neuron"):
            found.merged.neuron(wrong)
    assert len(write_playlists(found.merged, open_corpus(song), tmp_path / "none", [], 2)) == 0


def test_best_neuron_of_each_layer_and_feature_is_played(finished: tuple[NeuronResult, Path]) -> None:
    table = finished[0].table.dropna(subset="r")
    strongest = table.loc[table.r.abs().groupby([table.layer, table.feature]).idxmax()]
    best = best_of_layers(finished[0].table)
    assert set(best) == set(zip(strongest.layer, strongest.neuron, strict=True))
    assert len(best) == len(set(best))


def test_label_columns_are_features_and_change_nothing_that_was_computed(
    phantom: Path, random_cnn_at: Model, tmp_path: Path
) -> None:
    names = [recording.name for recording in open_corpus(phantom)][-6:]
    manifest = phantom / "labels.csv"
    manifest.write_text("path,energy\n" + "".join(f"{name},{i}\n" for i, name in enumerate(names)))
    found = run(random_cnn_at, manifest, tmp_path, ["pool5"], features=["loudness", "energy"], given="energy")
    assert found.features["energy"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found.recordings.energy.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.detail.r_partial[found.detail.feature == "loudness"].notna().any()
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shards/*/*.npz")}
    manifest.write_text("path,energy\n" + "".join(f"{name},{i * i}\n" for i, name in enumerate(names)))
    again = run(random_cnn_at, manifest, tmp_path, ["pool5"], features=["loudness", "energy"])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("shards/*/*.npz")} == stamps
    assert open_merged(tmp_path).features["energy"].tolist() == again.features["energy"].tolist()
    assert again.features["energy"].tolist() == [0, 1, 4, 9, 16, 25]
    manifest.unlink()


def test_merge_reads_again_only_what_changed(
    random_cnn_at: Model, phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actprobe.analyses.neurons import blocks as merging

    monkeypatch.setattr(merging, "BLOCK", 4)
    found = run(random_cnn_at, phantom, tmp_path, ["pool5"])
    blocks = {path: path.stat().st_ino for path in tmp_path.glob("merged/blocks/*")}
    assert len(blocks) == 3
    activity = np.array(found.activity["pool5"])
    sorted(tmp_path.glob("shards/*/*.npz"))[0].unlink()
    again = run(random_cnn_at, phantom, tmp_path, ["pool5"])
    left = {path: path.stat().st_ino for path in tmp_path.glob("merged/blocks/*")}
    assert len(left) == 3
    assert len(blocks.items() & left.items()) == 2
    assert np.array_equal(again.activity["pool5"], activity)


def test_model_of_ones_own_has_a_control_and_keeps_its_weights(song: Path, tmp_path: Path) -> None:
    from actprobe import backend
    from actprobe.frontends import SvdFrontEnd

    keras = backend.keras
    inputs = keras.Input((115, 80))
    outputs = keras.layers.Dense(5, activation="relu", name="units")(keras.layers.Flatten()(inputs))
    network = keras.Model(inputs, outputs)
    weights = [weight.numpy() for weight in network.weights]
    model = wrap_model(network, SvdFrontEnd(hop=40), "mine")
    found = run(model, song, tmp_path, ["units"], random_seeds=2)
    one, other = (activity["units"] for activity in found.merged.random_activity)
    assert not np.allclose(one, other)
    assert not np.allclose(one, found.activity["units"])
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(weights, network.weights, strict=True))
    with pytest.raises(UsageError, match="model of your own"):
        run(model, song, tmp_path / "dask", ["units"], executor="dask:1")


def test_two_runs_are_compared_by_the_names_of_their_recordings(
    finished: tuple[NeuronResult, Path], phantom: Path, binary: Any, tmp_path: Path
) -> None:
    """As the manual has it: a run compared with itself, where every neuron is its own partner."""
    output_dir = finished[1]
    ended = binary(
        "actprobe-neurons", "--compare", str(output_dir), str(output_dir), f"--output_dir={tmp_path}"
    )
    assert ended.returncode == 0, ended.stderr
    pairs = pd.read_csv(tmp_path / "alignment.csv").dropna(subset="r")
    same = pairs[pairs.layer_a == pairs.layer_b]
    assert len(same) > 100
    assert np.allclose(same.r.abs(), 1, atol=1e-6)
    assert (tmp_path / "figures/cka.png").exists()
    for wrong in (["--compare", str(output_dir)], [f"--compare={output_dir},{output_dir},{output_dir}"]):
        ended = binary("actprobe-neurons", *wrong, f"--output_dir={tmp_path}")
        assert ended.returncode == 2
        assert "two finished runs" in ended.stderr
    ended = binary(
        "actprobe-neurons", "--compare", str(output_dir), str(tmp_path), f"--output_dir={tmp_path}"
    )
    assert ended.returncode == 1
    assert "does not hold a finished neuron run" in ended.stderr


def test_recordings_of_one_song_do_not_count_as_independent(
    finished: tuple[NeuronResult, Path], random_cnn_at: Model, phantom: Path, tmp_path: Path
) -> None:
    output_dir = shutil.copytree(finished[1], tmp_path / "out")
    plain = pd.read_csv(output_dir / "neurons_detail.csv")
    recordings = [
        replace(recording, labels={"song": f"song {i // 2}"})
        for i, recording in enumerate(open_corpus(phantom))
    ]
    options: dict[str, Any] = {"layers": ["pool4", "pool5"], "features": FEATURES}
    options |= {"random_seeds": 1, "permutations": 20}
    options |= {"output_dir": output_dir, "executor": "local:1", "figures": 0}
    grouped = actprobe.neurons(random_cnn_at, recordings, group_by="song", **options)
    assert (plain["n_effective"].dropna() == 12).all()
    songs = {recording.labels["song"] for recording in recordings if "phantom" in recording.name}
    assert (grouped.detail["recordings"] == len(songs)).all()
    assert not np.allclose(grouped.detail["n_effective"].dropna(), 12)
    with pytest.raises(UsageError, match="label 'album'; there is song"):
        actprobe.neurons(random_cnn_at, recordings, group_by="album", **options)
