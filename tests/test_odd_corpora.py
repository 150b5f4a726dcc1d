"""Corpora that mislead: excerpts of earlier runs, files left out, odd tables, recordings of few singers."""

from __future__ import annotations

import csv
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from absl import logging as absl_logging
from numpy.typing import NDArray

import actprobe
from actprobe.batch.prepare import prepare_recording
from actprobe.corpora import Recording, open_corpus
from actprobe.corpora.fingerprint import fingerprint
from actprobe.errors import CorpusError, UsageError
from actprobe.features import get_feature
from actprobe.features.labels import resolve
from actprobe.frontends import LogMelFrontEnd
from actprobe.provenance import run_record, write_json, write_npz
from actprobe.statistics.alignment import align_units
from actprobe.statistics.resemblance import units_worth

RATE = 8000
DECODING = (
    "activations", "evaluate-inverters", "invert", "maps", "neurons", "train-detector", "train-inverter",
)  # fmt: skip


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    absl_logging.use_absl_handler()
    caplog.set_level(logging.INFO, logger="absl")
    absl_logging.get_absl_logger().addHandler(caplog.handler)  # pytest keeps one for all tests
    yield caplog
    absl_logging.get_absl_logger().removeHandler(caplog.handler)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def ended_run(folder: Path) -> None:
    write_json(folder / "run.json", run_record("neurons", time.time(), {}, {}))


