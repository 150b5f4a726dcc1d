"""A guarded child: whatever the bytes make of their reader, the caller gets arrays or a reason."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actprobe.errors import WeightsError
from actprobe.formats.arrays import Wanted
from actprobe.weights import guarded as weights_guarded
from actprobe.weights import read_npz
from actprobe.workers import guarded
from actprobe.workers.guarded import GuardError, call

HERE = str(Path(__file__).parent)


# What a library may do; these run in the child.


def crash(argument: Any, parts: Any) -> None:
    os.abort()


def loop(argument: Any, parts: Any) -> None:
    while True:
        pass


def sleep(argument: Any, parts: Any) -> None:
    time.sleep(60)


def eat(argument: Any, parts: Any) -> tuple[Any, list[Any]]:
    return None, [np.ones(argument, np.uint8)]


def fail(argument: Any, parts: Any) -> None:
    raise RuntimeError


def write_file(argument: Any, parts: Any) -> tuple[str, list[Any]]:
    with Path(argument).open("w") as file:
        file.write("x" * 100)
    return "written", []


def connect(argument: Any, parts: Any) -> tuple[str, list[Any]] | tuple[Any, list[Any]]:
    try:
        socket.create_connection(("127.0.0.1", argument), timeout=5).close()
    except OSError as error:
        return type(error).__name__, []
    return "connected", []


def twice(argument: Any, parts: Any) -> tuple[dict[str, Any], list[Any]]:
    return {"argument": argument}, [2 * np.frombuffer(parts["numbers"], "<f4")]


def leave_a_mark(argument: Any, parts: Any) -> tuple[Any, list[Any]]:
    marks = globals().setdefault("MARKS", [])
    marks.append(argument)
    return marks, []


def made(function: str, argument: Any = None, parts: Any = None, **limits: Any) -> Any:
    limits = {"seconds": 5, "room": 256 << 20, "most": 1 << 20, **limits}
    return call(f"test_guarded:{function}", argument, parts or {}, imports=[], **limits)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A child of this test alone, which finds this module."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setattr(guarded, "_kept", [])
    with guarded.one_child():
        yield


def test_gives_what_a_function_tells_and_its_arrays() -> None:
    parts = {"numbers": np.arange(3, dtype="<f4").tobytes()}
    told, (array,) = made("twice", "a", parts)
    assert told == {"argument": "a"}
    np.testing.assert_array_equal(array, np.array([0, 2, 4], np.float32))
    assert array.flags.writeable
    assert not parts  # let go


@pytest.mark.parametrize(
    ("function", "argument", "reason"),
    [
        ("crash", None, "crashes its reader (SIGABRT)"),
        ("loop", None, "takes longer than 1 s"),
        ("fail", None, "ends without an answer"),
        ("eat", 1 << 30, "ends without an answer"),
        ("eat", 2 << 20, "gives more than was asked for"),
    ],
)
def test_whatever_it_does_is_a_reason_and_the_next_call_is_answered(
    function: str, argument: Any, reason: str
) -> None:
    with pytest.raises(GuardError) as refused:
        made(function, argument, seconds=1)
    assert reason in str(refused.value)
    assert made("eat", 3)[1][0].tolist() == [1, 1, 1]


def test_a_child_that_only_waits_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    made("eat", 1)  # it is there now
    monkeypatch.setattr(guarded, "WALL_SECONDS", 0.5)
    with pytest.raises(GuardError, match=r"takes longer than 0\.5 s"):
        made("sleep")


def test_it_can_write_no_file(tmp_path: Path) -> None:
    with pytest.raises(GuardError):
        made("write_file", str(tmp_path / "file"))
    assert not (tmp_path / "file").exists() or not (tmp_path / "file").read_bytes()


def test_it_has_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        if made("connect", port)[0] == "connected":
            pytest.skip("this system does not let a process leave the network")


def test_no_call_meets_what_another_left_behind() -> None:
    assert made("leave_a_mark", 1)[0] == [1]
    assert made("leave_a_mark", 2)[0] == [2]


def test_nothing_but_the_arrays_that_were_asked_for_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", mean=np.float32(1))
    expected = {"mean": ()}
    for told, array in [
        ([["mean", "mean", ""]], np.ones(1, np.float32)),  # another shape
        ([["mean", "mean", ""]], np.float64(1)),
        ([["std", "std", ""]], np.float32(1)),
        ([], None),
        ({"mean": 1}, np.float32(1)),
    ]:
        arrays = [] if array is None else [np.asarray(array)]
        monkeypatch.setattr(
            weights_guarded, "call", lambda *_, told=told, arrays=arrays, **__: (told, arrays)
        )
        with pytest.raises(WeightsError):
            read_npz(tmp_path / "a.npz", expected)


def test_a_file_that_the_catalog_knows_is_read_in_this_process(
    assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_guarded, "call", lambda *_, **__: pytest.fail("a child was asked"))
    path = assets / "originals/svd/jamendo_meanstd.npz"
    wanted = Wanted.of({"mean": (80,), "std": (80,)}, ("<f8",))
    found, _ = weights_guarded.read_file(path, "an npz file", wanted)
    assert list(found) == ["mean", "std"]
