"""What the quickstart asks for: which analyses of which recordings. Stand-ins take their places."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from absl import flags
from absl.testing import flagsaver
from conftest import ROOT

import actprobe
from actprobe.analyses.inversion.networks import sources
from actprobe.errors import ActprobeError
from actprobe.weights import fetch

RATE = 22050
ANALYSES = (
    "neurons", "maps", "invert", "attribute", "tune", "ablate", "evaluate_inverters", "report"
)  # fmt: skip
Call = tuple[str, tuple[Any, ...], dict[str, Any]]


@pytest.fixture(scope="module")
def program() -> Any:
    """bin/actprobe-quickstart as a module."""
    loader = importlib.machinery.SourceFileLoader("quickstart", str(ROOT / "bin/actprobe-quickstart"))
    spec = importlib.util.spec_from_loader("quickstart", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def quickstart(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Call]]:
    """Run it with some flags; gives the calls of analyses, as name, arguments and options."""
    calls: list[Call] = []

    def noted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append((name, arguments, options))
            folder = Path(options["output_dir"])
            if name == "neurons":
                leave_a_run(folder, arguments[1])
            return SimpleNamespace(summary=f"{name} done", folder=folder, path=folder / "report/index.html")

        return call

    for name in ANALYSES:
        monkeypatch.setattr(actprobe, name, noted(name))
    network = SimpleNamespace(output_layer="fc9", example_seconds=1.7)
    monkeypatch.setattr(actprobe, "load_model", lambda *given: network)
    monkeypatch.setattr(sources, "find_sources", lambda model, given: ["an inverter"])
    monkeypatch.setattr(sources, "open_sources", lambda model, found, layers: [(one, one) for one in found])
    done = SimpleNamespace(how="fetched", path="there")
    monkeypatch.setattr(fetch, "fetch_all", lambda wanted: [(entry.name, done) for entry in wanted])
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> list[Call]:
        calls.clear()
        with flagsaver.flagsaver():
            flags.FLAGS(["actprobe-quickstart", *words])
            program.main([])
        return list(calls)

    return run


def leave_a_run(folder: Path, corpus: Any) -> None:
    """Leave what later steps read of a run of neurons; without a corpus, the synthetic one."""
    (folder / "playlists").mkdir(parents=True, exist_ok=True)
    if corpus is None:
        (folder / "phantom").mkdir(exist_ok=True)
        soundfile.write(folder / "phantom/a.wav", [0.0] * 4000, 1000)
        (folder / "phantom/manifest.csv").write_text("path\na.wav\n")
        corpus = actprobe.open_corpus(folder / "phantom/manifest.csv")
    names = [recording.name for recording in corpus]
    (folder / "recordings.csv").write_text("path,seconds\n" + "".join(f"{each},4.0\n" for each in names))
    rows = [f"{end},{names[0]},{at}" for end, at in (("top", 1.0), ("bottom", 3.9))]
    (folder / "playlists/playlists.csv").write_text("\n".join(["end,path,start_seconds", *rows]))


def write_recordings(folder: Path, count: int) -> None:
    (folder / "sub folder").mkdir(parents=True)
    for i in range(count):
        samples = np.random.default_rng(i).uniform(-0.1, 0.1, RATE * (8 if i < 12 else 1))
        soundfile.write(folder / f"sub folder/it's {i:02d}.wav", samples, RATE)


def test_without_a_folder_everything_is_of_the_phantom_corpus(
    quickstart: Callable[..., list[Call]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = quickstart()
    assert [name for name, _, _ in calls] == [
        "neurons", "maps", "invert", "invert", "attribute", "tune", "ablate", "evaluate_inverters", "report"
    ]  # fmt: skip
    _, (_, path), options = calls[2]
    assert path == Path("out/quickstart/phantom-neurons/phantom/a.wav")
    assert (options["at"], options["inverters"]) == (1.0, ["an inverter"])
    assert calls[3][2]["at"] == 2.3  # an excerpt of 1.7 s still fits in
    assert calls[4][2]["at"] == 1.0  # of the highest output
    assert calls[6][2]["neurons"] == Path("out/quickstart/phantom-neurons")
    assert len(calls[-1][1]) == 8  # runs in the report
    assert str(Path("out/quickstart/report/index.html").absolute()) in capsys.readouterr().out


def test_a_folder_is_in_every_analysis_beside_the_phantom_corpus(
    quickstart: Callable[..., list[Call]], tmp_path: Path
) -> None:
    write_recordings(tmp_path / "mine", 3)
    (tmp_path / "mine/broken.wav").write_bytes(b"RIFF")
    calls = quickstart(f"--input={tmp_path}/mine", "--permutations=10")
    twice = [name for name in ("neurons", "maps", "invert", "evaluate_inverters") for _ in range(2)]
    asked = [name for name, _, _ in calls]
    assert asked == [*twice[:6], "attribute", "tune", "ablate", *twice[6:], "report"]
    names = ["broken.wav", "sub folder/it's 00.wav", "sub folder/it's 01.wav", "sub folder/it's 02.wav"]
    for number in (0, 8, 9):  # neurons, ablate, evaluate_inverters
        assert sorted(recording.name for recording in calls[number][1][1]) == names
    assert calls[0][2]["permutations"] == 10
    assert calls[8][2]["neurons"] == Path("out/quickstart/neurons")
    assert len(calls[2][1][1]) == 3  # what cannot be read has no middle
    assert len(calls[-1][1]) == 11


def test_a_large_folder_is_bounded_and_that_is_said(
    quickstart: Callable[..., list[Call]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recordings(tmp_path / "mine", 90)
    calls = quickstart(f"--input={tmp_path}/mine")
    assert "30 of 90 recordings are used, for maps 6 s of 8" in capsys.readouterr().out
    assert len(list(Path("out/quickstart/yours").rglob("*.wav"))) == 30
    middles = sorted(recording.path for recording in calls[2][1][1])
    assert len(middles) == 8
    assert soundfile.info(middles[0]).duration == 6
    assert "from 1.0 s" in middles[0].name
    stamps = [path.stat().st_mtime_ns for path in middles]
    shutil.rmtree("out/quickstart/neurons")
    shutil.rmtree("out/quickstart/phantom-neurons")
    quickstart(f"--input={tmp_path}/mine")
    assert [path.stat().st_mtime_ns for path in middles] == stamps  # or the run over them would begin anew


def test_a_folder_without_recordings_is_refused_before_anything_runs(
    quickstart: Callable[..., list[Call]], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ActprobeError, match="holds no audio file"):
        quickstart(f"--input={tmp_path}/mine")
    assert not (tmp_path / "out/quickstart/phantom-neurons").exists()


def test_another_network_has_its_weights_fetched_and_its_neurons_in_a_report(
    quickstart: Callable[..., list[Call]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recordings(tmp_path / "mine", 2)
    first, second = quickstart("--network=musicnn_msd", f"--input={tmp_path}/mine", "--random_seeds=1")
    assert "musicnn_msd: fetched and verified, there" in capsys.readouterr().out
    name, (source, corpus), options = first
    assert (name, source.name, source.checkpoint) == ("neurons", "musicnn_msd", "musicnn_msd")
    assert list(options["layers"]) == ["penultimate", "dense_1"]
    assert [recording.name for recording in corpus] == ["sub folder/it's 00.wav", "sub folder/it's 01.wav"]
    assert options["random_seeds"] == 1
    assert second[0] == "report"


@pytest.mark.parametrize(
    ("network", "reason"),
    [("nobody", "there is no model 'nobody'"), ("cnn_at_fcvid", "no weights of cnn_at_fcvid are published")],
)
def test_a_network_that_cannot_be_had_is_refused(
    quickstart: Callable[..., list[Call]], network: str, reason: str
) -> None:
    with pytest.raises(ActprobeError, match=reason):
        quickstart(f"--network={network}")


def test_the_script_hands_on_what_it_is_given(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for folder in ("bin", ".venv/bin", "elsewhere/my songs"):
        (checkout / folder).mkdir(parents=True)
    shutil.copy(ROOT / "bin/quickstart", checkout / "bin")
    (checkout / "bin/environment").write_text("make_environment() { :; }\n")
    python = checkout / ".venv/bin/python"
    python.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    ended = subprocess.run(
        ["../bin/quickstart", "--permutations=10", "my songs"],
        cwd=checkout / "elsewhere", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.splitlines() == [
        str(checkout), "bin/actprobe-quickstart", "--permutations=10",
        f"--input={checkout}/elsewhere/my songs",
    ]  # fmt: skip
