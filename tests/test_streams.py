"""Binaries under odd circumstances: closed streams, file names that are not UTF-8, flags that are wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from actprobe.corpora.fingerprint import fingerprint
from actprobe.corpora.folder import Recording, readable_name
from actprobe.provenance import write_json

LAYERS = [sys.executable, str(ROOT / "bin" / "actprobe-layers")]


@pytest.mark.parametrize("flags", [["--nope"], ["--model"], ["--model=svd", "--hop=a"], []])
def test_wrong_flags_exit_2_with_one_line(flags: list[Any]) -> None:
    ended = subprocess.run([*LAYERS, *flags], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("actprobe-layers: ")


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_change_no_exit_status(closed: str) -> None:
    command = f'"$0" "$1" --nope {closed}'
    ended = subprocess.run(["sh", "-c", command, *LAYERS], capture_output=True, check=False)
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr


def test_names_that_are_not_utf8_are_text_in_what_is_written(tmp_path: Path) -> None:
    path = Path(os.fsdecode(b"lat\xe9n.wav"))
    recording = Recording(path.name, path)
    assert recording.name == "lat\\xe9n.wav"
    assert recording.path == path
    write_json(tmp_path / "a.json", {"command": str(path)})
    assert b"lat\\udce9n.wav" in (tmp_path / "a.json").read_bytes()


def test_file_names_keep_letters_of_all_scripts() -> None:
    assert readable_name("Füür / Ελλάδα 東京") == "Füür_Ελλάδα_東京"
    assert len(readable_name("東" * 100).encode()) <= 60


def test_another_recording_of_the_same_size_and_time_is_another(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(100_000))
    os.utime(path, ns=(0, 0))
    before = fingerprint(Recording("a.wav", path))
    path.write_bytes(bytes(50_000) + b"\x01" * 50_000)
    os.utime(path, ns=(0, 0))
    assert fingerprint(Recording("a.wav", path)) != before
