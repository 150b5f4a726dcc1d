"""Worker processes are forks of one: they load at once, work where they are asked, and leave nothing."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from conftest import ROOT

from actprobe.errors import ActprobeError
from actprobe.models import load_model
from actprobe.serving.export import export
from actprobe.workers import forked
from actprobe.workers.process import WorkerProcess, ending

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no other process can import this module

SECONDS = 60.0
DESCRIPTORS = Path("/proc/self/fd")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One of this test's own, which may be killed."""
    own = forked._ForkServer()
    monkeypatch.setattr(forked, "_server", own)
    yield own
    own.end()


def asked(process: WorkerProcess, function: Callable[[Any], Any], argument: Any = None) -> Any:
    return process.ask(cloudpickle.dumps(function), argument, SECONDS)


def said(function: Callable[[Any], Any], argument: Any = None, preload: tuple[str, ...] = ()) -> Any:
    process = WorkerProcess(preload)
    try:
        return asked(process, function, argument)
    finally:
        process.kill()


# What a worker may do


def parent(_: Any) -> int:
    return os.getppid()


def where(name: str) -> tuple[str, str | None, list[str]]:
    return os.getcwd(), os.environ.get(name), sys.path  # noqa: PTH109


def loaded(name: str) -> bool:
    return name in sys.modules


def draw(_: Any) -> float:
    return float(np.random.rand())  # noqa: NPY002


def descriptors(_: Any) -> int:
    return len(list(DESCRIPTORS.iterdir()))


def be_killed_by(number: int) -> None:
    os.kill(os.getpid(), number)
    threading.Event().wait()


def leave_with(status: int) -> None:
    os._exit(status)


def predicted(asked_for: tuple[str, Any]) -> Any:
    """Compute with essentia's own TensorFlow, which computes nothing in a fork of a process that used it."""
    import essentia
    from essentia.standard import TensorflowPredict

    file, examples = asked_for
    pool = essentia.Pool()
    pool.set("examples", examples[:, None])
    return TensorflowPredict(graphFilename=file, inputs=["examples"], outputs=["fc9"])(pool)["fc9"]


# They load at once


def test_all_are_forks_of_one_process_that_is_no_fork() -> None:
    first, second = said(parent), said(parent)
    assert first == second
    assert first != os.getpid()


def test_what_one_has_loaded_ahead_all_later_ones_have(server: Any) -> None:
    assert not said(loaded, "librosa.filters")
    assert said(loaded, "librosa.filters", ("librosa", "actprobe.features.maps"))
    assert said(loaded, "librosa.filters")
    assert said(loaded, "actprobe.features.maps")


JOBS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "actprobe/analyses").rglob("*.py"))
    if re.search(r"^class \w*Job\b", path.read_text("utf-8"), re.MULTILINE)
]


def test_whatever_jobs_need_starts_no_thread_where_it_is_loaded_ahead(server: Any) -> None:
    """A fork of a process with threads may wait for ever for what one of them held."""
    process = WorkerProcess(["essentia", "librosa", *JOBS])
    assert len(JOBS) > 8
    assert all(asked(process, loaded, name) for name in ("essentia.standard", "librosa", *JOBS))
    assert not asked(process, loaded, "tensorflow")
    assert len(list(Path(f"/proc/{asked(process, parent)}/task").iterdir())) == 1
    process.kill()


def test_what_cannot_be_loaded_ahead_is_for_its_user_to_find_out(server: Any) -> None:
    assert said(loaded, "os", ("nothing", "actprobe.nothing"))


def test_what_one_loads_itself_others_have_not(server: Any) -> None:
    def load(_: Any) -> bool:
        import sqlite3

        return "sqlite3" in sys.modules and sqlite3 is not None

    assert said(load)
    assert not said(loaded, "sqlite3")


# They work where they are asked


def test_each_works_in_the_surroundings_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(parent)  # the process that forks was started elsewhere
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACTPROBE_TESTED", "now")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    folder, value, path = said(where, "ACTPROBE_TESTED")
    assert folder == str(tmp_path)
    assert value == "now"
    assert path[0] == str(tmp_path / "modules")
    monkeypatch.delenv("ACTPROBE_TESTED")
    assert said(where, "ACTPROBE_TESTED")[1] is None


def test_a_folder_that_has_been_removed_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert said(loaded, "os")


