"""`load_run` opens any finished run by what it left, and says in a sentence why a folder is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import actprobe
from actprobe.analyses.finished_runs import KINDS, result_class
from actprobe.batch.result import Result
from actprobe.detection.training import NORMALIZATION
from actprobe.errors import CorpusError


def finished(folder: Path, kind: str) -> Path:
    """Write what a folder is told by."""
    for name in {KINDS[kind][0], result_class(kind).TABLE}:
        (folder / name).write_bytes(b"")
    (folder / "run.json").write_text(json.dumps({"model": "ours"}))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_run_is_opened_as_its_own_result(kind: Any, tmp_path: Path) -> None:
    (tmp_path / "recordings.csv").write_text("path,status\n")  # most kinds leave one
    found = actprobe.load_run(str(finished(tmp_path, kind)))
    assert isinstance(found, Result)
    assert type(found) is result_class(kind)
    assert kind == found.KIND
    assert (found.folder, found.record) == (tmp_path, {"model": "ours"})


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_told_by_a_file_that_its_run_leaves(kind: Any) -> None:
    expected = NORMALIZATION if kind == "detector" else result_class(kind).TABLE
    assert KINDS[kind][0] == expected


def test_only_the_class_that_is_needed_is_imported(tmp_path: Path) -> None:
    finished(tmp_path, "activations")
    others = sorted({home.split(":")[0] for _, home in KINDS.values()})
    script = (
        "import sys, actprobe; actprobe.load_run(sys.argv[1]);"
        f"print(*[name for name in {others} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["actprobe.analyses.activations.result"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (None, "does not exist"),
        ({}, r"holds no finished run \(no run\.json\)"),
        ({"neurons.parquet": ""}, r"holds no finished run \(no run\.json\)"),
        ({"run.json": "{"}, r"its run\.json is damaged"),
        ({"run.json": "[]"}, r"its run\.json is damaged \(not an object\)"),
        ({"run.json": "{}"}, r"holds none of neurons\.parquet, maps\.parquet, nre\.csv, .*recordings\.csv$"),
        ({"run.json": "{}", "meanstd.npz": ""}, "holds no finished run of kind detector"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(
    files: dict[str, Any] | None, reason: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    if files is not None:
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    with pytest.raises(CorpusError, match=reason) as refused:
        actprobe.load_run(folder)
    assert refused.value.path == str(folder)


@pytest.mark.parametrize("kind", ["neurons", "evaluation", "comparison", "activations"])
def test_a_damaged_table_is_told_when_it_is_read(kind: str, tmp_path: Path) -> None:
    found = actprobe.load_run(finished(tmp_path, kind))
    (tmp_path / found.TABLE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorpusError, match=rf"{found.TABLE}: is not a readable table"):
        _ = found.table


def test_a_table_that_was_not_written_is_empty(tmp_path: Path) -> None:
    found = actprobe.load_run(finished(tmp_path, "neurons"))
    assert found.recordings.empty
    assert found.frame("nowhere.csv").empty
