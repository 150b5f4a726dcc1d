"""The binaries as a user calls them: manuals, exit codes, one clear line, files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import ROOT

from actprobe.version import __version__

BINARIES = sorted(path.name for path in (ROOT / "bin").glob("actprobe-*"))


@pytest.mark.parametrize("name", BINARIES)
def test_help_is_the_manual_and_loads_nothing_heavy(binary: Any, name: Any) -> None:
    shown = binary(name, "--help", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert shown.returncode == 0
    assert "    actprobe-" in shown.stdout
    assert "flags:" in shown.stdout
    for heavy in ("numpy", "tensorflow", "essentia", "pandas", "matplotlib", "librosa"):
        assert not re.search(rf"\|\s+{heavy}$", shown.stderr, re.MULTILINE)


def test_input_is_the_same_flag_in_every_binary_that_takes_a_corpus(binary: Any) -> None:
    said = {}
    for name in ("activations", "evaluate-inverters", "maps", "neurons", "train-detector", "train-inverter"):
        shown = " ".join(binary(f"actprobe-{name}", "--help").stdout.split())
        found = re.search(r"--input: (Recordings: .*? such as mir1k:FOLDER\.)", shown)
        assert found is not None
        said[name] = found[1]
        assert ("older name of --input" in shown) == (name not in ("activations", "maps", "neurons"))
    assert len(set(said.values())) == 1


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("evaluate-inverters", ["--model=svd"]),
        ("train-detector", []),
        ("train-inverter", ["--model=svd", "--layer=fc8"]),
    ],
)
def test_the_older_names_of_input_work_for_this_release_and_name_it(
    binary: Any, name: str, flags: list[Any], tmp_path: Path
) -> None:
    older = ["--corpus=mir1k", f"--corpus_dir={tmp_path}", f"--output_dir={tmp_path / 'out'}"]
    ended = binary(f"actprobe-{name}", *flags, *older)
    assert ended.returncode == 1
    older_flags = "the pair of flags --corpus and --corpus_dir is deprecated and will go in the next release"
    assert ended.stderr.splitlines() == [
        f"{older_flags}: use --input=mir1k:{tmp_path}",
        f"actprobe-{name}: {tmp_path}: is not MIR-1K: it has no Wavfile/ and vocal-nonvocalLabel/",
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--input is needed: a folder, a manifest CSV, a file or NAME:FOLDER"),
        (["--corpus=mir1k"], "--input is needed: a folder, a manifest CSV, a file or NAME:FOLDER"),
        (["--input=mir1k:x", "--corpus_dir=x"], "give --input or --corpus_dir, its older name, not both"),
    ],
)
def test_recordings_are_named_in_one_way(binary: Any, flags: list[Any], said: str) -> None:
    ended = binary("actprobe-train-detector", "--output_dir=out", *flags)
    assert (ended.returncode, ended.stderr) == (2, f"actprobe-train-detector: {said}\n")


@pytest.mark.parametrize("name", BINARIES)
def test_version_is_told_and_loads_nothing_heavy(binary: Any, name: Any) -> None:
    shown = binary(name, "--version", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert (shown.returncode, shown.stdout) == (0, f"actprobe {__version__}\n")
    for heavy in ("numpy", "tensorflow", "essentia", "pandas", "matplotlib", "librosa"):
        assert not re.search(rf"\|\s+{heavy}$", shown.stderr, re.MULTILINE)


@pytest.mark.parametrize("name", ["neurons", "maps", "activations", "evaluate-inverters", "export"])
def test_layers_may_be_all_of_them(binary: Any, name: str) -> None:
    shown = binary(f"actprobe-{name}", "--help")
    assert "--layers" in shown.stdout
    assert re.search(r"\ball:", shown.stdout.partition("--layers: ")[2].partition("--")[0])


def test_layers_prints_every_layer(binary: Any) -> None:
    shown = binary("actprobe-layers", "--model=cnn_at")
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[0].split()[:3] == ["layer", "kind", "shape"]
    for name in ("bn_0_freq", "conv1", "elu3/linear", "pool5", "output/linear"):
        assert f"\n{name} " in shown.stdout
    table = json.loads(binary("actprobe-layers", "--model=cnn_at", "--format=json").stdout)
    assert {row["name"]: row["shape"] for row in table}["pool4"] == "4x4x192"
    assert binary("actprobe-layers", "--model=cnn_at", "--format=csv").stdout.count("\n") == len(table) + 1


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--model=resnet", "--layers=a"], 2, "no model 'resnet'"),
        (["--model=cnn_at", "--layers=pool9"], 2, "no layer 'pool9'"),
        (["--model=cnn_at", "--layers=pool4", "--features=colour"], 2, "colour"),
        (["--model=cnn_at", "--layers=pool4", "--input=nowhere"], 1, "nowhere: does not exist"),
        (["--model=cnn_at", "--layers=pool4", "--checkpoint=nowhere.h5", "--input=."], 1, "nowhere.h5"),
        (["--model=cnn_at", "--layers=pool4", "stray"], 2, "stray"),
    ],
)
def test_wrong_use_and_bad_input_are_one_line(
    binary: Any, tmp_path: Path, flags: list[Any], code: int, said: str
) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(10), 8000)
    ended = binary("actprobe-neurons", f"--output_dir={tmp_path / 'out'}", *flags, cwd=tmp_path)
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_missing_flag_is_said_without_a_traceback(binary: Any) -> None:
    for flags, said in (
        ([], "--output_dir"),
        (["--output_dir=out"], "--model (or --activations) and --layers are needed"),
    ):
        ended = binary("actprobe-neurons", *flags)
        assert ended.returncode in (1, 2)
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr


def test_folder_with_nothing_usable_exits_1_and_says_why(binary: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/broken.wav").write_bytes(b"RIFF")
    ended = binary(
        "actprobe-neurons", "--model=cnn_at", "--layers=pool5", f"--input={tmp_path / 'in'}",
        f"--output_dir={tmp_path / 'out'}",
    )  # fmt: skip
    assert ended.returncode == 1
    assert "none of 1 recordings could be used" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_output_that_cannot_be_written_is_said(binary: Any, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 22050), 22050)
    (tmp_path / "out").touch()
    ended = binary(
        "actprobe-neurons", "--model=cnn_at", "--layers=pool5", f"--input={tmp_path / 'x.wav'}",
        f"--output_dir={tmp_path / 'out'}",
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(f"{tmp_path / 'out'}: File exists")
    assert "Traceback" not in ended.stderr


def test_reader_that_stops_early_is_no_error() -> None:
    shown = subprocess.run(
        f"{sys.executable} {ROOT}/bin/actprobe-layers --model=cnn_at | head -n 1",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.stdout.startswith("layer ")
    assert shown.stderr == ""


def test_unknown_weights_need_to_be_allowed(binary: Any, tensorflow_weights: Path, tmp_path: Path) -> None:
    """One bit of one bias differs: the file is well-formed, its hash unknown."""
    import h5py

    copy = tmp_path / "changed.h5"
    copy.write_bytes(tensorflow_weights.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["output/output_b:0"][0] += 0.5
    soundfile.write(tmp_path / "x.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 22050), 22050)
    flags = [
        "--model=cnn_at", f"--checkpoint={copy}", "--layers=pool5", f"--input={tmp_path / 'x.wav'}",
        f"--output_dir={tmp_path / 'out'}", "--figures=0",
    ]  # fmt: skip
    refused = binary("actprobe-neurons", *flags)
    assert refused.returncode == 1
    assert "not in the catalog" in refused.stderr
    allowed = binary("actprobe-neurons", *flags, "--allow_unverified_weights")
    assert allowed.returncode == 0
    assert json.loads((tmp_path / "out/run.json").read_text())["weights"]["kind"] == "unverified"


def run_on_annotated(
    binary: Any, assets: Path, weights: Path, output_dir: Path
) -> subprocess.CompletedProcess[str]:
    ended: subprocess.CompletedProcess[str] = binary(
        "actprobe-neurons", "--model=cnn_at", f"--checkpoint={weights}",
        f"--input={assets / 'audio/annotated'}",
        "--layers=pool4,pool5", "--features=onset_rate,loudness", f"--output_dir={output_dir}",
    )  # fmt: skip
    return ended


def test_real_run_on_real_recordings_with_original_weights(
    binary: Any, assets: Path, tensorflow_weights: Path, tmp_path: Path
) -> None:
    ended = run_on_annotated(binary, assets, tensorflow_weights, tmp_path)
    assert ended.returncode == 0, ended.stderr
    table = pd.read_csv(tmp_path / "neurons.csv")
    ledger = pd.read_csv(tmp_path / "recordings.csv", keep_default_na=False)
    record = json.loads((tmp_path / "run.json").read_text())
    assert len(table) == (192 + 256) * 2
    assert len(ledger) == 44
    usable = int((ledger.status == "ok").sum())
    assert usable >= 40
    assert (table.n == usable).all()
    tested = table.dropna(subset="r")
    assert ((tested.r_low <= tested.r) & (tested.r <= tested.r_high)).all()
    assert (tested.q >= tested.p * (1 - 1e-12)).all()
    assert record["weights"]["kind"] == "original"
    assert record["weights"]["sha256"].startswith("8b61b73a")
    assert (
        record["features"]["onset_rate"]["backend"]["version"]
        if isinstance(record["features"]["onset_rate"]["backend"], dict)
        else record["versions"]["essentia-tensorflow"]
    )
    assert "soxr" in record["frontend"]["resampler"]
    assert record["flags"]["layers"] == "pool4,pool5"
    assert sum(record["constant_neurons"].values()) == len(
        table[table.r.isna() & (table.feature == "loudness")]
    )
    figures = sorted(path.name for path in (tmp_path / "figures").glob("*.png"))
    assert len(figures) == 6
    assert all((tmp_path / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in figures)

    report = binary("actprobe-report", f"--run={tmp_path}")
    assert report.returncode == 0
    page = (tmp_path / "report/index.html").read_text("utf-8")
    assert "Neurons of cnn_at" in page
    assert 'section id="neurons"' in page
    assert "http" not in page.split("<pre>")[0].replace("http-equiv", "")
    assert len(list((tmp_path / "report/assets/audio").glob("*.mp3"))) > 10


def test_report_refuses_a_folder_that_is_no_run(binary: Any, tmp_path: Path) -> None:
    ended = binary("actprobe-report", f"--run={tmp_path}")
    assert ended.returncode == 1
    assert "holds no finished run (no run.json)" in ended.stderr


def test_report_escapes_what_recordings_are_called(binary: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for i in range(4):
        soundfile.write(tmp_path / f"in/{i}.wav", rng.uniform(-0.1, 0.1, 22050) * (i + 1), 22050)
    (tmp_path / "in/<script>alert(1)<&.wav").touch()
    ended = binary(
        "actprobe-neurons", "--model=cnn_at", "--layers=pool5", f"--input={tmp_path / 'in'}",
        f"--output_dir={tmp_path / 'out'}", "--figures=1",
    )  # fmt: skip
    assert ended.returncode == 0
    assert "The weights are random" in ended.stdout
    assert binary("actprobe-report", f"--run={tmp_path / 'out'}").returncode == 0
    page = (tmp_path / "out/report/index.html").read_text("utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;&amp;.wav" in page
    assert "Control: random weights." in page


def test_quickstart_explains_itself_and_names_what_is_missing(tmp_path: Path) -> None:
    """Both before anything is installed."""
    shown = subprocess.run(
        [ROOT / "bin/quickstart", "--help"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert shown.returncode == 0
    assert "bin/quickstart FOLDER" in shown.stdout
    missing = subprocess.run(
        [ROOT / "bin/quickstart", "nowhere"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert missing.returncode == 1
    assert missing.stderr == "quickstart: nowhere does not exist\n"