def test_what_it_prints_comes_where_the_one_that_asks_writes_errors(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def shout(_: Any) -> None:
        print("heard")
        os.write(2, b"seen\n")

    said(shout)
    assert said(loaded, "os")
    assert {"seen"} <= set(capfd.readouterr().err.split())


def test_their_random_numbers_are_not_the_same() -> None:
    assert len({said(draw) for _ in range(3)}) == 3


def test_the_tensorflow_inside_essentia_computes_in_them(tmp_path: Path) -> None:
    model = load_model("svd", seed=3)
    graph = export(model, output_dir=tmp_path, layers=["fc9"], file_format="pb").folder / "svd.pb"
    examples = np.random.default_rng(0).standard_normal((3, 115, 80)).astype(np.float32)
    found = said(predicted, (str(graph), examples), ("essentia",))
    expected = model.activations(examples, ["fc9"])["fc9"]
    assert found.reshape(expected.shape) == pytest.approx(expected, abs=1e-5)


# How they end


def test_their_processor_time_is_counted_once_the_process_that_forks_has_ended(server: Any) -> None:
    def work(_: Any) -> None:
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass

    def counted() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = counted()
    first = said(parent)
    said(work)
    while_it_runs = counted() - before
    forked.end()
    assert counted() - before > while_it_runs + 0.45
    assert said(parent) != first


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_the_signal_that_ends_one_is_known(number: signal.Signals) -> None:
    process = WorkerProcess()
    with pytest.raises((EOFError, OSError)):
        asked(process, be_killed_by, number)
    assert process.reap() == -number
    assert not process.alive


def test_the_status_with_which_one_ends_is_known() -> None:
    process = WorkerProcess()
    with pytest.raises((EOFError, OSError)):
        asked(process, leave_with, 3)
    assert ending(process.reap()) == "ended with status 3"


def test_one_that_was_killed_before_it_is_asked_is_replaced() -> None:
    process = WorkerProcess()
    first = process.pid
    os.kill(first, signal.SIGKILL)
    assert asked(process, loaded, "os")
    assert process.pid != first
    process.kill()


def test_where_the_process_that_forks_is_killed_its_forks_were_killed_and_another_takes_over(
    server: Any,
) -> None:
    process = WorkerProcess()
    before = asked(process, parent)
    os.kill(before, signal.SIGKILL)
    assert process.reap() == -signal.SIGKILL
    assert gone(process.pid)
    other = said(parent)
    assert other != before
    process = WorkerProcess()
    os.kill(other, signal.SIGKILL)  # before it has forked, perhaps
    assert asked(process, parent) != other
    process.kill()


def test_where_it_can_never_start_that_is_one_error(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    process = WorkerProcess()
    with pytest.raises(ActprobeError, match="a feature process ended with status 1 when"):
        asked(process, loaded, "os")


def test_none_leaves_a_descriptor_behind() -> None:
    said(parent)
    before, there = len(list(DESCRIPTORS.iterdir())), said(descriptors)
    for _ in range(5):
        said(parent)
    assert len(list(DESCRIPTORS.iterdir())) == before
    several = [WorkerProcess() for _ in range(4)]
    assert [asked(each, descriptors) for each in several] == [there] * 4
    for each in several:
        each.kill()


OWNER = """
import cloudpickle, os, signal, sys, time
from actprobe.workers.process import WorkerProcess
several = [WorkerProcess() for _ in range(2)]
for each in several:
    server = each.ask(cloudpickle.dumps(lambda _: __import__("os").getppid()), None, 60)
print(server, *(each.pid for each in several), flush=True)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("way", ["ended", "killed"])
def test_they_end_with_the_process_that_asked_for_them(way: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", OWNER, way], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == (0 if way == "ended" else -signal.SIGKILL), ended.stderr
    assert ended.stderr == ""
    numbers = [int(word) for word in ended.stdout.split()]
    assert len(numbers) == 3
    assert all(gone(number) for number in numbers)


def test_a_fork_of_this_process_asks_the_same_one_and_leaves_it_running() -> None:
    before = said(parent)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(said(parent)).encode())
            forked._server.end()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert answer.read() == str(before)
    assert os.waitpid(child, 0)[1] == 0
    assert said(parent) == before


def gone(process: int) -> bool:
    for _ in range(100):
        if not Path(f"/proc/{process}").exists():
            return True
        time.sleep(0.05)
    return False
