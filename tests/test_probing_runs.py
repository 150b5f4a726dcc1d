"""Linear probes of networks: whole runs, label files, what a bad recording costs, resume, the binary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from attribution_support import RATE, small_frontend
from conftest import ROOT
from numpy.typing import NDArray

import actprobe
from actprobe.analyses.causal.probing.job import ProbeJob
from actprobe.analyses.causal.probing.result import ProbeResult
from actprobe.backend import keras
from actprobe.corpora.label_tracks import read_tracks
from actprobe.errors import CorpusError, UsageError

FRAMES, MELS, CLIPS = 10, 12, 12
SECONDS = 2.0
LAYERS = ["level", "ripples"]
FEW: Any = {"folds": 3, "random_seeds": 0, "executor": "local:1"}


def network() -> Any:
    """A unit that is the mean level of the excerpt, and 16 that fold it into numbers without an order."""
    mel = keras.Input((FRAMES, MELS))
    level = keras.layers.GlobalAveragePooling2D(name="level")(keras.layers.Reshape((FRAMES, MELS, 1))(mel))
    folded = keras.layers.Dense(16, name="fold")(level)
    ripples = keras.layers.Lambda(
        keras.backend.sin if hasattr(keras.backend, "sin") else np.sin, name="ripples"
    )(folded)
    model = keras.Model(mel, ripples, name="planted")
    rng = np.random.default_rng(0)
    model.get_layer("fold").set_weights([rng.normal(0, 300, (1, 16)), rng.normal(0, 9, 16)])
    return model


@pytest.fixture(scope="module")
def model() -> Any:
    return actprobe.wrap_model(network(), small_frontend(FRAMES, MELS))


@pytest.fixture(scope="module")
def levels() -> NDArray[np.float64]:
    """Level in dB of the noise of each clip, before and after its middle."""
    return np.random.default_rng(1).uniform(-40, -10, (CLIPS, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, levels: NDArray[np.float64]) -> Path:
    """Clips of noise with a step in their middle, and a manifest."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    lines = ["path,db,kind,band,year,labels"]
    half = int(RATE * SECONDS / 2)
    for i, steps in enumerate(levels):
        sound = np.concatenate([rng.normal(0, 10 ** (db / 20), half) for db in steps])
        soundfile.write(folder / f"{i}.wav", sound.clip(-1, 1), RATE, subtype="FLOAT")
        kind = "loud" if steps.mean() > -25 else "soft"
        lines.append(
            f"{i}.wav,{10 * np.log10(np.mean(10 ** (steps / 10))):.4f},{kind},{i % 6},1999,labels/{i}.csv"
        )
    (folder / "clips.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def found(model: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ProbeResult:
    out = tmp_path_factory.mktemp("probes")
    return actprobe.probe(
        model, folder / "clips.csv", layers=["ripples", "level"], targets=["db", "kind", "loudness"], folds=3,
        excerpts=4, output_dir=out,
    )  # fmt: skip


def test_a_target_that_a_layer_has_is_read_out_of_it(found: ProbeResult) -> None:
    table: Any = found.table.set_index(["target", "layer"])
    assert table.index.tolist()[:2] == [("db", "level"), ("db", "ripples")]  # in the order of the network
    assert table.loc[("db", "level"), "value"] > 0.7
    assert table.loc[("loudness", "level"), "value"] > 0.7
    assert table.loc[("kind", "level"), "value"] > 0.9
    assert table.loc[("db", "ripples"), "value"] < 0.3
    assert table["n"].eq(CLIPS).all()
    assert table["dimensions"].loc[[("db", "level"), ("db", "ripples")]].tolist() == [1, 16]


def test_controls_stand_in_every_row(found: ProbeResult) -> None:
    table: Any = found.table.set_index(["target", "layer"])
    assert table[["permuted", "random_weights", "input", "p", "q", "over_input_low"]].notna().all(axis=None)
    # The level has no weights: random ones read it as well, and so does the input.
    same = table.xs("level", level="layer")
    np.testing.assert_allclose(same["random_weights"], same["value"])
    assert (same["input"] > 0.5).all()
    assert not (same["over_input_low"] > 0).any()


def test_the_result_opens_again_and_says_what_was_found(found: ProbeResult) -> None:
    again = actprobe.load_run(found.folder)
    assert isinstance(again, ProbeResult)
    assert again.targets == ["db", "kind", "loudness"]
    assert again.best["layer"].tolist() == ["level", "level", "level"]
    lines = again.summary.splitlines()
    assert lines[0].startswith("db: best in level, R2 0.")
    assert lines[0].endswith("not above random weights, not above the input")
    assert len(again.plot("kind").axes) == 1
    assert len(list((found.folder / "figures").glob("*.png"))) == 4
    with pytest.raises(UsageError, match="has no target 'pitch'; it has db, kind, loudness"):
        again.plot("pitch")


def test_a_run_goes_on_where_it_was(
    model: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[str] = []
    work = ProbeJob.work

    def counted(self: ProbeJob, recording: Any, *rest: Any) -> Any:
        worked.append(recording.name)
        if len(worked) == 5:
            raise KeyboardInterrupt
        return work(self, recording, *rest)

    monkeypatch.setattr(ProbeJob, "work", counted)
    given: Any = {"layers": LAYERS, "targets": ["db"], "output_dir": tmp_path, **FEW}
    with pytest.raises(KeyboardInterrupt):
        actprobe.probe(model, folder / "clips.csv", **given)
    first = actprobe.probe(model, folder / "clips.csv", **given).table
    assert len(worked) == CLIPS + 1
    assert first["random_weights"].isna().all()
    assert first[["n", "n_recordings"]].values.tolist() == [[CLIPS, CLIPS]] * 2
    # Labels, folds and groups are not in the shards: nothing is computed again.
    grouped = actprobe.probe(model, folder / "clips.csv", **given, group_by="band").table
    assert grouped[["n", "n_recordings"]].values.tolist() == [[CLIPS, 6]] * 2
    with pytest.raises(CorpusError, match="nothing can be probed; year is 1999 wherever it is known"):
        actprobe.probe(model, folder / "clips.csv", **{**given, "targets": ["year"]})
    assert actprobe.probe(model, folder / "clips.csv", **given).table.equals(first)
    assert len(worked) == CLIPS + 1


def test_stored_activations_have_no_random_weights_and_only_an_input_if_it_is_stored(
    model: Any, folder: Path, tmp_path: Path
) -> None:
    for name, with_examples in (("plain", False), ("examples", True)):
        for i in range(CLIPS):
            examples = model.frontend(actprobe.load_audio(folder / f"{i}.wav"))
            times = model.frontend.example_starts(int(RATE * SECONDS)) / RATE
            (tmp_path / name).mkdir(exist_ok=True)
            actprobe.save_activations(
                tmp_path / name / f"{i}.npz", times=times, **model.activations(examples, ["level"]),
                **({"examples": examples} if with_examples else {}),
            )  # fmt: skip
        found = actprobe.probe(
            actprobe.open_activations(tmp_path / name), folder / "clips.csv", layers=["level"],
            targets=["db"], output_dir=tmp_path / f"out-{name}", **FEW,
        )  # fmt: skip
        row: Any = found.table.iloc[0]
        assert row["value"] > 0.7
        assert np.isnan(row["random_weights"])
        assert np.isnan(row["input"]) == (not with_examples)
        lacking = "random weights" if with_examples else "random weights and the input"
        assert f"no control with {lacking}: stored activations" in found.summary


def test_bad_recordings_cost_only_themselves(model: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    bad = [tmp_path / name for name in ("broken.wav", "silent.wav", "gone.wav")]
    clips = [folder / f"{i}.wav" for i in range(CLIPS)]
    found = actprobe.probe(
        model, [*clips, *bad], layers=["level"], targets=["loudness"], output_dir=tmp_path / "out", **FEW
    )
    failed = found.recordings[found.recordings["status"] == "failed"]
    assert failed["path"].tolist() == [str(path) for path in bad]
    assert failed["reason"].ne("").all()
    assert found.table["n"].eq(CLIPS).all()
    assert found.summary.count("left out: ") == 3


def test_excerpts_with_nan_are_left_out(folder: Path, tmp_path: Path) -> None:
    mel = keras.Input((FRAMES, MELS))
    spread = keras.layers.GlobalAveragePooling2D()(keras.layers.Reshape((FRAMES, MELS, 1))(mel))
    root = keras.layers.Lambda(lambda level: (level + 4.2) ** 0.5, name="root")(spread)
    model = actprobe.wrap_model(keras.Model(mel, root, name="roots"), small_frontend(FRAMES, MELS))
    found = actprobe.probe(
        model, folder / "clips.csv", layers=["root"], targets=["db"], excerpts=4, output_dir=tmp_path, **FEW
    )
    ledger = found.recordings
    failed, partly = ledger["status"] == "failed", ledger["warning"] != ""
    assert 0 < failed.sum() < CLIPS
    assert set(ledger["reason"][failed]) == {"root is NaN or infinite in all 4 excerpts"}
    assert set(ledger["warning"][partly]) == {"root is NaN or infinite: 2 of 4 excerpts are left out"}
    assert ledger["examples"][partly].eq(2).all()
    assert found.table["n"].iloc[0] == CLIPS - failed.sum()


def test_labels_over_time_are_read_at_the_middle_of_excerpts(
    model: Any, folder: Path, levels: NDArray[np.float64], tmp_path: Path
) -> None:
    for i, steps in enumerate(levels):
        parts = [(0, steps[0]), (1, steps[1])]
        values = [{"time": t, "duration": 1.0, "value": db, "confidence": 1} for t, db in parts]
        names = [{"time": t, "duration": 1.0, "value": "loud" if db > -25 else "soft"} for t, db in parts]
        annotations = [{"namespace": "level", "data": values}, {"namespace": "segment_open", "data": names}]
        (tmp_path / f"{i}.jams").write_text(json.dumps({"annotations": annotations}))
    found = actprobe.probe(
        model, folder / "clips.csv", layers=["level"], targets=["frames:level", "frames:segment_open"],
        unit="excerpt", excerpts=4, frame_labels=tmp_path, output_dir=tmp_path / "out", **FEW,
    )  # fmt: skip
    assert found.table["metric"].tolist() == ["r2", "auc"]
    assert (found.table["value"] > 0.9).all()
    assert found.table[["n", "n_recordings"]].values.tolist() == [[4 * CLIPS, CLIPS]] * 2


def test_a_bad_label_file_costs_only_its_recording(
    model: Any, folder: Path, levels: NDArray[np.float64], tmp_path: Path
) -> None:
    (folder / "labels").mkdir()
    for i, (first, second) in enumerate(levels):
        (folder / f"labels/{i}.csv").write_text(f"time,db,note\n0,{first},\n1,{second},x\n")
    bad, empty = folder / "labels/3.csv", folder / "labels/5.csv"
    bad.write_text("time,db,note\n0,-20,\nlate,-30,\n")
    empty.unlink()
    given: Any = {"layers": ["level"], "unit": "excerpt", "excerpts": 4, **FEW}
    found = actprobe.probe(
        model, folder / "clips.csv", targets=["frames:db", "frames:note", "db"], frame_labels="labels",
        output_dir=tmp_path / "out", **given,
    )  # fmt: skip
    rows: Any = found.table.set_index("target")
    assert rows["n"].to_dict() == {"frames:db": 40, "frames:note": 40, "db": 48}
    assert rows["metric"].to_dict() == {"frames:db": "r2", "frames:note": "auc", "db": "r2"}
    warnings = found.recordings.set_index("path")["warning"]
    assert warnings["3.wav"] == f"{bad}: line 3: 'late' is no time in seconds"
    assert warnings["5.wav"] == f"{empty}: no such file or directory"
    assert found.recordings["status"].eq("ok").all()
    for wrong, message in (
        ({"targets": ["frames:pitch"]}, "no label file has a track 'pitch'; there is frames:db, frames:note"),
        (
            {"targets": ["frames:db"], "unit": "recording"},
            "read at the middle of excerpts: take unit=excerpt",
        ),
        ({"targets": ["frames:db"], "frame_labels": None}, "name their folder or column by frame_labels"),
        ({"targets": ["frames:db"], "frame_labels": "gone"}, "neither a folder nor a column"),
    ):
        with pytest.raises(UsageError, match=message):
            actprobe.probe(
                model, folder / "clips.csv",
                **{**given, "frame_labels": "labels", "output_dir": tmp_path / "no", **wrong},
            )  # fmt: skip
    assert not (tmp_path / "no").exists()
    bad.write_text("time,db,note\n0,-20,\n1,-inf,\n")
    with pytest.raises(UsageError, match="frames:db holds infinity"):
        actprobe.probe(
            model, folder / "clips.csv", targets=["frames:db"], frame_labels="labels",
            output_dir=tmp_path / "no", **given,
        )  # fmt: skip
    (tmp_path / "none").mkdir()
    with pytest.raises(CorpusError, match="no label file of 12 recordings is usable; the first: "):
        actprobe.probe(
            model, folder / "clips.csv", targets=["frames:db"], frame_labels=tmp_path / "none",
            output_dir=tmp_path / "no", **given,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"line 1: \[\] is not: time or start and end, and columns of labels"),
        ("a.csv", "time,time,db\n0,1,2\n", "line 1: "),
        ("a.csv", "start,label\n0,x\n", "line 1: "),
        ("a.csv", "time,db\n0,1\n1\n", "line 3 has 1 cells, the header has 2"),
        ("a.csv", "time,db\n0,1\nnan,2\n", "line 3: 'nan' is no time in seconds"),
        ("a.csv", "time,db\n0,1\n-2,2\n", "line 3: '-2' is no time in seconds"),
        ("a.csv", "start,end,x\n2,1,a\n", "line 2 ends before it starts"),
        ("a.csv", "time,db\n", "holds no labels"),
        ("a.csv", "\udce9", "is not a text file"),
        ("a.jams", "{", "is not JSON: .*line 1 column 2"),
        ("a.jams", "[" * 100_000, "is not JSON: "),
        ("a.jams", "[]", "is not JAMS: it has no list of annotations"),
        ("a.jams", '{"annotations": [{"data": []}]}', "annotation 0 has no namespace"),
        ("a.jams", '{"annotations": [{"namespace": "beat"}]}', "annotation 0 has no data"),
        (
            "a.jams", '{"annotations": [{"namespace": "beat", "data": [{"time": 0, "value": 1}]}]}',
            "annotation 0, observation 0 is not: time, duration, value",
        ),
        (
            "a.jams",
            '{"annotations": [{"namespace": "b", "data": [{"time": NaN, "duration": 0, "value": 1}]}]}',
            "annotation 0, observation 0: 'nan' is no time in seconds",
        ),
        (
            "a.jams",
            '{"annotations": [{"namespace": "b", "data": [{"time": 0, "duration": 0, "value": [1]}]}]}',
            r"the value is \[1\], neither a number nor text",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_label_file_is_told_with_its_place(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CorpusError, match=message) as refused:
        read_tracks(tmp_path / name)
    assert str(refused.value).startswith(str(tmp_path / name))


def test_tracks_hold_between_their_ends_or_up_to_the_next_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufefftime, f0\n0.5,100\n0,200\n\n1.0,\n")
    track = read_tracks(tmp_path / "a.csv")["f0"]
    assert [track.at(t) for t in (-0.1, 0, 0.49, 0.5, 1.2, 1.6)] == [[], ["200"], ["200"], ["100"], [""], []]
    contour = [
        {"time": t, "duration": 0, "value": {"index": 0, "frequency": 220, "voiced": t > 0}} for t in range(3)
    ]
    beats = {
        "time": [0, 2],
        "duration": [1, 1],
        "value": [1, 2],
    }  # an object of lists, as older files have it
    annotations = [{"namespace": "pitch_contour", "data": contour}, {"namespace": "beat", "data": beats}]
    (tmp_path / "a.jams").write_text(json.dumps({"annotations": annotations}))
    tracks = read_tracks(tmp_path / "a.jams")
    assert [tracks["pitch_contour"].at(t) for t in (0.5, 1.5)] == [[""], ["220.0"]]
    assert [tracks["beat"].at(t) for t in (0.5, 1.5)] == [["1.0"], []]


def test_singing_is_read_at_the_middle_of_excerpts(model: Any, folder: Path, tmp_path: Path) -> None:
    clips = [(tmp_path / f"{i}.wav") for i in range(CLIPS)]
    for i, clip in enumerate(clips):
        clip.write_bytes((folder / clip.name).read_bytes())
        clip.with_suffix(".lab").write_text("0 1 sing\n1 2 nosing\n" if i % 2 else "0 1 nosing\n1 2 sing\n")
    found = actprobe.probe(
        model, tmp_path, layers=["level"], targets=["voice_activity"], unit="excerpt", excerpts=2,
        output_dir=tmp_path / "out", **FEW,
    )  # fmt: skip
    row: Any = found.table.iloc[0]
    assert (row["metric"], row["n"]) == ("auc", 2 * CLIPS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layers": ["gone"]}, "has no layer 'gone'"),
        ({"targets": ["brightness"]}, "called 'brightness'"),
        ({"targets": []}, "name at least one target"),
        ({"targets": ["db", "db"]}, "a target is named more than once"),
        ({"unit": "frame"}, "there is no unit 'frame'; there is recording, excerpt"),
        ({"folds": 1}, "folds=1: at least 2"),
        ({"folds": 13}, "folds=13 needs at least 13 recordings, not 12"),
        ({"folds": 8, "group_by": "band"}, "folds=8 needs at least 8 recordings that differ in band, not 6"),
        ({"group_by": "singer"}, "no recording has a label 'singer'; there is band, db, kind, labels, year"),
        ({"permutations": 5}, "permutations=5: at least 20"),
        ({"excerpts": 0}, "excerpts=0: at least 1"),
        ({"executor": "many"}, "executor 'many' is none of"),
        ({"targets": ["tempo"], "unit": "excerpt"}, "take unit=recording, or another feature"),
    ],
)
def test_what_is_wrong_with_a_call_is_told_before_anything_is_written(
    wrong: dict[str, Any], message: str, model: Any, folder: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"layers": ["level"], "targets": ["db"], **wrong}
    with pytest.raises(UsageError, match=message):
        actprobe.probe(model, folder / "clips.csv", output_dir=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_the_binary(binary: Any, folder: Path, tmp_path: Path) -> None:
    own = f"--model={ROOT / 'tests/own_networks.py'}:keras2"
    ended = binary(
        "actprobe-probe", own, f"--input={folder / 'clips.csv'}", "--layers=pool1,classes",
        "--targets=db,kind", "--folds=3", "--permutations=39", f"--output_dir={tmp_path / 'out'}",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[0].startswith("db: best in ")
    found = actprobe.load_run(tmp_path / "out")
    assert len(found.table) == 4