class TestFolders:
    def test_what_a_run_wrote_into_the_folder_is_not_analysed(
        self, tmp_path: Path, told: pytest.LogCaptureFixture
    ) -> None:
        touch(tmp_path, "a.wav", "b/c.wav", "out/playlists/fc8_1/top.wav", "out/deep/x.wav", "b/other/y.wav")
        ended_run(tmp_path / "out")
        (tmp_path / "b/other/run.json").write_text('{"pace": "easy"}')  # somebody's jogging
        assert [one.name for one in open_corpus(tmp_path)] == ["a.wav", "b/c.wav", "b/other/y.wav"]
        assert f"{tmp_path}: 1 folder was left out, written by a run: out" in told.messages
        assert [one.name for one in open_corpus(tmp_path / "out/playlists")] == ["fc8_1/top.wav"]

    def test_the_input_folder_may_be_the_output_folder(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.wav", "b/c.wav", "playlists/fc8_1/top.wav", "sounds/fc8.wav", "report/clips/d.wav")
        ended_run(tmp_path)
        assert [one.name for one in open_corpus(tmp_path)] == ["a.wav", "b/c.wav"]

    def test_files_that_are_left_out_are_counted(
        self, tmp_path: Path, told: pytest.LogCaptureFixture
    ) -> None:
        touch(tmp_path, "a.wav", "b.txt", "c/d.TXT", "e.jpg", "README", ".hidden.txt", "._b.wav")
        open_corpus(tmp_path)
        assert f"{tmp_path}: 4 files were left out: .txt (2), .jpg (1), no suffix (1)" in [
            message.replace("no suffix (1), .jpg (1)", ".jpg (1), no suffix (1)") for message in told.messages
        ]
        (tmp_path / "a.wav").unlink()
        with pytest.raises(CorpusError, match=r"holds no audio file .*; 4 files were left out"):
            open_corpus(tmp_path)

    def test_broadcast_and_streamed_audio_counts(self, tmp_path: Path) -> None:
        kinds = ["bwf", "ts", "mts", "m2ts", "mpga", "weba", "eac3", "dts", "adts", "sph", "iff"]
        touch(tmp_path, *(f"a.{kind}" for kind in kinds))
        assert len(open_corpus(tmp_path)) == len(kinds)

    def test_the_subfolder_is_a_label(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.wav", "anna/1/b.wav")
        labels = {one.name: one.labels for one in open_corpus(tmp_path)}
        assert labels == {"a.wav": {}, "anna/1/b.wav": {"folder": "anna/1"}}
        table = tmp_path / "corpus.csv"
        table.write_text("path,folder\nanna/1/b.wav,mine\n")
        assert open_corpus(table)[0].labels == {"folder": "mine"}

    @pytest.mark.parametrize("size", [10, 300_000])
    def test_another_recording_of_equal_size_and_time_is_told_apart(self, tmp_path: Path, size: int) -> None:
        path = tmp_path / "a.raw"
        seen = []
        for seed in (1, 2):
            path.write_bytes(np.random.default_rng(seed).bytes(size))
            os.utime(path, ns=(5, 5))
            seen.append(fingerprint(Recording("a.raw", path)))
        assert seen[0] != seen[1]
        assert seen[0][:3] == seen[1][:3]


class TestTables:
    @pytest.mark.parametrize(("sign", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
    def test_columns_that_are_not_separated_by_commas_are_refused_with_a_hint(
        self, tmp_path: Path, sign: str, name: str
    ) -> None:
        table = tmp_path / "corpus.csv"
        table.write_text(f"genre{sign}path{sign}bpm\njazz{sign}a.wav{sign}120,5\n")
        with pytest.raises(CorpusError, match=f"no column named path .*separated by {name}.*decimal=','"):
            open_corpus(table)

    def test_decimal_commas_are_no_classes(self) -> None:
        cells = ["120,5", "96", "", "-3,25"]
        recordings = [Recording(f"{i}", Path(f"{i}"), {"bpm": cell}) for i, cell in enumerate(cells)]
        with pytest.raises(UsageError, match="column bpm: 120,5 has a comma; write decimals with a point"):
            resolve(["bpm"], recordings)


def stored_run(
    folder: Path, activity: NDArray[Any], columns: dict[str, list[str]], features: list[str], **options: Any
) -> Any:
    """Run neurons over recordings with these labels, whose activations are known."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, RATE // 2)
    names = [f"{number:03d}" for number in range(len(activity))]
    folder.mkdir(exist_ok=True)
    with (folder / "corpus.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *columns])
        writer.writerows(zip((f"{name}.wav" for name in names), *columns.values(), strict=True))
    for name, units in zip(names, activity, strict=True):
        soundfile.write(folder / f"{name}.wav", noise, RATE)
        actprobe.save_activations(
            folder / f"activations/{name}.npz", times=[0.0], example_seconds=0.5, fc=units[np.newaxis]
        )
    return actprobe.neurons(
        actprobe.open_activations(folder / "activations"), folder / "corpus.csv", layers=["fc"],
        features=features, output_dir=folder / "out", permutations=0, figures=0, **options,
    )  # fmt: skip


def test_unix_times_are_not_all_alike(tmp_path: Path) -> None:
    minutes = np.random.default_rng(1).permutation(12)
    activity = np.stack([minutes, -minutes, np.ones(12)], axis=1).astype(np.float32)
    times = [str(1_700_000_000 + 60 * int(minute)) for minute in minutes]
    found = stored_run(tmp_path / "run", activity, {"recorded": times}, ["recorded"])
    np.testing.assert_allclose(found.table["r"], [1, -1, np.nan], atol=1e-6)
    same = stored_run(tmp_path / "same", activity, {"recorded": times[:1] * 12}, ["recorded"])
    assert same.table["r"].isna().all()


class TestChannels:
    @pytest.fixture
    def opposite(self, tmp_path: Path) -> Path:
        """Channels that cancel each other nearly: the right one is 6 dB below the left."""
        left = np.random.default_rng(5).uniform(-0.5, 0.5, RATE)
        (tmp_path / "in").mkdir()
        soundfile.write(tmp_path / "in/a.wav", np.stack([left, -left / 2], axis=1), RATE, subtype="FLOAT")
        return tmp_path / "in"

    def test_one_of_them_may_be_asked_for(self, opposite: Path) -> None:
        levels = {
            mono: 20 * np.log10(np.sqrt(np.mean(open_corpus(opposite, mono=mono)[0].waveform().samples ** 2)))
            for mono in ("mean", "left", "right", "loudest")
        }
        loud = levels["left"]
        expected = {"mean": loud - 12.04, "left": loud, "right": loud - 6.02, "loudest": loud}
        assert levels == pytest.approx(expected, abs=0.01)
        assert open_corpus(open_corpus(opposite, mono="left")).mono == "left"
        with pytest.raises(UsageError, match="mono='side' is unknown; there are: mean, left, right, loudest"):
            open_corpus(opposite, mono="side")

    def test_runs_read_it_record_it_and_do_not_go_on_from_the_other(
        self, opposite: Path, tmp_path: Path
    ) -> None:
        actprobe.save_activations(tmp_path / "a/a.npz", times=[0.0], example_seconds=1.0, fc=[[1.0, 2.0]])
        model = actprobe.open_activations(tmp_path / "a")
        for mono in ("left", "mean", "right"):  # into one folder
            corpus = open_corpus(opposite, mono=mono)
            found = actprobe.neurons(
                model, corpus, layers=["fc"], features=["rms"], output_dir=tmp_path / "out",
                permutations=0, figures=0, playlists=1, executor="local:1",
            )  # fmt: skip
            rms = 20 * np.log10(np.sqrt(np.mean(corpus[0].waveform().samples ** 2)))
            assert found.recordings["rms"][0] == pytest.approx(rms, abs=1e-3)
            assert found.record["mono"] == mono

    @pytest.mark.parametrize(
        "name",
        [
            "neurons",
            "maps",
            "activations",
            "evaluate-inverters",
            "invert",
            "train-inverter",
            "train-detector",
        ],
    )
    def test_every_binary_that_decodes_has_the_flag(self, binary: Any, name: str) -> None:
        assert "--mono: <mean|left|right|loudest>" in binary(f"actprobe-{name}", "--help").stdout


def test_units_of_any_size_are_aligned() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    expected = align_units(x, x, permutations=19)
    for size in (2.0**-600, 2.0**600):
        assert align_units(x * size, x, permutations=19).equals(expected)


class TestRecordingsOfFewSingers:
    """16 singers with 6 clips each, and labels that are the same for all clips of a singer."""

    SINGERS = np.repeat(np.arange(16), 6)

    def activity(self, seed: int, of_singer: float, units: int = 24) -> NDArray[np.float64]:
        rng = np.random.default_rng(seed)
        shared = rng.standard_normal((16, units))[self.SINGERS]
        own = rng.standard_normal((96, units))
        return np.asarray(np.sqrt(of_singer) * shared + np.sqrt(1 - of_singer) * own)

    def labels(self, seed: int) -> NDArray[np.float64]:
        """Four random labels of singers, [clips, label]."""
        return np.random.default_rng([seed, 1]).standard_normal((16, 4))[self.SINGERS]

    def test_it_is_warned_of_and_group_by_named(self, tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
        labels = self.labels(3)
        columns = {f"label{i}": [f"{value:.6f}" for value in labels[:, i]] for i in range(4)}
        columns["singer"] = [f"singer {number}" for number in self.SINGERS]
        activity = self.activity(3, 0.5)
        plain = stored_run(tmp_path / "run", activity, columns, list(columns)[:4])
        assert (plain.table["q"] <= 0.05).sum() > 0  # what the warning is about
        (found,) = plain.record["dependences"]
        assert (found["column"], found["groups"], found["recordings"]) == ("singer", 16, 96)
        assert set(found["worth"]) == set(list(columns)[:4])
        assert max(found["worth"].values()) < 48
        assert "--group_by=singer takes them together" in found["warning"]
        assert found["warning"] in told.messages
        assert f"warning: {found['warning']}" in plain.summary
        grouped = stored_run(tmp_path / "run", activity, columns, list(columns)[:4], group_by="singer")
        assert (grouped.table["q"] <= 0.05).sum() == 0
        assert grouped.record["dependences"] == []
        assert "resemble" not in grouped.summary

    def test_nothing_is_said_where_there_is_no_such_structure(self) -> None:
        alarms = 0
        for seed in range(20):
            for values in self.labels(seed).T:
                alarms += units_worth(self.activity(seed, 0.0), values, self.SINGERS) is not None
            free = np.random.default_rng([seed, 2]).standard_normal(96)  # a feature that differs by clip
            alarms += units_worth(self.activity(seed, 0.5), free, self.SINGERS) is not None
        assert alarms <= 2  # of 100

    def test_what_neurons_follow_of_the_feature_is_no_resemblance(self) -> None:
        """Each class has a folder: recordings of one folder resemble each other in nothing else."""
        rng = np.random.default_rng(0)
        classes = np.repeat(np.arange(6), 16)
        x = rng.standard_normal((6, 24))[classes] + rng.standard_normal((96, 24))
        of_class = (classes == 2).astype(np.float64)
        assert units_worth(x, of_class, classes, classes) is None
        assert units_worth(x, of_class, classes) is not None
        linear = classes[:, np.newaxis] * rng.standard_normal(24) + rng.standard_normal((96, 24))
        assert units_worth(linear, classes.astype(np.float64), classes) is None


FULL = """
import resource, sys
from collections.abc import Iterator
from pathlib import Path
import numpy as np
from actprobe.provenance import write_npz

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    write_npz(Path(sys.argv[1]), {"a": np.zeros(1000), "b": np.zeros(100_000)})
except OSError as error:
    print(error.strerror)
"""


def test_a_full_disk_is_told_once_and_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "a.npz"], capture_output=True, text=True, check=True
    )
    assert (ended.stdout, ended.stderr) == ("File too large\n", "")
    assert not list(tmp_path.iterdir())


def test_equal_arrays_give_the_bytes_that_numpy_gives(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"a": np.arange(6.0).reshape(2, 3).T, "b/c": np.array("ä"), "d": np.float32(2)}
    write_npz(tmp_path / "a.npz", arrays)
    np.savez(tmp_path / "b.npz", **arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("unit", ["recording", "excerpt"])
def test_a_long_recording_is_held_at_one_rate_at_a_time_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.flac", rng.uniform(-0.5, 0.5, (60_000, 2)), 12_000)
    recording = Recording("a.flac", tmp_path / "a.flac")
    features = [get_feature(name) for name in ("rms", "loudness", "zero_crossing_rate", "spectral_centroid")]
    frontend = LogMelFrontEnd(sample_rate=16000, n_fft=512, hop_length=160, n_mels=40, frames=50, hop=50)
    held = prepare_recording(recording, frontend, features, unit)
    asked: list[tuple[int | None, float | None]] = []
    decode = Recording.waveform

    def decoded(self: Recording, rate: int | None = None, max_seconds: float | None = None) -> Any:
        asked.append((rate, max_seconds))
        return decode(self, rate, max_seconds)

    monkeypatch.setattr(Recording, "waveform", decoded)
    monkeypatch.setattr("actprobe.batch.prepare.HELD_SECONDS", 1.0)
    found = prepare_recording(recording, frontend, features, unit)
    assert asked[0] == (None, 1.0)  # given up after a second
    assert {rate for rate, _ in asked[1:]} == {16000, *(feature.sample_rate for feature in features)}
    np.testing.assert_array_equal(found.samples, held.samples)
    np.testing.assert_array_equal(found.starts, held.starts)
    assert found.by_example.keys() == held.by_example.keys()
    for name, values in held.by_example.items():
        np.testing.assert_array_equal(found.by_example[name], values)
    assert found.row.features == held.row.features
    assert (found.row.warning, found.row.examples) == (held.row.warning, held.row.examples)
