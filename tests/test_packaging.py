"""The wheel, built from the sdist, runs outside a checkout; a release says its version in one place."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import ROOT

from actprobe import extras
from actprobe.audio import load_audio
from actprobe.batch.executors import parse_executor
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import ActprobeError
from actprobe.frontends.stored_writing import save_activations
from actprobe.version import __version__

NOT_OURS = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "*.log", "build", "dist", "out"
)
BINARIES = sorted(path.name for path in (ROOT / "bin").glob("actprobe-*"))
Call = Callable[..., subprocess.CompletedProcess[str]]


def call(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def build(kind: str, source: Path, target: Path) -> Path:
    """Build an ``sdist`` or a ``wheel``, without downloading what builds it."""
    code = f"import sys; from setuptools.build_meta import build_{kind}; build_{kind}(sys.argv[1])"
    target.mkdir()
    call(sys.executable, "-c", code, target, cwd=source)
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "checkout", ignore=NOT_OURS)
    return build("sdist", folder / "checkout", folder / "built")


@pytest.fixture(scope="module")
def installed(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """A fresh environment that has the wheel, and the packages of this one beside it; calls its binaries."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    wheel = build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder / "built")
    environment = folder / "environment"
    call(sys.executable, "-m", "venv", "--without-pip", environment)
    # No .pth of these packages is read, so that the editable install of this checkout stays out.
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "beside.pth").write_text(sysconfig.get_path("purelib"))
    python = environment / "bin/python"
    call(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
        "--no-index",
        wheel,
    )
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return call(environment / "bin" / name, *arguments, cwd=elsewhere, env=clean)

    found = run("python", "-c", "import actprobe; print(actprobe.__file__)").stdout
    assert Path(found.strip()).is_relative_to(environment)
    yield run
    shutil.rmtree(folder)


def test_sdist_holds_what_a_checkout_holds(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    checkout = sdist.parents[1] / "checkout"
    ours = {str(path.relative_to(checkout)) for path in checkout.rglob("*") if path.is_file()}
    ours = {name for name in ours if not name.startswith(".") and ".egg-info/" not in name}
    assert {"bin/check", "docs/index.md", "tests/conftest.py", "checkpoints/svd-open/svd.npz"} <= ours
    assert not ours - names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".", "out/"))]


@pytest.mark.parametrize("name", BINARIES)
def test_every_installed_binary_has_help_and_version(installed: Call, name: str) -> None:
    assert name in installed(name, "--help").stdout
    assert installed(name, "--version").stdout == f"actprobe {__version__}\n"


def test_an_installed_actprobe_goes_from_recordings_to_a_report(installed: Call, tmp_path: Path) -> None:
    """Of stored activations, so that TensorFlow need not be loaded."""
    manifest = write_phantom(tmp_path / "phantom", recordings=4, seconds=2.0)
    for path in sorted((tmp_path / "phantom").glob("*.wav")):
        loud = np.abs(load_audio(path).samples).reshape(4, -1).mean(axis=1)
        save_activations(
            tmp_path / f"stored/{path.stem}.npz", times=np.arange(4) / 2, loud=np.stack([loud, -loud], axis=1)
        )
    installed(
        "actprobe-neurons", f"--activations={tmp_path / 'stored'}", f"--input={manifest}", "--layers=loud",
        "--features=rms", "--executor=local:1", "--permutations=9", "--figures=0",
        f"--output_dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert (tmp_path / "run/neurons.csv").is_file()
    installed("actprobe-report", f"--run={tmp_path / 'run'}", f"--output_dir={tmp_path / 'out'}")
    page = (tmp_path / "out/report/index.html").read_text("utf-8")
    for asset in re.findall(r'(?:src|href)="(assets/[^"]+)"', page):
        assert (tmp_path / "out/report" / asset).is_file(), asset


def test_the_wheel_holds_networks_and_their_weights(installed: Call) -> None:
    assert "conv1" in installed("actprobe-layers", "--model=svd").stdout
    assert "svd-open" in installed("actprobe-fetch", "--model=svd", "--list").stdout
    code = "from actprobe.checkpoints import catalog; print(catalog.__file__)"
    folder = Path(installed("python", "-c", code).stdout.strip()).parent
    assert (folder / "svd-open/svd.npz").is_file()
    assert (folder / "svd-open-inverters/README.md").is_file()


# Extras


@pytest.mark.parametrize("extra", sorted(extras.EXTRAS))
def test_a_missing_extra_is_one_sentence(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in extras.EXTRAS[extra]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ActprobeError) as caught:
        extras.require(extra, "this")
    first = extras.EXTRAS[extra][0]
    assert re.fullmatch(rf"this needs {first}[\w, ]*: pip install 'actprobe\[{extra}\]'", str(caught.value))


def test_extras_are_those_of_setup_py() -> None:
    declared = re.search(
        r"extras_require=\{(.*?)\n    \},", (ROOT / "setup.py").read_text("utf-8"), re.DOTALL
    )
    assert declared
    assert extras.EXTRAS.keys() <= set(re.findall(r'"(\w+)": ', declared[1]))


def without(tmp_path: Path, extra: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a binary where the modules of an extra are not there."""
    hide = f"import sys\nfor name in {extras.EXTRAS[extra]!r}:\n    sys.modules[name] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hide)
    return subprocess.run(
        [sys.executable, ROOT / "bin" / command[0], *command[1:]], cwd=tmp_path, capture_output=True,
        text=True, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("serve", ("actprobe-serve", "--model_base=models")),
        ("serve", ("actprobe-export", "--model=svd", "--output_dir=out")),
        (
            "cluster",
            ("actprobe-neurons", "--model=svd", "--layers=fc8", "--executor=dask:2", "--output_dir=out"),
        ),
    ],
)
def test_a_command_without_its_extra_says_which_to_install(
    tmp_path: Path, extra: str, command: tuple[str, ...]
) -> None:
    ended = without(tmp_path, extra, *command)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"{command[0]}: ")
    assert ended.stderr.endswith(f"pip install 'actprobe[{extra}]'\n")
    assert not (tmp_path / "out").exists()


def test_executors_of_this_machine_need_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in extras.EXTRAS["cluster"]:
        monkeypatch.setitem(sys.modules, module, None)
    assert parse_executor("local:2").workers == 2
    with pytest.raises(ActprobeError, match=r"actprobe\[cluster\]"):
        parse_executor("dask://node:8786")


def test_importing_actprobe_loads_none_of_its_packages() -> None:
    """It takes milliseconds, whatever is installed."""
    code = "import sys, actprobe; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(call(sys.executable, "-c", code).stdout.split())
    assert "actprobe" in loaded
    assert not loaded & {
        "numpy",
        "pandas",
        "absl",
        "scipy",
        "tensorflow",
        "matplotlib",
        "librosa",
        "soundfile",
    }


# A release


def test_changelog_and_citation_have_the_version() -> None:
    newest = re.search(r"^## (\S+), (\S+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert newest[1] == citation["version"] == __version__
    released = None if newest[2] == "unreleased" else newest[2]
    assert str(citation.get("date-released")) == str(released)


def test_a_tag_has_one_workflow() -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))
    assert steps[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads "on" as true
    assert steps["jobs"]["publish"]["needs"] == ["check", "build"]
    assert steps["jobs"]["publish"]["permissions"] == {"id-token": "write"}
