"""What bin/quickstart asks for: which analyses of which recordings. Stand-ins take their places."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT

RATE = 22050

# In place of .venv/bin/python: a program that is read from standard input runs, a command is noted down, and
# leaves the files that later steps read.
STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path

import soundfile

if sys.argv[1] == "-":
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
name, words = Path(sys.argv[1]).name, sys.argv[2:]
with open("calls.jsonl", "a") as file:
    file.write(json.dumps([name, *words]) + "\\n")
if name == "actprobe-fetch":
    sys.exit()
flags = dict(word[2:].partition("=")[::2] for word in words)
out = Path(flags["output_dir"])
out.mkdir(parents=True, exist_ok=True)
if name == "actprobe-neurons":
    source = Path(flags.get("input", out / "phantom"))
    if "input" not in flags:
        source.mkdir(exist_ok=True)
        soundfile.write(source / "a.wav", [0.0] * 4000, 1000)
        (source / "manifest.csv").write_text("path\\na.wav\\n")
    names = sorted(str(path.relative_to(source)) for path in source.rglob("*.wav"))
    (out / "recordings.csv").write_text("path,seconds\\n" + "".join(f"{{each}},4.0\\n" for each in names))
    (out / "playlists").mkdir()
    rows = [f"{{end}},{{names[0]}},{{at}}" for end, at in (("top", 1.0), ("bottom", 3.9))]
    (out / "playlists/playlists.csv").write_text("\\n".join(["end,path,start_seconds", *rows]))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "bin").mkdir(parents=True)
    (folder / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "bin/quickstart", folder / "bin")
    (folder / "bin/environment").write_text("make_environment() { :; }\n")
    python = folder / ".venv/bin/python"
    python.write_text(STAND_IN.format(python=sys.executable))
    python.chmod(0o755)
    return folder


def quickstart(checkout: Path, *words: object) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    ended = subprocess.run(
        ["bin/quickstart", *map(str, words)], cwd=checkout, capture_output=True, text=True, check=False
    )
    calls = checkout / "calls.jsonl"
    return ended, [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []


def write_recordings(folder: Path, count: int) -> None:
    (folder / "sub folder").mkdir(parents=True)
    for i in range(count):
        samples = np.random.default_rng(i).uniform(-0.1, 0.1, RATE * (8 if i < 12 else 1))
        soundfile.write(folder / f"sub folder/it's {i:02d}.wav", samples, RATE)


def flag(call: list[str], name: str) -> str:
    return next(word for word in call if word.startswith(f"--{name}=")).partition("=")[2]


def test_without_a_folder_everything_is_of_the_phantom_corpus(checkout: Path) -> None:
    ended, calls = quickstart(checkout)
    assert ended.returncode == 0, ended.stderr
    asked = [call[0].removeprefix("actprobe-") for call in calls]
    assert asked == [
        "neurons", "maps", "invert", "invert", "attribute", "tune", "ablate", "evaluate-inverters", "report"
    ]  # fmt: skip
    assert flag(calls[2], "input").endswith("phantom-neurons/phantom/a.wav")
    assert flag(calls[3], "at") == "2.300"  # an excerpt of 1.7 s still fits in
    assert flag(calls[4], "at") == "1.000"  # of the highest output
    runs = [word for word in calls[-1] if word.startswith("--run=")]
    assert len(runs) == 8
    assert flag(calls[6], "neurons").endswith("phantom-neurons")
    assert flag(calls[6], "input").endswith("phantom/manifest.csv")
    assert "out/quickstart/report/index.html" in ended.stdout


def test_a_folder_is_in_every_analysis_beside_the_phantom_corpus(checkout: Path, tmp_path: Path) -> None:
    write_recordings(tmp_path / "mine", 3)
    (tmp_path / "mine/broken.wav").write_bytes(b"RIFF")
    ended, calls = quickstart(checkout, "--permutations=10", tmp_path / "mine")
    assert ended.returncode == 0, ended.stderr
    asked = [call[0].removeprefix("actprobe-") for call in calls]
    twice = [name for name in ("neurons", "maps", "invert", "evaluate-inverters") for _ in range(2)]
    assert asked == [*twice[:6], "attribute", "tune", "ablate", *twice[6:], "report"]
    mine = checkout / "out/quickstart/yours"
    assert flag(calls[0], "input") == flag(calls[9], "input") == "out/quickstart/yours"
    assert flag(calls[8], "neurons") == "out/quickstart/neurons"
    assert flag(calls[8], "input") == "out/quickstart/yours"
    assert "--permutations=10" in calls[0]
    assert sorted(str(path.relative_to(mine)) for path in mine.rglob("*.wav")) == [
        "broken.wav", "sub folder/it's 00.wav", "sub folder/it's 01.wav", "sub folder/it's 02.wav",
    ]  # fmt: skip
    assert len(list((checkout / flag(calls[2], "input")).iterdir())) == 3  # what cannot be read has no middle
    assert len([word for word in calls[-1] if word.startswith("--run=")]) == 11


def test_a_large_folder_is_bounded_and_that_is_said(checkout: Path, tmp_path: Path) -> None:
    write_recordings(tmp_path / "mine", 90)
    ended, calls = quickstart(checkout, tmp_path / "mine")
    assert ended.returncode == 0, ended.stderr
    assert "30 of 90 recordings are used, for maps 6 s of 8" in ended.stdout
    assert len(list((checkout / "out/quickstart/yours").rglob("*.wav"))) == 30
    middles = sorted((checkout / flag(calls[2], "input")).iterdir())
    assert len(middles) == 8
    assert soundfile.info(middles[0]).duration == 6
    assert "from 1.0 s" in middles[0].name
    stamps = [path.stat().st_mtime_ns for path in middles]
    shutil.rmtree(checkout / "out/quickstart/neurons")
    shutil.rmtree(checkout / "out/quickstart/phantom-neurons")
    quickstart(checkout, tmp_path / "mine")
    assert [path.stat().st_mtime_ns for path in middles] == stamps  # or the run over them would begin anew


def test_a_folder_without_recordings_is_refused_before_anything_runs(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    ended, calls = quickstart(checkout, tmp_path / "mine")
    assert ended.returncode == 1
    assert ended.stderr.startswith("quickstart: ")
    assert "holds no audio file" in ended.stderr
    assert calls == []


def test_another_network_has_its_weights_fetched_and_its_neurons_in_a_report(
    checkout: Path, tmp_path: Path
) -> None:
    write_recordings(tmp_path / "mine", 2)
    ended, calls = quickstart(checkout, "--network=musicnn_msd", tmp_path / "mine")
    assert ended.returncode == 0, ended.stderr
    assert [call[0] for call in calls] == ["actprobe-fetch", "actprobe-neurons", "actprobe-report"]
    assert calls[0][1:] == ["--model=musicnn_msd", "--name=musicnn_msd"]
    assert flag(calls[1], "checkpoint") == "musicnn_msd"
    assert flag(calls[1], "layers") == "penultimate,dense_1"
    assert flag(calls[1], "input") == str(tmp_path / "mine")


@pytest.mark.parametrize(
    ("network", "reason"),
    [("nobody", "there is no model 'nobody'"), ("cnn_at_fcvid", "no weights of cnn_at_fcvid are published")],
)
def test_a_network_that_cannot_be_had_is_refused(checkout: Path, network: str, reason: str) -> None:
    ended, calls = quickstart(checkout, f"--network={network}")
    assert (ended.returncode, calls) == (1, [])
    assert ended.stderr.startswith(f"quickstart: {reason}")
